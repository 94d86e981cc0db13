"""Opening, closing and giving up a phase: the commands each takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ciranda.protocol.draft import Draft
from ciranda.protocol.messages import Arm, Cancel, Close, Disarm, Instruct, PhaseKind, phase_id
from ciranda.protocol.state import Cohort, Phase


def open_phase(draft: Draft, kind: PhaseKind, names: Sequence[str]) -> None:
    """Instruct everybody and arm the deadline."""
    id = phase_id(draft.state.round, draft.state.attempt, draft.plan.place(kind), kind)
    draft.open(Phase(id, kind, draft.state.model, Cohort.of(names)))
    ask(draft)


def ask(draft: Draft) -> None:
    """Everything that is outstanding in the phase in progress: instructions and deadline, or closing."""
    phase = draft.state.phase
    if phase is None:
        return
    if phase.closing:
        _close(draft, phase)
        return
    for name in phase.unanswered():
        instruct(draft, phase, name)
    arm(draft, phase)


def instruct(draft: Draft, phase: Phase, name: str) -> None:
    """Ask one recipient."""
    draft.out.append(Instruct(draft.id(phase.id, "instruct", name), name, phase.id, phase.kind, draft.state.round, phase.model))


def arm(draft: Draft, phase: Phase) -> None:
    """Arm the deadline of the phase in progress, unless its rule has none."""
    rule = draft.plan.rule(phase.kind)
    if rule.kind != "all":
        draft.out.append(Arm(draft.id(phase.id, "arm", str(phase.arming)), draft.state.deadline, rule.deadline_s))


def extend(draft: Draft, phase: Phase) -> None:
    """Give the phase its whole time once more."""
    phase = replace(phase, arming=phase.arming + 1)
    draft.set(phase=phase)
    arm(draft, phase)


def close_phase(draft: Draft, phase: Phase) -> None:
    """Ask for the replies to be combined; from now on every other reply is late."""
    release(draft, phase)
    phase = replace(phase, closing=True)
    draft.set(phase=phase)
    _close(draft, phase)


def release(draft: Draft, phase: Phase) -> None:
    """Disarm the deadline and cancel what is still waited for."""
    if draft.plan.rule(phase.kind).kind != "all":
        draft.out.append(Disarm(draft.id(phase.id, "disarm", str(phase.arming)), draft.state.deadline))
    draft.out.extend(Cancel(draft.id(phase.id, "cancel", name), name, phase.id) for name in phase.unanswered())


def _close(draft: Draft, phase: Phase) -> None:
    draft.out.append(Close(draft.id(phase.id, "close"), phase.id, phase.kind, draft.state.round, phase.model, phase.accepted()))
