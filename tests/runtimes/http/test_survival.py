"""`kill -9` of the server at every persisted step and of clients at any moment: the same model, and what was stored counts once."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

import pytest

from ciranda.cli.result import read_result
from ciranda.protocol.messages import Acknowledge
from ciranda.protocol.participant import Event, Send
from ciranda.runtimes.http.client import HttpClient
from ciranda.runtimes.http.disk import Disk
from ciranda.runtimes.http.link import Link
from ciranda.testing.toys import MeanTask
from ciranda.testing.wires import population_of
from tests.conftest import ROOT
from tests.runtimes.http.harness import House, Toy, ToyTrainer
from tests.runtimes.http.serve_toy import CLIENTS

ROUNDS = 2


class Noting(HttpClient):
    """A client that notes what it was told to be stored: (phase, name, digest)."""

    acknowledged: set[tuple[str, str, str]]

    def _send(self, command: Send) -> Event | None:
        event = super()._send(command)
        if isinstance(event, Acknowledge):
            self.acknowledged.add((event.phase, event.name, event.digest))
        return event


def _given(trainer: ToyTrainer, experiment: str) -> ToyTrainer:
    return trainer


class Crowd:
    """The toy's clients, in threads of this process, against whatever listens on the port."""

    def __init__(self, folder: Path, port: int) -> None:
        self.acknowledged: set[tuple[str, str, str]] = set()
        self.trainers: list[ToyTrainer] = []
        self.threads: list[Thread] = []
        task = MeanTask(CLIENTS)
        population = population_of(task, CLIENTS)
        for rank in range(CLIENTS):
            trainer = ToyTrainer(task, population, rank)
            disk = Disk(folder / str(rank))
            connect, prepare = partial(Link, f"http://127.0.0.1:{port}"), partial(_given, trainer)
            client = Noting(connect, disk, prepare, name=f"client-{rank}", most_backoff=0.1)
            client.acknowledged = self.acknowledged
            self.trainers.append(trainer)
            self.threads.append(Thread(target=self._work, args=(client, disk), daemon=True))
            self.threads[-1].start()

    def _work(self, client: HttpClient, disk: Disk) -> None:
        try:
            client.work("toy")
        finally:
            disk.close()

    def leave(self) -> None:
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive(), "a client did not hear that the run is over"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def server(folder: Path, port: int, call: int = 0, when: str = "before") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.runtimes.http.serve_toy", str(folder), str(port), str(ROUNDS), str(call), when]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def served(folder: Path, *faults: tuple[int, str]) -> tuple[dict[str, Any], Crowd]:
    """The end of a run whose server was killed at each of `faults`, one after the other, and started again."""
    port = free_port()
    crowd: Crowd | None = None
    for call, when in [*faults, (0, "before")]:
        process = server(folder / "server", port, call, when)
        assert process.stdin is not None
        assert process.stdout is not None
        crowd = crowd or Crowd(folder / "clients", port)
        with process.stdin, process.stdout:
            line = process.stdout.readline()
            if not call:
                crowd.leave()
        assert (process.wait(20) != 0) is bool(call), f"write {call} was never reached"
    assert crowd is not None
    end: dict[str, Any] = json.loads(line)
    return end, crowd


def check_record(end: dict[str, Any], crowd: Crowd) -> None:
    """S2: nobody is in a round twice. S3: what a client was told to be stored is in the record. And nobody trained twice."""
    assert end["status"] == "finished"
    for row in end["rows"]:
        for group in ("accepted", "evaluated"):
            names = [name for name, _ in row[group]]
            assert len(names) == len(set(names))
        stored = {(name, digest) for phase, name, digest in crowd.acknowledged if phase.startswith(f"{row['round']}.")}
        assert stored <= {tuple(pair) for pair in (*row["accepted"], *row["evaluated"])}
        assert row["refusals"] == {}
    for trainer in crowd.trainers:
        assert trainer.trained == list(range(1, ROUNDS + 1))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    end, crowd = served(tmp_path_factory.mktemp("unbroken"))
    check_record(end, crowd)
    return end


def comparable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in ("seconds", "bytes_up", "bytes_down")} for row in rows]


def test_an_unbroken_run_over_processes(unbroken: dict[str, Any], tmp_path: Path) -> None:
    with House(Toy(tmp_path, clients=CLIENTS, rounds=ROUNDS, where="both")) as house:
        run = house.begin()
        house.everybody()
        assert run.over.wait(30)
        assert run.host is not None
        assert run.host.state.model == unbroken["model"]


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_server_killed_at_every_persisted_step_ends_in_the_same_model(unbroken: dict[str, Any], tmp_path: Path, when: str) -> None:
    # How many replies come together varies, and with it the number of steps: as many as in the unbroken run, less what batching may save.
    steps = len(unbroken["writes"])
    reached = 0
    for call in range(1, steps + 1):
        try:
            end, crowd = served(tmp_path / str(call), (call, when))
        except AssertionError as error:
            if "never reached" not in str(error):
                raise
            continue
        reached += 1
        check_record(end, crowd)
        assert end["model"] == unbroken["model"], f"killed {when} write {call}"
        for row, whole in zip(comparable(end["rows"]), comparable(unbroken["rows"]), strict=True):
            assert {key: value for key, value in row.items() if value != whole[key]} == {}, f"killed {when} write {call}"
    assert reached >= 4 * ROUNDS


@pytest.mark.slow
def test_a_server_killed_again_and_again_ends_in_the_same_model(unbroken: dict[str, Any], tmp_path: Path) -> None:
    end, crowd = served(tmp_path, (3, "after"), (2, "before"), (4, "after"), (1, "after"), (3, "before"))
    check_record(end, crowd)
    assert end["model"] == unbroken["model"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(Toy(tmp_path, clients=CLIENTS, rounds=ROUNDS, where="both")) as house:
        yield house


def test_a_client_that_comes_back_goes_on_where_it_was(house: House, unbroken: dict[str, Any]) -> None:
    run = house.begin()
    house.everybody([0, 1])
    first = house.client(2)
    while len(run.rows) < 1:
        run.over.wait(0.01)
    house.send_away(2)
    second = house.client(2)
    assert run.over.wait(30)
    assert run.status == "finished"
    assert run.host is not None
    assert run.host.state.model == unbroken["model"]
    assert sorted([*first.trained, *second.trained]) == [1, 2]


SETTINGS = ("federation.clients=4", "rounds.num-rounds=260", "client.local-epochs=3")
MOMENTS, APART = 20, 11  # a kill comes no later than so many rounds after the last, so that all come before the end


def ciranda(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "ciranda", *map(str, arguments)], stdout=subprocess.DEVNULL, **options)


@pytest.mark.slow
def test_a_server_killed_at_random_moments_ends_in_the_model_of_the_local_runtime(tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4))
    print(f"moments drawn with seed {seed}")
    moments = random.Random(seed)
    settings = [f"--set={each}" for each in SETTINGS]
    assert ciranda("run", "digits", "--out", tmp_path / "local", *settings).wait(300) == 0
    port = free_port()
    out = tmp_path / "served"
    serve = ("server", "digits", "--port", port, "--out", out, "--anybody", "--once", *settings)
    url = f"http://127.0.0.1:{port}"
    clients = [
        ciranda("client", url, f"--partition={number}/4", f"--state={tmp_path / str(number)}", "--most-backoff=0.3", "--tied", stdin=-1)
        for number in range(4)
    ]
    process = ciranda(*serve)
    try:
        for number in range(MOMENTS):
            until_rounds_go_on(out, process)
            moment = moments.uniform(0, 0.3)
            until = monotonic() + moment
            while monotonic() < until and len(rounds_of(out)) < APART * (number + 1):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(min(0.01, moment))
            assert process.poll() is None, "the run ended before the last kill"
            process.kill()
            process.wait()
            print(f"kill {number + 1}: {moment:.3f} s after a round, at round {len(rounds_of(out))}")
            process = ciranda(*serve)
        assert process.wait(300) == 0
        assert [client.wait(60) for client in clients] == [0] * 4
    finally:
        for each in (process, *clients):
            each.kill()
            each.wait()
            if each.stdin is not None:
                each.stdin.close()
    local, served = (read_result(folder / "result.json") for folder in (tmp_path / "local", out))
    assert served.model_sha256 == local.model_sha256, f"seed {seed}"
    assert (served.state, served.reproducible, served.reasons) == ("finished", True, [])
    assert [row["model"] for row in rounds_of(out)] == [row["model"] for row in rounds_of(tmp_path / "local")]
    for row in rounds_of(out):
        assert len({name for name, _ in row["accepted"]}) == len(row["accepted"]) == 2


def rounds_of(out: Path) -> list[dict[str, Any]]:
    """The rounds in metrics.jsonl, the last line left out while it is being written."""
    try:
        text = (out / "metrics.jsonl").read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def until_rounds_go_on(out: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait for the server that was just started to record a round, or to end."""
    before = len(rounds_of(out))
    while len(rounds_of(out)) <= before:
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        return


@pytest.mark.slow
def test_a_round_whose_clients_were_killed_closes_at_its_deadline_and_replays_to_the_same_bits(tmp_path: Path) -> None:
    """Three of ten, killed while they train: the round says who was missing, the result that and why it cannot be repeated by its seed."""
    port = free_port()
    out = tmp_path / "served"
    settings = (
        "federation.clients=10",
        "rounds.num-rounds=2",
        "rounds.fraction-train=1.0",
        "rounds.deadline-s=15",
        "client.local-epochs=1500",
    )
    url = f"http://127.0.0.1:{port}"
    states = [tmp_path / str(number) for number in range(10)]
    options = ("--most-backoff=0.3", "--log-level=info", "--tied")
    clients = [
        ciranda("client", url, f"--partition={number}/10", f"--state={state}", *options, stdin=-1) for number, state in enumerate(states)
    ]
    process = ciranda("server", "digits", "--port", port, "--out", out, "--anybody", "--once", *(f"--set={each}" for each in settings))
    try:
        for client, state in zip(clients[:3], states[:3], strict=True):
            until_it_trains(state / "log.jsonl", 2, process)
            client.kill()
        assert process.wait(120) == 0
    finally:
        for each in (process, *clients):
            each.kill()
            each.wait()
            if each.stdin is not None:
                each.stdin.close()
    rows, result = rounds_of(out), read_result(out / "result.json")
    assert [(len(row["accepted"]), row["failed"]) for row in rows] == [(10, {}), (7, dict.fromkeys("012", "no-answer"))]
    for state in states[:3]:
        last = [line for line in logged(state / "log.jsonl") if "batch" in line][-1]
        assert last["round"] == 2
        assert f"batch {last['batch']} of" in last["message"]
    assert (result.state, result.reproducible) == ("finished", False)
    assert "not every selected client was counted in round" in str(result.reasons)
    assert ciranda("replay", out, "--out", tmp_path / "again").wait(120) == 0
    assert read_result(tmp_path / "again" / "result.json").model_sha256 == result.model_sha256


def logged(file: Path) -> list[dict[str, Any]]:
    """The lines of a log, the last one left out while it is being written."""
    text = file.read_text() if file.is_file() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def until_it_trains(log: Path, round: int, server: subprocess.Popen[bytes]) -> None:
    """Wait for the first batches of this round to be logged."""
    while not any(line.get("round") == round and "batch" in line for line in logged(log)):
        with suppress(subprocess.TimeoutExpired):
            server.wait(0.02)
            raise AssertionError("the server ended before the client trained")
