"""What `ciranda ps` prints, from what the machine and the server say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ciranda.cli.fleet import look
from ciranda.cli.fleet.processes import Process
from ciranda.cli.fleet.state import Fleet, Started


def seen(**more: Any) -> dict[str, Any]:
    room = {"waiting": True, "minimum": 10, "maximum": 20, "seconds_left": 12.4, "clients": [{}] * 7}
    run = {"run": "digits", "status": "waiting", "round": 0, "rounds": 10, "room": room}
    return {"folder": "runs/x", "url": "http://h:1", "runs": [run], "processes": [], **more}


def test_the_waiting_room_says_who_is_missing_and_how_long_it_waits() -> None:
    shown = "\n".join(look.lines(seen()))
    assert "digits: waiting, round 0 of 10" in shown
    assert "waiting for clients: 7 have come; it begins with 20, or in 12 s with at least 10" in shown
    patient = seen()
    patient["runs"][0]["room"]["seconds_left"] = None
    assert "it begins with 20\n" in "\n".join(look.lines(patient))
    begun = seen()
    begun["runs"][0]["room"]["waiting"] = False
    assert "waiting for clients" not in "\n".join(look.lines(begun))


def test_each_process_has_its_line() -> None:
    rows = [
        {"name": "server", "pid": 7, "state": "up", "round": None, "seen_s": None, "url": "http://h:1"},
        {"name": "0", "pid": 8, "state": "working", "round": 3, "seen_s": 0.0, "url": ""},
        {"name": "hospital", "pid": None, "state": "silent", "round": None, "seen_s": 91.2},
    ]
    lines = look.lines(seen(processes=rows, runs=[]))
    assert [line.split() for line in lines[1:]] == [
        ["name", "pid", "state", "round", "heard", "address"],
        ["server", "7", "up", "http://h:1"],
        ["0", "8", "working", "3", "now"],
        ["hospital", "silent", "91", "s", "ago"],
    ]


def test_what_the_server_knows_goes_with_what_the_machine_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(tmp_path, "http://h:1")
    for name, pid in (("server", 1), ("0", 2), ("1", 3)):
        fleet.started[name] = Started(name, Process(pid, "born"), "." if name == "server" else f"clients/{name}")
    health = {name: {"state": "working", "round": 4, "seen_s": 0.5} for name in ("client-0", "client-1", "elsewhere")}
    monkeypatch.setattr(look, "_asked", lambda fleet: ([], dict(health)))
    monkeypatch.setattr(Process, "alive", property(lambda process: process.pid != 3))
    rows = {row["name"]: (row["pid"], row["state"], row["round"]) for row in look.view(fleet)["processes"]}
    assert rows == {"server": (1, "up", None), "0": (2, "working", 4), "1": (3, "ended", None), "elsewhere": (None, "working", 4)}


def test_a_server_that_is_gone_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "http").mkdir()
    (tmp_path / "http" / "operator.token").write_text("x")
    assert look.view(Fleet(tmp_path, "http://127.0.0.1:9"))["runs"] == []
    assert look.view(Fleet(tmp_path))["processes"] == []
