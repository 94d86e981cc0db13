"""The HTTP wire keeps the laws of wires, with real clients at the other end of real connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ciranda.core.population import Population
from ciranda.core.task import Task
from ciranda.runtimes.http.wire import HttpWire
from ciranda.testing.wires import MakeWire, WireConformance
from tests.runtimes.http.harness import House, Toy


class TestHttp(WireConformance):
    @pytest.fixture
    def make_wire(self, tmp_path: Path) -> Iterator[MakeWire]:
        with ExitStack() as stack:
            made = iter(range(100))

            def make(population: Population, task: Task) -> HttpWire:
                house = stack.enter_context(House(Toy(tmp_path / str(next(made)), task=task, population=population)))
                run = house.silent()
                house.everybody()
                run.wire.population = len(run.room.wait())
                return run.wire

            yield make
