"""One client's side of a run as a pure function: `step(state, event) -> (state, commands)`.

It keeps its reply until the round's record is out, sends the same bytes again, and works once for one (run, round, phase kind): another
attempt of a round on the same model is answered with the reply it has. What training leaves on the client (a control variate, a
private head) is tentative until the record of the round says whether the reply was used. The state is stored before the
commands are carried out; a crash in the middle of the work forgets the work, not the instruction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ciranda.protocol.jsonable import dumps, loads
from ciranda.protocol.messages import Acknowledge, Cancel, Instruct, PhaseKind, Recovered, Refuse, parse_phase

# --- events, beside Instruct, Acknowledge, Refuse and Cancel as the coordinator sent them, and Recovered


@dataclass(frozen=True)
class Worked:
    """The work of `phase` (as `Work` named it) is done; the reply's bytes are stored under `digest`."""

    phase: str
    digest: str


@dataclass(frozen=True)
class Stuck:
    """The work of `phase` cannot be done."""

    phase: str
    reason: str


@dataclass(frozen=True)
class Recorded:
    """The round's record is out; `accepted` is the digest of this client's training reply in it, or ""."""

    round: int
    accepted: str


@dataclass(frozen=True)
class Tick:
    """Time or occasion to try again what was not answered."""


Event = Instruct | Acknowledge | Refuse | Cancel | Worked | Stuck | Recorded | Tick | Recovered


# --- commands


@dataclass(frozen=True)
class Work:
    """Do what `phase` asks on `model`, from the committed client state; answer Worked or Stuck."""

    phase: str
    kind: PhaseKind
    round: int
    model: str


@dataclass(frozen=True)
class Abandon:
    """Stop the work of `phase`; its outcome is of no use."""

    phase: str


@dataclass(frozen=True)
class Send:
    """Send the reply stored under `digest` as the answer to `phase`."""

    phase: str
    digest: str


@dataclass(frozen=True)
class Report:
    """Tell the coordinator that `phase` cannot be answered."""

    phase: str
    reason: str


@dataclass(frozen=True)
class AskRecord:
    """Ask for the record of `round`."""

    round: int


@dataclass(frozen=True)
class Settle:
    """Make the tentative client state of `round` the committed one, or drop it."""

    round: int
    commit: bool


@dataclass(frozen=True)
class Forget:
    """Delete the reply stored under `digest`."""

    digest: str


Command = Work | Abandon | Send | Report | AskRecord | Settle | Forget


# --- state


@dataclass(frozen=True)
class Job:
    """An instruction. `began` is the phase under which the work was started; `phase` the latest attempt that asks for it."""

    phase: str
    kind: PhaseKind
    round: int
    model: str
    began: str

    def same_work(self, other: Job) -> bool:
        """Whether one reply answers both."""
        return (self.round, self.kind, self.model) == (other.round, other.kind, other.model)


@dataclass(frozen=True)
class Kept:
    """A stored reply. `answered`: it was acknowledged, refused or called off, so it is not sent again unasked."""

    job: Job
    digest: str
    answered: bool = False


@dataclass(frozen=True)
class Participant:
    """What a client remembers of a run. `recorded`: the last round whose record it knows; `over`: the latest phase called off;
    `waiting`: an instruction that waits for the record of an earlier round; `outbox`: what the last settling asked for, to be
    carried out again after a crash."""

    name: str
    schema: Literal[1] = 1
    recorded: int = 0
    over: str = ""
    job: Job | None = None
    waiting: Job | None = None
    kept: tuple[Kept, ...] = ()
    outbox: tuple[Settle | Forget, ...] = ()

    def to_json(self) -> str:
        """Canonical JSON."""
        return dumps(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> Participant:
        """The state that `to_json` wrote. Raises CodecError."""
        return loads(cls, text)


Outcome = tuple[Participant, tuple[Command, ...]]


def step(state: Participant, event: Event) -> Outcome:
    """The state after `event`, and what to do. Never raises; what is stale or foreign changes nothing."""
    match event:
        case Instruct():
            return _instructed(state, event)
        case Worked():
            return _worked(state, event)
        case Stuck():
            job = state.job
            if job is None or job.began != event.phase:
                return state, ()
            return replace(state, job=None), (Report(job.phase, event.reason),)
        case Acknowledge() | Refuse():
            return _answered(state, event.phase, event.digest), ()
        case Cancel():
            return _cancelled(state, event)
        case Recorded():
            return _recorded(state, event)
        case Tick():
            return state, _again(state)
        case Recovered():
            work = (_work(state.job),) if state.job else ()
            return state, (*state.outbox, *_again(state), *work)
    return state, ()


def _instructed(state: Participant, event: Instruct) -> Outcome:
    order = _order(event.phase)
    if order is None or order[0] != event.round or event.round <= state.recorded or event.name != state.name:
        return state, ()
    job = Job(event.phase, event.kind, event.round, event.model, event.phase)
    before: list[Command] = []
    for kept in state.kept:
        if (kept.job.round, kept.job.kind) != (job.round, job.kind):
            continue
        if order < (_order(kept.job.phase) or order):
            return state, ()
        if kept.job.same_work(job):
            now = replace(kept, job=replace(kept.job, phase=job.phase), answered=False)
            return _with(state, kept, now), (Send(job.phase, kept.digest),)
        if order[:2] == (_order(kept.job.phase) or order)[:2]:
            return state, (Report(job.phase, "another model was announced for this phase before"),)
        # The round was begun again from another model: what was learned from the first one is void.
        state, settled = _let_go(_with(state, kept, None), [kept], "")
        before.extend(settled)
    if order <= (_order(state.over) or (0, 0, 0)):
        return state, tuple(before)
    state, stopped = _make_room(state, job, order)
    if stopped is None:
        return state, tuple(before)
    state, started = _begin(state, job)
    return state, (*before, *stopped, *started)


def _make_room(state: Participant, job: Job, order: tuple[int, int, int]) -> tuple[Participant, tuple[Command, ...] | None]:
    """Abandon older work for `job`; None in place of commands when `job` needs none or is itself the older."""
    for current in (state.job, state.waiting):
        if current is not None and order <= (_order(current.phase) or (0, 0, 0)):
            return state, None
    if state.job is None:
        return state, ()
    if state.job.same_work(job):
        return replace(state, job=replace(state.job, phase=job.phase)), None
    return replace(state, job=None), (Abandon(state.job.began),)


def _begin(state: Participant, job: Job) -> Outcome:
    unknown = _unsettled(state, job.round)
    if unknown:
        return replace(state, waiting=job), tuple(AskRecord(round) for round in unknown)
    return replace(state, job=job, waiting=None), (_work(job),)


def _worked(state: Participant, event: Worked) -> Outcome:
    job = state.job
    if job is None or job.began != event.phase:
        return state, ()
    return replace(state, job=None, kept=(*state.kept, Kept(job, event.digest))), (Send(job.phase, event.digest),)


def _answered(state: Participant, phase: str, digest: str) -> Participant:
    for kept in state.kept:
        if kept.job.phase == phase and kept.digest == digest:
            return _with(state, kept, replace(kept, answered=True))
    return state


def _cancelled(state: Participant, event: Cancel) -> Outcome:
    order = _order(event.phase)
    if order is None:
        return state, ()
    if order > (_order(state.over) or (0, 0, 0)):
        state = replace(state, over=event.phase)
    if state.waiting is not None and state.waiting.phase == event.phase:
        state = replace(state, waiting=None)
    for kept in state.kept:
        if kept.job.phase == event.phase:
            state = _with(state, kept, replace(kept, answered=True))
    if state.job is not None and state.job.phase == event.phase:
        return replace(state, job=None), (Abandon(state.job.began),)
    return state, ()


def _recorded(state: Participant, event: Recorded) -> Outcome:
    if event.round <= state.recorded:
        return state, ()
    unknown = _unsettled(state, event.round)
    if unknown:
        return state, tuple(AskRecord(round) for round in unknown)
    done = [kept for kept in state.kept if kept.job.round <= event.round]
    state = replace(state, recorded=event.round, kept=tuple(kept for kept in state.kept if kept.job.round > event.round))
    state, settled = _let_go(state, done, event.accepted)
    out: list[Command] = list(settled)
    if state.job is not None and state.job.round <= event.round:
        out.append(Abandon(state.job.began))
        state = replace(state, job=None)
    waiting = state.waiting
    if waiting is not None:
        state = replace(state, waiting=None)
        if waiting.round > event.round:
            state, started = _begin(state, waiting)
            out.extend(started)
    return state, tuple(out)


def _let_go(state: Participant, done: list[Kept], accepted: str) -> tuple[Participant, tuple[Settle | Forget, ...]]:
    """Commit or drop what replies that were taken out of `kept` left behind."""
    settles = tuple(Settle(kept.job.round, kept.digest == accepted) for kept in done if kept.job.kind == "train")
    settled: tuple[Settle | Forget, ...] = (*settles, *(Forget(kept.digest) for kept in done))
    return (replace(state, outbox=settled) if settled else state), settled


def _again(state: Participant) -> tuple[Command, ...]:
    sends = [Send(kept.job.phase, kept.digest) for kept in state.kept if not kept.answered]
    asks = [AskRecord(round) for round in _unsettled(state, state.waiting.round)] if state.waiting else []
    return (*sends, *asks)


def _unsettled(state: Participant, before: int) -> list[int]:
    """The rounds before `before` whose record decides over tentative client state."""
    return sorted({kept.job.round for kept in state.kept if kept.job.kind == "train" and kept.job.round < before})


def _with(state: Participant, old: Kept, new: Kept | None) -> Participant:
    kept = tuple(each if each is not old else new for each in state.kept)
    return replace(state, kept=tuple(each for each in kept if each is not None))


def _work(job: Job) -> Work:
    return Work(job.began, job.kind, job.round, job.model)


def _order(phase: str) -> tuple[int, int, int] | None:
    parsed = parse_phase(phase)
    return parsed[:3] if parsed else None
