"""Clients with data of their own, and a client's door while a run goes on: real processes on free ports."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from ciranda.cli import compose
from ciranda.cli.app import main
from ciranda.cli.fleet.processes import end
from ciranda.cli.fleet.state import Fleet
from ciranda.experiment.load import resolve
from ciranda.runtimes.http.link import Link

SHOP = """
[experiment]
name = "shop"
task = "csv"
[data]
csv = "sample.csv"
target = "buys"
[federation]
clients = 2
[rounds]
num-rounds = 2
"""


class Place:
    """A folder with a server in it, and clients of that server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []

    def ciranda(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "ciranda", "--lang=en", *arguments]
        process = subprocess.Popen(command, cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.processes.append(process)
        return process

    def server(self, *arguments: str) -> str:
        """Its address."""
        process = self.ciranda("server", *arguments, "--port=0", "--out=run", "--once")
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Listening on"), line + process.stdout.read()
        return line.split()[-1]

    def said(self, process: subprocess.Popen[str], status: int = 0) -> str:
        said, _ = process.communicate(timeout=60)
        assert process.returncode == status, said
        return said

    def client(self, url: str, name: str, *arguments: str) -> subprocess.Popen[str]:
        return self.ciranda("client", url, f"--name={name}", *arguments)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    for process in place.processes:
        process.kill()
        process.communicate()


def rows(seed: int, count: int) -> str:
    generator = np.random.default_rng(seed)
    ages, colours = generator.normal(size=count), generator.choice(["red", "blue"], count)
    lines = [f"{age:.3f},{colour},{'yes' if age > 0 else 'no'}" for age, colour in zip(ages, colours, strict=True)]
    return "\n".join(["age,colour,buys", *lines]) + "\n"


def test_clients_train_on_tables_that_stay_with_them(place: Place) -> None:
    (place.folder / "sample.csv").write_text(rows(0, 60))
    (place.folder / "e.toml").write_text(SHOP)
    url = place.server("e.toml", "--anybody", "--max-examples=500")
    for number in range(2):
        (place.folder / f"{number}.csv").write_text(rows(number + 1, 30 + number))
    (place.folder / "bad.csv").write_text("age,colour,buys\n1,red,maybe\n")
    assert "line 2, column 'buys': 'maybe' is none of the classes no, yes" in place.said(place.client(url, "bad", "--data=bad.csv"), 1)
    clients = [place.client(url, "open", "--data=0.csv", "--share-counts"), place.client(url, "shut", "--data=1.csv")]
    for client in clients:
        place.said(client)
    place.said(place.processes[0])
    result = json.loads((place.folder / "run" / "result.json").read_text())
    assert (result["state"], result["rounds"]) == ("finished", 2)
    (row, _) = [json.loads(line) for line in (place.folder / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {name for name, _ in row["accepted"]} == {"open", "shut"}

    # What the server was told of the data: their form, and counts where the client agreed; never a row.
    told = _members(place.folder / "run")
    assert sum(told["open"]["schema"]["counts"]) == told["open"]["examples"] == 30
    assert told["shut"]["examples"] is None
    assert set(told["shut"]["schema"]) == {"x", "y", "classes"}


def _members(run: Path) -> dict[str, dict[str, Any]]:
    from ciranda.store.sqlite import SqliteStore

    store = SqliteStore(run / "store")
    try:
        members = [json.loads(record) for _, record in store.claims("run", "member/")]
    finally:
        store.close()
    return {member["client"]: member for member in members}


def test_data_of_another_form_are_refused_by_name(place: Place) -> None:
    url = place.server("digits", "--anybody", "--set=federation.clients=1", "--set=rounds.num-rounds=1")
    np.savez(place.folder / "large.npz", x=np.zeros((3, 28, 28), np.uint8), y=np.zeros(3, int))
    np.savez(place.folder / "own.npz", x=np.ones((40, 8, 8), np.uint8), y=np.arange(40) % 10)
    assert "shape (3, 28, 28); the model wants" in place.said(place.client(url, "large", "--data=large.npz"), 1)
    assert "either with data of its own or with a partition" in place.said(place.client(url, "none"), 1)
    both = place.client(url, "both", "--data=own.npz", "--partition=0/1")
    assert "either with data of its own or with a partition" in place.said(both, 1)
    assert "without TLS" in place.said(place.client(url, "wide", "--data=own.npz", "--serve=0", "--serve-host=0.0.0.0"), 1)
    place.said(place.client(url, "own", "--data=own.npz", "--share-counts"))
    assert json.loads((place.folder / "run" / "result.json").read_text())["state"] == "finished"


def test_training_on_demand_does_not_disturb_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions and trainings at the door while rounds go on: the model of the run has the same bits."""
    monkeypatch.chdir(tmp_path)
    sets = ["federation.clients=2", "rounds.num-rounds=30", "federation.test-fraction=0.2"]
    options = [f"--set={one}" for one in sets]
    try:
        assert main(["up", "digits", *options, "--serve", "--out=run"]) == 0
        fleet = Fleet.read(tmp_path / "run")
        home = tmp_path / "run" / "clients" / "0"
        while not (home / "address").is_file():
            assert len(fleet.alive()) == 3
        door = Link((home / "address").read_text().strip())
        door.credential = (home / "door.token").read_text().strip()
        run = fleet.server()
        assert run is not None
        learned: list[dict[str, Any]] = []
        status = "waiting"
        while status in ("waiting", "pending", "running") and len(learned) < 20:
            status = run.ask("GET", "/v1/runs/digits").json()["status"]
            if status == "running":
                learned.append(door.post("/train", {"epochs": 1}).json())
                assert door.ask("POST", "/predict?model=personal", json.dumps({"x": [[0] * 64]}).encode()).status == 200
            else:
                Event().wait(0.05)  # who asks without a pause is turned away
        assert main(["up", "--out=run", "--wait"]) == 0  # everything is up: it follows the run to its end
        door.close()
        run.close()
    finally:
        end([one.process for one in Fleet.read(tmp_path / "run").started.values()], 5.0)
    assert learned
    assert len({one["model_sha256"] for one in learned}) == len(learned)  # each from a newer model or in another order
    assert learned[0]["told"]["examples"] > 500
    assert {"before", "after", "train"} <= set(learned[0]["told"])
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    local = compose.run(resolve("digits", sets), tmp_path / "local", workers=1)
    assert result["model_sha256"] == local.model_sha256
