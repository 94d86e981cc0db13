"""Studies from Python, as in a notebook."""

from __future__ import annotations

from pathlib import Path

import pytest

import ciranda
from ciranda.cli.study.api import grid_of
from ciranda.cli.study.candidates import Value
from ciranda.core.errors import ExperimentError
from ciranda.testing.toys import MeanTask


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CIRANDA_LANG", "en")


def test_runs_are_compared_as_they_were_returned() -> None:
    plain = ciranda.run("digits", clients=4, num_rounds=2, local_epochs=1, quiet=True, workers=1)
    near = ciranda.run("digits", clients=4, num_rounds=2, local_epochs=1, strategy="fedprox", proximal_mu=0.1, quiet=True, workers=1)
    found = ciranda.compare([plain, near], target=0.1)
    assert [row["run"] for row in found.rows] == ["fedavg", "fedprox, proximal-mu 0.1"]
    assert found._repr_markdown_().startswith("| run |")
    assert "<table>" in found._repr_html_()
    assert found.plot("seconds")._repr_png_().startswith(b"\x89PNG")


def test_baselines_of_a_task_from_a_cell() -> None:
    found = ciranda.baseline(MeanTask(clients=3), clients=3, num_rounds=2, seeds=2, quiet=True, workers=2, metric="rmse")
    assert [row["training"] for row in found.rows] == ["federated", "centralised", "local-only"]
    assert found.seeds == [1, 2]
    assert found.plot()._repr_png_().startswith(b"\x89PNG")
    assert Path("runs/mean-baseline-001/seed-2/federated/result.json").is_file()
    assert ciranda.baseline("digits", clients=4, num_rounds=1, local_epochs=1, seeds=[5], quiet=True, workers=1).seeds == [5]


def test_a_sweep_chooses_and_shows(capsys: pytest.CaptureFixture[str]) -> None:
    grid: dict[str, list[Value]] = {"strategy": ["fedavg", "fedprox"], "proximal_mu": [0.1], "learning_rate": [1e-6, 0.1]}
    found = ciranda.sweep("digits", grid, clients=4, num_rounds=2, local_epochs=1, workers=2, out="out")
    assert found.best.values["client.learning-rate"] == 0.1
    assert len(found.rows) == 4
    assert repr(found) == found.table.text().rstrip("\n")
    assert found.plot()._repr_png_().startswith(b"\x89PNG")
    assert "4/4  " in capsys.readouterr().out
    again = ciranda.sweep("digits", grid, clients=4, num_rounds=2, local_epochs=1, workers=2, out="out", quiet=True)
    assert again.rows == found.rows


def test_a_sweep_of_a_task_from_a_cell() -> None:
    found = ciranda.sweep(MeanTask(clients=4), {"batch_size": [1, 2]}, clients=4, num_rounds=1, folds=2, quiet=True, workers=2)
    assert found.folds == 2
    assert found.tested.metrics["server"]


def test_settings_find_their_sections() -> None:
    assert grid_of({"strategy": ["fedavg", "fedprox"], "proximal_mu": [1, 2]}, "fedavg") == {
        "strategy.name": ["fedavg", "fedprox"],
        "strategy.proximal-mu": [1, 2],
    }
    assert grid_of({"strategy.name": ["fedadam"], "strategy.beta-2": [0.9], "client.batch-size": [1]}, "fedavg") == {
        "strategy.name": ["fedadam"],
        "strategy.beta-2": [0.9],
        "client.batch-size": [1],
    }
    assert grid_of({"batch_size": [1], "rounds__fraction_train": [0.5]}, "fedavg") == {
        "client.batch-size": [1],
        "rounds.fraction-train": [0.5],
    }


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"proximal_mu": [1]}, "proximal_mu"),
        ({"batch_size": []}, "needs a list"),
        ({"strategy": "fedavg"}, "needs a list"),
    ],
)
def test_settings_that_there_are_not_are_refused(grid: dict[str, list[Value]], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        grid_of(grid, "fedavg")
