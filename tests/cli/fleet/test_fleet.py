"""A server and its clients, brought up and ended by commands: real processes on free ports."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ciranda.cli import compose
from ciranda.cli.app import main
from ciranda.cli.fleet.processes import born, end
from ciranda.cli.fleet.state import Fleet, one_fleet
from ciranda.core.errors import ExperimentError, Missing, StoreError
from ciranda.experiment.load import resolve

SHORT = ["--set", "rounds.num-rounds=2", "--set", "client.local-epochs=1"]
LONG = ["--set", "rounds.num-rounds=100000"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CIRANDA_LANG", "en")
    yield tmp_path
    for file in tmp_path.glob("**/processes.json"):
        end([one.process for one in Fleet.read(file.parent).started.values()], 0.0)


def listens(url: str) -> bool:
    host, _, port = url.removeprefix("http://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True


def ps(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert main(["ps", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_up_ends_in_the_same_model_as_local_and_down_leaves_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "digits", "-n", "3", "--on", "http", *SHORT, "--wait"]) == 0
    out = folder / "runs" / "digits-001"
    local = compose.run(resolve("digits", ["federation.clients=3", *SHORT[1::2]]), folder / "local", workers=1)
    result = json.loads((out / "result.json").read_text())
    assert result["model_sha256"] == local.model_sha256
    assert result["state"] == "finished"
    assert local.model_sha256 in capsys.readouterr().out

    fleet = Fleet.read(out)
    pids = [one.process.pid for one in fleet.started.values()]
    assert len(pids) == 4
    assert listens(fleet.url)
    assert main(["down"]) == 0
    assert "0 of them killed" in capsys.readouterr().err
    assert not listens(fleet.url)
    assert [born(pid) for pid in pids] == [""] * 4
    assert not (out / "processes.json").exists()

    # The logs stay: a line each ten batches, with its round, client, batch and loss.
    assert main(["logs", "1", "--run", "digits-001"]) == 0
    assert "[1] round 1: batch 10 of" in capsys.readouterr().out
    records = [json.loads(line) for line in (out / "clients" / "1" / "log.jsonl").read_text().splitlines()]
    batches = [(one["client"], one["round"], one["batch"]) for one in records if "batch" in one]
    assert ("1", 1, 10) in batches
    assert all(one["loss"] > 0 for one in records if "batch" in one)


def test_ps_stop_and_down_while_it_goes_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "digits", "-n", "2", *LONG, "--serve"]) == 0
    fleet = one_fleet(None)
    seen = ps(capsys)[0]
    while not all(row["url"] for row in seen["processes"]):
        assert len(fleet.alive()) == 3, (fleet.path / "clients/0/output.log").read_text()
        seen = ps(capsys)[0]
    assert [row["name"] for row in seen["processes"]] == ["server", "0", "1"]
    while not (seen := ps(capsys)[0])["runs"] or seen["runs"][0]["round"] < 2:  # none while the server is too busy to answer
        assert fleet.started["server"].process.alive
    assert seen["runs"][0]["status"] == "running"
    assert {row["state"] for row in seen["processes"][1:]} <= {"waiting", "working"}
    assert main(["ps", "digits-001"]) == 0
    shown = capsys.readouterr().out
    assert "digits: running, round" in shown
    assert fleet.url in shown

    assert main(["stop"]) == 0
    assert "aborted" in capsys.readouterr().err
    assert json.loads((fleet.path / "result.json").read_text())["stop_reason"] == "stop-asked:operator"
    assert all(one.process.alive for one in fleet.started.values())  # with --serve, clients answer on
    doors = [(fleet.path / "clients" / name / "address").read_text().strip() for name in "01"]
    assert all(map(listens, doors))
    assert main(["down", "digits-001"]) == 0
    assert not any(map(listens, doors))
    assert not fleet.alive()


def test_up_again_brings_back_what_was_killed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "digits", "-n", "2", *LONG, "--out", "here"]) == 0
    before = Fleet.read(folder / "here")
    os.kill(before.started["1"].process.pid, 9)
    os.kill(before.started["server"].process.pid, 9)
    while len(before.alive()) > 1:
        pass
    assert {row["name"]: row["state"] for row in ps(capsys, "here")[0]["processes"]} == {"server": "ended", "0": "up", "1": "ended"}
    assert main(["up", "--out", "here"]) == 0
    after = Fleet.read(folder / "here")
    assert after.url == before.url  # or the client that lives would not find it
    assert after.started["0"] == before.started["0"]
    assert len(after.alive()) == 3
    round = 0
    while round < 2:
        views = ps(capsys, "here")[0]["runs"]
        round = views[0]["round"] if views and views[0]["status"] == "running" else 0
        assert len(after.alive()) == 3
    assert main(["down", "here"]) == 0
    assert not after.alive()


def test_a_server_that_cannot_listen_is_told_of_and_nothing_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["up", "digits", "-n", "2", "--port", str(taken.getsockname()[1])]) == 1
    said = capsys.readouterr().err
    assert "did not come up" in said
    assert "Cannot listen on" in said
    assert not list(folder.glob("**/processes.json"))


def test_a_wrong_experiment_is_refused_before_anything_is_started(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "digits", "--set", "rounds.num-rounds=0"]) == 1
    assert "num-rounds" in capsys.readouterr().err
    assert main(["up", "digits", "--on", "local"]) == 1
    assert "ciranda run" in capsys.readouterr().err
    assert not (folder / "runs").exists()


def test_which_fleet_is_meant(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Missing, match="Nothing is up"):
        one_fleet(None)
    for name in ("a", "b"):
        (folder / "runs" / name).mkdir(parents=True)
        (folder / "runs" / name / "experiment.toml").touch()
        (folder / "runs" / name / "processes.json").write_text('{"processes": []}')
    with pytest.raises(ExperimentError, match=r"Several runs are up: [ab], [ab]"):
        one_fleet(None)
    assert one_fleet("b").path == Path("runs/b")
    assert main(["down", "--all"]) == 0
    assert "a: 0 processes ended" in capsys.readouterr().err
    with pytest.raises(Missing, match="Nothing is up"):
        one_fleet(None)
    assert main(["ps"]) == 1
    assert main(["stop", "a"]) == 1
    assert "No server is up" in capsys.readouterr().err


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "processes.json").write_text('{"processes": [{"name": "x"}]}')
    with pytest.raises(StoreError, match=r"processes\.json is damaged"):
        Fleet.read(tmp_path)
