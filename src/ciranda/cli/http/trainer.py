"""A client's side of an experiment: its own examples, trained and evaluated as in the local runtime."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from ciranda import __version__
from ciranda.cli.compose import Assembly, assemble, task_of
from ciranda.core.client import personal, train_update
from ciranda.core.errors import DataError
from ciranda.core.metrics import Sums
from ciranda.core.stages import States
from ciranda.core.strategies.base import Work
from ciranda.core.task import Arrays, FederatedData
from ciranda.core.texts import Text
from ciranda.core.update import Contract, Update
from ciranda.experiment.load import loads
from ciranda.experiment.schema import Experiment, FederationSection
from ciranda.runtimes.http.client import Limits, Trainer
from ciranda.tasks.recipe import probe
from ciranda.tasks.watching import watched

log = logging.getLogger(__name__)


class ExperimentTrainer(Trainer):
    """A client with a partition of the experiment's own data, for simulations, or with `data` of its own.

    Args:
        text: the experiment as the server tells it. partition: (I, N), the client's number and how many there are.
        tell_examples: whether the server may know how many examples there are.
    """

    def __init__(
        self, text: str, *, partition: tuple[int, int] | None = None, data: FederatedData | None = None, tell_examples: bool = True
    ) -> None:
        experiment = loads(text, Text("the server's experiment"))
        self._experiment = experiment if partition is not None else _alone(experiment)
        self._partition, self._tell = partition, tell_examples
        self._task = task_of(self._experiment)
        self._data: FederatedData | None = data if data is not None else self._task.data()
        self._like, self._classes = self._data.train[:1], len(self._data.classes)
        self._assembly: Assembly | None = None
        self._name = ""
        self._own = self._kept = self._data.train[:0]

    def told(self) -> Mapping[str, Any]:
        x, y = self._like.x, self._like.y
        told: dict[str, Any] = {
            "schema": {"x": [x.dtype.name, *x.shape[1:]], "y": [y.dtype.name, *y.shape[1:]], "classes": self._classes},
            "probe": probe(self._task, self._like),
            "versions": {"ciranda": __version__},
        }
        if self._partition is not None:
            told["partition"] = list(self._partition)
        elif self._tell and self._data is not None:
            told["examples"] = len(self._data.train)
        return told

    def begin(self, name: str, seed: int) -> None:
        assert self._data is not None
        section = self._experiment.experiment.model_copy(update={"seed": seed})
        assembly = assemble(self._experiment.model_copy(update={"experiment": section}), self._task, self._data)
        rank = self._partition[0] if self._partition is not None else 0
        self._own, self._kept = assembly.population.train(rank), assembly.population.test(rank)
        self._assembly, self._name = assembly, name
        self._data = None  # the others' examples are not needed any more

    def train(self, round: int, model: Arrays, broadcast: Arrays, limits: Limits, states: States) -> tuple[Update, States]:
        assembly = self._begun
        contract = Contract.for_model(
            model,
            self._task.part_of,
            max_weight=limits.max_weight,
            cohort=limits.cohort,
            clipping_norm=assembly.bounding_norm,
            rule=assembly.strategy.client,
            population=limits.population,
        )
        draw = assembly.draw.at("train", round=round, client=self._name)
        work = Work(self._task, model, self._own, assembly.settings, contract, draw, broadcast)
        with watched(partial(self._note, {"role": "client", "client": self._name, "round": round})):
            return train_update(work, assembly.chain, assembly.strategy.client, states)

    @staticmethod
    def _note(extra: Mapping[str, Any], batch: int, batches: int, loss: float) -> None:
        log.info("batch %d of %d: loss %.4f", batch, batches, loss, extra={**extra, "batch": batch, "loss": round(loss, 6)})

    def evaluate(self, kind: str, model: Arrays, states: States) -> Sums:
        examples = self._own if kind == "candidates" else self._kept
        if not len(examples):
            raise DataError("it has no examples to evaluate on.", hint="Set federation.test-fraction.")
        return self._task.evaluate(personal(model, states), examples, self._begun.experiment.evaluate.batch_size)

    @property
    def _begun(self) -> Assembly:
        assert self._assembly is not None
        return self._assembly


def _alone(experiment: Experiment) -> Experiment:
    """The experiment of one client: all of the data is its own, and nobody else evaluates."""
    before = experiment.federation
    federation = FederationSection(
        clients=1, partitioner="iid", validation_fraction=before.validation_fraction, test_fraction=before.test_fraction
    )
    evaluate = experiment.evaluate.model_copy(update={"where": "clients"})
    return experiment.model_copy(update={"federation": federation, "evaluate": evaluate})
