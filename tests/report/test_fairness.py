"""Fairness: numbers against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.report.fairness import fairness, gini, lorenz, worst_first

shares = st.lists(st.floats(0, 1), min_size=1, max_size=60)


@given(shares)
def test_gini_is_half_the_mean_difference_over_the_mean(values: list[float]) -> None:
    array = np.array(values)
    expected = np.abs(array[:, None] - array).mean() / (2 * array.mean()) if array.sum() > 1e-200 else 0.0
    if array.sum() == 0 or array.mean() > 1e-100:
        assert gini(array) == pytest.approx(expected, abs=1e-9)


def test_gini_of_the_ends() -> None:
    assert gini(np.ones(5)) == 0
    assert gini(np.zeros(3)) == 0
    assert gini(np.array([0.0] * 99 + [1.0])) == pytest.approx(0.99)
    assert math.isnan(gini(np.array([-1.0, 2.0])))
    assert math.isnan(gini(np.array([])))


@given(shares)
def test_a_lorenz_curve_runs_below_the_diagonal_from_corner_to_corner(values: list[float]) -> None:
    share, held = lorenz(np.array(values))
    assert (share[0], held[0]) == (0, 0)
    assert (share[-1], held[-1]) == (pytest.approx(1), pytest.approx(1))
    assert (np.diff(held) >= -1e-12).all()
    assert (held <= share + 1e-9).all()


def test_the_worst_and_the_best_tenth_depend_on_the_direction() -> None:
    values = np.arange(20, dtype=np.float64)
    up, down = fairness(values, rising=True), fairness(values, rising=False)
    assert (up.worst, up.best) == (0.5, 18.5)
    assert (down.worst, down.best) == (18.5, 0.5)
    assert (up.low, up.high, up.median, up.mean) == (0, 19, 9.5, 9.5)
    assert (up.p10, up.p90) == pytest.approx((1.9, 17.1))
    assert up.std == pytest.approx(values.std())
    assert up.clients == 20


def test_one_client_is_its_own_worst_and_best() -> None:
    alone = fairness(np.array([0.5]), rising=True)
    assert (alone.worst, alone.best, alone.std, alone.gini) == (0.5, 0.5, 0, 0)


def test_the_worst_served_come_first() -> None:
    values = np.array([0.5, 0.1, 0.9, 0.1])
    assert worst_first(values, rising=True).tolist() == [1, 3, 0, 2]
    assert worst_first(values, rising=False).tolist() == [2, 0, 1, 3]
