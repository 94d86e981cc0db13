"""Sweeps: that the test set cannot influence the choice, that they resume as they were, and that the best wins."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ciranda.cli import compose
from ciranda.cli.folder import RunFolder
from ciranda.cli.study import sweep as module
from ciranda.cli.study.candidates import Value
from ciranda.cli.study.show import Progress
from ciranda.cli.study.sweep import Search, Sweep, refit, sweep, trial
from ciranda.core.errors import ExperimentError, RunError, StoreError
from ciranda.core.task import Examples, FederatedData, Task
from ciranda.experiment.load import load, resolve
from ciranda.experiment.schema import Experiment
from ciranda.tasks.registry import TASKS
from ciranda.testing.processes import Child

GRID: dict[str, list[Value]] = {"client.learning-rate": [0.001, 0.1, 0.02], "client.batch-size": [10, 40]}


def small(*overrides: str) -> Experiment:
    return resolve("digits", ["rounds.num-rounds=4", "client.local-epochs=1", "federation.clients=8", *overrides])


class Untouchable:
    """A test set that nobody may look at."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the test set was touched: {name}")

    def __len__(self) -> int:
        raise AssertionError("the test set was counted")

    def __getitem__(self, index: object) -> Any:
        raise AssertionError("the test set was read")


class Other:
    """The digits with another test set."""

    def __init__(self, change: Any) -> None:
        self._task: Task = TASKS["digits-mlp"].make()
        self._change = change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def data(self) -> FederatedData:
        data = self._task.data()
        return replace(data, test=self._change(data.test))


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in RunFolder(folder).rows()]


def search_rows(out: Path) -> dict[str, list[dict[str, Any]]]:
    return {str(file.parent.relative_to(out)): rows_of(file.parent) for file in sorted((out / "runs").rglob("experiment.toml"))}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return sweep(small(), Search(GRID, folds=2), tmp_path_factory.mktemp("done") / "out", workers=2)


@pytest.mark.parametrize("folds", [1, 2])
def test_test_data_cannot_influence_the_choice(tmp_path: Path, folds: int) -> None:
    """With the true test set and with one whose labels are all wrong the search is the same, bit for bit; only the last number differs."""
    search = Search({"client.learning-rate": [0.001, 0.1]}, folds=folds)
    wrong = Other(lambda test: Examples(test.x, (test.y + 1) % 10))
    true = sweep(small(), search, tmp_path / "true", workers=1)
    false = sweep(small(), search, tmp_path / "false", workers=1, task=wrong)
    assert search_rows(tmp_path / "true") == search_rows(tmp_path / "false")
    assert [each.values for each in true.standings] == [each.values for each in false.standings]
    assert true.best == false.best
    assert true.tested.model_sha256 == false.tested.model_sha256
    assert true.tested.metrics["server"]["accuracy"] > 0.5 > false.tested.metrics["server"]["accuracy"]


@pytest.mark.parametrize("folds", [1, 3])
def test_the_test_set_is_not_touched_before_the_winner_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folds: int) -> None:
    class Reached(Exception):
        pass

    def stop(experiment: Experiment, rounds: int) -> Experiment:
        raise Reached

    task = Other(lambda test: Untouchable())
    monkeypatch.setattr(module, "refit", stop)
    with pytest.raises(Reached):
        sweep(small(), Search({"client.batch-size": [10, 20]}, folds=folds), tmp_path / "out", workers=2, task=task)
    monkeypatch.undo()
    with pytest.raises(AssertionError, match="the test set was"):
        sweep(small(), Search({"client.batch-size": [10, 20]}, folds=folds), tmp_path / "out", workers=2, task=task)


def test_the_test_set_is_read_once(done: Sweep) -> None:
    rows = RunFolder(done.out / "winner").rows()
    assert ["server" in row["metrics"] for row in rows] == [False, False, False, True]


def test_the_winner_is_the_best_by_validation_and_is_trained_on_all(done: Sweep) -> None:
    scores = [each.score for each in done.standings]
    assert all(score is not None for score in scores)
    assert scores == sorted(scores, key=lambda score: -(score or 0))
    assert done.best.values["client.learning-rate"] == 0.1
    plain = small("client.learning-rate=0.1", f"client.batch-size={done.best.values['client.batch-size']}")
    assert done.experiment == plain == load(done.out / "best.toml")
    assert compose.run(plain, done.out.parent / "by-hand", workers=1).model_sha256 == done.tested.model_sha256


def test_a_candidates_score_is_the_mean_over_folds_of_clients(done: Sweep) -> None:
    for each in done.standings:
        finals = []
        for fold in (1, 2):
            folder = done.out / "runs" / f"{each.candidate.number:03d}" / f"fold-{fold}"
            assert load(folder / "experiment.toml").study.fold == fold
            finals.append(rows_of(folder)[-1]["metrics"]["server"]["accuracy"])
        assert each.values == finals
        assert each.score == pytest.approx(np.mean(finals))


def test_the_number_of_workers_changes_nothing(done: Sweep, tmp_path: Path) -> None:
    again = sweep(small(), Search(GRID, folds=2), tmp_path / "out", workers=1)
    assert again.rows == done.rows
    assert search_rows(tmp_path / "out") == search_rows(done.out)


def test_what_is_done_is_kept(done: Sweep) -> None:
    before = {file: file.stat().st_mtime_ns for file in done.out.rglob("result.json")}
    again = sweep(small(), Search(GRID, folds=2), done.out, workers=2)
    assert again.rows == done.rows
    assert {file: file.stat().st_mtime_ns for file in done.out.rglob("result.json")} == before


@pytest.mark.parametrize("search", [Search(GRID, folds=3), Search({"client.batch-size": [10]}, folds=2), Search(GRID, folds=2, halving=2)])
def test_another_question_is_not_answered_in_the_same_folder(done: Sweep, search: Search) -> None:
    with pytest.raises(StoreError, match="holds another study: it differs in"):
        sweep(small(), search, done.out)


def test_halving_drops_the_worst_early_and_extends_the_best(tmp_path: Path) -> None:
    found = sweep(small(), Search(GRID, halving=2), tmp_path / "out", workers=2)
    assert sorted(each.rounds for each in found.standings) == [1, 1, 1, 2, 4, 4]
    assert [(each.rounds, each.out) for each in found.standings] == [(4, False), (4, False), (2, True), (1, True), (1, True), (1, True)]
    for each in found.standings:
        rows = rows_of(tmp_path / "out" / "runs" / f"{each.candidate.number:03d}" / "fold-1")
        assert [row["round"] for row in rows] == list(range(1, each.rounds + 1))
    # An extended run is the run that was never interrupted.
    number = found.best.number
    whole = compose.run(trial(found.experiment, 1, 1), tmp_path / "whole", workers=1)
    assert whole.model_sha256 == rows_of(tmp_path / "out" / "runs" / f"{number:03d}" / "fold-1")[-1]["model"]


def test_a_run_that_was_extended_before_a_crash_is_judged_by_its_early_rounds(tmp_path: Path) -> None:
    """Else the candidate that had begun its next rung would win for being further, not for being better."""
    search = Search({"client.learning-rate": [0.03, 0.1]}, halving=2)
    whole = sweep(small(), search, tmp_path / "whole", workers=1)
    slower = next(each for each in whole.standings if each.out)
    folder = tmp_path / "out" / "runs" / f"{slower.candidate.number:03d}" / "fold-1"
    compose.run(trial(slower.candidate.experiment, 1, 1), folder, workers=1)
    shutil.copy(tmp_path / "whole" / "sweep.json", tmp_path / "out")
    further = rows_of(folder)[-1]["metrics"]["server"]["accuracy"]
    early = rows_of(tmp_path / "whole" / "runs" / f"{whole.best.number:03d}" / "fold-1")[1]["metrics"]["server"]["accuracy"]
    assert further > early
    assert sweep(small(), search, tmp_path / "out", workers=1).rows == whole.rows


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="jobs are forked")
def test_a_sweep_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    search = Search({"client.learning-rate": [0.001, 0.1, 0.02, 50.0], "client.batch-size": [10, 40]}, folds=2, halving=2)
    whole = sweep(small(), search, tmp_path / "whole", workers=2)
    for after in (3, 19, 26):
        out = tmp_path / f"killed-{after}"

        def work(report: Any, out: Path = out, after: int = after) -> None:
            ended = 0

            class Killing(Progress):
                def ended(self, key: str, text: str) -> None:
                    nonlocal ended
                    ended += 1
                    if ended == after:
                        os.kill(os.getpid(), signal.SIGKILL)

            sweep(small(), search, out, workers=2, progress=Killing(sys.stdout, quiet=True))

        child = Child(work)
        list(child.reports())
        assert child.join() == -signal.SIGKILL
        assert not (out / "best.toml").exists()
        again = sweep(small(), search, out, workers=2)
        assert again.rows == whole.rows
        assert search_rows(out) == search_rows(tmp_path / "whole")
        assert again.tested.model_sha256 == whole.tested.model_sha256


def test_a_candidate_that_diverges_is_no_winner(tmp_path: Path) -> None:
    found = sweep(small(), Search({"client.learning-rate": [1e9, 0.1]}), tmp_path / "out", workers=2)
    assert found.best.values == {"client.learning-rate": 0.1}
    assert found.standings[1].score is None
    assert found.rows[1]["state"] == "failed"
    assert found.rows[1]["validation_accuracy"] is None
    assert "–" in found.table.rows[1]
    assert found.standings[1].reason


def test_when_all_diverge_the_sweep_says_why(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"None of the 2 candidates could be trained\. \S"):
        sweep(small(), Search({"client.learning-rate": [1e9, 1e8]}), tmp_path / "out", workers=2)


def test_a_falling_metric_chooses_the_least(tmp_path: Path) -> None:
    found = sweep(small(), Search({"client.learning-rate": [0.001, 0.1]}, metric="loss"), tmp_path / "out", workers=1)
    assert found.metric == "loss"
    scores = [each.score for each in found.standings]
    assert scores[0] == min(score for score in scores if score is not None)
    assert found.best.values == {"client.learning-rate": 0.1}


def test_regression_is_chosen_by_r2(tmp_path: Path) -> None:
    base = resolve("digits", ["experiment.task=diabetes-linear", "federation.clients=4", "rounds.num-rounds=3", "stop.metric=r2"])
    found = sweep(base, Search({"client.learning-rate": [1e-6, 0.05]}, folds=2), tmp_path / "out", workers=1)
    assert found.metric == "r2"
    assert found.best.values == {"client.learning-rate": 0.05}


def test_a_base_evaluated_on_clients_is_tested_on_clients(tmp_path: Path) -> None:
    base = small("evaluate.where=clients", "stop.metric=clients.accuracy", "stop.patience=3")
    found = sweep(base, Search({"client.learning-rate": [0.001, 0.1]}), tmp_path / "out", workers=1)
    assert set(found.tested.metrics) >= {"clients"}
    assert "server" not in found.tested.metrics
    assert found.experiment.stop.patience == 3


def test_a_rule_that_stops_candidates_early_stops_the_winner_as_early(tmp_path: Path) -> None:
    base = small("rounds.num-rounds=6", "stop.target=0.3")
    found = sweep(base, Search({"client.learning-rate": [0.1, 0.11]}), tmp_path / "out", workers=1)
    folder = tmp_path / "out" / "runs" / f"{found.best.number:03d}" / "fold-1"
    assert found.tested.rounds == len(rows_of(folder)) < 6
    assert found.tested.stop_reason == "rounds"


def test_a_trial_is_validated_in_the_place_of_the_test() -> None:
    one = trial(small(), 1, 1)
    assert (one.study.role, one.federation.validation_fraction, one.evaluate.where) == ("validation", 0.2, "server")
    assert trial(small("federation.validation-fraction=0.4"), 1, 1).federation.validation_fraction == 0.4
    fold = trial(small("evaluate.where=both", "stop.metric=clients.loss"), 3, 2)
    assert (fold.study.role, fold.study.folds, fold.study.fold) == ("fold", 3, 2)
    assert (fold.stop.metric, fold.evaluate.where) == ("loss", "server")
    assert trial(small("stop.metric=train.loss"), 3, 2).stop.metric == "train.loss"


def test_the_refit_keeps_nothing_back_and_stops_by_no_rule() -> None:
    found = refit(small("federation.validation-fraction=0.3", "stop.target=0.5", "stop.max-bytes=10", "evaluate.every=2"), 3)
    assert (found.federation.validation_fraction, found.rounds.num_rounds, found.evaluate.every) == (0.0, 3, 3)
    assert (found.stop.target, found.stop.max_bytes) == (None, None)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"folds": 0}, "leaves nothing to validate on"),
        ({"halving": 1}, "drops nobody"),
        ({"halving": 2, "grid": {"rounds.num-rounds": [1, 2]}}, "rounds.num-rounds cannot be in the grid"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(search: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        Search(**{"grid": GRID, **search})


def test_more_folds_than_clients_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="Fold 1 of 9 cannot be made of 8 clients"):
        sweep(small(), Search(GRID, folds=9), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_it_writes_its_question_its_answer_and_a_figure(done: Sweep) -> None:
    files = done.save(done.out)
    assert [file.name for file in files] == ["table.md", "table.tex", "table.csv", "sweep.png", "sweep.svg"]
    assert json.loads((done.out / "sweep.json").read_text())["folds"] == 2
    svg = (done.out / "sweep.svg").read_text()
    assert done.best.label in svg
    assert "The winner on the test set" in (done.out / "table.md").read_text()
