"""The local wire over each of its pools keeps the laws of wires."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ciranda.core.params import Signature, model_sha256
from ciranda.core.population import Population
from ciranda.core.rng import Draw
from ciranda.core.stages import Chain
from ciranda.core.strategies import Scaffold
from ciranda.core.task import ClientSettings, Task
from ciranda.core.update import Contract, finish
from ciranda.protocol.messages import Record
from ciranda.runtimes.base import Published
from ciranda.runtimes.local.pool import InlinePool, Pool, ProcessPool
from ciranda.runtimes.local.wire import LocalWire
from ciranda.runtimes.local.worker import Setup
from ciranda.store.client_states import ClientStates
from ciranda.testing.toys import MeanTask
from ciranda.testing.wires import CLIENTS, NAMES, MakeWire, WireConformance, ask, close, population_of, verdict


def _probe() -> str:
    return "probe"


def _setup(population: Population, task: Task) -> Setup:
    return Setup(task, population, ClientSettings(), Chain(), Draw(1), 2, nullcontext, _probe)


def _wire(pool: Pool, population: Population) -> LocalWire:
    assert pool.start() == ["probe"] * pool.size
    return LocalWire(pool, len(population.data.test), 2, lambda *_: None)


class TestInline(WireConformance):
    @pytest.fixture
    def make_wire(self) -> MakeWire:
        return lambda population, task: _wire(InlinePool(_setup(population, task)), population)


class _Processes(WireConformance):
    method = ""
    workers = 0

    @pytest.fixture
    def make_wire(self) -> MakeWire:
        def make(population: Population, task: Task) -> LocalWire:
            signature = Signature.of(task.initial(Draw(0)))
            return _wire(ProcessPool(_setup(population, task), self.workers, signature, self.method), population)

        return make


class TestTwoForked(_Processes):
    method, workers = "fork", 2


class TestMoreForkedThanClients(_Processes):
    method, workers = "fork", 7


@pytest.mark.slow
class TestTwoSpawned(_Processes):
    method, workers = "spawn", 2


# --- strategies with a client side


@pytest.mark.parametrize("method", ["", "fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_rule_its_broadcast_and_the_clients_states_reach_every_worker(method: str, tmp_path: Path) -> None:
    """Two rounds of SCAFFOLD: the second one's sum depends on c and on every c_i."""
    rule, task = Scaffold(), MeanTask(CLIENTS)
    population, states = population_of(task), ClientStates(tmp_path / "clients", deferred=True)
    setup = replace(_setup(population, task), rule=rule, states=states)
    model = {"w": np.ones(2, np.float32)}
    contract = Contract.for_model(model, task.part_of, max_weight=3, cohort=CLIENTS, rule=rule, population=CLIENTS)
    c = {"w": np.array([4, -4], np.float32)}
    pool: Pool = ProcessPool(setup, 2, Signature.of(model), method, Signature.of(c)) if method else InlinePool(setup)
    pool.start()
    wire = LocalWire(pool, len(population.data.test), 2, lambda *_: None, states)
    try:
        published = Published(model_sha256(model), model, contract, c)
        wire.publish(published)
        for round in (1, 2):
            replies = ask(wire, published, f"{round}.1.0.train", "train", NAMES)
            wire.carry([verdict(reply) for reply in replies])
            gathered = close(wire, published, f"{round}.1.0.train", "train", replies)
            assert gathered.total is not None
            aggregate = finish(contract, gathered.total)
            wire.carry([Record(f"{round}/record", {"round": round, "accepted": [[reply.name, reply.digest] for reply in replies]})])
    finally:
        wire.close()
    assert gathered.bytes_down == CLIENTS * (8 + 8)
    assert gathered.bytes_up == CLIENTS * (8 + 8)
    # In its one step a client goes half of the way to its mean m, and 0.01 (c_i - c) beyond: so c_i+ = (1 - m) / 2 / 0.01.
    means = np.array([population.train(rank).x.mean(axis=0) for rank in range(CLIENTS)])
    slopes = (1 - means) / 2 / 0.01
    for rank in range(CLIENTS):
        np.testing.assert_allclose(states.read(str(rank))["strategy"]["w"], slopes[rank], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(
        aggregate.parts["model"]["w"], (means.mean(axis=0) - 1) / 2 + 0.01 * (slopes.mean(axis=0) - c["w"]), rtol=1e-4
    )
    np.testing.assert_allclose(aggregate.parts["control"]["w"], 0, atol=1e-3)


def test_only_the_accepted_keep_their_new_state(tmp_path: Path) -> None:
    task, states = MeanTask(CLIENTS), ClientStates(tmp_path / "clients")
    population = population_of(task)
    setup = replace(_setup(population, task), rule=Scaffold(), states=states)
    pool = InlinePool(setup)
    pool.start()
    wire = LocalWire(pool, len(population.data.test), 2, lambda *_: None, states)
    model = {"w": np.ones(2, np.float32)}
    contract = Contract.for_model(model, task.part_of, max_weight=3, cohort=CLIENTS, rule=Scaffold(), population=CLIENTS)
    published = Published(model_sha256(model), model, contract, {"w": np.zeros(2, np.float32)})
    wire.publish(published)
    replies = ask(wire, published, "1.1.0.train", "train", NAMES)
    accepted = [reply for reply in replies if reply.name in ("1", "3")]
    wire.carry([verdict(reply, stored=reply in accepted) for reply in replies])
    assert all(states.read(name, tentative=1) for name in ("1", "3"))
    assert not any(states.read(name, tentative=1) for name in ("0", "2", "4"))
    close(wire, published, "1.1.0.train", "train", accepted)
    record = Record("1/record", {"round": 1, "accepted": [["1", "x"], ["3", "y"]]})
    wire.carry([record])
    wire.carry([record])  # as after a crash
    assert [name for name in NAMES if states.read(name)] == ["1", "3"]
    wire.close()
