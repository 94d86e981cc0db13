"""Each fault in a curve that shows it, and in curves that come near and must not."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.diagnosis import curves
from ciranda.diagnosis.findings import Finding
from ciranda.diagnosis.history import History
from tests.diagnosis.curves_of import history, rows


def falling(start: float, end: float, rounds: int, noise: float = 0.0) -> list[float]:
    """Exponentially from start to end, with a noise that is the same every time."""
    rate = 5 / rounds
    return [end + (start - end) * math.exp(-rate * place) + noise * math.sin(7.1 * place) for place in range(rounds)]


rising = falling


HEALTHY = {
    "classification": rows(loss=falling(1.8, 0.3, 30, 0.02), accuracy=rising(0.3, 0.93, 30, 0.01), train=falling(2.0, 0.2, 30, 0.03)),
    "three rounds": rows(loss=[1.6, 0.95, 0.73], accuracy=[0.38, 0.66, 0.71], train=[1.9, 1.1, 0.8]),
    "one round": rows(loss=[2.2], accuracy=[0.2], train=[2.3]),
    "regression": rows(rmse=falling(150, 64, 20), mse=falling(2e4, 4e3, 20), r2=rising(-3, 0.38, 20), train=falling(2, 0.3, 20), classes=0),
    "slow, but better than guessing": rows(loss=falling(2.3, 2.1, 20), accuracy=rising(0.1, 0.3, 20), train=falling(2.3, 2.1, 20)),
    "good from the start": rows(loss=[0.05] * 8, accuracy=[0.99] * 8, train=[0.04] * 8),
    "training only": rows(train=falling(2.0, 0.2, 30)),
    "noisy, few clients a round": rows(
        loss=falling(1.8, 0.5, 40, 0.1), accuracy=rising(0.3, 0.8, 40, 0.04), train=falling(2, 0.3, 40, 0.15)
    ),
}
FAULTS = (curves.diverged, curves.guessing, curves.overfitted, curves.unsteady)


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_curves_raise_no_alarm(name: str) -> None:
    made = HEALTHY[name]
    for end in range(1, len(made) + 1):
        known = history(made[:end])
        assert [found.code for check in FAULTS if (found := check(known)) is not None] == [], f"after {end} rounds"


def found(check: curves.Check, made: list[dict[str, object]]) -> Finding:
    finding = check(history(made))
    assert finding is not None
    return finding


# --- divergence


def test_a_loss_that_is_no_number_has_diverged() -> None:
    finding = found(curves.diverged, rows(loss=[1.0, 0.9, None, 0.8], accuracy=[0.5] * 4))
    assert (finding.code, finding.severity) == ("diverged", "error")
    assert "round 3" in str(finding.evidence)
    assert "learning-rate" in str(finding.advice)


def test_a_training_loss_that_is_no_number_has_diverged() -> None:
    assert "not a finite number in round 2" in str(found(curves.diverged, rows(loss=[1.0, 0.9], train=[1.0, None])).evidence)


def test_a_loss_that_grows_in_training_too_has_diverged() -> None:
    finding = found(curves.diverged, rows(loss=[2.0, 1.0, 3.0, 9.0], train=[2.0, 1.0, 3.0, 8.0]))
    assert "loss 1 in round 2, 9 at the end" in str(finding.evidence)


@pytest.mark.parametrize(
    "made",
    [
        rows(loss=[2.0, 1.0, 3.0, 9.0], train=[2.0, 1.0, 0.5, 0.2]),  # that is overfitting
        rows(loss=[2.0, 1.0, 1.5, 2.5], train=[2.0, 1.0, 1.5, 2.0]),  # not far above the start
        rows(loss=[2.0, 9.0], train=[2.0, 9.0]),  # a second round may overshoot
        rows(loss=[2.0, 9.0, 1.0], train=[2.0, 9.0, 1.0]),  # a spike that mends
    ],
)
def test_what_is_no_divergence(made: list[dict[str, object]]) -> None:
    assert curves.diverged(history(made)) is None


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=40), st.floats(0.1, 10))
def test_the_unit_of_the_loss_does_not_matter(values: list[float], unit: float) -> None:
    one = curves.diverged(history(rows(loss=values, train=values)))
    other = curves.diverged(history(rows(loss=[unit * value for value in values], train=[unit * value for value in values])))
    near = any(abs(values[-1] / bound - 1) < 1e-6 for bound in (1.5 * values[0], 2 * min(values), 1.5 * min(values)))
    assert near or (one is None) == (other is None)


# --- a model that never learns


def test_a_model_that_guesses_is_told() -> None:
    finding = found(curves.guessing, rows(loss=[2.4, 2.6, 2.5, 2.4, 2.5, 2.4], accuracy=[0.1, 0.11, 0.1, 0.09, 0.1, 0.1]))
    assert (finding.code, finding.severity) == ("stalled", "error")
    assert "accuracy 0.100 after 6 rounds, guessing gives 0.100" in str(finding.evidence)
    assert "ten times lower" in str(finding.advice)


def test_a_model_that_creeps_is_told_to_hurry() -> None:
    finding = found(curves.guessing, rows(loss=[2.302, 2.301, 2.3, 2.299, 2.298], accuracy=[0.1] * 5))
    assert finding.severity == "warning"
    assert "raise client.learning-rate" in str(finding.advice)


def test_a_regression_that_gives_the_mean_is_told() -> None:
    finding = found(curves.guessing, rows(rmse=[77.0] * 6, mse=[5929.0] * 6, r2=[0.0, 0.01, -0.01, 0.0, 0.01, 0.0], classes=0))
    assert "R²" in str(finding.evidence)


def test_a_model_that_is_still_worse_than_guessing_but_learns_fast_is_let_be() -> None:
    made = rows(rmse=falling(200, 70, 12), r2=falling(-4, -0.1, 12), classes=0)
    assert curves.guessing(history(made[:6])) is None


def test_guessing_is_told_only_after_five_rounds() -> None:
    assert curves.guessing(history(rows(loss=[2.3] * 4, accuracy=[0.1] * 4))) is None


def test_where_one_class_is_common_balanced_accuracy_shows_learning() -> None:
    made = rows(loss=falling(0.4, 0.3, 8), accuracy=[0.91] * 8, classes=2)
    for each, even in zip(made, rising(0.5, 0.75, 8), strict=True):
        each["metrics"]["server"]["balanced_accuracy"] = even
        each["metrics"]["server-classes"] = {"support.0": 90.0, "support.1": 10.0}
    assert curves.guessing(history(made)) is None
    for each in made:
        each["metrics"]["server"]["balanced_accuracy"] = 0.5
    assert curves.guessing(history(made)) is not None


# --- overfitting


def overfitting(rounds: int = 40, *, accuracy_falls: bool = True) -> list[dict[str, object]]:
    loss = [*falling(2.0, 0.5, rounds // 2), *(0.5 + 0.03 * place for place in range(rounds - rounds // 2))]
    accuracy = [
        *rising(0.3, 0.85, rounds // 2),
        *(0.85 - (0.004 * place if accuracy_falls else 0) for place in range(rounds - rounds // 2)),
    ]
    return rows(loss=loss, accuracy=accuracy, train=falling(2.0, 0.001, rounds))


def test_overfitting_is_told_with_the_round_to_stop_at() -> None:
    finding = found(curves.overfitted, overfitting())
    assert (finding.code, finding.severity) == ("overfitted", "warning")
    best = int(str(finding.advice).split("near round ")[1].split(" ")[0])
    assert 17 <= best <= 25
    assert "stop.patience=" in str(finding.advice)


def test_overfitting_of_the_loss_alone_is_less_bad() -> None:
    assert found(curves.overfitted, overfitting(accuracy_falls=False)).severity == "info"


@pytest.mark.parametrize(
    "made",
    [
        rows(loss=falling(2, 0.5, 40), accuracy=rising(0.3, 0.8, 40), train=falling(2, 0.01, 40)),  # a gap alone is none
        rows(loss=[1.0] * 20 + [1.3] * 20, train=[1.0] * 20 + [1.3] * 20),  # both rise: that is not learning by heart
        overfitting()[:22],  # just begun
        rows(loss=[0.5, 0.4, 0.45, 0.5, 0.6], train=[0.5, 0.3, 0.2, 0.1, 0.05]),  # five rounds show little
    ],
)
def test_what_is_no_overfitting(made: list[dict[str, object]]) -> None:
    assert curves.overfitted(history(made)) is None


# --- a plateau, swings, an early end


def test_a_plateau_is_told_with_the_round_it_began() -> None:
    finding = found(curves.plateau, rows(loss=falling(2, 0.3, 60), accuracy=[*rising(0.3, 0.9, 15), *[0.9] * 45]))
    assert finding.severity == "info"
    assert "accuracy 0.9000 in round" in str(finding.evidence) or "accuracy 0.89" in str(finding.evidence)


def test_steady_gains_are_no_plateau() -> None:
    assert curves.plateau(history(rows(loss=falling(2, 0.3, 60), accuracy=[0.3 + 0.01 * place for place in range(60)]))) is None
    assert curves.plateau(history(rows(loss=[0.3] * 19, accuracy=[0.9] * 19))) is None


def test_a_plateau_of_an_error_is_one_where_nothing_else_is_measured() -> None:
    assert curves.plateau(history(rows(rmse=[*falling(9, 3, 20), *[3.03] * 40], classes=0))) is not None
    assert curves.plateau(history(rows(rmse=[9 - 0.1 * place for place in range(40)], classes=0))) is None


def test_swings_are_told() -> None:
    swinging = [0.6 + (0.1 if place % 2 else -0.1) for place in range(20)]
    finding = found(curves.unsteady, rows(loss=[1.0] * 20, accuracy=swinging))
    assert (finding.code, finding.severity) == ("unsteady", "warning")
    assert "20.0%" in str(finding.evidence)


def test_a_steep_rise_is_no_swing() -> None:
    assert curves.unsteady(history(rows(loss=[1.0] * 10, accuracy=[0.1 * place for place in range(10)]))) is None


def test_a_run_that_ended_too_early_is_told_to_go_on() -> None:
    finding = found(curves.unfinished, rows(loss=[2.0 - 0.15 * place for place in range(10)]))
    assert "rounds.num-rounds=20" in str(finding.advice)
    assert curves.unfinished(history(rows(loss=falling(2.0, 0.3, 30)))) is None


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1e9)), min_size=1, max_size=60),
    st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=60, max_size=60),
)
def test_no_curve_breaks_a_check(loss: list[float | None], accuracy: list[float | None]) -> None:
    known: History = history(rows(loss=loss, accuracy=accuracy[: len(loss)], train=loss))
    for check in (*FAULTS, curves.plateau, curves.unfinished):
        if (finding := check(known)) is not None:
            assert finding.line()
            assert set(finding.as_json()) == {"code", "severity", "what", "evidence", "advice"}
