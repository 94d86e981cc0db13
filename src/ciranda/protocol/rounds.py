"""The course of a round: ask candidates where there is a shortlist, train, commit, evaluate, record, and what comes next.

Each function is one step of it and names its successor in `draft.then`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite, nan
from typing import Literal

from ciranda.protocol.draft import Draft
from ciranda.protocol.messages import LOSS, Closed, Finish, PhaseKind, Publish, Record
from ciranda.protocol.phases import close_phase, extend, open_phase, release
from ciranda.protocol.plan import Select
from ciranda.protocol.state import Phase, State, Tally, row
from ciranda.protocol.stopping import Progress, available, budget, judge, measured, watches

MAX_FLOAT = 1.7976931348623157e308
Values = Mapping[str, Mapping[str, float | None]]


def begin_round(draft: Draft) -> None:
    """The next round, with the roster as it is now."""
    state = draft.state
    draft.set(status="running", round=state.round + 1, attempt=1, tries=1, roster=state.next_roster, epoch=state.next_epoch)
    draft.then = begin_attempt


def begin_attempt(draft: Draft) -> None:
    """Draw a cohort and have it train; with a shortlist, draw that and ask it for its losses first."""
    heard, shortlist = draft.state.heard, draft.plan.shortlist
    if heard is not None:
        for name, _ in heard.candidates:
            draft.count_refusal(name, "abandoned")
        draft.set(heard=replace(heard, candidates=(), unheard={}))
    if shortlist is None:
        _open(draft, "train", draft.plan.select)
    else:
        _open(draft, "candidates", shortlist.candidates)


def choose(draft: Draft, phase: Phase, event: Closed) -> None:
    """Take the candidates' losses in, and have the cohort that follows from them train."""
    state, shortlist = draft.state, draft.plan.shortlist
    tally = replace(add(begun(state), event), candidates=phase.accepted(), unheard=phase.without_reply())
    draft.set(phase=None, heard=tally, progress=_spend(state.progress, event))
    if state.stopping:
        halt(draft, "aborted", f"stop-asked:{state.stopping}")
    elif shortlist is None:
        # The plan was changed while the candidates were being asked.
        draft.then = begin_attempt
    else:
        values = {name: event.clients.get(name, {}).get(LOSS, nan) for name, _ in phase.accepted()}
        losses = {name: value for name, value in values.items() if isfinite(value)}
        _open(draft, "train", lambda round, tries, roster: shortlist.choose(round, tries, roster, losses))


def _open(draft: Draft, kind: PhaseKind, select: Select) -> None:
    names = _draw(draft, select)
    if names:
        open_phase(draft, kind, names)
    elif names is not None:
        halt(draft, "error", f"no client was selected for round {draft.state.round}")


def too_few(draft: Draft, phase: Phase) -> None:
    """The phase is over with fewer replies than the rule asks for."""
    rule = draft.plan.rule(phase.kind)
    if rule.too_few == "extend" and rule.kind != "all" and phase.unanswered():
        extend(draft, phase)
    elif phase.kind == "evaluate":
        _too_few_evaluations(draft, phase, abort=rule.too_few == "abort")
    elif rule.too_few == "skip":
        failed = phase.without_reply() | dict.fromkeys(phase.replies, "abandoned")
        abandon(draft, phase)
        tally = replace(begun(draft.state), skipped=True)
        tally = replace(tally, unheard=failed) if phase.kind == "candidates" else replace(tally, failed=failed)
        draft.set(tally=tally, heard=None)
        draft.then = evaluate
    elif rule.too_few == "abort" or draft.state.tries >= rule.max_attempts:
        halt(draft, "aborted", "too-few-replies")
    else:
        abandon(draft, phase)
        draft.set(attempt=draft.state.attempt + 1, tries=draft.state.tries + 1)
        draft.then = begin_attempt


def abandon(draft: Draft, phase: Phase) -> None:
    """Give a phase up; what had been stored for it counts as refused."""
    release(draft, phase)
    for name in sorted(phase.replies):
        draft.count_refusal(name, "abandoned")
    draft.set(phase=None)


def commit(draft: Draft, phase: Phase, event: Closed) -> None:
    """Commit the new version."""
    if not event.model:
        halt(draft, "error", f"closing {phase.id} gave no model")
        return
    state = draft.state
    tally = add(replace(begun(state), accepted=phase.accepted(), failed=phase.without_reply()), event)
    draft.set(phase=None, heard=None, tally=tally, version=state.version + 1, model=event.model, progress=_spend(state.progress, event))
    draft.keep(Publish(draft.id(draft.round_scope(), "publish"), draft.state.version, event.model))
    draft.then = record if state.stopping else evaluate


def evaluate(draft: Draft) -> None:
    """Have the current version evaluated, if this is a round for it and it was not evaluated yet."""
    state, plan = draft.state, draft.plan
    due = state.round % plan.evaluate_every == 0 or _is_last(draft)
    draft.then = record
    if state.version == state.evaluated or not due:
        return
    names = _draw(draft, plan.evaluators)
    if names is None:
        draft.then = None
    elif names:
        draft.then = None
        open_phase(draft, "evaluate", names)


def evaluated(draft: Draft, phase: Phase, event: Closed) -> None:
    """Take the evaluation's metrics into the round."""
    state = draft.state
    tally = replace(add(current(state), event), evaluated=phase.accepted(), unevaluated=phase.without_reply())
    draft.set(phase=None, tally=tally, evaluated=state.version, progress=_spend(state.progress, event))
    draft.then = record


def record(draft: Draft) -> None:
    """Write the round's row and decide what follows."""
    tally = write_row(draft)
    state = draft.state
    progress, reason, error = _verdict(draft, state, tally)
    draft.set(progress=progress)
    if state.stopping:
        halt(draft, "aborted", f"stop-asked:{state.stopping}")
    elif error:
        halt(draft, "error", error)
    elif reason or state.round >= draft.plan.num_rounds:
        halt(draft, "finished", reason or "rounds")
    elif state.pausing:
        draft.set(status="paused", pausing=False)
    else:
        draft.then = begin_round


def halt(draft: Draft, status: Literal["finished", "aborted", "error"], reason: str) -> None:
    """End the run here and now. A version that is committed keeps its row."""
    draft.then = None
    state = draft.state
    if state.phase is not None:
        abandon(draft, state.phase)
        if state.tally is not None:
            draft.set(tally=_unevaluated(state.tally, state.phase))
    if draft.state.tally is not None:
        write_row(draft)
    draft.set(status=status, reason=reason, pausing=False, stopping="")
    draft.keep(Finish(draft.id(draft.round_scope(), "finish", status), status, reason))


def write_row(draft: Draft) -> Tally:
    """Emit the round's Record; the round is then complete."""
    tally = current(draft.state)
    accepted = {name for name, _ in tally.accepted}
    refused = {name: why for name, why in draft.state.refused.items() if why != "abandoned" or name not in accepted}
    draft.set(refused=refused)
    draft.keep(Record(draft.id(draft.round_scope(), "record"), row(draft.state, tally)))
    draft.set(tally=None, heard=None, completed=draft.state.round, refused={}, refusals={})
    return tally


def add(tally: Tally, event: Closed) -> Tally:
    """The tally with what a closed phase brought. Numbers that are not finite become None: a row is JSON."""
    return replace(
        tally,
        metrics=_merge(tally.metrics, event.metrics),
        clients=_merge(tally.clients, event.clients),
        bytes_up=tally.bytes_up + event.bytes_up,
        bytes_down=tally.bytes_down + event.bytes_down,
        seconds=tally.seconds + (event.seconds if isfinite(event.seconds) else 0.0),
    )


def current(state: State) -> Tally:
    """The tally of the round in progress."""
    return state.tally or begun(state)


def begun(state: State) -> Tally:
    """The tally of the round before its training closed."""
    return state.heard or Tally(False, state.model)


def _too_few_evaluations(draft: Draft, phase: Phase, *, abort: bool) -> None:
    # The version is committed whatever happens here, so a round is never redone for its evaluation.
    if abort:
        halt(draft, "aborted", "too-few-replies")
    elif phase.replies:
        close_phase(draft, phase)
    else:
        release(draft, phase)
        draft.set(phase=None, tally=_unevaluated(current(draft.state), phase))
        draft.then = record


def _unevaluated(tally: Tally, phase: Phase) -> Tally:
    return replace(tally, unevaluated=phase.without_reply() | dict.fromkeys(phase.replies, "abandoned"))


def _draw(draft: Draft, select: Select) -> Sequence[str] | None:
    """The names that `select` draws, or None after ending the run: it is handed in, and `step` must not raise."""
    state = draft.state
    try:
        return select(state.round, state.tries, state.roster)
    except Exception as error:
        halt(draft, "error", f"selecting clients for round {state.round} failed: {error}")
        return None


def _is_last(draft: Draft) -> bool:
    """Whether it is known before the evaluation that no round follows."""
    state, rule = draft.state, draft.plan.stop
    if state.round >= draft.plan.num_rounds or budget(rule, state.progress):
        return True
    value = measured(rule, current(state).metrics, draft.plan.evaluate_where)
    return watches(rule) and value is not None and judge(rule, state.progress, value)[1] != ""


def _verdict(draft: Draft, state: State, tally: Tally) -> tuple[Progress, str, str]:
    """(progress, why the run is finished or "", what is wrong or "")."""
    plan, progress = draft.plan, state.progress
    if watches(plan.stop):
        value = measured(plan.stop, tally.metrics, plan.evaluate_where)
        if value is not None:
            progress, reason = judge(plan.stop, progress, value)
            return progress, reason or budget(plan.stop, progress), ""
        expected = not tally.skipped and not tally.unevaluated and state.round % plan.evaluate_every == 0
        if expected:
            names = ", ".join(available(tally.metrics)) or "none"
            return progress, "", f"stop.metric '{plan.stop.metric}' was not measured in round {state.round}; available: {names}"
    return progress, budget(plan.stop, progress), ""


def _spend(progress: Progress, event: Closed) -> Progress:
    seconds = event.seconds if isfinite(event.seconds) else 0.0
    epsilon = event.metrics.get("privacy", {}).get("epsilon", progress.epsilon)
    return replace(
        progress,
        bytes=progress.bytes + event.bytes_up + event.bytes_down,
        seconds=progress.seconds + seconds,
        # An epsilon that is no number says that nothing is known about what was spent: the budget counts as used up.
        epsilon=float(epsilon) if isfinite(epsilon) else MAX_FLOAT,
    )


def _merge(old: Values, new: Values) -> dict[str, dict[str, float | None]]:
    merged = {group: dict(values) for group, values in old.items()}
    for group, values in new.items():
        clean = {name: None if value is None or not isfinite(value) else _number(value) for name, value in values.items()}
        merged[group] = merged.get(group, {}) | clean
    return merged


def _number(value: float) -> float:
    return value if type(value) in (int, float) else float(value)
