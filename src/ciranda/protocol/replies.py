"""What may happen to an open phase: replies, failures, absences, its deadline; and when it closes."""

from __future__ import annotations

from ciranda.protocol.draft import REASON_LIMIT, Draft
from ciranda.protocol.messages import Acknowledge, Closed, DeadlinePassed, Failed, PhaseKind, Refuse, Replied, phase_id
from ciranda.protocol.phases import close_phase, instruct
from ciranda.protocol.rounds import choose, commit, current, evaluated, too_few
from ciranda.protocol.state import Pairs, Phase


def replied(draft: Draft, event: Replied) -> None:
    """Admit a reply once per phase and name; answer everything else with its reason."""
    phase = draft.state.phase
    if phase is None or event.phase != phase.id:
        _stray(draft, event)
        return
    known = phase.replies.get(event.name)
    if known is not None:
        if known == event.digest and not event.refused:
            _acknowledge(draft, event, duplicate=True)
        else:
            _refuse(draft, event, event.refused or "conflicting")
    elif event.name not in phase.cohort.members:
        _refuse(draft, event, "not-selected")
    elif phase.closing:
        _refuse(draft, event, "late")
    elif event.refused:
        _refuse(draft, event, event.refused)
        draft.own(phase)[1][event.name] = event.refused[:REASON_LIMIT]
        settle(draft)
    else:
        replies, absent = draft.own(phase)
        replies[event.name] = event.digest
        absent.pop(event.name, None)
        _acknowledge(draft, event, duplicate=False)
        settle(draft)


def failed(draft: Draft, event: Failed) -> None:
    """A recipient will not answer."""
    phase = draft.state.phase
    if phase is not None and event.phase == phase.id and _awaited(phase, event.name):
        draft.own(phase)[1][event.name] = event.reason[:REASON_LIMIT] or "failed"
        settle(draft)


def away(draft: Draft, name: str, reason: str = "") -> None:
    """A recipient is lost (reason "") or has left for good."""
    phase = draft.state.phase
    if phase is not None and _awaited(phase, name) and not phase.absent.get(name):
        draft.own(phase)[1][name] = reason
        settle(draft)


def seen(draft: Draft, name: str) -> None:
    """A lost recipient is waited for again, and told again what for."""
    phase = draft.state.phase
    if phase is not None and _awaited(phase, name) and phase.absent.get(name) == "":
        del draft.own(phase)[1][name]
        instruct(draft, phase, name)


def deadline_passed(draft: Draft, event: DeadlinePassed) -> None:
    """Close with what came, or do what the rule says about too few replies. Any other deadline's id is stale."""
    phase = draft.state.phase
    if phase is None or phase.closing or event.deadline != draft.state.deadline:
        return
    rule = draft.plan.rule(phase.kind)
    if rule.kind == "all":
        return
    if len(phase.replies) >= rule.min_replies:
        close_phase(draft, phase)
    else:
        too_few(draft, phase)


def closed(draft: Draft, event: Closed) -> None:
    """The closing that was asked for is done."""
    phase = draft.state.phase
    if phase is None or not phase.closing or event.phase != phase.id:
        return
    if phase.kind == "evaluate":
        evaluated(draft, phase, event)
    elif phase.kind == "candidates":
        choose(draft, phase, event)
    else:
        commit(draft, phase, event)


def settle(draft: Draft) -> None:
    """Close the phase as soon as its rule allows."""
    phase = draft.state.phase
    if phase is None or phase.closing:
        return
    rule = draft.plan.rule(phase.kind)
    count = len(phase.replies)
    if rule.kind == "first" and count >= rule.first:
        close_phase(draft, phase)
    elif count + len(phase.absent) < len(phase.cohort.names):
        return
    elif count >= rule.min_replies:
        close_phase(draft, phase)
    elif not phase.unanswered():
        # Only the lost can still help; where there are any, the deadline or their return decides.
        too_few(draft, phase)


def _awaited(phase: Phase, name: str) -> bool:
    return not phase.closing and name in phase.cohort.members and name not in phase.replies


def _stray(draft: Draft, event: Replied) -> None:
    """A reply to some other phase than the one in progress."""
    state, done = draft.state, current(draft.state)
    closed: tuple[tuple[PhaseKind, Pairs], ...] = (("train", done.accepted), ("candidates", done.candidates))
    counted = {phase_id(state.round, state.attempt, draft.plan.place(kind), kind): pairs for kind, pairs in closed}
    if (event.name, event.digest) in counted.get(event.phase, ()) and not event.refused:
        _acknowledge(draft, event, duplicate=True)
    else:
        _refuse(draft, event, "late" if event.phase.startswith(f"{state.round}.") else "wrong-round")


def _acknowledge(draft: Draft, event: Replied, *, duplicate: bool) -> None:
    id = draft.id(event.phase, "duplicate" if duplicate else "acknowledge", event.name)
    draft.out.append(Acknowledge(id, event.name, event.phase, event.digest, "duplicate" if duplicate else "stored"))


def _refuse(draft: Draft, event: Replied, reason: str) -> None:
    draft.count_refusal(event.name, reason)
    draft.out.append(Refuse(draft.id(event.phase, "refuse", event.name), event.name, event.phase, event.digest, reason))
