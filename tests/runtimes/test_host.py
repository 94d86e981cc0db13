"""The host stores before it acts, combines exactly what was accepted, and takes a stored run up again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from ciranda.core.codec import decode, encode
from ciranda.core.errors import StoreError
from ciranda.core.population import name_of
from ciranda.core.rng import Draw
from ciranda.core.selection import random_selection
from ciranda.core.stages import Chain
from ciranda.core.strategies import FedAvgM, StrategyState
from ciranda.core.strategies import make as make_strategy
from ciranda.core.task import Arrays, ClientSettings, Part
from ciranda.core.update import Contract
from ciranda.protocol.messages import Close, CloseRule, Command, Event, Record, ResumeAsked
from ciranda.protocol.plan import Plan
from ciranda.runtimes.base import Gathered, Published
from ciranda.runtimes.host import Host
from ciranda.runtimes.local.pool import InlinePool
from ciranda.runtimes.local.wire import LocalWire
from ciranda.runtimes.local.worker import Setup
from ciranda.store.base import Store
from ciranda.store.memory import MemoryStore
from ciranda.testing.faulty import WRITES, FaultyStore
from ciranda.testing.toys import MeanTask
from ciranda.testing.wires import population_of

CLIENTS, ROUNDS = 4, 3
Row = Mapping[str, Any]


def plan(rounds: int = ROUNDS) -> Plan:
    everyone = random_selection(Draw(1).at("train"), 1.0, name=name_of)
    return Plan("run", rounds, everyone, everyone, CloseRule(), CloseRule(too_few="skip"), "both")


class Watched:
    """A local wire that notes what it is asked in `log`, and may change what it gathers."""

    def __init__(
        self, log: list[str], *, repeatable: bool = True, spoil: Callable[[Gathered], Gathered] = lambda gathered: gathered
    ) -> None:
        task = MeanTask(CLIENTS)
        population = population_of(task, CLIENTS)
        pool = InlinePool(Setup(task, population, ClientSettings(), Chain(), Draw(1), 2, nullcontext, lambda: ""))
        pool.start()
        self._wire = LocalWire(pool, len(population.data.test), 2, lambda *_: None)
        self._log, self._spoil = log, spoil
        self.repeatable = repeatable
        self.published: list[Published] = []

    def publish(self, model: Published) -> None:
        self.published.append(model)
        self._wire.publish(model)

    def carry(self, commands: Sequence[Command]) -> None:
        self._log.append("record" if isinstance(commands[0], Record) else "carry")
        self._wire.carry(commands)

    def events(self) -> Sequence[Event]:
        self._log.append("events")
        return self._wire.events()

    def gather(self, close: Close) -> Gathered:
        return self._spoil(self._wire.gather(close))

    def close(self) -> None:
        self._wire.close()


class Noted(FaultyStore):
    """A store that notes its writes in `log`."""

    def __init__(self, store: Store, log: list[str]) -> None:
        super().__init__(store, counted=WRITES)
        self.calls = log


def initial() -> Arrays:
    return MeanTask(CLIENTS).initial(Draw(0))


def contract(model: Arrays) -> Contract:
    return Contract.for_model(model, MeanTask(CLIENTS).part_of, max_weight=3, cohort=CLIENTS)


def host(store: Store, wire: Watched, rows: list[Row] | None = None, rounds: int = ROUNDS) -> Host:
    kept = rows if rows is not None else []
    return Host(plan(rounds), make_strategy("fedavg"), wire, store, Chain(), contract, lambda row, blob: kept.append(row))


@pytest.fixture
def store() -> Iterator[MemoryStore]:
    store = MemoryStore()
    yield store
    store.close()


def test_a_run_commits_its_rounds_and_keeps_the_last_model(store: MemoryStore) -> None:
    rows: list[Row] = []
    it = host(store, Watched([]), rows)
    it.start(initial(), CLIENTS)
    state = it.run()
    assert (state.status, state.version, state.reason) == ("finished", ROUNDS, "rounds")
    assert [row["round"] for row in rows] == [1, 2, 3]
    assert [row["previous"] for row in rows[1:]] == [row["model"] for row in rows[:-1]]
    assert rows[-1]["model"] == state.model
    population = population_of(MeanTask(CLIENTS), CLIENTS)
    mean = np.mean([population.train(rank).x.mean(axis=0, dtype=np.float32) for rank in range(CLIENTS)], axis=0)
    np.testing.assert_allclose(it.model["w"], mean * (1 - 0.5**ROUNDS), rtol=1e-6)


@pytest.mark.parametrize("repeatable", [True, False])
def test_nothing_is_carried_out_before_it_is_stored(store: MemoryStore, repeatable: bool) -> None:
    log: list[str] = []
    it = host(Noted(store, log), Watched(log, repeatable=repeatable))
    it.start(initial(), CLIENTS)
    it.run()
    since_events = ["".join(part) for part in _split(log)]
    if repeatable:
        assert log.count("swap") == ROUNDS + 1  # the start, and the end of each round
    else:
        assert all("swap" in part for part in since_events if "carry" in part)
        assert all(part.index("swap") < part.index("carry") for part in since_events if "carry" in part)
    assert all(part.index("swap") < part.index("append") for part in since_events if "append" in part)


def _split(log: list[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for call in log:
        if call == "events":
            yield part
            part = []
        part.append(call)
    yield part


def test_only_the_last_model_is_kept_in_the_store(store: MemoryStore) -> None:
    it = host(store, Watched([]))
    it.start(initial(), CLIENTS)
    it.run()
    blob = store.put([encode(it.model)])
    assert store.collect([blob]) == 0


def test_a_run_is_started_once(store: MemoryStore) -> None:
    host(store, Watched([])).start(initial(), CLIENTS)
    first = host(store, Watched([]))
    first.start(initial(), CLIENTS)
    first.run()
    with pytest.raises(StoreError, match="was started before"):
        host(store, Watched([])).start(initial(), CLIENTS)


def test_there_must_be_something_to_recover(store: MemoryStore) -> None:
    with pytest.raises(StoreError, match="no stored run"):
        host(store, Watched([])).recover()


def test_a_recovered_run_goes_on_and_tells_no_row_twice(store: MemoryStore) -> None:
    first = host(store, Watched([]), rounds=2)
    first.start(initial(), CLIENTS)
    first.run()
    rows: list[Row] = []
    second = host(store, Watched([]), rows)
    second.recover(ResumeAsked("test"))
    assert second.run().version == ROUNDS
    assert [row["round"] for row in rows] == [3]
    unbroken = host(MemoryStore(), Watched([]))
    unbroken.start(initial(), CLIENTS)
    assert unbroken.run().model == second.state.model


def test_a_model_that_is_not_the_committed_one_is_refused(store: MemoryStore) -> None:
    it = host(store, Watched([]), rounds=1)
    it.start(initial(), CLIENTS)
    it.run()
    version, header = store.read("run")
    good = store.put([encode(it.model)])
    other = store.put([encode({"w": np.ones(2, np.float32)})])
    store.swap("run", version, header.replace(good.encode(), other.encode()), "test")
    with pytest.raises(StoreError, match="not the one that the run committed"):
        host(store, Watched([])).recover()


def test_a_sum_that_misses_a_reply_ends_the_run(store: MemoryStore) -> None:
    def lose(gathered: Gathered) -> Gathered:
        if gathered.total is None:
            return gathered
        fewer = type(gathered.total)(gathered.total.contract, gathered.total.parts, gathered.total.weight, gathered.total.count - 1)
        return Gathered(fewer, gathered.metrics)

    it = host(store, Watched([], spoil=lose))
    it.start(initial(), CLIENTS)
    state = it.run()
    assert state.status == "error"
    assert "4 replies were accepted, 3 are in their sum" in state.reason
    assert state.version == 0


def test_rows_tell_training_and_evaluation_apart(store: MemoryStore) -> None:
    rows: list[Row] = []
    it = host(store, Watched([]), rows)
    it.start(initial(), CLIENTS)
    it.run()
    last = rows[-1]
    assert set(last["metrics"]) == {"train", "server", "clients", "clients-spread"}
    assert set(last["clients"]["0"]) >= {"train_loss", "mae", "rmse"}
    values = sorted(last["clients"][name_of(rank)]["mae"] for rank in range(CLIENTS))
    assert last["metrics"]["clients-spread"]["mae.min"] == values[0]
    assert last["metrics"]["clients-spread"]["mae.max"] == values[-1]


def test_the_stored_model_is_readable_by_anyone(store: MemoryStore) -> None:
    blobs: list[str] = []
    it = Host(plan(), make_strategy("fedavg"), Watched([]), store, Chain(), contract, lambda row, blob: blobs.append(blob))
    it.start(initial(), CLIENTS)
    it.run()
    with store.open(blobs[-1]) as stream:
        np.testing.assert_array_equal(decode(stream.read())[0]["w"], it.model["w"])


def test_a_wire_is_told_of_a_record_once_its_row_is_stored_and_again_after_a_crash(store: MemoryStore) -> None:
    log: list[str] = []
    it = host(Noted(store, log), Watched(log), rounds=2)
    it.start(initial(), CLIENTS)
    it.run()
    assert log.count("record") == 2
    assert all(log[place - 1] == "append" for place, call in enumerate(log) if call == "record")
    log.clear()
    again = host(store, Watched(log), rounds=2)
    again.recover()
    again.run()
    assert log.count("record") >= 1


def test_what_a_strategy_broadcasts_goes_with_the_model(store: MemoryStore) -> None:
    class Telling(FedAvgM):
        def broadcast(self, state: StrategyState) -> Arrays:
            return {"told": state["velocity/w"]}

    wire = Watched([])
    it = Host(plan(), Telling(), wire, store, Chain(), contract, lambda row, blob: None)
    it.start(initial(), CLIENTS)
    it.run()
    assert len(wire.published) == ROUNDS + 1
    assert not wire.published[0].broadcast["told"].any()
    moved = wire.published[1].arrays["w"] - wire.published[0].arrays["w"]
    np.testing.assert_allclose(wire.published[1].broadcast["told"], moved)
    other = Watched([])
    again = Host(plan(), Telling(), other, store, Chain(), contract, lambda row, blob: None)
    again.recover()
    np.testing.assert_array_equal(other.published[0].broadcast["told"], wire.published[-1].broadcast["told"])


def test_a_strategy_starts_from_the_trained_tensors_alone(store: MemoryStore) -> None:
    class Buffered(MeanTask):
        def part_of(self, name: str) -> Part:
            return "model" if name == "w" else "private"

    seen: list[list[str]] = []

    class Curious(FedAvgM):
        def init(self, model: Arrays) -> StrategyState:
            seen.append(list(model))
            return super().init(model)

    def agreed(model: Arrays) -> Contract:
        return Contract.for_model(model, Buffered().part_of, max_weight=3, cohort=CLIENTS)

    it = Host(plan(), Curious(), Watched([]), store, Chain(), agreed, lambda row, blob: None)
    it.start({**initial(), "own": np.zeros(3)}, CLIENTS)
    assert seen == [["w"]]


def test_a_run_is_not_resumed_with_another_strategys_memory(store: MemoryStore) -> None:
    it = host(store, Watched([]), rounds=1)
    it.start(initial(), CLIENTS)
    it.run()
    other = Host(plan(), make_strategy("fedavgm"), Watched([]), store, Chain(), contract, lambda row, blob: None)
    with pytest.raises(StoreError, match="not what 'fedavgm' goes on from"):
        other.recover()
    Host(plan(), make_strategy("fedprox"), Watched([]), store, Chain(), contract, lambda row, blob: None).recover()
