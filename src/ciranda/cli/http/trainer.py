"""A client's side of an experiment: its own examples, trained and evaluated as in the local runtime."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ciranda import __version__
from ciranda.cli.compose import Assembly, assemble, task_of
from ciranda.cli.http.predictor import ExperimentPredictor
from ciranda.cli.tables import recorded_task
from ciranda.core.client import personal, train_update
from ciranda.core.errors import DataError
from ciranda.core.metrics import Sums, summarise
from ciranda.core.stages import States
from ciranda.core.strategies.base import Work
from ciranda.core.task import Arrays, FederatedData
from ciranda.core.texts import Text
from ciranda.core.update import Contract, Update
from ciranda.experiment.load import loads
from ciranda.experiment.schema import Experiment, FederationSection
from ciranda.runtimes.http.client import Limits, Told, Trainer
from ciranda.runtimes.http.home import Wish
from ciranda.runtimes.http.run import Predictor
from ciranda.tasks.datasets.encoding import Encoding
from ciranda.tasks.datasets.private import read_private
from ciranda.tasks.inputs import Form
from ciranda.tasks.recipe import probe
from ciranda.tasks.watching import watched

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Own:
    """What a client brings along.

    Attributes:
        partition: (I, N), the client's number and how many there are, to take part with a partition of the experiment's own data.
        data: where the client's own data lie, else. share_counts: whether the server may know how many examples each class has.
        task: FILE.py:CLASS, in place of the file that the experiment names.
    """

    partition: tuple[int, int] | None = None
    data: Path | None = None
    share_counts: bool = False
    task: str | None = None


class ExperimentTrainer(Trainer):
    """A client's part in the run of which the server told."""

    def __init__(self, told: Told, own: Own) -> None:
        experiment = loads(told.experiment, Text("the server's experiment"))
        if own.task is not None:
            section = experiment.experiment.model_copy(update={"task": own.task})
            experiment = experiment.model_copy(update={"experiment": section})
        self._experiment = experiment if own.partition is not None else _alone(experiment)
        self._given = own
        record = told.data.get("record")
        encoding = Encoding.from_json(record["encoding"]) if record is not None else None
        if own.data is not None:
            form = Form.from_json(told.data["form"])
            examples = read_private(own.data, form, encoding)
            self._data: FederatedData | None = FederatedData(examples, examples[:0], form.classes, record=record)
            self._task = (
                recorded_task(experiment, encoding) if encoding and experiment.experiment.task == "csv" else task_of(self._experiment)
            )
        else:
            self._task = task_of(self._experiment)
            self._data = self._task.data()
            form = Form.of(self._data)
        self._form, self._like = form, self._data.train[:1]
        self._assembly: Assembly | None = None
        self._name = ""
        self._own = self._kept = self._data.train[:0]
        self.predictor: Predictor = ExperimentPredictor(self._task, form, record)

    def told(self) -> Mapping[str, Any]:
        shape = self._form.to_json()
        schema = {key: shape[key] for key in ("x", "y", "classes")}
        told: dict[str, Any] = {"schema": schema, "probe": probe(self._task, self._like), "versions": {"ciranda": __version__}}
        if self._given.partition is not None:
            told["partition"] = list(self._given.partition)
        elif self._given.share_counts and self._data is not None:
            told["examples"] = len(self._data.train)
            if self._form.classes:
                schema["counts"] = np.bincount(self._data.train.y, minlength=len(self._form.classes)).tolist()
        return told

    def begin(self, name: str, seed: int) -> None:
        assert self._data is not None
        section = self._experiment.experiment.model_copy(update={"seed": seed})
        assembly = assemble(self._experiment.model_copy(update={"experiment": section}), self._task, self._data)
        rank = self._given.partition[0] if self._given.partition is not None else 0
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

    def train_alone(self, model: Arrays, wish: Wish) -> tuple[Arrays, dict[str, Any]]:
        """Train on this client's examples as the experiment says but for `wish`; nothing of it reaches the run.

        Returns:
            the model, and what there is to tell: examples, steps, the training loss, and metrics before and after on what is kept back.
        """
        assembly = self._begun
        settings = replace(assembly.settings, **{key: value for key, value in asdict(wish).items() if value is not None and key != "turn"})
        draw = assembly.draw.at("train-alone", client=self._name, turn=wish.turn)
        with watched(partial(self._note, {"role": "client", "client": self._name, "phase": "alone"})):
            trained = self._task.train(model, self._own, settings, draw)
        told = {"examples": len(self._own), "epochs": settings.local_epochs, "steps": trained.steps, "train": summarise(trained.metrics)}
        if len(self._kept):
            batch = assembly.experiment.evaluate.batch_size
            told["before"] = summarise(self._task.evaluate(model, self._kept, batch))
            told["after"] = summarise(self._task.evaluate(trained.arrays, self._kept, batch))
        return trained.arrays, told

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
