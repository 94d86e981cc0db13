"""Successive halving: the schedule by hand, and what always holds."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from ciranda.cli.study.halving import best, kept, rungs


def test_nine_candidates_and_nine_rounds_by_threes() -> None:
    assert rungs(9, 9, 3) == [1, 3, 9]
    assert [kept(9, 3), kept(3, 3)] == [3, 1]


def test_without_halving_all_train_to_the_end() -> None:
    assert rungs(100, 30, None) == [30]


def test_too_few_candidates_or_rounds_make_fewer_rungs() -> None:
    assert rungs(1, 30, 3) == [30]
    assert rungs(2, 30, 3) == [10, 30]
    assert rungs(1000, 4, 3) == [1, 4]
    assert rungs(1000, 2, 3) == [2]


@given(st.integers(1, 500), st.integers(1, 500), st.integers(2, 5))
def test_rungs_rise_to_all_rounds_and_end_when_one_is_left(candidates: int, rounds: int, eta: int) -> None:
    found = rungs(candidates, rounds, eta)
    assert found == sorted(set(found))
    assert found[-1] == rounds
    assert found[0] >= 1
    assert len(found) - 1 <= math.ceil(math.log(max(1, candidates), eta) + 1e-9)


@given(st.dictionaries(st.integers(1, 50), st.floats(-1, 1), min_size=1), st.integers(1, 10), st.booleans())
def test_the_best_are_no_worse_than_the_others(scores: dict[int, float], count: int, rising: bool) -> None:
    chosen = best(scores, rising=rising, count=count)
    assert chosen == sorted(chosen)
    assert len(chosen) == min(count, len(scores))
    sign = 1 if rising else -1
    others = [sign * score for number, score in scores.items() if number not in chosen]
    assert not others or max(others) <= min(sign * scores[number] for number in chosen)


def test_of_equals_the_first_is_chosen() -> None:
    assert best({3: 0.5, 1: 0.5, 2: 0.5}, rising=True, count=1) == [1]
    assert best({3: 0.5, 1: 0.5, 2: 0.4}, rising=False, count=2) == [1, 2]
