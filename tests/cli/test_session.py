"""A run while it goes on: what it writes first and last, what it tells, and how a signal stops it."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.cli import compose
from ciranda.cli.folder import KEPT_CHECKPOINTS, RUN, RunFolder
from ciranda.cli.result import best_round, irreproducible, read_result
from ciranda.cli.session import Session, begin, stops
from ciranda.core.codec import decode, encode
from ciranda.core.errors import DataError, Missing
from ciranda.experiment.load import load, resolve
from ciranda.protocol.plan import StopRule
from ciranda.protocol.state import State

# --- signals


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Whatever a test does, the process has its own handlers again."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "by"), [(signal.SIGINT, "ctrl-c"), (signal.SIGTERM, "sigterm")])
def test_the_first_signal_asks_the_run_to_stop(number: signal.Signals, by: str) -> None:
    asked: list[str] = []
    with stops(asked.append):
        os.kill(os.getpid(), number)
        assert asked == [by]
    assert asked == [by]


def test_the_second_ctrl_c_ends_at_once() -> None:
    asked: list[str] = []
    with stops(asked.append):
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert asked == ["ctrl-c"]


def test_a_second_sigterm_only_asks_again() -> None:
    asked: list[str] = []
    with stops(asked.append):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
    assert asked == ["sigterm", "sigterm"]


@pytest.mark.parametrize("fails", [False, True])
def test_the_former_handlers_come_back(fails: bool) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    try:
        with stops(lambda by: None):
            assert signal.getsignal(signal.SIGTERM) is not before[1]
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_another_thread_leaves_signals_alone() -> None:
    seen: list[object] = []

    def body() -> None:
        with stops(lambda by: None):
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [before]


# --- the folder


@pytest.fixture(scope="module")
def assembly() -> compose.Assembly:
    return compose.assemble(resolve("iris", ["rounds.num-rounds=3", "federation.clients=3"]))


def test_a_folder_is_a_runs_once_all_that_is_known_before_stands_in_it(
    tmp_path: Path, assembly: compose.Assembly, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path / "deep" / "run")
    written: list[str] = []
    write = RunFolder.write

    def noted(self: RunFolder, file: Path, content: str | bytes) -> None:
        written.append(file.name)
        write(self, file, content)

    monkeypatch.setattr(RunFolder, "write", noted)
    begin(folder, assembly)
    assert written[-1] == "experiment.toml"
    assert RunFolder.existing(folder.path).path == folder.path
    assert load(folder.experiment) == assembly.experiment
    manifest = json.loads(folder.manifest.read_text())
    assert manifest["classes"] == list(assembly.population.data.classes)
    assert sum(client["size"] for client in manifest["per_client"]) == manifest["examples"]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_what_is_no_runs_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(Missing, match="not a run's folder"):
        RunFolder.existing(tmp_path / name)


def row(number: int, *, accuracy: float | None = None, **more: Any) -> dict[str, Any]:
    metrics: dict[str, Any] = {"train": {"loss": 1.0 / number}}
    if accuracy is not None:
        metrics["server"] = {"accuracy": accuracy, "loss": 1 - accuracy}
    return {
        "event": "round",
        "round": number,
        "skipped": False,
        "accepted": [["0", "x"]],
        "failed": {},
        "refused": {},
        "refusals": {},
        "metrics": metrics,
        "clients": {},
        "bytes_up": 10,
        "bytes_down": 20,
        "seconds": 0.5,
        "model": str(number),
        **more,
    }


class Recorder:
    """A session in a folder, and what it told."""

    def __init__(self, path: Path, assembly: compose.Assembly) -> None:
        self.folder, self.store, self.told = RunFolder(path), RunFolder(path).open_store(), list[Mapping[str, Any]]()
        begin(self.folder, assembly)
        self.session = Session(self.folder, self.store, assembly, self.told.append, [])

    def record(self, made: dict[str, Any]) -> None:
        blob = self.store.put([encode({"w": np.full(2, made["round"], np.float32)}, {})])
        self.session.row(made, blob)

    def codes(self) -> list[str]:
        return [str(event["code"]) for event in self.told if "code" in event]


@pytest.fixture
def recorder(tmp_path: Path, assembly: compose.Assembly) -> Recorder:
    return Recorder(tmp_path / "run", assembly)


def test_every_round_is_a_line_an_event_and_a_checkpoint(recorder: Recorder) -> None:
    rows = [row(1, accuracy=0.9), row(2, accuracy=0.5), row(3), row(4, accuracy=0.6), row(5), row(6)]
    for each in rows:
        recorder.record(each)
    assert recorder.folder.rows() == rows
    assert [event["round"] for event in recorder.told if event.get("event") == "round"] == [1, 2, 3, 4, 5, 6]
    kept = sorted(file.name for file in recorder.folder.checkpoints.iterdir())
    assert kept == ["round-0001.safetensors", *(f"round-{number:04}.safetensors" for number in (4, 5, 6))]
    assert len(kept) == KEPT_CHECKPOINTS + 1
    best, _ = decode((recorder.folder.checkpoints / kept[0]).read_bytes())
    assert best["w"].tolist() == [1, 1]


def test_a_loss_that_is_no_number_is_told_at_once_and_once(recorder: Recorder) -> None:
    recorder.record(row(1, accuracy=0.5))
    assert "diverged" not in recorder.codes()
    for number in (2, 3):
        recorder.record(row(number, metrics={"train": {"loss": None}}))
    assert recorder.codes().count("diverged") == 1


def test_progress_is_told_as_it_comes(recorder: Recorder) -> None:
    recorder.session.progress(2, "train", 1, 3, [("0", "accepted")])
    assert recorder.told[-1] == {
        "event": "progress", "round": 2, "kind": "train", "done": 1, "of": 3, "answered": [("0", "accepted")],
    }  # fmt: skip


@pytest.mark.parametrize("model", [True, False])
def test_a_result_is_written_whole_and_the_model_only_if_there_is_one(recorder: Recorder, model: bool) -> None:
    for number in (1, 2):
        recorder.record(row(number, accuracy=number / 4))
    arrays = {"w": np.arange(3, dtype=np.float32)} if model else None
    state: Any = SimpleNamespace(status="finished", model="ab" * 32, refused={})
    result = recorder.session.finish(state, arrays, "rounds", ["p", "p"])
    assert read_result(recorder.folder.result) == result
    assert (result.state, result.rounds, result.bytes_up, result.bytes_down) == ("finished" if model else "error", 2, 20, 40)
    assert result.metrics["server"] == {"accuracy": 0.5, "loss": 0.5}
    assert recorder.told[-1]["event"] == "finish"
    assert recorder.told[-1]["model_sha256"] == "ab" * 32
    assert recorder.folder.model.is_file() == recorder.folder.card.is_file() == model
    if model:
        stored, metadata = decode(recorder.folder.model.read_bytes())
        assert stored["w"].tolist() == [0, 1, 2]
        assert metadata["model_sha256"] == "ab" * 32


def test_replies_that_were_refused_as_the_run_ended_are_told(recorder: Recorder) -> None:
    recorder.record(row(1, accuracy=0.5))
    state: Any = SimpleNamespace(status="aborted", model="", refused={"1": "non-finite", "2": "non-finite"})
    recorder.session.finish(state, None, "too-few-replies", ["p"])
    assert "diverged-clients" in recorder.codes()


def test_rows_that_cannot_be_read_are_named_by_their_line(recorder: Recorder) -> None:
    recorder.record(row(1))
    with recorder.folder.metrics.open("a") as stream:
        stream.write('{"event": "rou\n')
    with pytest.raises(DataError, match=r"metrics\.jsonl, line 2 is not JSON") as caught:
        recorder.folder.rows()
    assert "resume" in caught.value.hint


def test_the_store_mends_the_lines(recorder: Recorder) -> None:
    recorder.folder.metrics.write_text("half a li")
    for number in (1, 2):
        recorder.store.append(RUN, str(number), json.dumps(row(number)).encode())
    assert recorder.folder.rewrite_metrics(recorder.store) == [row(1), row(2)]
    assert recorder.folder.rows() == [row(1), row(2)]


# --- the best round, and what may be repeated


@given(st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=12), st.booleans())
def test_the_best_round_is_the_first_of_the_best_by_the_rule(values: list[float | None], falls: bool) -> None:
    rows = [row(number, accuracy=value) for number, value in enumerate(values, 1)]
    known = [value for value in values if value is not None]
    rule = StopRule(metric="loss", mode="min") if falls else StopRule(metric="accuracy", mode="max")
    best = best_round(rows, rule)
    if not known:
        assert best == len(values)
    elif falls:
        assert values[best - 1] is not None
        assert 1 - (values[best - 1] or 0.0) == min(1 - value for value in known)
    else:
        assert best == values.index(max(known)) + 1


@given(st.lists(st.sampled_from(["", "failed", "refusals", "skipped"]), max_size=12))
def test_only_rounds_in_which_all_counted_are_reproducible(wrong: list[str]) -> None:
    marks: dict[str, Any] = {"failed": {"1": "late"}, "refusals": {"late": 1}, "skipped": True}
    rows = [row(number, **({what: marks[what]} if what else {})) for number, what in enumerate(wrong, 1)]
    reasons = irreproducible(rows, ["same", "same"], resolve("digits"))
    missing = [str(number) for number, what in enumerate(wrong, 1) if what]
    assert bool(reasons) == bool(missing)
    if missing:
        assert all(number in reasons[0] for number in missing[:5])


def test_a_state_of_the_protocol_is_what_a_session_is_given() -> None:
    """The stand-ins above have the fields that are read of it."""
    assert {"status", "model", "refused"} <= set(State.__dataclass_fields__) | set(vars(State))
