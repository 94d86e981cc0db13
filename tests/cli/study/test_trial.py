"""One run of a study: begun, gone on with, kept; and its question."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from ciranda.cli import compose
from ciranda.cli.folder import RunFolder
from ciranda.cli.study.trial import Shared, ask, changed, ensure
from ciranda.core.errors import ExperimentError, RunError, StoreError
from ciranda.core.task import FederatedData
from ciranda.experiment.load import resolve
from ciranda.experiment.schema import Experiment
from ciranda.tasks.registry import TASKS
from ciranda.testing.toys import MeanTask


def small(*overrides: str) -> Experiment:
    return resolve("digits", ["rounds.num-rounds=4", "client.local-epochs=1", "federation.clients=4", *overrides])


def do(experiment: Experiment, folder: Path, until: int | None = None) -> int:
    return ensure(experiment, folder, workers=1, tell=lambda row: None, until=until).rounds


def test_a_run_is_begun_extended_and_kept(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert do(small(), out, until=1) == 1
    assert do(small(), out, until=3) == 3
    assert do(small(), out) == 4
    stamp = RunFolder(out).result.stat().st_mtime_ns
    assert do(small(), out) == 4
    assert do(small(), out, until=2) == 4
    assert do(small(), out, until=99) == 4
    assert RunFolder(out).result.stat().st_mtime_ns == stamp
    whole = compose.run(small(), tmp_path / "whole", workers=1)
    assert RunFolder(out).rows()[-1]["model"] == whole.model_sha256
    assert [row["round"] for row in RunFolder(out).rows()] == [1, 2, 3, 4]


def test_a_folder_without_a_result_is_gone_on_with(tmp_path: Path) -> None:
    out = tmp_path / "run"
    do(small(), out, until=2)
    RunFolder(out).result.unlink()
    assert do(small(), out) == 4


def test_a_run_that_stopped_by_its_own_rule_is_done(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert do(small("stop.target=0.0"), out) == 1
    stamp = RunFolder(out).result.stat().st_mtime_ns
    assert do(small("stop.target=0.0"), out) == 1
    assert RunFolder(out).result.stat().st_mtime_ns == stamp


def test_a_run_that_could_not_go_on_is_an_error(tmp_path: Path) -> None:
    task = MeanTask(clients=4, faults=dict.fromkeys(map(float, range(24)), "nan"))
    with pytest.raises(RunError, match="ended before its last round: too-few-replies"):
        ensure(small("stop.metric=rmse"), tmp_path / "run", workers=1, tell=lambda row: None, task=task)


def test_a_run_that_was_asked_to_stop_interrupts_the_study(tmp_path: Path) -> None:
    task = MeanTask(clients=4, faults={0.0: "stop"})
    with pytest.raises(KeyboardInterrupt):
        ensure(small("stop.metric=rmse"), tmp_path / "run", workers=1, tell=lambda row: None, task=task)


def test_a_study_asks_one_question(tmp_path: Path) -> None:
    ask(tmp_path, "q.json", {"grid": {"a": [1, 2.5]}, "folds": 2})
    ask(tmp_path, "q.json", {"folds": 2, "grid": {"a": [1, 2.5]}})
    with pytest.raises(StoreError, match="it differs in folds, halving"):
        ask(tmp_path, "q.json", {"folds": 3, "grid": {"a": [1, 2.5]}, "halving": 2})


def test_the_order_of_a_grid_is_part_of_the_question(tmp_path: Path) -> None:
    ask(tmp_path, "q.json", {"grid": {"strategy.name": ["a"], "client.momentum": [1, 2]}})
    assert list(json.loads((tmp_path / "q.json").read_text())["grid"]) == ["strategy.name", "client.momentum"]
    with pytest.raises(StoreError, match="it differs in grid"):
        ask(tmp_path, "q.json", {"grid": {"client.momentum": [1, 2], "strategy.name": ["a"]}})


def test_a_study_begins_in_no_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(StoreError, match="is not empty"):
        ask(tmp_path, "q.json", {"folds": 2})
    assert sorted(file.name for file in tmp_path.iterdir()) == [".lock", "other.json"]
    (tmp_path / "other.json").unlink()
    ask(tmp_path, "q.json", {"folds": 2})


def test_the_run_of_another_experiment_is_not_taken_for_this_one(tmp_path: Path) -> None:
    do(small(), tmp_path / "run")
    before = (tmp_path / "run" / "result.json").read_bytes()
    with pytest.raises(StoreError, match="holds the run of another experiment"):
        do(small("client.momentum=0.75"), tmp_path / "run")
    assert (tmp_path / "run" / "result.json").read_bytes() == before


def test_changes_are_checked_and_none_means_default() -> None:
    found = changed(small(), {"client": {"batch-size": None, "momentum": 0.25}})
    assert (found.client.batch_size, found.client.momentum) == (32, 0.25)
    assert changed(small(), {}) == small()
    with pytest.raises(ExperimentError, match=r"client\.momentum"):
        changed(small(), {"client": {"momentum": 2}})


def test_shared_data_is_read_once_and_the_rest_is_the_tasks() -> None:
    class Counting(MeanTask):
        reads = 0

        def data(self) -> FederatedData:
            self.reads += 1
            return super().data()

    task = Counting()
    shared = Shared.of(task)
    assert shared.data() is shared.data()
    assert task.reads == 1
    assert (shared.name, shared.kind) == ("mean", "regression")
    assert not hasattr(shared, "device")


def test_in_another_process_the_data_is_read_anew() -> None:
    shared = Shared.of(TASKS["digits-mlp"].make())
    data = shared.data()
    copied = pickle.dumps(shared)
    assert len(copied) < 10_000 < data.train.x.nbytes
    assert pickle.loads(copied).data().train.x.shape == data.train.x.shape  # noqa: S301
