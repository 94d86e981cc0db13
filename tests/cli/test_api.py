"""Ciranda from Python: settings find their sections, runs come back with their model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ciranda
from ciranda.cli.api import place
from ciranda.core.errors import ExperimentError, TaskError
from ciranda.testing.toys import MeanTask


def test_flat_settings_find_their_sections() -> None:
    assert place({"clients": 20, "num_rounds": 3, "learning_rate": 0.1, "seed": 4}) == {
        "federation": {"clients": 20},
        "rounds": {"num-rounds": 3},
        "client": {"learning-rate": 0.1},
        "experiment": {"seed": 4},
    }


def test_a_strategy_brings_its_parameters() -> None:
    assert place({"strategy": "fedprox", "proximal_mu": 0.5}) == {"strategy": {"name": "fedprox", "proximal-mu": 0.5}}
    assert place({"stage": "top-k", "fraction": 0.1}) == {"stage": {"name": "top-k", "fraction": 0.1}}
    assert place({"selection": "power-of-choice", "candidates": 8}) == {"rounds": {"selection": "power-of-choice", "candidates": 8}}
    assert place({"partitioner": "dirichlet", "alpha": 0.5}) == {"federation": {"partitioner": "dirichlet", "alpha": 0.5}}
    with pytest.raises(ExperimentError, match="proximal_mu"):
        place({"proximal_mu": 0.5})


def test_a_key_of_two_sections_is_the_clients_unless_named() -> None:
    assert place({"batch_size": 8, "evaluate__batch_size": 100}) == {"client": {"batch-size": 8}, "evaluate": {"batch-size": 100}}


def test_an_unknown_setting_is_refused_with_the_nearest() -> None:
    with pytest.raises(ExperimentError, match="did you mean 'learning-rate'"):
        ciranda.run(MeanTask(), lerning_rate=0.1)


def test_an_impossible_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="fraction-train"):
        ciranda.run(MeanTask(), out=tmp_path / "run", fraction_train=1.5)
    assert not (tmp_path / "run").exists()


def test_what_is_no_task_is_refused() -> None:
    with pytest.raises(TaskError):
        ciranda.run(42)  # type: ignore[arg-type]


def test_a_run_of_an_object_has_metrics_model_and_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ciranda.run(MeanTask(), out=tmp_path / "run", clients=4, num_rounds=6, fraction_train=1.0)
    assert [row["round"] for row in run.metrics] == [1, 2, 3, 4, 5, 6]
    # Six rounds of half the way each leave 1/64 of the way to the mean of x, 11 and 12.
    np.testing.assert_allclose(run.model["w"], np.array([11, 12]) * (1 - 0.5**6), rtol=1e-6)
    np.testing.assert_allclose(run.predict(np.zeros((3, 2))), 11.5 * (1 - 0.5**6), rtol=1e-6)
    assert "6" in capsys.readouterr().out
    assert "finished: rounds" in repr(run)


def test_a_quiet_run_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ciranda.run(MeanTask(), out=tmp_path / "run", clients=4, num_rounds=1, quiet=True)
    assert capsys.readouterr().out == ""


def test_runs_are_numbered_where_no_folder_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [ciranda.run(MeanTask(), clients=4, num_rounds=1, quiet=True) for _ in range(2)]
    assert [str(run.out) for run in runs] == ["runs/mean-001", "runs/mean-002"]


def test_a_preset_runs_extends_replays_and_opens(tmp_path: Path) -> None:
    first = ciranda.run("digits", out=tmp_path / "run", num_rounds=2, local_epochs=1, quiet=True)
    longer = ciranda.resume(tmp_path / "run", num_rounds=3, quiet=True)
    assert (first.result.rounds, longer.result.rounds) == (2, 3)
    again = ciranda.replay(tmp_path / "run", tmp_path / "again", quiet=True)
    assert again.result.model_sha256 == longer.result.model_sha256
    opened = ciranda.open_run(tmp_path / "run")
    assert opened.result == longer.result
    x = ciranda.data.digits().test.x[:4]
    np.testing.assert_array_equal(opened.predict(x), again.predict(x))


def test_a_notebook_shows_the_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run = ciranda.run("digits", out=tmp_path / "run", num_rounds=2, local_epochs=1, quiet=True)
    assert run.plot()._repr_png_().startswith(b"\x89PNG")
