"""Lost replies by kind, skipped rounds, spreads."""

from __future__ import annotations

from typing import Any

import pytest

from ciranda.core.update import REASONS
from ciranda.diagnosis import clients
from ciranda.diagnosis.history import FIRST, History
from tests.diagnosis.curves_of import history, row, rows


def lost(*reasons: str, rounds: int = 1, counted: int = 2) -> History:
    """Rounds in which `counted` replies counted and one failed for each reason."""
    failed = {f"lost {place}": reason for place, reason in enumerate(reasons)}
    return history([row(number, accepted=[[str(place), ""] for place in range(counted)], failed=failed) for number in range(1, rounds + 1)])


@pytest.mark.parametrize(
    ("reason", "code", "word"),
    [
        ("wrong-round", "out-of-step", "load the round's model"),
        ("The weights here are out of step: they have digest a, the round's model is b.", "out-of-step", "restart"),
        ("wrong-shape", "tensor-size", "same model code"),
        ("Tensor 'fc.weight' has shape (10, 5), expected (10, 4).", "tensor-size", "same classes"),
        ("non-finite", "diverged-clients", "learning-rate"),
        ("mnist: the loss is not a finite number in epoch 2.", "diverged-clients", "clipping-norm"),
        ("out-of-range", "out-of-range", "clipping-norm"),
        ("no-answer", "no-answer", "deadline-s"),
        ("late", "no-answer", "deadline-s"),
        ("KeyError: 'related'", "failing", "ciranda check"),
    ],
)
def test_a_reason_has_its_kind_and_advice(reason: str, code: str, word: str) -> None:
    (finding,) = clients.lost_replies(lost(reason))
    assert finding.code == code
    assert word in str(finding.advice)
    assert f"1 of 3 replies, for example: {reason}" in str(finding.evidence)


def test_a_long_reason_is_cut() -> None:
    (finding,) = clients.lost_replies(lost("x" * 1_000 + "\nTraceback"))
    assert len(str(finding.evidence)) < 150
    assert "Traceback" not in str(finding.evidence)


def test_how_bad_it_is_depends_on_how_many() -> None:
    (few,) = clients.lost_replies(lost("late", counted=30))
    (some,) = clients.lost_replies(lost("late", counted=10))
    (everybody,) = clients.lost_replies(lost("late", counted=0))
    assert [each.severity for each in (few, some, everybody)] == ["info", "warning", "error"]


def test_a_client_that_always_fails_is_a_warning_however_many_there_are() -> None:
    (finding,) = clients.lost_replies(lost("late", counted=100, rounds=3))
    assert finding.severity == "warning"


def test_a_client_that_is_back_is_none() -> None:
    known = lost("late", counted=100, rounds=3)
    known.take(row(4, accepted=[["lost 0", ""]]))
    (finding,) = clients.lost_replies(known)
    assert finding.severity == "info"


def test_reasons_of_a_kind_are_told_together() -> None:
    found = list(clients.lost_replies(lost("late", "no-answer", "wrong-shape", "lost")))
    assert [(each.code, str(each.evidence).split(",")[0]) for each in found] == [
        ("no-answer", "3 of 6 replies"),
        ("tensor-size", "1 of 6 replies"),
    ]


def test_nothing_lost_is_nothing_found() -> None:
    assert list(clients.lost_replies(lost())) == []


def test_a_refused_copy_of_a_counted_reply_is_no_loss() -> None:
    known = history([row(1, refused={"0": "duplicate"})])
    assert not known.lost
    assert known.asked["0"] == 1


def test_a_refusal_says_more_than_silence() -> None:
    known = history([row(1, failed={"7": "no-answer"}, refused={"7": "non-finite"})])
    assert dict(known.reasons) == {"non-finite": 1}
    assert known.asked["7"] == 1


def test_where_the_first_replies_close_a_round_the_others_are_no_loss() -> None:
    known = History(FIRST)
    known.take(row(1, failed={"7": "no-answer", "8": "wrong-shape"}, refused={"9": "late"}))
    assert dict(known.lost) == {"8": 1}


def test_every_reason_of_a_refusal_has_a_kind_of_its_own_or_is_told_as_it_stands() -> None:
    for reason in REASONS:
        (finding,) = clients.lost_replies(lost(reason))
        assert reason in finding.line()


def test_skipped_rounds_are_told() -> None:
    made: list[dict[str, Any]] = [row(number, skipped=number > 2) for number in range(1, 5)]
    finding = clients.skipped(history(made))
    assert finding is not None
    assert (finding.severity, str(finding.evidence)) == ("warning", "2 of 4 rounds")
    only = clients.skipped(history(made[2:]))
    assert only is not None
    assert only.severity == "error"
    assert clients.skipped(history(made[:2])) is None


@pytest.mark.parametrize(
    ("low", "middle", "told"), [(0.5, 0.9, True), (0.8, 0.9, False), (0.1, 0.2, False), (float("nan"), 0.9, False), (None, 0.9, False)]
)
def test_a_spread_is_unfair_when_the_worst_tenth_is_far_below_the_middle(low: float | None, middle: float, told: bool) -> None:
    spread = {"accuracy.p10": low, "accuracy.median": middle}
    finding = clients.unfair(history(rows(loss=[1.0], spread=spread)))  # type: ignore[arg-type]
    assert (finding is not None) == told
    assert finding is None or "qfedavg" in str(finding.advice)


def test_a_regression_has_no_spread_of_accuracy() -> None:
    assert clients.unfair(history(rows(loss=[1.0]))) is None
