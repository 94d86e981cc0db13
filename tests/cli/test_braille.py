"""Curves in braille."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.cli.braille import curve

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)


def dots(lines: list[str]) -> set[tuple[int, int]]:
    """(row, column) of every dot, from the top left."""
    places = {0x01: (0, 0), 0x02: (1, 0), 0x04: (2, 0), 0x40: (3, 0), 0x08: (0, 1), 0x10: (1, 1), 0x20: (2, 1), 0x80: (3, 1)}
    return {
        (4 * row + down, 2 * column + across)
        for row, line in enumerate(lines)
        for column, char in enumerate(line)
        for bit, (down, across) in places.items()
        if ord(char) - 0x2800 & bit
    }


@given(values, st.integers(1, 30), st.integers(1, 8))
def test_a_curve_fills_its_box_from_side_to_side(y: list[float], width: int, height: int) -> None:
    lines = curve(list(map(float, range(len(y)))), y, width, height)
    assert [len(line) for line in lines] == [width] * height
    assert all(0x2800 <= ord(char) < 0x2900 for line in lines for char in line)
    if len(y) > 1:
        assert {column for _row, column in dots(lines)} == set(range(2 * width))


def test_a_straight_line_climbs_from_corner_to_corner() -> None:
    found = dots(curve([0.0, 1.0], [0.0, 1.0], 2, 1))
    assert found == {(3, 0), (2, 1), (1, 2), (0, 3)}


def test_a_jump_is_drawn_through() -> None:
    found = dots(curve([0.0, 1.0, 2.0, 3.0], [0.0, 0.0, 1.0, 1.0], 2, 2))
    assert {row for row, _column in found} == set(range(8))


def test_a_curve_that_has_not_ended_leaves_room() -> None:
    found = dots(curve([1.0, 2.0], [0.0, 1.0], 10, 2, (1.0, 11.0)))
    assert max(column for _row, column in found) <= 2


def test_one_value_is_a_dot_and_none_is_nothing() -> None:
    assert len(dots(curve([1.0], [0.5], 4, 2))) == 1
    assert dots(curve([], [], 4, 2)) == set()
    assert curve([1.0, 2.0], [3.0, 3.0], 2, 1) != curve([], [], 2, 1)


@pytest.mark.parametrize("y", [[1e300, -1e300], [5e-324, 0.0]])
def test_extreme_values_draw(y: list[float]) -> None:
    assert dots(curve([0.0, 1.0], y, 3, 2))
