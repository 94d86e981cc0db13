"""Time remaining."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.cli.eta import Eta, clock_text


def test_nothing_done_says_nothing() -> None:
    assert Eta(10, started=100.0).remaining(0, 105.0) is None


def test_at_an_even_pace_the_rest_takes_as_long_in_proportion() -> None:
    eta = Eta(10, started=100.0)
    assert eta.remaining(2, 120.0) == pytest.approx(80.0)
    assert eta.remaining(2.5, 125.0) == pytest.approx(75.0)
    assert eta.remaining(10, 200.0) == 0.0


def test_rounds_of_an_earlier_process_do_not_count_for_the_pace() -> None:
    eta = Eta(10, started=0.0, first=8)
    assert eta.remaining(8, 5.0) is None
    assert eta.remaining(9, 6.0) == pytest.approx(6.0)


@given(st.floats(1, 1e6), st.floats(0.001, 1), st.floats(0, 1e6))
def test_it_is_never_negative_and_ends_at_zero(total: float, share: float, elapsed: float) -> None:
    eta = Eta(total, started=0.0)
    left = eta.remaining(total * share, elapsed)
    assert left is not None
    assert left >= 0
    assert eta.remaining(total, elapsed) == 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-:--"), (0, "0:00"), (42.4, "0:42"), (59.6, "1:00"), (725, "12:05"), (10800, "3:00:00")]
)
def test_a_clock_reads_like_a_clock(seconds: float | None, text: str) -> None:
    assert clock_text(seconds) == text
