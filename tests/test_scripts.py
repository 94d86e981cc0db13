"""The scripts that measure say what they should on cases made for them, and end with 1 over a budget."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import count_round
import import_time
import install_size

ROOT = Path(__file__).resolve().parent.parent
LOOP = """
def run(steps):
    return [step() for step in steps]

def outside(steps):
    return run(steps)
"""


def module(package: Path, name: str, text: str) -> ModuleType:
    """A module of this text, at `name` below the package."""
    path = package / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def traced(tmp_path: Path) -> Callable[[bool], count_round.Round]:
    """A package with a round of few calls, traced; with a strategy or without."""
    task = module(tmp_path, "tasks/digits.py", "def train():\n    return helper()\n\ndef helper():\n    return 1\n")
    update = module(tmp_path, "core/update.py", "def fold():\n    return 1\n\ndef finish():\n    return 1\n")
    strategy = module(tmp_path, "core/strategies/mean.py", "class Mean:\n    def apply(self):\n        return 1\n").Mean()
    client = module(tmp_path, "core/client.py", "def work(train):\n    return train()\n")
    loop = module(tmp_path, "runtimes/loop.py", LOOP)
    wire = module(tmp_path, "runtimes/local/wire.py", "class Wire:\n    def gather(self):\n        return 1\n").Wire()
    command = module(tmp_path, "cli/app.py", "def main(outside, steps):\n    return outside(steps)\n")

    def trace(with_strategy: bool) -> count_round.Round:
        steps = [lambda: client.work(task.train), update.fold, update.fold, wire.gather, update.finish]
        steps += [strategy.apply] if with_strategy else []

        def whole() -> None:
            task.train()  # a probe, before the loop: no part of the round
            command.main(loop.outside, steps)

        return count_round.trace(whole, tmp_path, ("runtimes/loop.py", "run"))

    return trace


def test_a_round_counts_each_function_and_file_on_the_way_once(traced: Callable[[bool], count_round.Round]) -> None:
    found = traced(True)
    assert found.calls == [
        ("runtimes/loop.py", "run"),
        ("core/client.py", "work"),
        ("core/update.py", "fold"),
        ("runtimes/local/wire.py", "Wire.gather"),
        ("core/update.py", "finish"),
    ]
    assert found.files == ["runtimes/loop.py", "core/client.py", "core/update.py", "runtimes/local/wire.py"]
    assert found.missed == []


def test_what_calls_the_loop_and_what_the_task_calls_does_not_count(traced: Callable[[bool], count_round.Round]) -> None:
    files = traced(True).files
    assert "cli/app.py" not in files
    assert "tasks/digits.py" not in files


def test_a_place_that_is_never_reached_is_said(traced: Callable[[bool], count_round.Round]) -> None:
    assert traced(False).missed == ["the strategy makes the model"]


def test_nothing_is_watched_after_a_round(traced: Callable[[bool], count_round.Round]) -> None:
    traced(True)
    assert sys.getprofile() is None


@pytest.mark.parametrize(("allowed", "status"), [(1e9, 0), (0.0, 1)])
def test_import_times_are_held_against_their_budgets(
    allowed: float, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(import_time, "TRIES", 1)
    monkeypatch.setattr(import_time, "IMPORT_SECONDS", allowed)
    monkeypatch.setattr(import_time, "HELP_SECONDS", allowed)
    assert import_time.main() == status
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["import ciranda", "ciranda --help"]


@pytest.mark.parametrize(("megabytes", "status"), [(150.0, 0), (150.1, 1)])
def test_the_size_of_an_install_is_held_against_its_budget(
    megabytes: float, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install_size, "base_install", lambda: {"numpy": megabytes - 1, "rich": 1.0})
    assert install_size.main() == status
    assert capsys.readouterr().out.splitlines()[-1] == f"base install: {megabytes:.1f} MB, 150 MB allowed"


def test_the_round_of_the_local_runtime_is_within_its_budget() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts" / "count_round.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
