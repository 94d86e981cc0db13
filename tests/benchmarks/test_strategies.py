"""The table of strategies is made of tuned runs, and says what papers claim only as far as the seeds bear it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import strategies
from benchmarks.strategies import CLAIMS, GRIDS, Outcome
from ciranda.core.task import FederatedData
from ciranda.tasks.numpy_models import NumpyTask
from ciranda.tasks.preprocess import Affine
from ciranda.tasks.registry import load


def outcomes(gains: dict[str, list[float]]) -> dict[tuple[str, float], Outcome]:
    """Accuracy 0.5 for everybody, and so much more by strategy and seed."""
    return {
        (name, alpha): Outcome([0.5 + gain for gain in gains.get(name, [0.0, 0.001, -0.001])], [None, 7, None])
        for name in GRIDS
        for alpha in strategies.ALPHAS
    }


def test_a_steady_gain_is_found_and_a_steady_loss_contradicts() -> None:
    text = strategies._claims(outcomes({"scaffold": [0.1, 0.102, 0.098], "fednova": [-0.1, -0.098, -0.103]}))
    assert "Found here: scaffold over fedavg at alpha 0.1. " in text
    assert "Contradicted: fednova over fedavg at alpha 0.1." in text
    assert "fedprox over fedavg at alpha 0.1" in text.rpartition("Within chance: ")[2]


def test_a_gain_that_one_seed_makes_is_chance() -> None:
    assert "Found here: nothing." in strategies._claims(outcomes({"fedadam": [0.3, 0.0, 0.0]}))


def test_rounds_are_saved_by_whoever_reaches_the_target_first() -> None:
    made = outcomes({})
    made["scaffold", 0.1], made["fedavg", 0.1] = Outcome([0.5] * 3, [5, 6, 5]), Outcome([0.5] * 3, [11, 12, 12])
    assert "scaffold over fedavg at alpha 0.1 in rounds to 0.8: +6.3 ± 0.6" in strategies._claims(made)
    made["scaffold", 0.1] = Outcome([0.5] * 3, [5, None, 5])
    assert "in rounds to 0.8: a run never came to 0.8 | not measured" in strategies._claims(made)


def test_a_gain_that_grows_as_clients_differ_is_a_difference_of_differences() -> None:
    made = outcomes({})
    made["fedavgm", 0.1], made["fedavgm", 1.0] = Outcome([0.6, 0.602, 0.598], [1, 1, 1]), Outcome([0.5, 0.501, 0.499], [1, 1, 1])
    assert "Found here: fedavgm over fedavg at alpha 0.1, fedavgm over fedavg more at alpha 0.1 than at 1." in strategies._claims(made)


def test_every_claim_is_about_strategies_and_data_of_the_table() -> None:
    assert all({claim.first, claim.second} <= GRIDS.keys() and claim.alpha in strategies.ALPHAS for claim in CLAIMS)


def test_a_target_that_was_never_reached_is_a_dash() -> None:
    assert Outcome([0.25, 0.75], [None, 12]).cells() == ["0.5000 ± 0.3536", "–, 12"]


@pytest.mark.slow
def test_runs_are_tuned_and_measured_and_what_is_there_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Digits stand for Fashion-MNIST; what is tested is the course of the benchmark.
    monkeypatch.setattr(strategies, "load", lambda name: load("digits"))
    monkeypatch.setattr(strategies, "NumpyTask", _narrow)
    monkeypatch.setattr(strategies, "ALPHAS", (1.0,))
    monkeypatch.setattr(strategies, "EXPERIMENT", strategies.EXPERIMENT.replace("clients = 100", "clients = 10"))
    monkeypatch.setattr(strategies, "SEEDS", (1, 2))
    monkeypatch.setattr(strategies, "CLAIMS", ())
    monkeypatch.setattr(strategies, "GRIDS", {"fedavg": {}, "fedprox": {"strategy.proximal-mu": (0.01, 0.1)}})
    said: list[str] = []
    first = strategies.strategies(2, said.append, tmp_path)
    assert "| fedprox |" in first.body
    assert sum("seed" in line for line in said) == 4
    files = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("metrics.jsonl")}
    assert strategies.strategies(2, said.append, tmp_path).body == first.body
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("metrics.jsonl")} == files


def _narrow(name: str, source: Callable[[], FederatedData], widths: tuple[int, ...], scale_x: Affine) -> NumpyTask:
    return NumpyTask(name, source, (64, 16, 10), scale_x=scale_x)
