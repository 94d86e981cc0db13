"""Logs of several processes as one, in the order of time, and as they grow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ciranda.cli.fleet import journal
from ciranda.cli.fleet.journal import Tail, logs
from ciranda.cli.fleet.processes import Process
from ciranda.cli.fleet.state import Fleet, Started
from ciranda.core.errors import Missing


def record(second: int, message: str, **more: object) -> str:
    return json.dumps({"time": f"2026-01-01T10:00:{second:02d}.500+00:00", "message": message, **more}) + "\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for name in ("http", "clients/0", "clients/10", "clients/2"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "experiment.toml").touch()
    (tmp_path / "log.jsonl").write_text(record(3, "round stored", round=1))
    (tmp_path / "http" / "output.log").write_text("Listening\n")
    (tmp_path / "clients" / "0" / "log.jsonl").write_text(
        record(1, "hello") + record(5, "batch 10 of 20", role="client", client="0", round=2)
    )
    (tmp_path / "clients" / "10" / "log.jsonl").write_text(record(2, "oops", error="Traceback\nE: x") + '{"time": "cut sho\n')
    (tmp_path / "clients" / "2" / "output.log").write_text("")
    return tmp_path


def test_all_are_told_in_the_order_of_time(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs(None, str(run), lines=0, follow=False)
    assert capsys.readouterr().out.splitlines() == [
        "[server] Listening",
        "10:00:01.500 [0] hello",
        "10:00:02.500 [10] oops",
        "Traceback",
        "E: x",
        "10:00:03.500 [server] round 1: round stored",
        "10:00:05.500 [0] round 2: batch 10 of 20",
    ]


def test_one_is_told_alone_or_the_last_lines_of_it(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs("0", str(run), lines=1, follow=False)
    assert capsys.readouterr().out == "10:00:05.500 [0] round 2: batch 10 of 20\n"
    with pytest.raises(Missing, match="no log of '7'") as raised:
        logs("7", str(run), lines=0, follow=False)
    assert raised.value.hint == "There are: server, 0, 2, 10."


def test_following_tells_what_is_added_until_all_have_ended(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(run)
    fleet.add(Started("0", Process(1, "born"), "clients/0"))
    fleet.add(Started("10", Process(2, "born"), "clients/10"))
    turns: Iterator[str | None] = iter([record(7, "one"), '{"time": "2026-01-01T10:0', '0:08.000", "message": "two"}\n', None])
    going = [True]

    def add(text: str) -> None:
        with (run / "clients" / "0" / "log.jsonl").open("a") as stream:
            stream.write(text)

    def wait(seconds: float) -> None:
        turn = next(turns)
        if turn is None:
            add(record(9, "last words"))
            going[0] = False
        else:
            add(turn)

    monkeypatch.setattr(journal, "sleep", wait)
    monkeypatch.setattr(Process, "alive", property(lambda process: going[0] or process.pid == 2))
    logs("0", str(run), lines=1, follow=True)  # client 10 goes on, and is not asked for
    told = [line.partition("] ")[2] for line in capsys.readouterr().out.splitlines()]
    assert told == ["round 2: batch 10 of 20", "one", "two", "last words"]


def test_a_tail_gives_whole_lines_once(tmp_path: Path) -> None:
    file = tmp_path / "x"
    tail = Tail(file)
    assert tail.read() == []
    file.write_bytes(b"one\ntw")
    assert tail.read() == ["one"]
    with file.open("ab") as stream:
        stream.write(b"o\n\xff\n")
    assert tail.read() == ["two", "�"]
    assert tail.read() == []
