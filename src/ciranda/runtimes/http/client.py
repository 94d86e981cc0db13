"""A client: it waits for instructions, trains, and sends the same bytes until it hears what became of them.

Three threads: one waits for news, one trains (so that a cancellation is heard), and this one takes both in: it drives the participant's
state machine, keeps its state on the disk before anything is done about it, and talks to the server. Whatever fails is tried again,
for as long as it takes; only the server ends a client: the run is over, or its credential is refused.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event as Flag
from threading import Lock, Thread
from time import monotonic
from typing import Any, Protocol, get_args

from ciranda.core.codec import decode
from ciranda.core.errors import CirandaError, CodecError, RefusedUpdate, RunError
from ciranda.core.message import encode_sums, encode_update
from ciranda.core.metrics import Sums
from ciranda.core.params import digest_of, model_sha256
from ciranda.core.stages import States
from ciranda.core.task import Arrays
from ciranda.core.update import REASONS, Update
from ciranda.protocol.messages import Acknowledge, Cancel, Instruct, PhaseKind, Recovered, Refuse
from ciranda.protocol.participant import (
    Abandon,
    AskRecord,
    Command,
    Event,
    Forget,
    Participant,
    Recorded,
    Report,
    Send,
    Settle,
    Stuck,
    Tick,
    Work,
    Worked,
    step,
)
from ciranda.runtimes.http.disk import Disk
from ciranda.runtimes.http.link import Backoff, Cut, Link, Rejected, Untrusted
from ciranda.runtimes.http.upload import deliver

log = logging.getLogger(__name__)
_WAIT_S = (25.0, 30.0)
_LEAVE_S = 2.0
_FINAL = (401, 410)


@dataclass(frozen=True)
class Limits:
    """What an instruction says about the contract, beside the model: see `Contract.for_model`."""

    max_weight: int
    cohort: int
    population: int
    broadcast: bool


class Trainer(Protocol):
    """The client's side of a task, handed in by whoever composes it."""

    def told(self) -> Mapping[str, Any]:
        """What joining tells about this client: `partition`, `examples`, `schema`, `probe`, `versions`."""

    def begin(self, name: str, seed: int) -> None:
        """The run admits this client under `name`; `seed` keys its draws."""

    def train(self, round: int, model: Arrays, broadcast: Arrays, limits: Limits, states: States) -> tuple[Update, States]:
        """The message of a round, and the client's next states."""

    def evaluate(self, kind: str, model: Arrays, states: States) -> Sums:
        """Metric sums of the model on what this client keeps back for evaluation, or (kind "candidates") on what it trains on."""


@dataclass(frozen=True)
class Told:
    """What the server says of a run before a client joins: the experiment as TOML, and what `Blueprint.described` says of its data."""

    experiment: str
    data: Mapping[str, Any]


Prepare = Callable[[Told], Trainer]
"""Makes the Trainer of a run."""


@dataclass(frozen=True)
class _Done:
    """What a work came to: a reply and the states that go with it, or why there is none."""

    work: Work
    body: bytes = b""
    problem: str = ""


class Over(CirandaError):
    """The run is over; `state` says how."""

    def __init__(self, state: str, reason: str) -> None:
        super().__init__("The run is over ({state}): {reason}", state=state, reason=reason)
        self.state = state


class HttpClient:
    """One client of one server.

    Args:
        connect: makes a link to the server; there are two at a time.
        prepare: see `Prepare`.
        name, token: to enrol with, when the disk knows of no enrolment.
        most_backoff: the longest wait between attempts, in seconds.
        joined: told (run, logical name, credential) once the run has let this client in and its Trainer has begun.
    """

    def __init__(
        self,
        connect: Callable[[], Link],
        disk: Disk,
        prepare: Prepare,
        *,
        name: str,
        token: str = "",
        most_backoff: float = 30.0,
        joined: Callable[[str, str, str], None] = lambda run, name, credential: None,
    ) -> None:
        self._joined = joined
        self._disk, self._prepare = disk, prepare
        self._name, self._token, self._most = name, token, most_backoff
        self._link, self._news_link, self._lock = connect(), connect(), Lock()
        self._queue: SimpleQueue[Mapping[str, Any] | _Done | CirandaError | None] = SimpleQueue()
        self._jobs: SimpleQueue[Work | None] = SimpleQueue()
        self._ended = Flag()
        self._backoff = Backoff(most=most_backoff)
        self._again_at: float | None = None
        self._reports: list[Report] = []
        self._abandoned: set[str] = set()
        self._model: tuple[str, Arrays, Arrays] = ("", {}, {})
        self._run = ""
        self._logical = ""

    def stop(self) -> None:
        """Ask the client to end as it stands; from any thread and from a signal handler. It may be started again."""
        self._ended.set()
        self._queue.put(None)

    def work(self, run: str = "") -> str:
        """Take part in `run` (by default the first that is not over) until it is over; returns its state, or "stopped".

        Raises:
            Rejected: the server does not know or has revoked this client's credential, or does not let it in.
            CirandaError: what makes this client useless, such as data that cannot be read.
        """
        try:
            self._insist(self._enrol)
            self._run = run or self._insist(self._find)
            trainer = self._prepare(self._insist(self._experiment))
            joined = self._insist(lambda: self._link.post(f"/v1/runs/{self._run}/join", trainer.told()).json())
            if joined["status"] in ("finished", "aborted", "error"):
                return str(joined["status"])
            self._logical = joined["name"]
            trainer.begin(joined["name"], joined["seed"])
            self._joined(self._run, self._logical, self._link.credential)
            return self._loop(trainer)
        except _Stopped:
            return "stopped"
        except Over as over:
            return over.state
        finally:
            self._link.close()

    # --- before the rounds

    def _insist(self, attempt: Callable[[], Any]) -> Any:
        """`attempt` until it succeeds, or fails for good."""
        backoff = Backoff(most=self._most)
        while True:
            try:
                return attempt()
            except Cut as error:
                if isinstance(error, Untrusted) and not self._logical:
                    raise  # it never worked
                log.info("%s", error)
                wait = backoff.next()
            except Rejected as error:
                if not error.passing:
                    raise
                log.info("%s", error)
                wait = max(error.after, backoff.next())
            if self._ended.wait(wait):
                raise _Stopped

    def _enrol(self) -> None:
        known = self._disk.fact("identity")
        if known is None:
            answer = self._link.post("/v1/enrol", {"name": self._name, "token": self._token}).json()
            known = {"name": answer["name"], "credential": answer["credential"]}
            self._disk.keep("identity", known)
        self._name, self._link.credential = known["name"], known["credential"]

    def _find(self) -> str:
        runs = self._link.ask("GET", "/v1/runs").json()["runs"]
        for status in ("waiting", "pending", "running", "paused"):
            for run in runs:
                if run["status"] == status:
                    return str(run["run"])
        if runs:
            raise Over(runs[-1]["status"], runs[-1]["reason"])
        raise Cut("The server has no run yet.")

    def _experiment(self) -> Told:
        told = self._link.ask("GET", f"/v1/runs/{self._run}/experiment").json()
        return Told(str(told["experiment"]), told["data"])

    # --- the loop

    def _loop(self, trainer: Trainer) -> str:
        state = self._disk.participant(self._run, self._logical)
        poller = Thread(target=self._poll, name="ciranda-news", daemon=True)
        worker = Thread(target=self._train, args=(trainer,), name="ciranda-training", daemon=True)
        poller.start()
        worker.start()
        try:
            state = self._feed(state, Recovered())
            while not self._ended.is_set():
                for item in self._news():
                    state = self._take(state, item)
                state = self._try_again(state)
            raise _Stopped
        finally:
            self._ended.set()
            self._jobs.put(None)
            self._news_link.cut()
            poller.join(_LEAVE_S)
            worker.join(_LEAVE_S)  # a training that takes longer ends with the process

    def _try_again(self, state: Participant) -> Participant:
        """Repeat what failed, when its time has come."""
        if self._again_at is None or monotonic() < self._again_at:
            return state
        self._again_at = None
        reports, self._reports = self._reports, []
        for report in reports:
            self._report(report)
        return self._feed(state, Tick())

    def _news(self) -> list[Mapping[str, Any] | _Done]:
        left = None if self._again_at is None else max(0.0, self._again_at - monotonic())
        try:
            item = self._queue.get(timeout=left)
        except Empty:
            return []
        if isinstance(item, CirandaError):
            raise item
        return [] if item is None else [item]

    def _take(self, state: Participant, item: Mapping[str, Any] | _Done) -> Participant:
        if isinstance(item, _Done):
            return self._done(state, item)
        match item["type"]:
            case "instruct":
                phase, round = str(item["phase"]), int(item["round"])
                self._keep_limits(item)
                kind: PhaseKind = item["kind"]
                if kind not in get_args(PhaseKind):
                    raise RunError(
                        "The server asks for '{kind}', which this version does not know.", hint="Upgrade ciranda.", kind=str(kind)
                    )
                instruct = Instruct(f"{self._run}/{phase}", self._logical, phase, kind, round, str(item["model"]))
                return self._feed(state, instruct)
            case "cancel":
                return self._feed(state, Cancel(f"{self._run}/{item['phase']}/cancel", self._logical, str(item["phase"])))
            case "record":
                return self._feed(state, Recorded(int(item["round"]), str(item["accepted"])))
            case "finish":
                raise Over(str(item["state"]), str(item["reason"]))
        return state

    def _feed(self, state: Participant, event: Event) -> Participant:
        """One step: the state is kept before anything is done about it."""
        events: list[Event] = [event]
        while events:
            state, commands = self._step(state, events.pop(0))
            for command in commands:
                following = self._carry_out(command)
                if following is not None:
                    events.append(following)
        return state

    def _step(
        self, state: Participant, event: Event, reply: tuple[str, str, bytes] | None = None
    ) -> tuple[Participant, tuple[Command, ...]]:
        after, commands = step(state, event)
        if after != state:
            self._disk.advance(self._run, after, reply)
        return after, commands

    def _carry_out(self, command: Command) -> Event | None:
        match command:
            case Work():
                self._abandoned.discard(command.phase)
                self._jobs.put(command)
            case Abandon():
                self._abandoned.add(command.phase)
            case Send():
                return self._send(command)
            case Report():
                self._report(command)
            case AskRecord():
                return self._ask_record(command)
            case Settle():
                self._disk.states(self._run).settle(self._logical, command.round, command.commit)
            case Forget():
                self._disk.forget(self._run, command.digest)
        return None

    # --- answers

    def _done(self, state: Participant, done: _Done) -> Participant:
        phase = done.work.phase
        if phase in self._abandoned or state.job is None or state.job.began != phase:
            self._abandoned.discard(phase)
            return state
        if done.problem:
            return self._feed(state, Stuck(phase, done.problem))
        digest = digest_of(done.body)
        state, commands = self._step(state, Worked(phase, digest), (digest, done.work.model, done.body))
        for command in commands:
            following = self._carry_out(command)
            if following is not None:
                state = self._feed(state, following)
        return state

    def _send(self, command: Send) -> Event | None:
        model, body = self._disk.reply(self._run, command.digest)
        try:
            with self._lock:
                status = deliver(self._link, self._run, self._logical, command.phase, model, command.digest, body)
        except Rejected as error:
            if error.status in _FINAL:
                raise
            if error.code in REASONS:
                log.info("round %s: the reply was refused: %s", command.phase, error.code)
                return Refuse(f"{command.phase}/refuse", self._logical, command.phase, command.digest, error.code)
            self._later(error)
            return None
        except Cut as error:
            self._later(error)
            return None
        self._backoff.reset()
        return Acknowledge(f"{command.phase}/acknowledge", self._logical, command.phase, command.digest, status)

    def _report(self, command: Report) -> None:
        try:
            with self._lock:
                self._link.post(f"/v1/runs/{self._run}/failures/{command.phase}", {"reason": command.reason[:2000]})
        except Rejected as error:
            if error.status in _FINAL:
                raise
            if error.passing:
                self._reports.append(command)
                self._later(error)
        except Cut as error:
            self._reports.append(command)
            self._later(error)

    def _ask_record(self, command: AskRecord) -> Event | None:
        try:
            with self._lock:
                record = self._link.ask("GET", f"/v1/runs/{self._run}/records/{command.round}").json()
        except Rejected as error:
            if error.status in _FINAL:
                raise
            self._later(error)
            return None
        except Cut as error:
            self._later(error)
            return None
        return Recorded(int(record["round"]), str(record["accepted"]))

    def _later(self, error: CirandaError) -> None:
        log.info("%s", error)
        after = error.after if isinstance(error, Rejected) else 0.0
        at = monotonic() + max(after, self._backoff.next())
        self._again_at = at if self._again_at is None else min(at, self._again_at)

    def _keep_limits(self, item: Mapping[str, Any]) -> None:
        told = [int(item["max_weight"]), int(item["cohort"]), int(item["population"]), bool(item["broadcast"])]
        if self._disk.fact(f"limits/{self._run}") != told:
            self._disk.keep(f"limits/{self._run}", told)

    # --- the thread that waits for news

    def _poll(self) -> None:
        link = self._news_link
        link.credential = self._link.credential
        backoff = Backoff(most=self._most)
        cursor = ""
        while not self._ended.is_set():
            wait = random.uniform(*_WAIT_S)
            try:
                news = link.ask("GET", f"/v1/next?after={cursor}&wait={wait:.1f}", timeout=wait + 15).json()
            except Cut as error:
                log.info("%s", error)
                self._ended.wait(backoff.next())
                continue
            except Rejected as error:
                if error.status in _FINAL:
                    self._queue.put(error)
                    return
                log.info("%s", error)
                self._ended.wait(max(error.after, backoff.next()))
                continue
            backoff.reset()
            cursor = news["cursor"]
            for event in news["events"]:
                if event["run"] == self._run:
                    self._queue.put(event)
        link.close()

    # --- the thread that trains

    def _train(self, trainer: Trainer) -> None:
        while (work := self._jobs.get()) is not None:
            if work.phase in self._abandoned or self._ended.is_set():
                continue
            try:
                done = self._worked(trainer, work)
            except _Stopped:
                return
            except RefusedUpdate as error:
                done = _Done(work, problem=f"{error.reason}: {error}")
            except CirandaError as error:
                done = _Done(work, problem=str(error))
            except Exception as error:  # a user's code may raise anything
                log.exception("round %d", work.round)
                done = _Done(work, problem=f"{type(error).__name__}: {error}")
            self._queue.put(done)

    def _worked(self, trainer: Trainer, work: Work) -> _Done:
        facts = self._disk.fact(f"limits/{self._run}")
        limits = Limits(*facts)
        model, broadcast = self._fetch(work.model, broadcast=limits.broadcast)
        states = self._disk.states(self._run)
        if work.kind != "train":
            kept = states.read(self._logical, tentative=work.round if work.kind == "evaluate" else None)
            return _Done(work, encode_sums(trainer.evaluate(work.kind, model, kept)))
        before = states.read(self._logical)
        update, after = trainer.train(work.round, model, broadcast, limits, before)
        if before or after:
            states.write(self._logical, work.round, after)
        return _Done(work, encode_update(update))

    def _fetch(self, digest: str, *, broadcast: bool) -> tuple[Arrays, Arrays]:
        """The model of this digest and what goes beside it. Raises CodecError if the server sends something else."""
        if self._model[0] != digest:
            path = f"/v1/runs/{self._run}/models/{digest}"
            arrays = self._insist(lambda: self._download(path, bytearray()))
            if model_sha256(arrays) != digest:
                raise CodecError("The model that came does not have the digest {digest}.", digest=digest[:12])
            beside = self._insist(lambda: self._download(f"{path}/broadcast", bytearray())) if broadcast else {}
            self._model = (digest, arrays, beside)
        return self._model[1], self._model[2]

    def _download(self, path: str, into: bytearray) -> Arrays:
        backoff = Backoff(most=self._most)
        while True:
            headers = {"Range": f"bytes={len(into)}-"} if into else {}
            before = len(into)
            try:
                with self._lock:
                    self._link.ask("GET", path, headers=headers, into=into, timeout=60.0)
                break
            except Cut:
                if len(into) == before:
                    raise
                if self._ended.wait(backoff.next()):
                    raise _Stopped from None
        # Copies: the task may want arrays that it can write to, or that lie aligned.
        return {name: array.copy() for name, array in decode(bytes(into))[0].items()}


class _Stopped(Exception):
    """The client was asked to end."""
