"""`kill -9` at every write of the store and at random moments, then `resume`: the same model, and every row once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ciranda.cli import compose
from ciranda.cli.folder import RunFolder
from ciranda.cli.result import read_result
from ciranda.experiment.load import resolve
from ciranda.experiment.schema import Experiment
from ciranda.store.base import Store
from ciranda.testing.faulty import WRITES, Fault, FaultyStore
from ciranda.testing.processes import Child

SETTINGS = ("rounds.num-rounds=4", "client.local-epochs=2")
LONGER = ("rounds.num-rounds=40", "client.local-epochs=10")  # so that most moments fall into rounds, not into the start
RANDOM_MOMENTS = 20


CHOICES = {
    "fedavg": (),
    "scaffold": ("strategy.name=scaffold",),  # a state on every client
    "top-k": ("stage.name=top-k", "stage.fraction=0.1", "strategy.name=fedadam"),  # another such state, and one on the server
    "power-of-choice": ("rounds.selection=power-of-choice", "rounds.candidates=8", "rounds.fraction-train=0.2"),  # a phase more in a round
}
every_choice = pytest.mark.parametrize("choice", CHOICES)


def experiment(choice: str) -> Experiment:
    return resolve("digits", (*SETTINGS, *CHOICES[choice]))


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in RunFolder(folder).rows()]


def writes_of_a_run(choice: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the store's writes in an unbroken run."""
    stores: list[FaultyStore] = []

    def open_store(self: RunFolder) -> Store:
        stores.append(FaultyStore(real(self), counted=WRITES))
        return stores[-1]

    real = RunFolder.open_store
    monkeypatch.setattr(RunFolder, "open_store", open_store)
    compose.run(experiment(choice), folder, workers=1)
    monkeypatch.undo()
    return stores[0].calls


@pytest.mark.slow
@every_choice
def test_a_kill_at_every_write_of_the_store_loses_nothing(choice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unbroken = compose.run(experiment(choice), tmp_path / "unbroken", workers=1)
    rows = rows_of(tmp_path / "unbroken")
    calls = writes_of_a_run(choice, tmp_path / "counted", monkeypatch)
    assert calls.count("swap") >= 5  # the start, and the end of every round
    real = RunFolder.open_store
    for number, call in enumerate(calls, 1):
        for when in ("before", "after"):
            folder = tmp_path / f"{number}-{when}"
            fault = Fault(number, when)

            def work(report: object, folder: Path = folder, fault: Fault = fault) -> None:
                RunFolder.open_store = lambda self: FaultyStore(real(self), fault, counted=WRITES)  # type: ignore[method-assign]
                compose.run(experiment(choice), folder, workers=1)

            child = Child(work)
            list(child.reports())
            assert child.join() == -signal.SIGKILL, f"write {number} ({call}) was never reached"
            print(f"killed {when} write {number} ({call})")
            resumed = compose.resume(folder, workers=1)
            assert resumed.model_sha256 == unbroken.model_sha256, f"killed {when} write {number} ({call})"
            assert rows_of(folder) == rows, f"killed {when} write {number} ({call})"


@pytest.mark.slow
@every_choice
def test_a_kill_at_random_moments_loses_nothing(choice: str, tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4))
    print(f"moments drawn with seed {seed}")
    moments = random.Random(seed)
    started = time.perf_counter()
    finish(tmp_path / "unbroken", choice)
    whole = time.perf_counter() - started
    model, rows = model_of(tmp_path / "unbroken"), rows_of(tmp_path / "unbroken")
    for number in range(RANDOM_MOMENTS):
        folder = tmp_path / str(number)
        moment = moments.uniform(0, whole)
        process = subprocess.Popen(command(*begin(folder, choice)), stdout=subprocess.DEVNULL)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        done = len(RunFolder(folder).rows()) if RunFolder(folder).metrics.exists() else 0
        print(f"killed after {moment:.3f} s, with {done} rounds written")
        finish(folder, choice)
        assert model_of(folder) == model, f"seed {seed}, moment {number}"
        assert rows_of(folder) == rows, f"seed {seed}, moment {number}"


def model_of(folder: Path) -> str:
    return read_result(RunFolder(folder).result).model_sha256


def begin(folder: Path, choice: str) -> tuple[object, ...]:
    return ("run", "digits", "--out", folder, *(f"--set={each}" for each in (*LONGER, *CHOICES[choice])))


def finish(folder: Path, choice: str) -> None:
    """Resume the run, or begin it where the kill came before there was one."""
    begun = RunFolder(folder).experiment.exists()
    arguments = ("resume", folder) if begun else begin(folder, choice)
    subprocess.run(command(*arguments), check=True, stdout=subprocess.DEVNULL)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "ciranda", *map(str, arguments)]
