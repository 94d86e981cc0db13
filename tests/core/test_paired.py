"""The paired t-test against published tables and brute force, and Holm's correction by hand."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.paired import Paired, holm, mean_std, paired, two_sided

NUMBERS = st.floats(-100, 100, allow_nan=False)


@pytest.mark.parametrize(
    ("t", "freedom", "p"),
    # The usual table of critical values, two-sided.
    [
        (12.706, 1, 0.05),
        (63.657, 1, 0.01),
        (4.303, 2, 0.05),
        (9.925, 2, 0.01),
        (3.182, 3, 0.05),
        (2.776, 4, 0.05),
        (4.604, 4, 0.01),
        (2.262, 9, 0.05),
        (2.045, 29, 0.05),
        (1.984, 100, 0.05),
    ],
)
def test_the_distribution_is_students(t: float, freedom: int, p: float) -> None:
    assert two_sided(t, freedom) == pytest.approx(p, rel=2e-3)
    assert two_sided(-t, freedom) == two_sided(t, freedom)


def test_one_degree_of_freedom_is_cauchys() -> None:
    for t in (0.0, 0.3, 1.0, 20.0):
        assert two_sided(t, 1) == pytest.approx(1 - 2 * math.atan(t) / math.pi, abs=1e-14)


@given(st.floats(0, 50), st.integers(1, 60))
def test_it_agrees_with_the_integrated_density(t: float, freedom: int) -> None:
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    x = np.linspace(0, t, 20_001)
    inside = 2 * scale * np.trapezoid((1 + x * x / freedom) ** (-(freedom + 1) / 2), x)
    assert two_sided(t, freedom) == pytest.approx(1 - inside, abs=1e-5)


@given(st.integers(1, 40))
def test_more_freedom_comes_near_the_normal_distribution(freedom: int) -> None:
    assert two_sided(2.0, freedom) > two_sided(2.0, freedom + 1) > math.erfc(2 / math.sqrt(2))


def test_a_worked_example() -> None:
    # Differences 1, 2, 3, 4: mean 2.5, s = 1.2910, t = 3.8730 with 3 degrees of freedom.
    test = paired([2, 4, 6, 8], [1, 2, 3, 4])
    assert test is not None
    assert (test.n, test.mean) == (4, 2.5)
    assert test.std == pytest.approx(1.290994, abs=1e-6)
    assert test.p == pytest.approx(0.0305, abs=1e-4)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=8))
def test_the_order_of_pairs_does_not_matter_and_the_sides_are_mirrored(pairs: list[tuple[float, float]]) -> None:
    first, second = zip(*pairs, strict=True)
    there, back = paired(first, second), paired(second, first)
    other = paired(first[::-1], second[::-1])
    assert there is not None
    assert back is not None
    assert other is not None
    assert (there.mean, there.p) == pytest.approx((-back.mean, back.p))
    assert (there.mean, there.p) == pytest.approx((other.mean, other.p))
    assert 0 <= there.p <= 1


def test_a_permutation_test_of_five_pairs_could_never_find_anything() -> None:
    """Why the t-test: even when every pair says the same, two of the 32 signings are as extreme."""
    differences = np.array([0.01, 0.02, 0.015, 0.012, 0.018])
    extreme = sum(abs((differences * signs).mean()) >= differences.mean() - 1e-15 for signs in product((-1, 1), repeat=5))
    assert extreme / 32 == 0.0625
    found = paired(differences.tolist(), [0.0] * 5)
    assert found is not None
    assert found.p < 0.01


def test_one_pair_says_nothing() -> None:
    assert paired([1.0], [2.0]) is None
    assert paired([], []) is None


def test_equal_differences_leave_nothing_to_chance() -> None:
    assert paired([1, 2, 3], [1, 2, 3]) == Paired(3, 0.0, 0.0, 1.0)
    assert paired([2, 3, 4], [1, 2, 3]) == Paired(3, 1.0, 0.0, 0.0)


def test_unequal_lengths_are_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        paired([1, 2], [1, 2, 3])


@given(st.lists(NUMBERS, min_size=1, max_size=10))
def test_mean_and_deviation_are_numpys(values: list[float]) -> None:
    mean, std = mean_std(values)
    assert mean == pytest.approx(np.mean(values), abs=1e-9)
    assert std == pytest.approx(np.std(values, ddof=1) if len(values) > 1 else 0.0, abs=1e-9)


def test_equal_values_have_no_deviation_at_all() -> None:
    assert mean_std([0.1, 0.1, 0.1]) == (0.1, 0.0)


def test_holm_by_hand() -> None:
    # Ascending 0.01, 0.03, 0.04: times 3, 2, 1, never below the one before.
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_only_raises(values: list[float]) -> None:
    corrected = holm(values)
    for value, raised in zip(values, corrected, strict=True):
        assert value <= raised <= 1
    pairs = sorted(zip(values, corrected, strict=True))
    assert [raised for _, raised in pairs] == sorted(corrected)
