"""The presets learn what they are for. Seeds are 1, 2, 3, ...: none is chosen for its result."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from ciranda.cli import compose
from ciranda.cli.result import Result
from ciranda.core.errors import DataError
from ciranda.experiment.load import resolve


def test_the_default_preset_reaches_95_per_cent_as_the_mean_of_five_seeds(tmp_path: Path) -> None:
    results = [compose.run(resolve("digits", [f"experiment.seed={seed}"]), tmp_path / str(seed), workers=1) for seed in range(1, 6)]
    accuracies = [result.metrics["server"]["accuracy"] for result in results]
    print(f"accuracy {statistics.mean(accuracies):.4f} +- {statistics.stdev(accuracies):.4f}: {accuracies}")
    assert statistics.mean(accuracies) >= 0.95
    assert len({result.model_sha256 for result in results}) == 5


@pytest.mark.parametrize(("preset", "metric", "least"), [("iris", "accuracy", 0.9), ("diabetes", "r2", 0.3)])
def test_a_tutorial_learns_as_the_mean_of_three_seeds(tmp_path: Path, preset: str, metric: str, least: float) -> None:
    results = [compose.run(resolve(preset, [f"experiment.seed={seed}"]), tmp_path / str(seed), workers=1) for seed in (1, 2, 3)]
    found = [result.metrics["server"][metric] for result in results]
    print(f"{metric} {statistics.mean(found):.4f} +- {statistics.stdev(found):.4f}: {found}")
    assert statistics.mean(found) >= least
    assert all(metric in result.metrics["clients"] for result in results)


@pytest.mark.slow
def test_three_rounds_of_the_fashion_tutorial_reach_60_per_cent(tmp_path: Path) -> None:
    result = shortened("fashion-mnist-dirichlet", 3, tmp_path / "run")
    assert result.metrics["server"]["accuracy"] >= 0.6


@pytest.mark.slow
def test_power_of_choice_learns_from_those_with_the_highest_loss(tmp_path: Path) -> None:
    result = shortened("power-of-choice", 6, tmp_path / "run")
    assert result.metrics["server"]["accuracy"] >= 0.3
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {len(row["accepted"]) for row in rows} == {3}
    assert {len(row["candidates"]) for row in rows} == {30}
    assert all({name for name, _ in row["accepted"]} <= {name for name, _ in row["candidates"]} for row in rows)


def shortened(preset: str, rounds: int, folder: Path) -> Result:
    """The result of the preset's first rounds; skips where torch or the data is missing."""
    pytest.importorskip("torch")
    try:
        return compose.run(resolve(preset, [f"rounds.num-rounds={rounds}"]), folder)
    except DataError as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_a_torch_preset_has_the_same_bits_with_one_worker_and_two(tmp_path: Path, data_root: Path) -> None:
    pytest.importorskip("torch")
    shorter = resolve("classic-mnist", ["rounds.num-rounds=2", "client.local-epochs=1", "rounds.fraction-train=0.2"])
    models = {compose.run(shorter, tmp_path / str(workers), workers=workers).model_sha256 for workers in (1, 2)}
    assert len(models) == 1
    again = compose.replay(tmp_path / "1", tmp_path / "again")
    assert {again.model_sha256} == models
