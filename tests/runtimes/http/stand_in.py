"""A server that is played by the test: clients talk to it through links that can fail in any way, and nothing leaves the process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Event, Lock, Thread
from typing import Any

import numpy as np

from ciranda.core.codec import encode
from ciranda.core.errors import CirandaError
from ciranda.core.metrics import Sums
from ciranda.core.params import model_sha256
from ciranda.core.stages import States
from ciranda.core.task import Arrays
from ciranda.core.update import Update
from ciranda.protocol.envelope import Envelope
from ciranda.runtimes.http.client import HttpClient, Limits, Told, Trainer
from ciranda.runtimes.http.disk import Disk
from ciranda.runtimes.http.link import Answer, Body, Cut, Link, Rejected

PATIENCE_S = 20.0
Reply = tuple[str, str, bytes]
"""(phase, digest, body)"""


def model(value: float) -> dict[str, Any]:
    return {"w": np.full(4, value, np.float32)}


class StandIn:
    """What the server would answer. `faults`: (part of "METHOD path", what is raised in place of an answer), each used once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.faults: list[tuple[str, CirandaError]] = []
        self.runs: list[dict[str, str]] = [{"run": "toy", "status": "running", "reason": ""}]
        self.status = "running"
        self.models: dict[str, bytes] = {}
        self.broadcast = encode({"c": np.arange(3.0)})
        self.cuts: list[int] = []
        self.verdict = "stored"
        self.records: dict[int, str] = {}
        self.posted: dict[str, list[Any]] = {}
        self.replies: Queue[Reply] = Queue()
        self.failures: Queue[tuple[str, str]] = Queue()
        self._faulted: Queue[str] = Queue()
        self._news: Queue[list[dict[str, Any]] | None] = Queue()
        self._lock = Lock()
        self._told = 0

    # --- what the test says

    def offer(self, value: float) -> str:
        """Publish a model; returns its digest."""
        arrays = model(value)
        digest = model_sha256(arrays)
        self.models[digest] = encode(arrays)
        return digest

    def tell(self, kind: str, /, **event: Any) -> None:
        """News for the client; of another run with `run`."""
        self._news.put([{"run": "toy", "type": kind, **event}])

    def instruct(self, round: int, digest: str, *, kind: str = "train", attempt: int = 1, broadcast: bool = False) -> str:
        """Ask for the work of a phase; returns its id."""
        phase = f"{round}.{attempt}.0.{kind}"
        limits = {"max_weight": 9, "cohort": 2, "population": 3, "broadcast": broadcast}
        self.tell("instruct", phase=phase, kind=kind, round=round, model=digest, **limits)
        return phase

    def record(self, round: int, accepted: str) -> None:
        self.records[round] = accepted
        self.tell("record", round=round, accepted=accepted)

    def finish(self, state: str = "finished") -> None:
        self.tell("finish", state=state, reason="done")

    def keep_silent(self) -> None:
        """Tell nothing of what was to be told."""
        while not self._news.empty():
            self._news.get()

    def reply(self) -> Reply:
        """The next reply that comes."""
        return self.replies.get(timeout=PATIENCE_S)

    def failure(self) -> tuple[str, str]:
        """The next (phase, reason) that a client gives in place of a reply."""
        return self.failures.get(timeout=PATIENCE_S)

    def fault(self) -> str:
        """Wait until the next fault has happened; returns the request's line."""
        return self._faulted.get(timeout=PATIENCE_S)

    # --- what the client hears

    def connect(self) -> Link:
        return _Line(self)

    def hang_up(self) -> None:
        self._news.put(None)

    def answer(self, method: str, path: str, body: bytes, headers: Mapping[str, str], into: bytearray | None) -> Answer:
        if path.startswith("/v1/next"):
            self._note(method, path)
            return self._following()
        with self._lock:
            self._note(method, path)
            return self._answer(method, path, body, headers, into)

    def _note(self, method: str, path: str) -> None:
        line = f"{method} {path}"
        self.asked.append(line)
        for number, (part, error) in enumerate(self.faults):
            if part in line:
                del self.faults[number]
                self._faulted.put(line)
                raise error

    def _following(self) -> Answer:
        events = self._news.get(timeout=60)
        if events is None:
            raise Cut("This end hung up.")
        self._told += len(events)
        return _json(200, {"cursor": f"c.{self._told}", "events": events})

    def _answer(self, method: str, path: str, body: bytes, headers: Mapping[str, str], into: bytearray | None) -> Answer:
        parts = path.strip("/").split("/")[1:]
        match (method, *parts):
            case ("POST", "enrol"):
                told = json.loads(body)
                self.posted.setdefault("enrol", []).append(told)
                return _json(201, {"name": told["name"], "credential": "secret"})
            case ("GET", "runs"):
                return _json(200, {"runs": self.runs})
            case ("GET", "runs", _, "experiment"):
                return _json(200, {"experiment": "[experiment]", "data": {}})
            case ("POST", "runs", run, "join"):
                self.posted.setdefault("join", []).append(json.loads(body))
                return _json(200, {"run": run, "name": "7", "seed": 5, "status": self.status})
            case ("GET", "runs", _, "models", digest, *beside):
                if digest not in self.models:
                    raise Rejected(404, "no-such-model", "It is not offered.")
                return self._download(self.broadcast if beside else self.models[digest], headers, into)
            case ("PUT", "runs", _, "replies", phase):
                size = int.from_bytes(body[:4], "little")
                self.replies.put((phase, Envelope.from_json(body[4 : 4 + size]).body, body[4 + size :]))
                return _json(200, {"status": self.verdict})
            case ("POST", "runs", _, "failures", phase):
                self.failures.put((phase, json.loads(body)["reason"]))
                return Answer(204, {}, b"")
            case ("GET", "runs", _, "records", round):
                if int(round) not in self.records:
                    raise Rejected(404, "not-recorded", "It is not recorded.")
                return _json(200, {"round": int(round), "model": "", "accepted": self.records[int(round)]})
        raise AssertionError(f"nobody expected {method} {path}")

    def _download(self, data: bytes, headers: Mapping[str, str], into: bytearray | None) -> Answer:
        assert into is not None
        begin = int(headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        assert begin == len(into), "a download goes on where it was cut"
        end = begin + self.cuts.pop(0) if self.cuts else len(data)
        into += data[begin:end]
        if end < len(data):
            raise Cut("The line is cut.")
        return Answer(206 if begin else 200, {}, b"")


class _Line(Link):
    """A link that ends in this process."""

    def __init__(self, server: StandIn) -> None:
        super().__init__("http://127.0.0.1:1")
        self._server = server

    def ask(
        self,
        method: str,
        path: str,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float | None = None,
        into: bytearray | None = None,
    ) -> Answer:
        if "enrol" not in path:
            assert self.credential == "secret"
        return self._server.answer(method, path, bytes(body or b""), headers or {}, into)  # type: ignore[arg-type]

    def cut(self) -> None:
        self._server.hang_up()


def _json(status: int, value: Any) -> Answer:
    return Answer(status, {}, json.dumps(value).encode())


class Learner(Trainer):
    """A trainer whose work can be looked at, spoilt and held up. Its state counts the rounds that it learned from."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []
        self.trained: list[int] = []
        self.limits: Limits | None = None
        self.broadcast: Arrays = {}
        self.evaluated: list[tuple[str, float, float]] = []
        self.problem: Callable[[], Exception] | None = None
        self.busy, self.go_on = Event(), Event()
        self.go_on.set()

    def told(self) -> Mapping[str, Any]:
        return {"partition": [7, 9], "probe": "probe"}

    def begin(self, name: str, seed: int) -> None:
        self.begun.append((name, seed))

    def train(self, round: int, model: Arrays, broadcast: Arrays, limits: Limits, states: States) -> tuple[Update, States]:
        self.trained.append(round)
        self.limits, self.broadcast = limits, broadcast
        self.busy.set()
        assert self.go_on.wait(PATIENCE_S)
        if self.problem is not None:
            raise self.problem()
        count = learned(states) + 1
        # Another training of the same round would give other bytes.
        update = Update({"model": {"w": model["w"] + np.float32(len(self.trained))}}, 2, {"n": 2})
        return update, {"strategy": {"count": np.asarray(count)}}

    def evaluate(self, kind: str, model: Arrays, states: States) -> Sums:
        self.evaluated.append((kind, float(model["w"][0]), learned(states)))
        return {"n": 3}


def learned(states: Mapping[str, Arrays]) -> float:
    """How many rounds a client's state has learned from."""
    return float(states["strategy"]["count"]) if states else 0.0


class Stage:
    """One client's folder and trainer, before one stand-in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.server, self.learner = folder, StandIn(), Learner()
        self.told: list[Told] = []
        self.joined: list[tuple[str, str, str]] = []

    def prepare(self, told: Told) -> Trainer:
        self.told.append(told)
        return self.learner

    @contextmanager
    def playing(self, run: str = "toy") -> Iterator[Play]:
        """The client at work; stopped at the end if its run is not over."""
        disk = Disk(self.folder)

        def joined(*what: str) -> None:
            self.joined.append(what)  # type: ignore[arg-type]

        client = HttpClient(self.server.connect, disk, self.prepare, name="me", token="once", most_backoff=0.01, joined=joined)
        play = Play(client, disk, run)
        try:
            yield play
        finally:
            self.learner.go_on.set()
            client.stop()
            play.thread.join(PATIENCE_S)
            assert not play.thread.is_alive()
            disk.close()


class Play:
    """A client in a thread, and what became of it."""

    def __init__(self, client: HttpClient, disk: Disk, run: str) -> None:
        self.client, self.disk = client, disk
        self.ended = ""
        self.problem: BaseException | None = None
        self.thread = Thread(target=self._work, args=(run,), daemon=True)
        self.thread.start()

    def end(self) -> str:
        """How the run ended for the client. Raises what it raised."""
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive(), "the client goes on"
        if self.problem is not None:
            raise self.problem
        return self.ended

    def _work(self, run: str) -> None:
        try:
            self.ended = self.client.work(run)
        except BaseException as problem:
            self.problem = problem
