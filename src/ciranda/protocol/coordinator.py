"""The coordinator as a pure function: `step(plan, state, event) -> (state, commands)`.

It never raises, whatever the event: what comes at the wrong time is answered or ignored. It reads no clock and does no I/O. The
caller stores the state before it carries out any command, and after a crash tells the stored state that it `Recovered`.

A runtime that notices, while it carries out an Instruct, that the recipient is away says so with `Lost`: who is away is
not remembered from one phase to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ciranda.protocol.draft import REASON_LIMIT, Draft
from ciranda.protocol.messages import (
    Closed,
    Command,
    CommandFailed,
    DeadlinePassed,
    Elected,
    Event,
    Failed,
    Finish,
    Joined,
    Left,
    Lost,
    PauseAsked,
    Recovered,
    Replied,
    ResumeAsked,
    Seen,
    Started,
    StopAsked,
)
from ciranda.protocol.phases import ask
from ciranda.protocol.plan import Plan
from ciranda.protocol.replies import away, closed, deadline_passed, failed, replied, seen
from ciranda.protocol.rounds import begin_attempt, begin_round, halt
from ciranda.protocol.state import State
from ciranda.protocol.stopping import budget

__all__ = ["State", "initial", "step", "step_many"]


def initial(plan: Plan) -> State:
    """The state before anything happened."""
    return State(plan.run)


def step(plan: Plan, state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    """The state after `event` and the commands it leads to, in the order to carry them out. `state` itself stays as it was."""
    return step_many(plan, state, (event,))


def step_many(plan: Plan, state: State, events: Iterable[Event]) -> tuple[State, tuple[Command, ...]]:
    """As `step` for one event after the other, at the cost of copying the replies once."""
    draft = Draft(plan, state)
    for event in events:
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(draft, event)
        while draft.then is not None:
            following, draft.then = draft.then, None
            following(draft)
    return draft.state, tuple(draft.out)


def _started(draft: Draft, event: Started) -> None:
    if draft.state.status == "pending":
        draft.set(model=event.model, next_roster=event.roster, next_epoch=event.epoch)
        draft.then = begin_round


def _roster_changed(draft: Draft, event: Joined | Left) -> None:
    # Epochs order the changes: one that arrives late or twice says nothing new.
    if draft.state.model and event.epoch > draft.state.next_epoch:
        draft.set(next_roster=event.roster, next_epoch=event.epoch)
    if isinstance(event, Left):
        away(draft, event.name, "left")


def _command_failed(draft: Draft, event: CommandFailed) -> None:
    state, phase = draft.state, draft.state.phase
    reason = event.reason[:REASON_LIMIT] or "a command failed"
    if any(event.command == kept.id for kept in state.outbox if not isinstance(kept, Finish)):
        if state.status != "error":
            halt(draft, "error", reason)
    elif phase is None:
        return
    elif event.command == (draft.id(phase.id, "close") if phase.closing else draft.id(phase.id, "arm", str(phase.arming))):
        halt(draft, "error", reason)
    else:
        asked = draft.id(phase.id, "instruct") + "/"
        if event.command.startswith(asked):
            failed(draft, Failed(phase.id, event.command.removeprefix(asked), reason))


def _pause(draft: Draft, event: PauseAsked) -> None:
    if draft.state.status == "running":
        draft.set(pausing=True)


def _stop(draft: Draft, event: StopAsked) -> None:
    state, by = draft.state, event.by[:REASON_LIMIT]
    if state.status not in ("pending", "running", "paused"):
        return
    if state.phase is not None and state.phase.closing:
        # The replies are complete and being combined: the round ends with them, and the run with the round.
        draft.set(stopping=state.stopping or by)
    else:
        halt(draft, "aborted", f"stop-asked:{by}")


def _resume(draft: Draft, event: ResumeAsked) -> None:
    state = draft.state
    if state.status == "running":
        draft.set(pausing=False)
    elif state.status == "paused":
        draft.then = begin_round
    elif state.status != "pending":
        _reopen(draft)


def _reopen(draft: Draft) -> None:
    state = draft.state
    if not state.model:
        draft.set(status="pending", reason="", outbox=())
        return
    if state.completed >= draft.plan.num_rounds:
        draft.out.extend(state.outbox)
        return
    outbox = tuple(kept for kept in state.outbox if not isinstance(kept, Finish))
    draft.out.extend(outbox)
    draft.set(status="running", reason="", outbox=outbox, progress=replace(state.progress, stale=0))
    spent = budget(draft.plan.stop, state.progress)
    if spent:
        halt(draft, "finished", spent)
    elif state.completed < state.round:
        draft.set(attempt=state.attempt + 1, tries=1, roster=state.next_roster, epoch=state.next_epoch)
        draft.then = begin_attempt
    else:
        draft.then = begin_round


def _elected(draft: Draft, event: Elected) -> None:
    if event.term > draft.state.term:
        draft.set(term=event.term)
        _recovered(draft, Recovered())


def _recovered(draft: Draft, event: Recovered) -> None:
    draft.out.extend(draft.state.outbox)
    ask(draft)


_HANDLERS: dict[type[Any], Callable[[Draft, Any], None]] = {
    Started: _started,
    Joined: _roster_changed,
    Left: _roster_changed,
    Seen: lambda draft, event: seen(draft, event.name),
    Lost: lambda draft, event: away(draft, event.name),
    Replied: replied,
    Failed: failed,
    DeadlinePassed: deadline_passed,
    Closed: closed,
    CommandFailed: _command_failed,
    PauseAsked: _pause,
    ResumeAsked: _resume,
    StopAsked: _stop,
    Elected: _elected,
    Recovered: _recovered,
}
