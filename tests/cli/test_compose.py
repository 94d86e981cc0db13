"""Whole runs on the local wire: what they leave, that they repeat, and how they end."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ciranda.cli import compose
from ciranda.cli.folder import RunFolder
from ciranda.cli.result import Result
from ciranda.core.codec import decode
from ciranda.core.errors import DivergedError, ExperimentError, Missing, StoreError, TaskError, WorkerDied
from ciranda.core.params import model_sha256
from ciranda.experiment.load import resolve
from ciranda.experiment.schema import Experiment
from ciranda.testing.toys import MeanTask

Row = Mapping[str, Any]


def small(*overrides: str) -> Experiment:
    """Four rounds of the default preset, with little local work."""
    return resolve("digits", ["rounds.num-rounds=4", "client.local-epochs=1", *overrides])


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return compose.run(small(), tmp_path_factory.mktemp("unbroken") / "run", workers=1)


def test_a_run_leaves_a_whole_folder(tmp_path: Path) -> None:
    result = compose.run(small(), tmp_path / "run", workers=2)
    folder = RunFolder.existing(tmp_path / "run")
    assert json.loads(folder.result.read_text()) == result.as_json()
    model, metadata = decode(folder.model.read_bytes())
    assert model_sha256(model) == result.model_sha256 == metadata["model_sha256"]
    assert [row["round"] for row in folder.rows()] == [1, 2, 3, 4]
    assert sorted(file.name for file in folder.checkpoints.iterdir())[-3:] == [f"round-000{n}.safetensors" for n in (2, 3, 4)]
    assert model_sha256(decode((folder.checkpoints / "round-0004.safetensors").read_bytes())[0]) == result.model_sha256
    assert resolve(str(folder.experiment)) == small()
    assert json.loads(folder.manifest.read_text())["clients"] == 20
    assert result.model_sha256 in folder.card.read_text()
    assert (result.state, result.stop_reason, result.rounds, result.reproducible) == ("finished", "rounds", 4, True)


@pytest.mark.parametrize("workers", [2, 3])
def test_the_number_of_workers_changes_no_bit(tmp_path: Path, unbroken: Result, workers: int) -> None:
    assert compose.run(small(), tmp_path / "run", workers=workers).model_sha256 == unbroken.model_sha256


def test_the_seed_changes_the_model(tmp_path: Path, unbroken: Result) -> None:
    assert compose.run(small("experiment.seed=7"), tmp_path / "run", workers=1).model_sha256 != unbroken.model_sha256


@pytest.mark.parametrize(
    "overrides",
    [(), ("rounds.close=first", "rounds.first=6", "rounds.fraction-train=0.5"), ("strategy.name=fedprox", "strategy.proximal-mu=0.1")],
)
def test_a_replay_ends_in_the_same_model(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    first = compose.run(small(*overrides), tmp_path / "first", workers=2)
    again = compose.replay(tmp_path / "first", tmp_path / "again", workers=1)
    assert again.model_sha256 == first.model_sha256
    rows = [RunFolder(tmp_path / name).rows() for name in ("first", "again")]
    assert [row["model"] for row in rows[0]] == [row["model"] for row in rows[1]]


def test_first_replies_are_counted_and_no_more(tmp_path: Path) -> None:
    result = compose.run(small("rounds.close=first", "rounds.first=6"), tmp_path / "run", workers=2)
    assert all(len(row["accepted"]) == 6 for row in RunFolder(tmp_path / "run").rows())
    assert not result.reproducible
    assert "first" in result.reasons[0]


def test_a_clipped_run_differs_and_repeats(tmp_path: Path, unbroken: Result) -> None:
    runs = [compose.run(small("privacy.clipping-norm=0.5"), tmp_path / str(number), workers=number) for number in (1, 2)]
    assert runs[0].model_sha256 == runs[1].model_sha256 != unbroken.model_sha256


def test_evaluation_on_clients_has_every_client_and_the_spread(tmp_path: Path) -> None:
    result = compose.run(small("evaluate.where=both", "evaluate.fraction-evaluate=0.25"), tmp_path / "run", workers=2)
    assert 0 < result.metrics["clients"]["accuracy"] <= 1
    assert 0 < result.metrics["server"]["accuracy"] <= 1
    last = RunFolder(tmp_path / "run").rows()[-1]
    clients, spread = last["metrics"]["clients-classes"], last["metrics"]["clients-spread"]
    assert clients["support.3"] > 0
    assert 0 <= clients["recall.3"] <= 1
    mistaken = sum(last["metrics"]["server-confusion"].values())
    assert mistaken == pytest.approx((1 - last["metrics"]["server"]["accuracy"]) * len(compose.task_of(small()).data().test.y))
    assert last["metrics"]["server-classes"]["support.3"] == np.sum(compose.task_of(small()).data().test.y == 3)
    assert spread["accuracy.min"] <= spread["accuracy.median"] <= spread["accuracy.max"]
    evaluated = [name for name, _ in last["evaluated"] if not name.startswith("@")]
    assert len(evaluated) == 5
    assert all("accuracy" in last["clients"][name] for name in evaluated)
    assert all("train_loss" in last["clients"][name] for name, _ in last["accepted"])


def test_a_second_run_into_the_same_folder_is_refused(tmp_path: Path) -> None:
    compose.run(small(), tmp_path / "run", workers=1)
    with pytest.raises(StoreError, match="holds a run already"):
        compose.run(small(), tmp_path / "run", workers=1)


def test_resuming_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="not a run's folder"):
        compose.resume(tmp_path)


def test_a_finished_run_can_be_extended(tmp_path: Path, unbroken: Result) -> None:
    compose.run(small("rounds.num-rounds=2"), tmp_path / "run", workers=1)
    longer = compose.resume(tmp_path / "run", overrides=["rounds.num-rounds=4"], workers=2)
    assert longer.model_sha256 == unbroken.model_sha256
    assert [row["round"] for row in RunFolder(tmp_path / "run").rows()] == [1, 2, 3, 4]


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path, unbroken: Result) -> None:
    compose.run(small(), tmp_path / "run", workers=1)
    before = RunFolder(tmp_path / "run").rows()
    assert compose.resume(tmp_path / "run").model_sha256 == unbroken.model_sha256
    assert RunFolder(tmp_path / "run").rows() == before


def on_round(number: int, act: Callable[[], None]) -> Callable[[Row], None]:
    """Do something when a round is recorded."""
    return lambda row: act() if row["event"] == "round" and row["round"] == number else None


@pytest.mark.parametrize(
    ("workers", "sent", "by"), [(1, signal.SIGINT, "ctrl-c"), (2, signal.SIGINT, "ctrl-c"), (2, signal.SIGTERM, "sigterm")]
)
def test_a_signal_leaves_a_whole_result_that_resumes_to_the_same_model(
    tmp_path: Path, unbroken: Result, workers: int, sent: signal.Signals, by: str
) -> None:
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    stop = on_round(2, lambda: os.kill(os.getpid(), sent))
    result = compose.run(small(), tmp_path / "run", workers=workers, on_event=stop)
    assert (result.state, result.stop_reason, result.rounds) == ("aborted", f"stop-asked:{by}", 2)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert model_sha256(compose.stored_model(RunFolder(tmp_path / "run"))) == result.model_sha256
    assert compose.resume(tmp_path / "run", workers=workers).model_sha256 == unbroken.model_sha256


def test_a_killed_worker_is_named_and_the_run_can_go_on(tmp_path: Path, unbroken: Result) -> None:
    def kill_one() -> None:
        process = multiprocessing.active_children()[0]
        process.kill()
        process.join()

    with pytest.raises(WorkerDied, match=r"Worker \d of 2 \(process \d+\) was killed by signal 9") as caught:
        compose.run(small(), tmp_path / "run", workers=2, on_event=on_round(2, kill_one))
    assert "ciranda resume" in caught.value.hint
    assert json.loads((tmp_path / "run" / "result.json").read_text())["state"] == "error"
    assert not multiprocessing.active_children()
    assert compose.resume(tmp_path / "run").model_sha256 == unbroken.model_sha256


def test_a_full_disk_is_named_and_the_run_goes_on_once_there_is_room(
    tmp_path: Path, unbroken: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    fill = on_round(2, lambda: monkeypatch.setattr("ciranda.store.files.os.write", full))
    with pytest.raises(StoreError, match=r"No room to write .*: it needs [\d,]+ bytes") as caught:
        compose.run(small(), tmp_path / "run", workers=1, on_event=fill)
    assert "Free some space" in caught.value.hint
    monkeypatch.undo()
    assert not list((tmp_path / "run").rglob("*.part"))
    assert [row["round"] for row in RunFolder(tmp_path / "run").rows()] == [1, 2]
    assert compose.resume(tmp_path / "run").model_sha256 == unbroken.model_sha256


def mean_task(*overrides: str) -> Experiment:
    return resolve("digits", ["experiment.task=python:mean", "federation.clients=4", "rounds.num-rounds=3", *overrides])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_participant_may_stop_the_run(tmp_path: Path, workers: int) -> None:
    task = MeanTask(faults={2.0: "stop"})
    result = compose.run(mean_task("rounds.fraction-train=1.0"), tmp_path / "run", workers=workers, task=task)
    assert result.state == "aborted"
    assert result.stop_reason.startswith("stop-asked:Round 1, client")
    assert result.stop_reason.endswith("it has seen enough")


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_task_names_round_and_client(tmp_path: Path, workers: int) -> None:
    task = MeanTask(faults={2.0: "raise"})
    with pytest.raises(TaskError, match=r"Round 1, client \d: ZeroDivisionError: a user's mistake"):
        compose.run(mean_task("rounds.fraction-train=1.0"), tmp_path / "run", workers=workers, task=task)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["state"] == "error"


def test_divergence_names_round_and_client(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"Round 1, client \d+: ") as caught, np.errstate(all="ignore"):
        compose.run(small("client.learning-rate=1e30"), tmp_path / "run", workers=1)
    assert "learning-rate" in caught.value.hint


def test_a_deadline_that_nobody_meets_ends_by_the_rule(tmp_path: Path) -> None:
    result = compose.run(small("rounds.deadline-s=1e-9", "rounds.too-few=abort"), tmp_path / "run", workers=1)
    assert (result.state, result.stop_reason, result.rounds) == ("aborted", "too-few-replies", 0)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (("stop.target=0.5",), "target"),
        (("stop.patience=1", "client.learning-rate=1e-12"), "patience"),
        (("stop.max-bytes=500000",), "max-bytes"),
        (("stop.max-seconds=1e-9",), "max-seconds"),
        (("rounds.num-rounds=1",), "rounds"),
    ],
)
def test_every_end_has_its_reason(tmp_path: Path, overrides: tuple[str, ...], reason: str) -> None:
    result = compose.run(small(*overrides), tmp_path / "run", workers=1)
    assert (result.state, result.stop_reason) == ("finished", reason)
    assert result.rounds < 4
    assert "accuracy" in result.metrics["server"]


def test_an_unknown_task_is_named_with_the_nearest() -> None:
    with pytest.raises(ExperimentError, match="did you mean 'digits-mlp'"):
        compose.assemble(small("experiment.task=digits-mpl"))


def test_predictions_are_those_of_the_final_model(tmp_path: Path) -> None:
    compose.run(small("rounds.num-rounds=8"), tmp_path / "run", workers=1)
    test = compose.task_of(small()).data().test
    probabilities = compose.predict(tmp_path / "run", test.x)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    reported = RunFolder(tmp_path / "run").rows()[-1]["metrics"]["server"]["accuracy"]
    assert np.mean(probabilities.argmax(axis=1) == test.y) == pytest.approx(reported)


def test_metrics_are_mended_from_the_store(tmp_path: Path) -> None:
    compose.run(small(), tmp_path / "run", workers=1)
    folder = RunFolder(tmp_path / "run")
    whole = folder.metrics.read_text()
    folder.metrics.write_text(whole[: len(whole) // 2])
    compose.resume(tmp_path / "run")
    assert folder.metrics.read_text() == whole
