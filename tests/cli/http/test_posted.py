"""Runs that are posted to a server: several at once, each its own folder, clients and end; and what a post may not do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from ciranda.cli.http.posted import Posted
from ciranda.cli.result import read_result
from ciranda.core.errors import ExperimentError
from ciranda.experiment.load import dump, resolve
from ciranda.runtimes.http.answers import ApiError
from tests.runtimes.http.test_survival import free_port

SHORT = ("federation.clients=2", "rounds.num-rounds=3", "client.local-epochs=1")
LONG = ("federation.clients=2", "rounds.num-rounds=5000", "client.local-epochs=1")


def text(*settings: str) -> str:
    return dump(resolve("digits", settings))


def body(experiment: str, run: str | None = None) -> dict[str, Any]:
    return {"experiment": experiment, "run": run, "min_clients": None, "max_clients": None, "wait_s": None}


@pytest.fixture
def posted(tmp_path: Path) -> Iterator[Posted]:
    with ExitStack() as stack:
        yield Posted(tmp_path, [], None, stack, ["own"])


def test_a_posted_run_is_on_the_disk_before_it_is_answered(posted: Posted, tmp_path: Path) -> None:
    told = {**body(text(*SHORT), "mine"), "min_clients": 1, "wait_s": 7.5}
    assert (posted.draft(told).minimum, (tmp_path / "runs/mine/experiment.toml").read_text()) == (1, text(*SHORT))
    (again,) = posted.stored()
    assert (again.name, again.minimum, again.maximum, again.wait_s) == ("mine", 1, 2, 7.5)


def test_a_name_is_given_once_and_by_default_the_experiments(posted: Posted) -> None:
    assert posted.draft(body(text(*SHORT))).name == "digits"
    for name in ("digits", "own"):
        with pytest.raises(ApiError, match=f"There is a run '{name}' already") as caught:
            posted.draft(body(text(*SHORT), name))
        assert caught.value.status == 409


@pytest.mark.parametrize("key", ["experiment.task", "strategy.name", "stage.name", "rounds.selection"])
def test_code_that_nobody_allowed_is_refused_unread_and_leaves_nothing(posted: Posted, tmp_path: Path, key: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text("raise SystemExit('it ran')\n")
    section, _, name = key.partition(".")
    own = "" if section == "experiment" else '[experiment]\ntask = "digits-softmax"\n'
    with pytest.raises(ExperimentError, match="names a file of this machine") as caught:
        posted.draft(body(f'{own}[{section}]\n{name} = "{file}:Mine"\n'))
    assert f"--allow {file}" in caught.value.hint
    assert not (tmp_path / "runs").exists()


def test_a_table_may_be_named_only_if_the_server_was_told(posted: Posted, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("a,b,y\n" + "".join(f"{n},{n * n % 7},{n % 2}\n" for n in range(60)))
    experiment = dump(resolve(str(table), ["federation.clients=2"], target="y"))
    with pytest.raises(ExperimentError, match=r"data\.csv"):
        posted.draft(body(experiment))
    with ExitStack() as stack:
        assert Posted(tmp_path, [table], None, stack, []).draft(body(experiment, "table")).partitions == 2


def test_an_experiment_that_is_none_is_refused(posted: Posted, tmp_path: Path) -> None:
    for nonsense in ("[", "[rounds]\nnum-rounds = 0\n", '[experiment]\ntask = "nothing"\n'):
        with pytest.raises(ExperimentError):
            posted.draft(body(nonsense))
    assert not (tmp_path / "runs").exists()


def test_only_runs_that_are_not_over_are_taken_up(posted: Posted, tmp_path: Path) -> None:
    over, gone = (posted.draft(body(text(*SHORT), name)) for name in ("over", "gone"))
    posted.draft(body(text(*SHORT), "damaged"))
    posted.draft(body(text(*SHORT), "waits"))
    over.finish(None, None, None, lambda event: None)
    gone.forget()
    (tmp_path / "runs/damaged/experiment.toml").write_text("[")
    assert [run.name for run in posted.stored()] == ["waits"]
    assert (tmp_path / "deleted/gone-001/experiment.toml").is_file()
    over.open_store().close()
    assert [run.name for run in posted.stored()] == ["over", "waits"]
    assert posted.draft(body(text(*SHORT), "gone")).name == "gone"


Told = tuple[str, str, Mapping[str, Any]]


class Fleet:
    """A server without an experiment of its own, clients as processes, and an operator."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.out = folder / "server"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.streams: list[Generator[Told, None, None]] = []
        self.lines: list[httpx.Client] = []
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = self.serve()

    def start(self, *arguments: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ciranda", *map(str, arguments)]
        self.processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        return self.processes[-1]

    def serve(self) -> subprocess.Popen[bytes]:
        process = self.start("server", "--out", self.out, "--port", self.port, "--anybody")
        assert process.stdout is not None
        assert process.stderr is not None
        while b"Listening" not in (line := process.stderr.readline()):
            assert line, "the server did not come up"
        operator = (self.out / "http/operator.token").read_text().strip()
        self.http = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {operator}"}, timeout=60)
        self.lines.append(self.http)
        while self.http.get("/readyz").status_code == 503:
            assert process.poll() is None
        return process

    def kill(self) -> None:
        self.server.kill()
        self.server.wait()

    def clients(self, run: str) -> list[subprocess.Popen[bytes]]:
        state = self.folder / "clients" / run
        own = ("--most-backoff=0.2", "--tied", "--run", run)
        return [
            self.start("client", self.url, f"--partition={n}/2", f"--name={run}-{n}", f"--state={state / str(n)}", *own) for n in range(2)
        ]

    def post(self, experiment: str, run: str) -> httpx.Response:
        return self.http.post("/v1/runs", json={"experiment": experiment, "run": run})

    def events(self, run: str, **asked: Any) -> Generator[Told, None, None]:
        """(id, kind, data) of each event."""
        self.streams.append(self._events(run, asked))
        return self.streams[-1]

    def _events(self, run: str, asked: Mapping[str, Any]) -> Generator[Told, None, None]:
        with self.http.stream("GET", f"/v1/runs/{run}/events", **asked) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            told: dict[str, str] = {}
            for line in stream.iter_lines():
                if line:
                    key, _, value = line.partition(": ")
                    told[key] = value
                elif "event" in told:
                    yield told.get("id", ""), told["event"], json.loads(told["data"])
                    told = {}

    def until_round(self, run: str, number: int) -> None:
        next(data for _, kind, data in self.events(run) if kind == "round" and data["round"] >= number)

    def end(self) -> None:
        for stream in self.streams:
            stream.close()
        for line in self.lines:
            line.close()
        for process in self.processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path)
    try:
        yield fleet
    finally:
        fleet.end()


@pytest.mark.slow
def test_two_runs_at_once_survive_the_server_and_end_in_the_models_of_the_local_runtime(fleet: Fleet, tmp_path: Path) -> None:
    experiments = {
        "one": text("federation.clients=2", "rounds.num-rounds=60"),
        "two": text("federation.clients=2", "rounds.num-rounds=50", "experiment.seed=9", "strategy.name=fedadam"),
    }
    for run, experiment in experiments.items():
        assert fleet.post(experiment, run).status_code == 201
        assert fleet.post(experiment, run).status_code == 409
    clients = [process for run in experiments for process in fleet.clients(run)]
    for run in experiments:
        fleet.until_round(run, 3)
    fleet.kill()
    fleet.server = fleet.serve()
    assert {run["run"] for run in fleet.http.get("/v1/runs").json()["runs"]} == set(experiments)
    for run in experiments:
        *_, (_, kind, end) = fleet.events(run)
        assert (kind, end.get("state") or end["status"]) == ("finish", "finished")
    assert [client.wait(60) for client in clients] == [0] * 4
    for run, experiment in experiments.items():
        (tmp_path / f"{run}.toml").write_text(experiment)
        assert fleet.start("run", tmp_path / f"{run}.toml", "--out", tmp_path / run, "--quiet").wait(200) == 0
        here, there = read_result(tmp_path / run / "result.json"), read_result(fleet.out / "runs" / run / "result.json")
        assert (there.model_sha256, there.reproducible, there.rounds) == (here.model_sha256, True, here.rounds)
        shown = fleet.http.get(f"/v1/runs/{run}/room").json()["clients"]
        assert [client["client"] for client in shown] == [f"{run}-0", f"{run}-1"]


@pytest.mark.slow
def test_a_run_is_paused_resumed_watched_stopped_and_deleted_while_another_goes_on(fleet: Fleet) -> None:
    assert fleet.post(text(*LONG), "long").status_code == 201
    assert fleet.post(text(*SHORT), "waiting").json()["status"] == "waiting"
    fleet.clients("long")
    fleet.until_round("long", 2)
    do = fleet.http.post
    assert (do("/v1/runs/long/pause").status_code, do("/v1/runs/waiting/pause").status_code) == (202, 409)
    while (view := fleet.http.get("/v1/runs/long").json())["status"] != "paused":
        assert view["status"] == "running"
    rows = view["round"]
    events = fleet.events("long", params={"after": rows - 1})
    number, kind, data = next(events)
    assert (number, kind, data["round"]) == (str(rows), "round", rows)
    assert fleet.http.get("/v1/runs/long").json()["round"] == rows, "a paused run goes on"
    assert do("/v1/runs/long/resume").status_code == 202
    # What comes next was not there when the stream began; somebody cut off begins after the last id, whatever the address says.
    assert next(int(number) for number, kind, _ in events if kind == "round") == rows + 1
    headers = {"Last-Event-ID": str(rows)}
    assert next(iter(fleet.events("long", headers=headers)))[0] == str(rows + 1)
    assert fleet.http.delete("/v1/runs/long").status_code == 409
    assert do("/v1/runs/long/stop").status_code == 202
    *_, (_, kind, end) = fleet.events("long", params={"after": rows})
    assert (kind, end.get("state") or end["status"]) == ("finish", "aborted")
    assert read_result(fleet.out / "runs/long/result.json").state == "aborted"
    assert do("/v1/runs/long/stop").status_code == 409
    assert fleet.http.delete("/v1/runs/long").status_code == 204
    assert fleet.http.get("/v1/runs/long").status_code == 404
    assert (fleet.out / "deleted/long-001/result.json").is_file()
    assert fleet.http.get("/v1/runs/waiting").json()["status"] == "waiting"
    assert do("/v1/runs/waiting/stop").status_code == 202
    *_, (_, kind, _) = fleet.events("waiting")
    assert kind == "finish"
    fleet.kill()
    fleet.server = fleet.serve()
    assert fleet.http.get("/v1/runs").json() == {"runs": []}
