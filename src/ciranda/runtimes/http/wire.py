"""The server's side of a run over HTTP: commands become mail for clients, their requests become events.

The host's loop lives in the run's thread; requests arrive from the event loop through `tell` and are answered through `Post`, so
neither ever waits for the other. Many replies that came at about the same time are stored with one sync.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import heappop, heappush
from queue import Empty, SimpleQueue
from threading import Thread
from time import perf_counter
from typing import Any, Protocol

from ciranda.core.client import sums_digest
from ciranda.core.errors import CirandaError, CodecError, RefusedUpdate, RunError, StoreError
from ciranda.core.message import decode_sums, decode_update
from ciranda.core.metrics import Sums
from ciranda.core.stages import Chain
from ciranda.core.task import Arrays
from ciranda.core.update import Contract, Total, Update, accept, fold, zero
from ciranda.protocol.messages import (
    EVALUATOR,
    Acknowledge,
    Arm,
    Cancel,
    Close,
    Command,
    DeadlinePassed,
    Disarm,
    Event,
    Instruct,
    PhaseKind,
    Record,
    Refuse,
    Replied,
    StopAsked,
)
from ciranda.runtimes.base import Gathered, Published
from ciranda.runtimes.http.models import Models
from ciranda.runtimes.http.replies import Replies, Reply

Progress = Callable[[int, str, int, int], None]
Evaluate = Callable[[Arrays], Sums]
Recorded = Callable[[str, str, str], bool]
log = logging.getLogger(__name__)


class Halted(CirandaError):
    """The server ends; the run stands in the store as it is, and goes on with the next start."""


@dataclass(frozen=True)
class Verdict:
    """What an upload is answered: "stored", "duplicate", "refused" with its reason, or "failed" when it could not be stored."""

    status: str
    reason: str = ""


@dataclass(frozen=True)
class Arrival:
    """A reply as it came in, its digest verified. `body` is None when it lies in its file."""

    phase: str
    name: str
    digest: str
    model: str
    size: int
    body: bytes | None
    answer: Callable[[Verdict], None]


class Post(Protocol):
    """How the run's thread reaches the event loop. Every method may be called from any thread, and none waits."""

    def send(self, mail: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Put (client's logical name, event) into the clients' boxes."""

    def run(self, calls: Sequence[Callable[[], None]]) -> None:
        """Have `calls` made on the event loop, in this order."""


@dataclass
class _Phase:
    """The open phase: what was asked and what came."""

    id: str
    kind: PhaseKind
    round: int
    published: Published
    started: float
    asked: int = 0
    bytes_up: int = 0
    metrics: dict[str, Sums] = field(default_factory=dict)
    pending: dict[tuple[str, str], tuple[Update | None, int]] = field(default_factory=dict)
    folded: dict[str, str] = field(default_factory=dict)
    total: Total | None = None


class HttpWire:
    """The Wire of one run. `population`, the number of clients in all, is set when the roster is complete.

    Args:
        evaluate: metric sums of a model on the server's own test examples, as the local runtime takes them.
        recorded: whether a reply (phase, name, digest) counts in a round whose record is out.
        progress: told (round, kind, clients done, clients asked) as answers arrive.
    """

    repeatable = False

    def __init__(
        self, replies: Replies, models: Models, post: Post, chain: Chain, evaluate: Evaluate, recorded: Recorded, progress: Progress
    ) -> None:
        self.population = 0
        self._replies, self._models, self._post, self._chain = replies, models, post, chain
        self._evaluate, self._recorded, self._progress = evaluate, recorded, progress
        self._inbox: SimpleQueue[Arrival | Event | CirandaError | None] = SimpleQueue()
        self._phase: _Phase | None = None
        self._published: dict[str, Published] = {}
        self._deadlines: list[tuple[float, str]] = []
        self._armed: set[str] = set()
        self._waiting: dict[tuple[str, str, str], list[Callable[[Verdict], None]]] = {}
        self._sent_bytes, self._counted_bytes = 0, 0
        self._closed = False

    # --- from the event loop

    def tell(self, item: Arrival | Event | CirandaError) -> None:
        """Hand in a reply, an event, or an error that ends the run; from any thread."""
        self._inbox.put(item)
        if self._closed:
            self._turn_away()

    def request_stop(self, by: str) -> None:
        """Ask that the run stop; may be called from a signal handler."""
        self._inbox.put(StopAsked(by))

    def sent(self, count: int) -> None:
        """Count payload that went to a client; from the event loop."""
        self._sent_bytes += count

    def limits(self, phase: str) -> Contract | None:
        """The contract of replies to `phase` if it is open."""
        current = self._phase
        return current.published.contract if current is not None and current.id == phase else None

    # --- the Wire protocol

    def publish(self, model: Published) -> None:
        self._models.publish(model)
        kept = list(self._published.items())[-1:]
        self._published = {**dict(kept), model.digest: model}

    def carry(self, commands: Sequence[Command]) -> None:
        mail: list[tuple[str, Mapping[str, Any]]] = []
        answers: list[Callable[[], None]] = []
        stored: list[Acknowledge] = []
        for command in commands:
            match command:
                case Instruct():
                    self._instruct(command, mail)
                case Acknowledge():
                    self._answer((command.phase, command.name, command.digest), Verdict(command.status), answers)
                    stored.append(command)
                case Refuse():
                    self._answer((command.phase, command.name, command.digest), Verdict("refused", command.reason), answers)
                    self._drop(command)
                case Arm():
                    self._armed.add(command.deadline)
                    heappush(self._deadlines, (perf_counter() + command.seconds, command.deadline))
                case Disarm():
                    self._armed.discard(command.deadline)
                case Cancel():
                    mail.append((command.name, {"type": "cancel", "phase": command.phase}))
                case Record():
                    mail.extend(_records(command.row))
                    self._replies.recorded(command.row["round"])
        if answers:
            self._post.run(answers)
        if mail:
            self._post.send(mail)
        for command in stored:  # after the clients were answered
            self._fold(command)

    def events(self) -> Sequence[Event]:
        while True:
            passed = self._passed()
            if passed:
                return passed
            events = self._take_in(self._arrived(self._timeout()))
            if events:
                return events

    def gather(self, close: Close) -> Gathered:
        phase, self._phase = self._phase, None
        if phase is None or phase.id != close.phase:  # the server was started again when all had come
            phase = _Phase(close.phase, close.kind, close.round, self._published[close.model], perf_counter())
        if phase.total is None or not phase.folded.items() <= set(close.accepted):
            phase.total, phase.folded, phase.bytes_up = zero(phase.published.contract), {}, 0
        for name, digest in close.accepted:
            if name == EVALUATOR:
                if name not in phase.metrics:
                    phase.metrics[name] = self._evaluate(phase.published.arrays)
            elif name not in phase.metrics or (close.kind == "train" and name not in phase.folded):
                self._restore(phase, name, digest)
        metrics = {name: phase.metrics[name] for name, _ in close.accepted}
        sent = self._sent_bytes
        down, self._counted_bytes = sent - self._counted_bytes, sent
        total = phase.total if close.kind == "train" else None
        return Gathered(total, metrics, phase.bytes_up, down, perf_counter() - phase.started)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._turn_away()
            self._replies.close()

    def _turn_away(self) -> None:
        """Answer everybody who still waits: nothing is going to be done about it."""
        over = Verdict("failed", "the run is not going on")
        waiting = [answer for answers in self._waiting.values() for answer in answers]
        self._waiting = {}
        with suppress(Empty):
            while True:
                item = self._inbox.get_nowait()
                if isinstance(item, Arrival):
                    waiting.append(item.answer)
        self._post.run([partial(answer, over) for answer in waiting])

    # --- commands

    def _instruct(self, command: Instruct, mail: list[tuple[str, Mapping[str, Any]]]) -> None:
        if self._phase is None or self._phase.id != command.phase:
            published = self._published[command.model]
            self._phase = _Phase(command.phase, command.kind, command.round, published, perf_counter())
        phase = self._phase
        if command.name == EVALUATOR:
            Thread(target=self._evaluation, args=(phase,), name="ciranda-evaluation", daemon=True).start()
            return
        phase.asked += 1
        contract = phase.published.contract
        told = {"phase": command.phase, "kind": command.kind, "round": command.round, "model": command.model}
        limits = {"max_weight": contract.max_weight, "cohort": contract.cohort, "population": self.population}
        mail.append((command.name, {"type": "instruct", **told, "broadcast": bool(phase.published.broadcast), **limits}))

    def _evaluation(self, phase: _Phase) -> None:
        try:
            sums = self._evaluate(phase.published.arrays)
        except CirandaError as error:
            self.tell(error)
        except Exception as error:  # a user's code may raise anything
            self.tell(RunError("Evaluation on the server: {kind}: {error}", kind=type(error).__name__, error=str(error)))
        else:
            phase.metrics[EVALUATOR] = sums
            self.tell(Replied(phase.id, EVALUATOR, sums_digest(sums)))

    def _answer(self, key: tuple[str, str, str], verdict: Verdict, answers: list[Callable[[], None]]) -> None:
        answers.extend(partial(answer, verdict) for answer in self._waiting.pop(key, ()))

    def _drop(self, command: Refuse) -> None:
        phase = self._phase
        if phase is not None and phase.pending.pop((command.name, command.digest), None) is not None:
            self._replies.drop(command.phase, command.name, command.digest)

    def _fold(self, command: Acknowledge) -> None:
        phase = self._phase
        if phase is None or phase.id != command.phase:
            return
        held = phase.pending.pop((command.name, command.digest), None)
        if held is None:
            return
        update, size = held
        if update is None:
            self._restore(phase, command.name, command.digest)
        else:
            self._take(phase, command.name, command.digest, update, size)
        self._progress(phase.round, phase.kind, len(phase.metrics.keys() - {EVALUATOR}), max(1, phase.asked))

    def _take(self, phase: _Phase, name: str, digest: str, update: Update, size: int) -> None:
        """Count an accepted reply in."""
        phase.metrics[name] = update.metrics
        phase.bytes_up += size
        if phase.kind == "train":
            contract = phase.published.contract
            phase.total = fold(contract, phase.total or zero(contract), name, update)
            phase.folded[name] = digest

    def _restore(self, phase: _Phase, name: str, digest: str) -> None:
        """Count in an accepted reply from the disk: a large one, or one from before the server was started again."""
        data = self._replies.load(phase.id, name, digest)
        self._take(phase, name, digest, self._decode(phase, data), len(data))

    # --- arrivals

    def _arrived(self, timeout: float | None) -> list[Arrival | Event]:
        """What came: waits for the first, takes along whatever else is there."""
        found: list[Arrival | Event] = []
        try:
            item = self._inbox.get(timeout=timeout)
            while True:
                if isinstance(item, CirandaError):
                    raise item
                if item is not None:
                    found.append(item)
                item = self._inbox.get_nowait()
        except Empty:
            return found

    def _take_in(self, items: Sequence[Arrival | Event]) -> list[Event]:
        """Examine what came, store what is admitted with one sync, and tell the coordinator in the order of arrival."""
        events: list[Event] = []
        keep: list[Reply] = []
        ready: list[tuple[Arrival, Update | None]] = []
        for item in items:
            if not isinstance(item, Arrival):
                events.append(item)
                continue
            if self._recorded(item.phase, item.name, item.digest):  # its sender did not hear so before the server was started again
                self._post.run([partial(item.answer, Verdict("duplicate"))])
                continue
            phase, refused, update = self._phase, "", None
            if phase is not None and phase.id == item.phase and (item.name, item.digest) not in phase.folded.items():
                update, refused = self._admit(phase, item)
            if update is not None:
                keep.append(Reply(item.phase, item.name, item.digest, item.body))
                # A large one is read again when it is counted in: until then it would lie in memory.
                ready.append((item, update if item.body is not None else None))
            weight = update.weight if update is not None else 0
            self._waiting.setdefault((item.phase, item.name, item.digest), []).append(item.answer)
            events.append(Replied(item.phase, item.name, item.digest, weight, refused))
        try:
            self._replies.keep(keep)
        except StoreError as error:
            log.error("%s", error)
            return self._not_stored({(reply.phase, reply.name, reply.digest) for reply in keep}, str(error), events)
        phase = self._phase
        for arrival, update in ready:
            assert phase is not None
            phase.pending[arrival.name, arrival.digest] = (update, arrival.size)
        return events

    def _not_stored(self, keys: set[tuple[str, str, str]], reason: str, events: list[Event]) -> list[Event]:
        """The disk is full: what could not be stored is not told; its senders try again later."""
        answers: list[Callable[[], None]] = []
        for key in keys:
            self._answer(key, Verdict("failed", reason), answers)
        self._post.run(answers)
        return [event for event in events if not isinstance(event, Replied) or (event.phase, event.name, event.digest) not in keys]

    def _admit(self, phase: _Phase, item: Arrival) -> tuple[Update | None, str]:
        """(update, "") or (None, reason)."""
        if item.model != phase.published.digest:
            return None, "wrong-round"
        try:
            data = item.body if item.body is not None else self._replies.map(item.name, item.digest)
        except StoreError:
            return None, "malformed"
        return self._examine(phase, data)

    def _examine(self, phase: _Phase, data: bytes | memoryview) -> tuple[Update | None, str]:
        contract = phase.published.contract
        try:
            update = self._decode(phase, data)
        except CodecError:
            return None, "malformed"
        except RefusedUpdate as error:
            return None, error.reason
        refused = accept(contract if phase.kind == "train" else replace(contract, parts={}), update)
        return (None, refused) if refused else (update, "")

    def _decode(self, phase: _Phase, data: bytes | memoryview) -> Update:
        """What a reply says, its stages undone. Raises CodecError or RefusedUpdate."""
        if phase.kind == "train":
            return self._chain.decode(decode_update(data), phase.published.contract)
        return Update({}, 0, decode_sums(data))

    # --- deadlines

    def _passed(self) -> list[Event]:
        now = perf_counter()
        passed: list[Event] = []
        while self._deadlines and (self._deadlines[0][0] <= now or self._deadlines[0][1] not in self._armed):
            _, deadline = heappop(self._deadlines)
            if deadline in self._armed:
                self._armed.discard(deadline)
                passed.append(DeadlinePassed(deadline))
        return passed

    def _timeout(self) -> float | None:
        return max(0.0, self._deadlines[0][0] - perf_counter()) if self._deadlines else None


def _records(row: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """News of a recorded round for everybody who was asked in it."""
    accepted = dict(row["accepted"])
    evaluated = dict(row["evaluated"])
    asked = {*accepted, *evaluated, *row["failed"], *row["unevaluated"], *row["refused"]} - {EVALUATOR}
    return [(name, {"type": "record", "round": row["round"], "accepted": accepted.get(name, "")}) for name in sorted(asked)]
