from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from ciranda.core.errors import DataError, DivergedError, TaskError
from ciranda.core.metrics import MOST_CONFUSIONS, add, classification, confusions, fixed, per_class, regression, spread, summarise

CLASSES = 4
finite = st.floats(allow_nan=False, allow_infinity=False)
predictions = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1), st.floats(0, 50)), max_size=12)


def batch(rows: list[tuple[int, int, float]]) -> dict[str, Any]:
    """Sums of (label, predicted class, loss) rows."""
    labels = np.asarray([row[0] for row in rows], np.int64)
    scores = np.eye(CLASSES)[[row[1] for row in rows]] if rows else np.zeros((0, CLASSES))
    return classification(scores, labels, sum(row[2] for row in rows), CLASSES)


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@given(finite, st.sampled_from([24, 48]))
def test_fixed_rounds_once_to_the_nearest(value: float, bits: int) -> None:
    assert fixed(value, bits) == round(Fraction(value) * 2**bits)


@pytest.mark.parametrize(("halves", "whole"), [(1, 0), (3, 2), (5, 2), (-1, 0), (-3, -2), (-5, -2)])
def test_fixed_rounds_ties_to_even(halves: int, whole: int) -> None:
    assert fixed(halves * 2.0**-25) == whole


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_a_loss_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(DivergedError, match="finite") as caught:
        fixed(value)
    assert "learning-rate" in caught.value.hint


@given(st.lists(predictions, max_size=5), st.randoms())
def test_sums_do_not_depend_on_order_or_grouping(batches: list[list[tuple[int, int, float]]], random: Any) -> None:
    sums = [batch(rows) for rows in batches]
    straight: dict[str, Any] = {}
    for each in sums:
        straight = add(straight, each)
    random.shuffle(sums)
    cut = random.randint(0, len(sums))
    left: dict[str, Any] = {}
    right: dict[str, Any] = {}
    for each in sums[:cut]:
        left = add(left, each)
    for each in sums[cut:]:
        right = add(each, right)
    assert same(add(right, left), straight)
    assert summarise(add(right, left)) == summarise(straight)


@given(predictions, predictions)
def test_adding_writes_into_neither(a: list[tuple[int, int, float]], b: list[tuple[int, int, float]]) -> None:
    left, right = batch(a), batch(b)
    total = add(left, right)
    total["confusion"] += 1
    assert same(left, batch(a))
    assert same(right, batch(b))
    alone = add(left, {})
    alone["confusion"] += 1
    assert same(left, batch(a))


def test_sums_beyond_64_bits_stay_exact() -> None:
    huge = {"n": 1, "loss": fixed(1e30)}
    total = add(huge, huge)
    assert total["loss"] == 2 * fixed(1e30)
    assert summarise(total)["loss"] == 1e30


def test_sums_of_different_shapes_do_not_add() -> None:
    with pytest.raises(TaskError, match="confusion"):
        add({"confusion": np.zeros((2, 2), np.int64)}, {"confusion": np.zeros((3, 3), np.int64)})
    with pytest.raises(TaskError, match="loss"):
        add({"loss": 1}, {"loss": np.zeros(1, np.int64)})


@settings(max_examples=25)  # scikit-learn is slow
@given(predictions.filter(len))
def test_classification_agrees_with_scikit_learn(rows: list[tuple[int, int, float]]) -> None:
    labels, guesses = [row[0] for row in rows], [row[1] for row in rows]
    sums = batch(rows)
    found = summarise(sums)
    kept = sorted({*labels, *guesses})
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, guesses))
    recall = reference.recall_score(labels, guesses, labels=sorted({*labels}), average="macro", zero_division=0)
    assert found["balanced_accuracy"] == pytest.approx(recall)
    assert found["macro_f1"] == pytest.approx(reference.f1_score(labels, guesses, labels=kept, average="macro", zero_division=0))
    assert found["loss"] == pytest.approx(sum(row[2] for row in rows) / len(rows), abs=1e-7)
    matrix = reference.confusion_matrix(labels, guesses, labels=range(CLASSES))
    assert np.array_equal(np.asarray(sums["confusion"]), matrix)
    table = reference.precision_recall_fscore_support(labels, guesses, labels=range(CLASSES), zero_division=0)
    for name, column in zip(("precision", "recall", "f1", "support"), table, strict=True):
        assert per_class(sums)[name] == pytest.approx(column.tolist())


def test_every_value_is_a_plain_float() -> None:
    sums = add(batch([(0, 1, 0.5), (2, 2, 0.1)]), {})
    assert {type(value) for value in summarise(sums).values()} == {float}
    assert {type(value) for column in per_class(sums).values() for value in column} == {float}
    numbers = summarise(regression(np.ones(3, np.float32), np.zeros(3, np.float32)))
    assert {type(value) for value in numbers.values()} == {float}
    assert {type(value) for row in spread({"a": numbers}).values() for value in row.values()} == {float}


def test_nothing_over_no_examples() -> None:
    assert summarise(batch([])) == {}
    assert summarise({}) == {}
    assert summarise(regression(np.zeros((0, 2)), np.zeros((0, 2)))) == {}
    assert per_class(batch([]))["f1"] == [0.0] * CLASSES
    assert per_class({"n": 3, "loss": 1}) == {}


def test_training_sums_hold_just_a_loss() -> None:
    assert summarise({"n": 4, "loss": fixed(6.0)}) == {"loss": 1.5}


def test_the_first_of_equal_scores_wins() -> None:
    assert classification(np.zeros((1, 3), np.float32), np.asarray([0]), 0.0, 3)["correct"] == 1


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]])
def test_a_label_that_is_no_class_is_refused(labels: list[int]) -> None:
    with pytest.raises(DataError, match="with 3 classes"):
        classification(np.zeros((2, 3)), np.asarray(labels), 0.0, 3)


def test_unsigned_bytes_as_labels_do_not_wrap() -> None:
    sums = classification(np.eye(200)[[199, 150]], np.asarray([199, 150], np.uint8), 0.0, 200)
    assert sums["correct"] == 2


def test_scores_of_another_shape_are_refused() -> None:
    with pytest.raises(TaskError, match=r"\(2, 4\)"):
        classification(np.zeros((2, 4)), np.asarray([0, 1]), 0.0, 3)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_predictions_that_are_no_numbers_are_refused(bad: float) -> None:
    with pytest.raises(DivergedError):
        classification(np.asarray([[bad, 0.0]]), np.asarray([0]), 0.0, 2)
    with pytest.raises(DivergedError):
        regression(np.asarray([bad]), np.asarray([0.0]))
    with pytest.raises(DataError):
        regression(np.asarray([0.0]), np.asarray([bad]))


pairs = st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)), min_size=2, max_size=20)


@settings(max_examples=25)
@given(pairs)
def test_regression_agrees_with_scikit_learn(rows: list[tuple[float, float]]) -> None:
    guess, truth = np.asarray(rows).T
    found = summarise(regression(guess, truth))
    assert found["mse"] == pytest.approx(reference.mean_squared_error(truth, guess), abs=1e-12)
    assert found["rmse"] == pytest.approx(math.sqrt(reference.mean_squared_error(truth, guess)), abs=1e-6)
    assert found["mae"] == pytest.approx(reference.mean_absolute_error(truth, guess), abs=1e-12)
    if np.ptp(truth) > 1e-2:
        assert found["r2"] == pytest.approx(reference.r2_score(truth, guess), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_regression_holds_for_small_and_large_targets(scale: float) -> None:
    generator = np.random.default_rng(1)
    truth = scale * (5 + generator.normal(size=200))
    guess = truth + scale * generator.normal(size=200)
    found = summarise(regression(guess, truth))
    assert found["r2"] == pytest.approx(reference.r2_score(truth, guess), rel=1e-6)
    assert found["mape"] == pytest.approx(reference.mean_absolute_percentage_error(truth, guess), rel=1e-6)
    assert found["nrmse"] == pytest.approx(found["rmse"] / np.abs(truth).mean(), rel=1e-6)
    assert found["smape"] == pytest.approx(np.mean(2 * np.abs(guess - truth) / (np.abs(guess) + np.abs(truth))), rel=1e-6)


def test_regression_is_safe_at_zero() -> None:
    zeros = np.zeros(3)
    perfect = summarise(regression(zeros, zeros))
    assert perfect == {"mse": 0.0, "rmse": 0.0, "nrmse": 0.0, "mae": 0.0, "mape": 0.0, "smape": 0.0, "r2": 1.0}
    wrong = summarise(regression(np.ones(3), zeros))
    assert wrong == {"mse": 1.0, "rmse": 1.0, "nrmse": 0.0, "mae": 1.0, "mape": 0.0, "smape": 2.0, "r2": 0.0}
    constant = summarise(regression(np.asarray([0.1, 0.3]), np.asarray([0.2, 0.2])))
    assert constant["r2"] == 0.0


def test_the_sign_of_targets_does_not_matter_for_relative_errors() -> None:
    truth, guess = np.asarray([-2.0, 4.0, -1.0]), np.asarray([-1.0, 5.0, 1.0])
    found = summarise(regression(guess, truth))
    assert found["mape"] == pytest.approx(reference.mean_absolute_percentage_error(truth, guess))
    assert found["smape"] == pytest.approx((2 / 3 + 2 / 9 + 2) / 3)
    assert found["nrmse"] == pytest.approx(math.sqrt(2) / (7 / 3))


def test_predictions_too_large_to_square_are_divergence() -> None:
    with pytest.raises(DivergedError):
        regression(np.asarray([1e200]), np.asarray([0.0]))


def test_a_vanishing_target_counts_as_zero() -> None:
    found = summarise(regression(np.asarray([1.0, 3.0]), np.asarray([1e-310, 2.0])))
    assert found["mape"] == 0.5
    assert found["smape"] == pytest.approx((2 + 2 / 5) / 2)


def test_relative_errors_leave_out_targets_of_zero() -> None:
    assert summarise(regression(np.asarray([1.0, 3.0]), np.asarray([0.0, 2.0])))["mape"] == 0.5


@given(st.lists(pairs, min_size=1, max_size=4))
def test_regression_metrics_weigh_clients_by_their_examples(clients: list[list[tuple[float, float]]]) -> None:
    total: dict[str, Any] = {}
    for rows in clients:
        total = add(total, regression(*np.asarray(rows).T))
    together = np.concatenate([np.asarray(rows) for rows in clients])
    expected = summarise(regression(*together.T))
    for name in ("mse", "mae", "smape"):
        assert summarise(total)[name] == pytest.approx(expected[name], rel=1e-12, abs=1e-9)


def test_several_outputs_count_as_their_mean() -> None:
    truth = np.asarray([[0.0, 2.0], [1.0, 3.0], [5.0, 4.0]])
    guess = truth + np.asarray([[1.0, -1.0], [2.0, 0.0], [0.0, 0.5]])
    sums = regression(guess, truth)
    assert sums["n"] == 3
    assert summarise(sums)["mse"] == pytest.approx(reference.mean_squared_error(truth, guess))
    assert summarise(sums)["mae"] == pytest.approx(reference.mean_absolute_error(truth, guess))


def test_a_column_of_predictions_does_not_broadcast_against_a_row_of_targets() -> None:
    truth = np.asarray([1.0, 2.0, 3.0])
    assert summarise(regression(truth[:, None], truth))["mse"] == 0.0
    with pytest.raises(TaskError, match=r"\(1, 3\)"):
        regression(truth[None, :], truth)
    with pytest.raises(TaskError, match="must agree"):
        regression(np.ones((3, 2)), truth)


@given(st.dictionaries(st.text(max_size=3), st.floats(-1e6, 1e6), min_size=1, max_size=12), st.randoms())
def test_the_spread_does_not_depend_on_the_order_of_clients(values: dict[str, float], random: Any) -> None:
    rows = [(name, {"loss": value}) for name, value in values.items()]
    straight = spread(dict(rows))
    random.shuffle(rows)
    assert spread(dict(rows)) == straight
    row = straight["loss"]
    assert row["min"] <= row["p10"] <= row["median"] <= row["max"]
    assert row["std"] >= 0


def test_the_spread_of_known_values() -> None:
    values = {str(rank): {"accuracy": rank / 10} for rank in range(11)}
    values["11"] = {"loss": 2.0}
    found = spread(values)
    assert found["accuracy"] == pytest.approx({"min": 0.0, "p10": 0.1, "median": 0.5, "max": 1.0, "std": math.sqrt(0.1)})
    assert found["loss"] == {"min": 2.0, "p10": 2.0, "median": 2.0, "max": 2.0, "std": 0.0}
    assert spread({}) == {}


@given(predictions)
def test_confusions_and_recall_give_the_matrix_back(rows: list[tuple[int, int, float]]) -> None:
    sums = batch(rows)
    rebuilt = np.zeros((CLASSES, CLASSES))
    for pair, count in confusions(sums, CLASSES).items():
        true, predicted = map(int, pair.split("."))
        assert true != predicted
        rebuilt[true, predicted] = count
    scores = per_class(sums)
    rebuilt += np.diag(np.rint(np.multiply(scores["recall"], scores["support"])))
    assert np.array_equal(rebuilt, sums["confusion"])


def test_only_the_most_frequent_confusions_of_many_classes_are_kept() -> None:
    matrix = np.arange(50 * 50).reshape(50, 50)
    kept = confusions({"confusion": matrix}, 50)
    assert len(kept) == MOST_CONFUSIONS
    assert min(kept.values()) == np.sort((matrix - np.diag(np.diag(matrix))).ravel())[-MOST_CONFUSIONS]
    assert confusions({"confusion": matrix}, 49) == {}
    assert confusions({"n": 3}, 50) == {}
