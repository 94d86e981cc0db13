"""What the clients show: replies that are missing or refused, weights out of step, tensors of another size, an unfair spread."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ciranda.core.texts import Text
from ciranda.diagnosis.findings import Finding
from ciranda.diagnosis.history import History

LOST = 0.05
IN_A_ROW = 3
UNFAIR = 0.15

# Recorded reasons, pieces of an error's text -> code, what, advice.
_KINDS: tuple[tuple[tuple[str, ...], tuple[str, ...], str, Text, Text], ...] = (
    (
        ("wrong-round",),
        ("out of step",),
        "out-of-step",
        Text("Some clients' weights are out of step with the round's"),
        Text("Let them load the round's model before they train; restart clients that do not."),
    ),
    (
        ("wrong-shape",),
        ("has shape", "shape mismatch", "size mismatch", "is missing from the model"),
        "tensor-size",
        Text("Some clients' tensors have other sizes than the round's model"),
        Text("All must have the same model code and the same classes: compare with `ciranda check`."),
    ),
    (
        ("non-finite",),
        ("not a finite", "not finite", "iverged"),
        "diverged-clients",
        Text("Training diverged at some clients"),
        Text("Lower client.learning-rate, or bound updates with privacy.clipping-norm=1."),
    ),
    (
        ("out-of-range", "oversized"),
        (),
        "out-of-range",
        Text("Some clients' updates are larger than what is admitted: training there diverges, or is no training"),
        Text("Lower client.learning-rate, or bound updates with privacy.clipping-norm=1."),
    ),
    (
        ("late", "no-answer", "lost"),
        (),
        "no-answer",
        Text("Some clients do not answer, or not in time"),
        Text("Look at their log and their connection; raise rounds.deadline-s."),
    ),
)
_OTHER = Text("Some clients fail"), Text("Look at their log; `ciranda check` tries the task on one batch.")


def lost_replies(history: History, *, least: float = LOST) -> Iterator[Finding]:
    """A finding for each kind of reason for which replies were lost: a warning from a share of `least` of all that were asked for,
    or when a client lost its last three."""
    asked, lost = sum(history.asked.values()), sum(history.lost.values())
    by_kind: dict[str, tuple[int, str, Text, Text]] = {}
    for reason, count in history.reasons.items():
        code, what, advice = kind_of(reason)
        so_far, example, *_ = by_kind.get(code, (0, reason))
        by_kind[code] = (so_far + count, example, what, advice)
    always = any(history.streak[name] >= IN_A_ROW for name in history.lost)
    for code, (count, example, what, advice) in by_kind.items():
        yield Finding(
            code,
            "error" if lost == asked else "warning" if count >= least * asked or always else "info",
            what,
            Text("{lost:,} of {asked:,} replies, for example: {reason}", lost=count, asked=asked, reason=_short(example)),
            advice,
        )


def skipped(history: History) -> Finding | None:
    """Rounds that made no model."""
    if not history.skipped:
        return None
    return Finding(
        "skipped-rounds",
        "error" if history.skipped == history.rounds else "warning",
        Text("Some rounds made no new model"),
        Text("{skipped:,} of {rounds:,} rounds", skipped=history.skipped, rounds=history.rounds),
        Text("Lower rounds.min-replies, or raise rounds.deadline-s."),
    )


def unfair(history: History) -> Finding | None:
    """The model serves some clients much worse than others."""
    spread = history.last.get("clients-spread", {})
    low, middle = spread.get("accuracy.p10"), spread.get("accuracy.median")
    if low is None or middle is None or not math.isfinite(low) or middle - low < UNFAIR:
        return None
    return Finding(
        "unfair",
        "warning",
        Text("The model serves some clients much worse than others"),
        Text("accuracy {low:.2f} at the worst tenth of the clients, {middle:.2f} at the middle one", low=low, middle=middle),
        Text("Try strategy.name=qfedavg, or rounds.selection=power-of-choice; look at those clients' data."),
    )


def kind_of(reason: str) -> tuple[str, Text, Text]:
    """(code, what, advice) of a recorded reason or an error's text; the code "failing" for one that is not known."""
    for reasons, pieces, code, what, advice in _KINDS:
        if reason in reasons or any(piece in reason for piece in pieces):
            return code, what, advice
    return "failing", *_OTHER


def _short(reason: str) -> str:
    line = reason.partition("\n")[0]
    return line if len(line) <= 100 else f"{line[:97]}..."
