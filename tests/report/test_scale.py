"""Ticks, thinning and labels that keep apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.report.scale import MOST_POINTS, nice, padded, spaced, thin, ticks

numbers = st.floats(-1e9, 1e9)


@given(st.floats(-1e4, 1e4), st.floats(1e-2, 1e9), st.integers(2, 9))
def test_ticks_are_few_and_round_and_inside(low: float, length: float, about: int) -> None:
    high = low + length
    found = ticks(low, high, about)
    assert len(found) <= about + 2
    step = nice(length / about)
    assert math.log10(step / 10 ** math.floor(math.log10(step) + 1e-12)) == pytest.approx(0, abs=0.7)
    for tick in found:
        assert low - 1e-6 * length - 1e-6 * step <= tick <= high + 1e-6 * step
        assert tick / step == pytest.approx(round(tick / step), abs=1e-6)


def test_whole_ticks_are_whole() -> None:
    assert ticks(1, 3, 10, whole=True) == [1, 2, 3]
    assert ticks(0, 500, 5, whole=True) == [0, 100, 200, 300, 400, 500]
    assert ticks(4, 4) == [4]


@given(st.floats(0, 1e300))
def test_a_nice_step_is_one_two_or_five_and_large_enough(step: float) -> None:
    found = nice(step)
    assert found >= step * (1 - 1e-8)
    assert found <= max(step, 1e-300) * 2.6
    power = 10.0 ** math.floor(math.log10(found) + 1e-9)
    assert min(abs(found / power - digit) for digit in (1, 2, 5, 10)) < 1e-6


@given(numbers, st.floats(0, 1e6))
def test_padding_gives_room(low: float, length: float) -> None:
    bottom, top = padded(low, low + length)
    assert bottom < low <= low + length < top


@given(st.lists(numbers, min_size=1, max_size=2000))
def test_thinning_keeps_ends_and_extremes(values: list[float]) -> None:
    array = np.array(values)
    kept = thin(array)
    assert len(kept) <= MOST_POINTS
    assert (np.diff(kept) > 0).all()
    assert {kept[0], kept[-1]} == {0, len(array) - 1}
    assert array[kept].min() == array.min()
    assert array[kept].max() == array.max()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([0.0, 1.0], [0.0, 1.0]),
        ([0.5, 0.5], [0.45, 0.55]),
        ([0.5, 0.5, 0.58], [0.42666, 0.52666, 0.62666]),
        ([0.0, 0.3, 0.31], [0.0, 0.255, 0.355]),
    ],
)
def test_labels_move_apart_as_little_as_needed(values: list[float], expected: list[float]) -> None:
    assert spaced(values, 0.1) == pytest.approx(expected, abs=1e-4)
