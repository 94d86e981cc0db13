"""The local wire over each of its pools keeps the laws of wires."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from ciranda.core.params import Signature
from ciranda.core.population import Population
from ciranda.core.rng import Draw
from ciranda.core.stages import Chain
from ciranda.core.task import ClientSettings, Task
from ciranda.runtimes.local.pool import InlinePool, Pool, ProcessPool
from ciranda.runtimes.local.wire import LocalWire
from ciranda.runtimes.local.worker import Setup
from ciranda.testing.wires import MakeWire, WireConformance


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
