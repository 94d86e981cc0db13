"""Rows as short series, whatever they hold: what the checks build on."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.texts import Text
from ciranda.diagnosis import History, examine
from ciranda.diagnosis.findings import ORDER, Finding, by_severity
from ciranda.diagnosis.history import Series
from tests.diagnosis.curves_of import history, row, rows

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)
MAYBE = st.lists(st.none() | st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=12)


# --- series


@given(VALUES, st.integers(1, 50))
def test_smoothing_means_the_last_values_and_keeps_length_and_bounds(values: list[float], width: int) -> None:
    smooth = Series("loss", range(1, len(values) + 1), values).smooth(width)
    assert len(smooth) == len(values)
    assert smooth.rounds == range(1, len(values) + 1)
    for place, mean in enumerate(smooth.values):
        window = values[max(0, place + 1 - width) : place + 1]
        assert mean == pytest.approx(math.fsum(window) / len(window), rel=1e-9, abs=1e-6)
        assert min(window) - 1e-6 <= mean <= max(window) + 1e-6


@given(VALUES)
def test_a_window_of_one_smooths_nothing_and_one_of_all_ends_in_the_mean(values: list[float]) -> None:
    series = Series("loss", range(len(values)), values)
    assert list(series.smooth(1).values) == values
    assert series.smooth(len(values)).values[-1] == pytest.approx(math.fsum(values) / len(values), rel=1e-9, abs=1e-6)


@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.0, math.nan, math.inf, -math.inf]), min_size=1).filter(lambda them: any(map(math.isfinite, them)))
)
def test_the_best_is_the_first_of_the_finite_extremes(values: list[float]) -> None:
    series = Series("x", range(len(values)), values)
    finite = list(filter(math.isfinite, values))
    assert series.best(rising=True) == values.index(max(finite))
    assert series.best(rising=False) == values.index(min(finite))
    assert series.finite == (len(finite) == len(values))


def test_a_series_that_was_never_measured_is_empty_and_finite() -> None:
    assert (len(Series()), Series().finite, Series().smooth(3).values) == (0, True, ())


# --- rows


@given(MAYBE)
def test_what_json_calls_null_is_no_number(values: list[float | None]) -> None:
    made = [row(place, metrics={"server": {"loss": value}}) for place, value in enumerate(values, 1)]
    error = history(made).error
    assert list(error.rounds) == list(range(1, len(values) + 1))
    for value, kept in zip(values, error.values, strict=True):
        assert math.isnan(kept) if value is None or math.isnan(value) else kept == value


@pytest.mark.parametrize(
    ("metrics", "error", "score"),
    [
        ({"server": {"loss": 1, "accuracy": 0.5}}, "loss", "accuracy"),
        ({"server": {"mse": 4, "rmse": 2, "mae": 1, "r2": 0.5}}, "mse", "r2"),
        ({"server": {"mae": 1}}, "mae", ""),
        ({"clients": {"loss": 1}, "server": {"rmse": 2}}, "rmse", ""),
        ({"clients": {"loss": 1, "accuracy": 0.5}, "train": {"loss": 9}}, "loss", "accuracy"),
        ({"train": {"loss": 9}}, "", ""),
    ],
)
def test_a_model_is_judged_by_the_server_before_the_clients_and_never_by_its_training(
    metrics: dict[str, Any], error: str, score: str
) -> None:
    known = history([row(1, metrics=metrics)])
    assert (known.error.name, known.score.name) == (error, score)
    assert known.training.values == ([9.0] if "train" in metrics else ())
    assert known.evaluated == ("server" if "server" in metrics else "clients")


@given(st.lists(st.integers(1, 500), min_size=1, max_size=12))
def test_guessing_says_the_commonest_class(support: list[int]) -> None:
    classes = {f"support.{label}": float(count) for label, count in enumerate(support)} | {"recall.0": 0.5}
    known = history([row(1, metrics={"server": {"accuracy": 0.5}, "server-classes": classes})])
    assert known.guess == pytest.approx(max(support) / sum(support))
    assert known.classes == len(support)


def test_a_regression_has_no_classes_to_guess() -> None:
    known = history([row(1, metrics={"server": {"r2": 0.1}})])
    assert (known.guess, known.classes) == (0.0, 0)
    empty = history([row(1, metrics={"server": {}, "server-classes": {"support.0": 0.0, "support.1": None}})])
    assert (empty.guess, empty.classes) == (0.0, 2)


def test_rows_that_are_no_rounds_change_nothing() -> None:
    known = History()
    known.take({"event": "start", "metrics": {"server": {"loss": 1}}, "accepted": [["0", ""]]})
    assert (known.rounds, len(known.error), known.asked) == (0, 0, Counter())


OUTCOMES = st.dictionaries(st.sampled_from("abcde"), st.sampled_from(["counted", "late", "error", "non-finite"]), max_size=5)


def outcome_row(number: int, outcomes: dict[str, str]) -> dict[str, Any]:
    lost = {name: why for name, why in outcomes.items() if why != "counted"}
    refused = {name: why for name, why in lost.items() if why == "non-finite"}
    failed = {name: why for name, why in lost.items() if name not in refused}
    return row(number, accepted=[[name, ""] for name, why in outcomes.items() if why == "counted"], failed=failed, refused=refused)


@given(st.lists(OUTCOMES, max_size=12), st.sampled_from([frozenset(), frozenset({"late"})]))
def test_who_was_asked_and_lost_adds_up(rounds: list[dict[str, str]], expected: frozenset[str]) -> None:
    known = History(expected)
    for number, outcomes in enumerate(rounds, 1):
        known.take(outcome_row(number, outcomes))
    flat = [(name, why) for outcomes in rounds for name, why in outcomes.items() if why not in expected]
    assert known.asked == Counter(name for name, _ in flat)
    assert +known.lost == Counter(name for name, why in flat if why != "counted")
    assert +known.reasons == Counter(why for _, why in flat if why != "counted")
    for name in "abcde":
        own = [why for who, why in flat if who == name]
        streak = next((place for place, why in enumerate(reversed(own)) if why == "counted"), len(own))
        assert known.streak[name] == streak


def test_a_client_that_was_counted_and_refused_a_copy_lost_nothing() -> None:
    known = history([row(1, accepted=[["a", ""]], refused={"a": "duplicate"}, failed={"a": "late"})])
    assert (known.asked["a"], known.lost["a"], dict(known.reasons)) == (1, 0, {})


# --- findings


def finding(code: str, severity: Any) -> Finding:
    return Finding(code, severity, Text("what"), Text("{n} times", n=3), Text("advice"))


@given(st.lists(st.sampled_from(ORDER), max_size=12))
def test_the_worst_comes_first_and_equals_stay_in_order(severities: list[Any]) -> None:
    made = [finding(str(place), severity) for place, severity in enumerate(severities)]
    ordered = by_severity(made)
    assert [ORDER.index(one.severity) for one in ordered] == sorted(map(ORDER.index, severities))
    for severity in ORDER:
        places = [int(one.code) for one in ordered if one.severity == severity]
        assert places == sorted(places)


def test_a_finding_is_a_line_and_plain_data() -> None:
    one = finding("odd", "info")
    assert one.line() == "what (3 times). advice"
    assert one.as_json() == {"code": "odd", "severity": "info", "what": "what", "evidence": "3 times", "advice": "advice"}


# --- the whole

SPOILT: dict[str, Any] = {"loss": [2.3, 2.3, 9.0, 50.0, 99.0], "accuracy": [0.1] * 5, "train": [2.3, 3.0, 9.0, 50.0, 99.0]}


@pytest.mark.parametrize(
    ("made", "result", "codes"),
    [
        ([], {}, []),
        ([], {"state": "aborted", "stop_reason": "too-few-replies"}, ["too-few-replies"]),
        ([], {"state": "error", "stop_reason": "a shape mismatch\nat line 3"}, ["error"]),
        (rows(**SPOILT), {}, ["diverged", "stalled"]),
        (rows(**SPOILT), {"state": "error", "stop_reason": "x"}, ["error", "diverged", "stalled"]),
        ([row(1, skipped=True)], {"stop_reason": "rounds"}, ["skipped-rounds"]),
        ([row(1, failed={"7": "late"}, accepted=[])], {}, ["no-answer"]),
    ],
)
def test_everything_that_went_wrong_is_told_the_worst_first(made: list[dict[str, Any]], result: dict[str, str], codes: list[str]) -> None:
    assert [one.code for one in examine(history(made), result)] == codes


def test_the_reason_of_an_error_is_told_by_its_first_line() -> None:
    [one] = examine(history([row(1)]), {"state": "error", "stop_reason": "Disk full.\nTraceback ..."})
    assert "after round 1: Disk full." in one.line()
    assert "Traceback" not in one.line()
    assert "ciranda resume" in one.line()


@given(MAYBE, MAYBE, st.sampled_from(["rounds", "patience", ""]))
def test_no_history_is_without_a_sober_report(loss: list[float | None], train: list[float | None], reason: str) -> None:
    if not loss and not train:
        loss = [None]
    made = rows(
        loss=loss + [None] * (max(len(loss), len(train)) - len(loss)), train=train + [None] * (max(len(loss), len(train)) - len(train))
    )
    found = examine(history(made), {"stop_reason": reason})
    assert [one.severity for one in found] == sorted((one.severity for one in found), key=ORDER.index)
    assert len({one.code for one in found}) == len(found)
    assert all(one.line().strip() for one in found)


def test_replies_that_came_to_nothing_by_others_fault_are_not_lost() -> None:
    history = History()
    history.lose({"0": "abandoned", "1": "late"})
    assert dict(history.lost) == {"1": 1}
    assert dict(history.reasons) == {"late": 1}
