"""An experiment as a run of the HTTP server."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from ciranda.cli.compose import Assembly, plan_of
from ciranda.cli.folder import RUN, RunFolder
from ciranda.cli.http.predictor import ExperimentPredictor, check_schema
from ciranda.cli.result import Result
from ciranda.cli.session import OnEvent, Session
from ciranda.core.errors import CirandaError, ExperimentError, StoreError
from ciranda.core.metrics import Sums
from ciranda.core.rng import Draw
from ciranda.core.task import Array, Arrays
from ciranda.core.update import Contract
from ciranda.experiment.load import dump
from ciranda.protocol.messages import ResumeAsked
from ciranda.protocol.state import State
from ciranda.runtimes.host import Host
from ciranda.runtimes.http.roster import Member, Roster
from ciranda.runtimes.http.run import Blueprint, Tell
from ciranda.runtimes.http.wire import HttpWire
from ciranda.store.base import Store
from ciranda.tasks.inputs import Form
from ciranda.tasks.recipe import probe

_NOT_IN_A_PATH = re.compile(r"[^A-Za-z0-9._-]+|^[^A-Za-z0-9]+")


def name_in_path(name: str) -> str:
    """`name` as a run of a server can have it: a part of a path."""
    return _NOT_IN_A_PATH.sub("-", name) or "run"


class ExperimentBlueprint(Blueprint):
    """The run of `assembly` in `folder`.

    Args:
        name: of the run on its server.
        minimum, maximum: of clients, by default as many as the experiment says; wait_s: how long to wait for the maximum.
        max_examples: the most examples of one client, where clients do not tell how many they have.
    """

    run = RUN

    def __init__(
        self,
        name: str,
        folder: RunFolder,
        assembly: Assembly,
        *,
        minimum: int | None = None,
        maximum: int | None = None,
        wait_s: float | None = None,
        max_examples: int | None = None,
        on_event: OnEvent = lambda row: None,
    ) -> None:
        self._folder, self._assembly, self._max_examples, self._on_event = folder, assembly, max_examples, on_event
        self.name, self.folder = name_in_path(name), folder.path / "http"
        self.rounds, self.chain = assembly.plan.num_rounds, assembly.chain
        self.partitions = assembly.population.size
        self.maximum = maximum if maximum is not None else self.partitions
        self.minimum = minimum if minimum is not None else self.maximum
        self.wait_s = wait_s
        if not 1 <= self.minimum <= self.maximum:
            raise ExperimentError("At least {minimum} and at most {maximum} clients cannot be.", minimum=self.minimum, maximum=self.maximum)
        told = assembly.experiment.experiment.model_copy(update={"seed": 1})
        self.experiment = dump(assembly.experiment.model_copy(update={"experiment": told}))
        self._form = Form.of(assembly.population.data)
        self.predictor = ExperimentPredictor(assembly.task, self._form, assembly.population.data.record)
        self._session: Session | None = None
        self.result: Result | None = None

    @property
    def assembly(self) -> Assembly:
        """What the run is put together from."""
        return self._assembly

    def described(self) -> Mapping[str, Any]:
        return {"form": self._form.to_json(), "record": self._assembly.population.data.record}

    def admit(self, schema: Mapping[str, Any]) -> None:
        check_schema(schema, self._form)

    def open_store(self) -> Store:
        return self._folder.open_store()

    def indices(self, partition: int) -> Sequence[int]:
        return list(map(int, self._assembly.population.split(partition)[0]))

    def seed(self, member: Member) -> int:
        """The run's own for a simulated client, which deals itself its partition; for others one drawn from it."""
        seed = self._assembly.experiment.experiment.seed
        return seed if member.partition is not None else Draw(seed).at("client-seed", client=member.name).seed()

    def evaluate(self, model: Arrays) -> Sums:
        assembly = self._assembly
        return assembly.task.evaluate(model, assembly.population.data.test, assembly.experiment.evaluate.batch_size)

    def host(self, wire: HttpWire, store: Store, roster: Roster, tell: Tell) -> Host:
        assembly = self._assembly
        plan = plan_of(assembly.experiment, assembly.draw, roster.name, self._examples(roster))
        rows = self._folder.rewrite_metrics(store)

        def on_event(event: Mapping[str, Any]) -> None:
            if event["event"] != "finish":
                tell(event)

        self._session = Session(self._folder, store, replace(assembly, plan=plan), on_event, rows)
        begun = {
            "rounds": plan.num_rounds,
            "clients": len(roster),
            "workers": len(roster),
            "done": len(rows),
            "out": str(self._folder.path),
        }
        tell({"event": "start", **begun})
        max_weight = self._max_weight(roster)

        def contract(model: Arrays) -> Contract:
            return Contract.for_model(
                model,
                assembly.task.part_of,
                max_weight=max_weight,
                cohort=assembly.experiment.cohort(len(roster)),
                clipping_norm=assembly.bounding_norm,
                rule=assembly.strategy.client,
                population=len(roster),
            )

        return Host(plan, assembly.strategy, wire, store, assembly.chain, contract, self._session.row)

    def begin(self, host: Host, store: Store, roster: Roster, tell: Tell) -> None:
        version, header = store.read(RUN)
        if not version:
            host.start(self._assembly.initial(), len(roster))
            return
        ended = State.from_json(json.loads(header)["state"]).status in ("aborted", "error", "finished")
        host.recover(*([ResumeAsked("resume")] if ended else []))

    def finish(self, host: Host | None, roster: Roster | None, error: CirandaError | None, tell: Tell) -> None:
        if host is None or roster is None or self._session is None:
            return
        state = host.state
        if error is not None:
            with suppress(StoreError):  # the disk may be what failed; the store still holds the last whole step
                self.result = self._session.finish(state, None, str(error), [])
        else:
            own = probe(self._assembly.task, self._assembly.population.data.train[:1])
            self.result = self._session.finish(state, host.model, state.reason, [own, *roster.probes])
        if self.result is not None:
            tell({"event": "finish", **self.result.as_json()})

    def _examples(self, roster: Roster) -> Array:
        """How many examples each client has, by rank, as far as the server may know; one where it may not."""
        sizes = self._assembly.population.partition.sizes
        counts = [member.examples or 1 if member.partition is None else int(sizes[member.partition]) for member in roster.members]
        return np.array(counts, np.int64)

    def _max_weight(self, roster: Roster) -> int:
        """The largest weight of an update: known from the partition, from what clients tell, or declared."""
        if all(member.partition is not None for member in roster.members):
            return self._assembly.population.max_weight()
        most = roster.max_examples or self._max_examples
        if most is None:
            raise ExperimentError(
                "A client does not tell how many examples it has, so the largest number must be declared.",
                hint="Start the server with --max-examples.",
            )
        return most
