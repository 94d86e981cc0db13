"""The loop of a run: events go through the coordinator, its state is stored, its commands are carried out.

Everything that survives a crash is one header in the store, {schema, state, commands, artifacts}, written before any of its
commands is carried out. A command carried out twice has the effect of one (equal ids), so recovery is: read, and go on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from ciranda.core.codec import decode, encode
from ciranda.core.errors import CirandaError, RunError, StoreError, blame
from ciranda.core.metrics import Sums, add, confusions, per_class, spread, summarise
from ciranda.core.params import Signature, model_sha256
from ciranda.core.stages import Chain
from ciranda.core.strategies.base import Strategy, StrategyState
from ciranda.core.task import Array, Arrays
from ciranda.core.texts import Text
from ciranda.core.update import Contract, apply_buffers, finish
from ciranda.protocol.coordinator import initial, step_many
from ciranda.protocol.messages import (
    EVALUATOR,
    LOSS,
    Close,
    Closed,
    Command,
    CommandFailed,
    Event,
    Finish,
    Publish,
    Record,
    Recovered,
    Started,
)
from ciranda.protocol.plan import Plan
from ciranda.protocol.state import State
from ciranda.runtimes.base import Gathered, Published, Wire
from ciranda.store.base import Store

SCHEMA = 1
MOST_CLASSES = 100
_STORED = (Close, Record, Finish)
_OURS = (Publish, *_STORED)
_OVER = ("finished", "aborted", "error")


class Host:
    """One run on one wire.

    Args:
        contract_for: the contract of an update to a given model; a pure function of the model's arrays.
        on_row: called once with each recorded row, after it is stored, and the digest of the blob of its model.
    """

    def __init__(
        self,
        plan: Plan,
        strategy: Strategy,
        wire: Wire,
        store: Store,
        chain: Chain,
        contract_for: Callable[[Arrays], Contract],
        on_row: Callable[[Mapping[str, Any], str], None],
    ) -> None:
        self._plan, self._strategy, self._wire, self._store = plan, strategy, wire, store
        self._chain, self._contract_for, self._on_row = chain, contract_for, on_row
        self._state = initial(plan)
        self._version = 0
        self._inbox: Sequence[Event] = ()
        self._models: dict[str, Arrays] = {}
        self._strategies: dict[str, StrategyState] = {}
        self._artifacts: dict[str, str] = {}
        self._put_last = (0, 0)
        self._rows = 0

    @property
    def state(self) -> State:
        """The coordinator's state."""
        return self._state

    @property
    def model(self) -> Arrays:
        """The last committed model."""
        return self._models[self._state.model]

    def start(self, model: Arrays, roster: int) -> None:
        """Begin with version 0. Raises StoreError if the run exists already."""
        if self._store.read(self._plan.run)[0]:
            raise StoreError("The run '{run}' was started before.", hint="Go on with: ciranda resume DIR", run=self._plan.run)
        digest = model_sha256(model)
        self._keep(digest, model, self._strategy.init(self._contract_for(model).trained(model)))
        self._publish(digest)
        self._inbox = (Started(roster, digest),)

    def recover(self, *events: Event) -> None:
        """Take up the stored run again, then tell it `events`. Raises StoreError when there is nothing whole to take up."""
        self._version, header = self._store.read(self._plan.run)
        if not self._version:
            raise StoreError("There is no stored run '{run}' to go on with.", run=self._plan.run)
        stored = json.loads(header)
        self._state = State.from_json(stored["state"])
        self._artifacts = stored["artifacts"]
        self._rows = max((number for number, _ in self._store.events(self._plan.run)), default=0)
        model = self._get("model")
        if model_sha256(model) != self._state.model:
            raise StoreError("The stored model of version {version} is not the one that the run committed.", version=self._state.version)
        strategy = self._get("strategy")
        if Signature.of(strategy) != Signature.of(self._strategy.init(self._contract_for(model).trained(model))):
            raise StoreError(
                "What the run's strategy has stored is not what '{strategy}' goes on from.",
                hint="A run is resumed with the strategy that it began with; its parameters may change as long as its memory does not.",
                strategy=self._strategy.name,
            )
        self._keep(self._state.model, model, strategy)
        self._publish(self._state.model)
        self._inbox = (Recovered(), *events)

    def run(self) -> State:
        """Go on until the run is over; returns its last state. CirandaErrors of the wire end it, stored as they stand."""
        while self._inbox or self._state.status not in _OVER:
            events, self._inbox = (self._inbox or self._wire.events()), ()
            self._state, commands = step_many(self._plan, self._state, events)
            if self._wire.repeatable:
                # What is asked now can be asked again after a crash: clients need not wait for the disk.
                self._carry_out([command for command in commands if not isinstance(command, _STORED)])
                commands = tuple(command for command in commands if isinstance(command, _STORED))
            self._persist(commands)
            self._carry_out(commands)
        return self._state

    def _carry_out(self, commands: Sequence[Command]) -> None:
        """Do the host's commands here and hand the others to the wire, in their order."""
        for ours, group in groupby(commands, lambda command: isinstance(command, _OURS)):
            if not ours:
                self._wire.carry(list(group))
                continue
            for command in group:
                match command:
                    case Publish():
                        self._publish(command.model)
                    case Close():
                        self._inbox = (*self._inbox, self._close(command))
                    case Record():
                        self._record(command)
                        self._wire.carry([command])

    def _close(self, command: Close) -> Closed | CommandFailed:
        """Combine the accepted replies; after training, into the model that follows."""
        gathered = self._wire.gather(command)
        digest = ""
        if gathered.total is not None:
            model, accepted = self._models[command.model], len(command.accepted)
            try:
                if gathered.total.count != accepted:
                    raise RunError(
                        "Phase {phase}: {accepted} replies were accepted, {count} are in their sum.",
                        phase=command.phase,
                        accepted=accepted,
                        count=gathered.total.count,
                    )
                contract = self._contract_for(model)
                aggregate = finish(contract, self._chain.finish(gathered.total))
                state, moved = self._strategy.apply(self._strategies[command.model], model, aggregate)
                contract.local.check(moved, Text("the model that the strategy '{name}' made", name=self._strategy.name))
            except CirandaError as error:
                return CommandFailed(command.id, str(error))
            except Exception as error:  # a strategy of a user's own may raise anything
                return CommandFailed(command.id, f"{self._strategy.name}: {type(error).__name__}: {error} ({blame(error)})")
            following = apply_buffers(moved, aggregate)
            digest = model_sha256(following)
            self._keep(digest, following, state)
        groups, clients = _summaries(command, gathered)
        return Closed(command.phase, digest, groups, clients, gathered.bytes_up, gathered.bytes_down, gathered.seconds)

    def _keep(self, digest: str, model: Arrays, strategy_state: StrategyState) -> None:
        """Hold the committed model and the one that may follow it; older ones are in the store."""
        current = {self._state.model, digest}
        self._models = {key: value for key, value in self._models.items() if key in current} | {digest: model}
        self._strategies = {key: value for key, value in self._strategies.items() if key in current} | {digest: strategy_state}

    def _publish(self, digest: str) -> None:
        model = self._models.get(digest)
        if model is None:
            return  # told again after a crash, and a later version is committed: that one is published
        self._wire.publish(Published(digest, model, self._contract_for(model), self._strategy.broadcast(self._strategies[digest])))

    def _persist(self, commands: Sequence[Command]) -> None:
        """Write the header before its commands are carried out.

        On a repeatable wire only the ends of rounds are written: until then a crash loses nothing but work.
        """
        if self._wire.repeatable and self._version and not any(isinstance(command, Record | Finish) for command in commands):
            return
        model, strategy = self._models[self._state.model], self._strategies[self._state.model]
        if self._put_last != (id(model), id(strategy)):  # both are held, so their ids are theirs
            artifacts = {"model": self._put(model), "strategy": self._put(strategy)}
        else:
            artifacts = self._artifacts
        header = {"schema": SCHEMA, "state": self._state.to_json(), "artifacts": artifacts}
        data = json.dumps(header, separators=(",", ":")).encode()
        self._version = self._store.swap(self._plan.run, self._version, data, f"{self._state.term}:{self._version}")
        if artifacts is not self._artifacts:
            self._artifacts, self._put_last = artifacts, (id(model), id(strategy))
            self._store.collect(artifacts.values())

    def _record(self, command: Record) -> None:
        """Store the row, and tell it on unless it was stored before a crash."""
        number = self._store.append(self._plan.run, command.id, json.dumps(command.row, separators=(",", ":")).encode())
        if number > self._rows:
            self._rows = number
            self._on_row(command.row, self._artifacts["model"])

    def _put(self, arrays: Arrays) -> str:
        """The digest of the blob with these arrays; "" for none, as of a strategy without state."""
        return self._store.put([encode(arrays)]) if arrays else ""

    def _get(self, artifact: str) -> dict[str, Array]:
        if not self._artifacts[artifact]:
            return {}
        with self._store.open(self._artifacts[artifact]) as stream:
            return decode(stream.read())[0]


def _summaries(command: Close, gathered: Gathered) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """(group -> metrics, client -> metrics) of a closed phase.

    Beside the groups "train", "server" and "clients" stand "server-classes" and "clients-classes" (recall.3 and the like, by label),
    "server-confusion" and "clients-confusion" (what was mistaken for what), and "clients-spread" over the clients (accuracy.p10 and
    the like).
    """
    clients = {name: sums for name, sums in gathered.metrics.items() if name != EVALUATOR}
    if command.kind == "train":
        summed = summarise(_sum(clients.values()))
        return {"train": summed}, {
            name: {f"train_{key}": value for key, value in summarise(sums).items()} for name, sums in clients.items()
        }
    if command.kind == "candidates":
        losses = {name: value for name, sums in clients.items() if (value := _loss(sums)) is not None}
        mean = _loss(_sum(clients.values()))
        return {} if mean is None else {"candidates": {"loss": mean}}, {name: {LOSS: value} for name, value in losses.items()}
    groups: dict[str, dict[str, float]] = {}
    for group, sums in (("server", gathered.metrics.get(EVALUATOR, {})), ("clients", _sum(clients.values()))):
        groups[group], groups[f"{group}-classes"] = summarise(sums), _by_class(sums)
        groups[f"{group}-confusion"] = confusions(sums, MOST_CLASSES)
    evaluated = {name: summarise(sums) for name, sums in clients.items()}
    groups["clients-spread"] = {f"{name}.{key}": value for name, keys in spread(evaluated).items() for key, value in keys.items()}
    return {group: values for group, values in groups.items() if values}, evaluated


def _loss(sums: Sums) -> float | None:
    """The mean loss (of a task without one, the mean squared error)."""
    values = summarise(sums)
    return values.get("loss", values.get("mse"))


def _by_class(sums: Sums) -> dict[str, float]:
    """Precision, recall, f1 and support by label, as long as there are few enough to read."""
    columns = per_class(sums)
    if not columns or len(columns["recall"]) > MOST_CLASSES:
        return {}
    return {f"{name}.{label}": value for name, values in columns.items() for label, value in enumerate(values)}


def _sum(parts: Any) -> Sums:
    total: Sums = {}
    for part in parts:
        total = add(total, part) if total else part
    return total
