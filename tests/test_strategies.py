"""Every strategy, whole runs: one client only, clients that fail, nothing to train on, updates that are not finite, workers, `kill -9`."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from ciranda.cli import compose
from ciranda.cli.folder import RunFolder
from ciranda.cli.result import Result
from ciranda.core.partition import Partition
from ciranda.core.population import Population, name_of
from ciranda.core.rng import Draw
from ciranda.core.selection import random_selection
from ciranda.core.stages import Chain
from ciranda.core.strategies import STRATEGIES, make
from ciranda.core.task import Arrays, ClientSettings
from ciranda.core.update import Contract
from ciranda.experiment.load import resolve
from ciranda.protocol.messages import CloseRule
from ciranda.protocol.plan import Plan
from ciranda.protocol.state import State
from ciranda.runtimes.host import Host
from ciranda.runtimes.local.pool import InlinePool
from ciranda.runtimes.local.wire import LocalWire
from ciranda.runtimes.local.worker import Setup
from ciranda.store.client_states import ClientStates
from ciranda.store.memory import MemoryStore
from ciranda.testing.faulty import Fault, FaultyStore
from ciranda.testing.processes import Child, Report
from ciranda.testing.toys import MeanTask
from ciranda.testing.wires import population_of

CLIENTS, ROUNDS = 4, 3
every_strategy = pytest.mark.parametrize("name", STRATEGIES)


# --- by hand: clients that cannot do what they should


class Ran:
    """A run of `MeanTask` in this process: its last state, its rows, its model, and what its clients kept."""

    def __init__(self, name: str, folder: Path, faults: Mapping[float, str] | None = None, partition: Partition | None = None) -> None:
        task, strategy, store = MeanTask(CLIENTS, faults=faults), make(name), MemoryStore()
        population = population_of(task, CLIENTS)
        if partition is not None:
            population = replace(population, partition=partition)
        settings = strategy.client_settings(ClientSettings())
        self.states = ClientStates(folder / "clients")
        setup = Setup(*(task, population, settings, Chain(), Draw(1), 2, nullcontext, lambda: ""), rule=strategy.client, states=self.states)
        pool = InlinePool(setup)
        pool.start()
        wire = LocalWire(pool, len(population.data.test), 2, lambda *_: None, self.states)
        everyone = random_selection(Draw(1).at("train"), 1.0, name=name_of)
        plan = Plan("run", ROUNDS, everyone, everyone, CloseRule(), CloseRule(too_few="skip"), "both")
        self.rows: list[Mapping[str, Any]] = []

        def contract(model: Arrays) -> Contract:
            heaviest = population.max_weight()
            return Contract.for_model(
                model, task.part_of, max_weight=heaviest, cohort=CLIENTS, rule=strategy.client, population=population.size
            )

        host = Host(plan, strategy, wire, store, Chain(), contract, lambda row, blob: self.rows.append(row))
        host.start(task.initial(Draw(0)), population.size)
        self.state: State = host.run()
        self.model = host.model
        self.population: Population = population
        store.close()

    def keeps(self, client: int) -> bool:
        """Whether the client holds a state."""
        return bool(self.states.read(str(client)))


def first_values(folder: Path) -> list[float]:
    """What a fault is keyed by, for each client."""
    population = population_of(MeanTask(CLIENTS), CLIENTS)
    return [float(population.train(rank).x[0, 0]) for rank in range(CLIENTS)]


@every_strategy
def test_an_update_that_is_not_finite_is_refused_and_the_round_closes(name: str, tmp_path: Path) -> None:
    ran = Ran(name, tmp_path, {first_values(tmp_path)[2]: "nan"})
    assert (ran.state.status, ran.state.version) == ("finished", ROUNDS)
    for row in ran.rows:
        assert row["refused"] == {"2": "non-finite"}
        assert [client for client, _ in row["accepted"]] == ["0", "1", "3"]
    assert np.isfinite(ran.model["w"]).all()
    assert not ran.keeps(2)


@every_strategy
def test_all_clients_failing_ends_the_run_and_changes_nothing(name: str, tmp_path: Path) -> None:
    ran = Ran(name, tmp_path, dict.fromkeys(first_values(tmp_path), "nan"))
    assert (ran.state.status, ran.state.reason, ran.state.version) == ("aborted", "too-few-replies", 0)
    np.testing.assert_array_equal(ran.model["w"], MeanTask(CLIENTS).initial(Draw(0))["w"])
    assert not any(ran.keeps(client) for client in range(CLIENTS))


@every_strategy
def test_a_client_with_nothing_to_train_on_is_passed_over(name: str, tmp_path: Path) -> None:
    dealt = Partition(np.arange(CLIENTS * 3), np.array([0, 4, 4, 8, 12]))
    ran = Ran(name, tmp_path, partition=dealt)
    assert (ran.state.status, ran.state.version) == ("finished", ROUNDS)
    for row in ran.rows:
        assert row["failed"] == {"1": "no-examples"}
        assert len(row["accepted"]) == CLIENTS - 1
    assert np.isfinite(ran.model["w"]).all()


@every_strategy
def test_nobody_with_anything_to_train_on_ends_the_run(name: str, tmp_path: Path) -> None:
    ran = Ran(name, tmp_path, partition=Partition(np.arange(0), np.zeros(CLIENTS + 1, np.int64)))
    assert (ran.state.status, ran.state.reason, ran.state.version) == ("aborted", "too-few-replies", 0)


@every_strategy
def test_it_moves_the_model_and_only_rules_keep_states(name: str, tmp_path: Path) -> None:
    ran = Ran(name, tmp_path)
    assert ran.state.version == ROUNDS
    assert not np.array_equal(ran.model["w"], MeanTask(CLIENTS).initial(Draw(0))["w"])
    assert ran.keeps(0) == (name == "scaffold")


# --- from an experiment


def run(name: str, folder: Path, *settings: str, workers: int = 1) -> Result:
    experiment = resolve("digits", (f"strategy.name={name}", f"rounds.num-rounds={ROUNDS}", "federation.clients=4", *settings))
    return compose.run(experiment, folder, workers=workers)


@every_strategy
def test_one_client_only(name: str, tmp_path: Path) -> None:
    result = run(name, tmp_path / "run", "federation.clients=1")
    assert (result.state, result.rounds) == ("finished", ROUNDS)
    assert all(np.isfinite(tensor).all() for tensor in compose.stored_model(RunFolder(tmp_path / "run")).values())


@every_strategy
def test_one_worker_or_two_give_the_same_bits_and_so_does_a_replay(name: str, tmp_path: Path) -> None:
    one, two = run(name, tmp_path / "one"), run(name, tmp_path / "two", workers=2)
    assert one.model_sha256 == two.model_sha256
    assert one.reproducible
    assert compose.replay(tmp_path / "one", tmp_path / "again", workers=2).model_sha256 == one.model_sha256


@every_strategy
@pytest.mark.parametrize("kill", [pytest.param("before", marks=pytest.mark.slow), "after"])
def test_a_kill_amid_the_run_and_a_resume_give_the_same_bits(name: str, kill: Literal["before", "after"], tmp_path: Path) -> None:
    """The second round's end is stored, or just not; what its clients keep is settled after that."""
    whole = run(name, tmp_path / "whole")
    real = RunFolder.open_store

    def work(report: Report) -> None:
        fault = Fault(3, kill)
        RunFolder.open_store = lambda self: FaultyStore(real(self), fault, counted=("swap",))  # type: ignore[method-assign]
        run(name, tmp_path / "killed")

    child = Child(work)
    list(child.reports())
    assert child.join() == -signal.SIGKILL
    assert compose.resume(tmp_path / "killed", workers=1).model_sha256 == whole.model_sha256


@pytest.mark.parametrize("name", ["fedavg", "scaffold"])
@pytest.mark.parametrize("stage", ["top-k", "int8"])
def test_what_stages_lost_is_kept_through_a_kill(name: str, stage: str, tmp_path: Path) -> None:
    """Error feedback is a state of the client too, beside the strategy's."""
    settings = (f"stage.name={stage}", "rounds.fraction-train=1.0")
    whole = run(name, tmp_path / "whole", *settings)
    real = RunFolder.open_store

    def work(report: Report) -> None:
        RunFolder.open_store = lambda self: FaultyStore(real(self), Fault(3, "after"), counted=("swap",))  # type: ignore[method-assign]
        run(name, tmp_path / "killed", *settings)

    child = Child(work)
    list(child.reports())
    assert child.join() == -signal.SIGKILL
    assert compose.resume(tmp_path / "killed", workers=1).model_sha256 == whole.model_sha256
    assert whole.model_sha256 != run(name, tmp_path / "plain", "rounds.fraction-train=1.0").model_sha256
    owners = {stage} if name == "fedavg" else {stage, "strategy"}
    assert set(ClientStates(RunFolder(tmp_path / "whole").clients).read("0")) == owners


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, dict[str, bytes]]:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    return run("scaffold", folder), kept(folder)


def kept(folder: Path) -> dict[str, bytes]:
    """Every client's committed state."""
    return {file.name: file.read_bytes() for file in RunFolder(folder).clients.glob("*.state")}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("method", "call"), [("write", 2), ("write", 3), ("settle", 1), ("settle", 2), ("settle", 3), ("settle", 6), ("sync", 2)]
)
def test_a_kill_while_client_states_are_written_or_settled_is_mended(
    method: str, call: int, when: str, unbroken: tuple[Result, dict[str, bytes]], tmp_path: Path
) -> None:
    def work(report: Report) -> None:
        real, seen = getattr(ClientStates, method), []

        def counted(self: ClientStates, *arguments: Any, **named: Any) -> None:
            seen.append(method)
            if len(seen) == call and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            real(self, *arguments, **named)
            if len(seen) == call:
                os.kill(os.getpid(), signal.SIGKILL)

        setattr(ClientStates, method, counted)
        run("scaffold", tmp_path / "killed")

    child = Child(work)
    list(child.reports())
    assert child.join() == -signal.SIGKILL
    assert compose.resume(tmp_path / "killed", workers=1).model_sha256 == unbroken[0].model_sha256
    assert kept(tmp_path / "killed") == unbroken[1]
    assert len(unbroken[1]) == CLIENTS


def test_more_rounds_after_the_end_go_on_from_the_clients_states(tmp_path: Path) -> None:
    whole = run("scaffold", tmp_path / "whole", "rounds.num-rounds=4")
    run("scaffold", tmp_path / "grown", "rounds.num-rounds=2")
    grown = compose.resume(tmp_path / "grown", overrides=("rounds.num-rounds=4",), workers=1)
    assert grown.model_sha256 == whole.model_sha256
