"""The local wire: instructions become jobs for workers, answers become events."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from time import perf_counter

from ciranda.core.client import sums_digest
from ciranda.core.errors import StopRequested
from ciranda.core.metrics import Sums, add
from ciranda.core.update import Total, merge
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
    Failed,
    Instruct,
    Record,
    Refuse,
    Replied,
    StopAsked,
)
from ciranda.runtimes.base import Gathered, Published
from ciranda.runtimes.local.pool import Pool
from ciranda.runtimes.local.worker import Job, Outcome, Reply, Settle
from ciranda.store.client_states import ClientStates

_JOB_SECONDS = 0.02
"""Clients that train in less are handed out several at a time, so that messages cost little beside training."""

Progress = Callable[[int, str, int, int, Sequence[tuple[str, str]]], None]


@dataclass
class _Phase:
    """One open phase: who still has to be asked, and what came back."""

    instruct: Instruct
    started: float
    queue: deque[Job] = field(default_factory=deque)
    asked: int = 0
    downloads: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, Sums] = field(default_factory=dict)
    holder: dict[str, int] = field(default_factory=dict)
    evaluator_left: int = 0


class LocalWire:
    """Clients simulated by a pool of workers on this machine.

    Args:
        test_size: examples of the server's test set; `batch` the evaluation batch size that slices keep to.
        progress: told (round, kind, clients done, clients asked, [(name, what went wrong or "")]) as answers arrive.
        states: what clients keep between rounds, None if they keep nothing.
    """

    repeatable = True

    def __init__(self, pool: Pool, test_size: int, batch: int, progress: Progress, states: ClientStates | None = None) -> None:
        self._pool, self._test_size, self._batch, self._progress, self._states = pool, test_size, batch, progress, states
        self._phase: _Phase | None = None  # the coordinator opens one at a time
        self._idle = set(range(pool.size))
        self._verdicts: dict[int, Settle] = {}
        self._deadlines: list[tuple[float, str]] = []
        self._armed: set[str] = set()
        self._stop = ""
        self._model_bytes = 0
        self._attempt = ""  # the latest in which candidates were asked, and who they were
        self._candidates: set[str] = set()
        self._client_seconds = _JOB_SECONDS

    # --- the Wire protocol

    def publish(self, model: Published) -> None:
        self._model_bytes = sum(array.nbytes for arrays in (model.arrays, model.broadcast) for array in arrays.values())
        self._pool.publish(model)

    def carry(self, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:
                case Instruct():
                    self._instruct(command)
                case Acknowledge(status="stored"):
                    self._settle(command.phase, command.name, accepted=True)
                case Refuse():
                    self._settle(command.phase, command.name, accepted=False)
                case Arm():
                    self._armed.add(command.deadline)
                    heappush(self._deadlines, (perf_counter() + command.seconds, command.deadline))
                case Disarm():
                    self._armed.discard(command.deadline)
                case Cancel():
                    self._cancel(command)
                case Record():
                    self._keep(command)
        if self._states is None:  # else a client's state has to be settled by the record before the client goes on from it
            self._dispatch()

    def events(self) -> Sequence[Event]:
        while True:
            if self._stop:
                by, self._stop = self._stop, ""
                return (StopAsked(by),)
            passed = self._passed()
            if passed:
                return passed
            self._dispatch()
            outcomes = self._pool.wait(self._timeout())
            events = [event for number, outcome in outcomes for event in self._answer(number, outcome)]
            if events:
                return events

    def gather(self, close: Close) -> Gathered:
        phase, self._phase = self._phase, None
        assert phase is not None
        assert phase.instruct.phase == close.phase
        names = [name for name, _ in close.accepted]
        metrics = {name: phase.metrics[name] for name in names}
        total: Total | None = None
        up = 0
        if close.kind == "train":
            total = self._total(close.phase)
            if self._states is not None:
                # The record may follow at once, and must not survive a power cut that the states do not.
                self._states.sync(close.round, names)
            up = sum(phase.sizes[name] for name in names)
        seconds = perf_counter() - phase.started
        return Gathered(total, metrics, up, self._model_bytes * phase.downloads, seconds)

    def close(self) -> None:
        self._pool.close()

    def request_stop(self, by: str) -> None:
        """Ask that the run stop; may be called from a signal handler."""
        self._stop = by
        self._pool.wake()

    # --- instructions to jobs

    def _instruct(self, command: Instruct) -> None:
        if self._phase is None or self._phase.instruct.phase != command.phase:
            self._phase = _Phase(command, perf_counter())
        phase = self._phase
        job = Job(command.phase, command.kind, command.round, command.model, (command.name,))
        if command.name != EVALUATOR:
            phase.asked += 1
            phase.queue.append(job)
            phase.downloads += self._is_new(command)
            return
        # Slices end on batch boundaries, so the batches are the same for any number of workers.
        batches = -(-self._test_size // self._batch)
        step = max(1, -(-batches // (4 * self._pool.size))) * self._batch
        spans = [(start, min(start + step, self._test_size)) for start in range(0, self._test_size, step)]
        phase.evaluator_left = len(spans)
        phase.queue.extend(replace(job, span=span) for span in spans)

    def _is_new(self, command: Instruct) -> bool:
        """Whether the client has to be sent the model: a cohort that was asked for its loss in this attempt has it."""
        attempt = command.phase.rsplit(".", 2)[0]
        if command.kind == "candidates":
            if self._attempt != attempt:
                self._attempt, self._candidates = attempt, set()
            self._candidates.add(command.name)
            return True
        return command.kind != "train" or self._attempt != attempt or command.name not in self._candidates

    def _keep(self, record: Record) -> None:
        """The round is recorded: what its accepted clients have kept holds from now on."""
        if self._states is not None:
            for name, _ in record.row["accepted"]:
                self._states.settle(name, record.row["round"], commit=True)

    def _cancel(self, command: Cancel) -> None:
        """Do not begin what is cancelled; what has begun is answered all the same, and then refused as late."""
        if self._phase is not None and self._phase.instruct.phase == command.phase:
            self._phase.queue = deque(job for job in self._phase.queue if job.names != (command.name,))

    def _dispatch(self) -> None:
        phase = self._phase
        while phase is not None and self._idle and phase.queue:
            worker = self._idle.pop()
            self._pool.submit(worker, self._next_job(phase), self._verdicts.pop(worker, Settle()))

    def _next_job(self, phase: _Phase) -> Job:
        """The next client, or several when each takes little: few enough that no worker is left idle at the end."""
        job = phase.queue.popleft()
        if job.names == (EVALUATOR,):
            return job
        fair = len(phase.queue) // (2 * self._pool.size)
        names = list(job.names)
        for _ in range(min(fair, int(_JOB_SECONDS / self._client_seconds))):
            if phase.queue[0].names == (EVALUATOR,):
                break
            names.extend(phase.queue.popleft().names)
        return replace(job, names=tuple(names))

    def _settle(self, phase: str, name: str, *, accepted: bool) -> None:
        current = self._phase
        if current is None or current.instruct.phase != phase or name not in current.holder:
            return
        if not accepted and self._states is not None:
            self._states.settle(name, current.instruct.round, commit=False)
        worker = current.holder[name]
        held = self._verdicts.get(worker, Settle(phase))
        if accepted:
            self._verdicts[worker] = replace(held, phase=phase, accepted=(*held.accepted, name))
        else:
            self._verdicts[worker] = replace(held, phase=phase, dropped=(*held.dropped, name))

    def _total(self, phase: str) -> Total | None:
        while len(self._idle) < self._pool.size:  # a job that outlasted the phase
            self._idle.update(worker for worker, _ in self._pool.wait(None))
        total: Total | None = None
        for worker in range(self._pool.size):
            part = self._pool.total(worker, self._verdicts.pop(worker, Settle(phase)))
            if part is not None:
                total = part if total is None else merge(part.contract, total, part)
        return total

    # --- outcomes to events

    def _answer(self, worker: int, outcome: Outcome) -> list[Event]:
        self._idle.add(worker)
        if isinstance(outcome.error, StopRequested):
            return [StopAsked(str(outcome.error))]
        if outcome.error is not None:
            raise outcome.error
        phase = self._phase
        if phase is None or phase.instruct.phase != outcome.job.phase:
            return []  # of a phase that was given up
        events: list[Event] = []
        for reply in outcome.replies:
            if reply.name == EVALUATOR:
                events.extend(self._slice(phase, reply))
            else:
                events.append(self._reply(phase, worker, reply))
        if outcome.job.kind == "train":
            self._client_seconds = max(1e-6, outcome.seconds / len(outcome.replies))
        answered = [(reply.name, reply.failed or reply.refused) for reply in outcome.replies]
        self._progress(phase.instruct.round, outcome.job.kind, len(phase.metrics), max(1, phase.asked), answered)
        return events

    def _reply(self, phase: _Phase, worker: int, reply: Reply) -> Event:
        if reply.failed:
            return Failed(phase.instruct.phase, reply.name, reply.failed)
        phase.metrics[reply.name] = reply.metrics
        phase.holder[reply.name] = worker
        phase.sizes[reply.name] = reply.size
        digest = reply.digest or sums_digest(reply.metrics)
        return Replied(phase.instruct.phase, reply.name, digest, reply.weight, reply.refused)

    def _slice(self, phase: _Phase, reply: Reply) -> list[Event]:
        before = phase.metrics.get(EVALUATOR)
        phase.metrics[EVALUATOR] = add(before, reply.metrics) if before else reply.metrics
        phase.evaluator_left -= 1
        if phase.evaluator_left:
            return []
        return [Replied(phase.instruct.phase, EVALUATOR, sums_digest(phase.metrics[EVALUATOR]))]

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
