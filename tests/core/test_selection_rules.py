"""Selection rules: their laws, and what each of them promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import ExperimentError
from ciranda.core.rng import Draw
from ciranda.core.selection import (
    SELECTIONS,
    Balanced,
    Call,
    PowerOfChoice,
    RandomSelection,
    RoundRobin,
    SelectionRule,
    Selector,
    make,
    random_selection,
    weighted_sample,
)
from ciranda.testing.selections import SelectionLaws


class TestRandomSelection(SelectionLaws):
    rule = RandomSelection()


class TestRoundRobin(SelectionLaws):
    rule = RoundRobin()


class TestBalanced(SelectionLaws):
    rule = Balanced()


class TestPowerOfChoice(SelectionLaws):
    rule = PowerOfChoice(8)
    cases = ((8, 1), (8, 8), (40, 7))


def call(round: int, roster: int, size: int, *, attempt: int = 1, examples: Any = None, seed: int = 1) -> Call:
    return Call(round, attempt, roster, size, np.ones(roster, np.int64) if examples is None else examples, Draw(seed))


def test_every_rule_is_listed_under_its_own_name() -> None:
    assert {name: kind.name for name, kind in SELECTIONS.items()} == {name: name for name in SELECTIONS}
    assert {"random", "round-robin", "balanced", "power-of-choice"} <= set(SELECTIONS)


# --- in turn, and equally often


def test_round_robin_goes_around() -> None:
    cohorts = [RoundRobin().choose(call(round, 5, 2), {}) for round in range(1, 6)]
    assert cohorts == [[0, 1], [2, 3], [4, 0], [1, 2], [3, 4]]
    assert RoundRobin().choose(call(1, 5, 2, attempt=2), {}) == [2, 3]


@given(st.integers(1, 30), st.data())
def test_participation_differs_by_at_most_one_at_any_time(roster: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, roster))
    turns = Counter(dict.fromkeys(range(roster), 0))
    for round in range(1, 3 * roster + 2):
        turns.update(Balanced().choose(call(round, roster, size), {}))
        assert max(turns.values()) - min(turns.values()) <= 1


def test_balanced_company_changes_from_cycle_to_cycle_and_seed_to_seed() -> None:
    first = [frozenset(Balanced().choose(call(round, 20, 5), {})) for round in range(1, 5)]
    second = [frozenset(Balanced().choose(call(round, 20, 5), {})) for round in range(5, 9)]
    assert frozenset().union(*first) == frozenset().union(*second) == frozenset(range(20))
    assert set(first) != set(second)
    assert first[0] != frozenset(Balanced().choose(call(1, 20, 5, seed=2), {}))


# --- power of choice


@given(st.lists(st.integers(0, 20), min_size=1, max_size=20), st.integers(0, 25), st.integers(0, 2**32))
def test_a_weighted_sample_is_distinct_and_never_weightless(weights: list[int], k: int, seed: int) -> None:
    ranks = weighted_sample(Draw(seed), np.array(weights), k)
    assert len(ranks) == len(set(ranks)) == min(k, np.count_nonzero(weights))
    assert all(weights[rank] for rank in ranks)


def test_a_weighted_sample_is_drawn_in_proportion() -> None:
    """The first draw by weight, the second by weight among the others: against the probabilities worked out by hand."""
    weights = np.array([1, 2, 3, 4])
    counts: Counter[tuple[int, ...]] = Counter()
    trials = 20_000
    for trial in range(trials):
        counts[tuple(weighted_sample(Draw(5).at("trial", n=trial), weights, 2))] += 1
    chi = 0.0
    for first in range(4):
        for second in range(4):
            if first != second:
                expected = trials * weights[first] / 10 * weights[second] / (10 - weights[first])
                chi += (counts[first, second] - expected) ** 2 / expected
    assert chi < 36  # 11 degrees of freedom: p < 2e-4


def test_candidates_are_drawn_by_their_data() -> None:
    examples = np.array([1000] * 5 + [1] * 95)
    listed = Counter(rank for round in range(1, 101) for rank in PowerOfChoice(5).shortlist(call(round, 100, 2, examples=examples)))
    assert all(listed[rank] > 85 for rank in range(5))
    assert PowerOfChoice(8).shortlist(call(1, 8, 3, examples=np.array([1, 1, 0, 0, 1, 1, 1, 0]))) != []


def test_those_with_the_highest_loss_are_chosen() -> None:
    losses = {3: 0.5, 9: 2.0, 1: 1.0, 7: 3.0, 4: 0.1}
    assert PowerOfChoice(5).choose(call(1, 10, 3), losses) == [7, 9, 1]


def test_ties_are_broken_at_random() -> None:
    losses = dict.fromkeys(range(10), 1.0)
    chosen = Counter(rank for round in range(1, 201) for rank in PowerOfChoice(10).choose(call(round, 10, 2), losses))
    assert min(chosen.values()) > 20
    assert len(chosen) == 10


def test_few_answers_are_all_chosen() -> None:
    assert PowerOfChoice(5).choose(call(1, 10, 3), {2: 1.0}) == [2]
    assert PowerOfChoice(5).choose(call(1, 10, 3), {}) == []


@pytest.mark.parametrize(("candidates", "roster", "size"), [(2, 10, 3), (11, 10, 3)])
def test_an_impossible_number_of_candidates_is_refused(candidates: int, roster: int, size: int) -> None:
    with pytest.raises(ExperimentError, match=f"rounds.candidates is {candidates}.* from {size} to {roster}"):
        PowerOfChoice(candidates).check(roster, size)
    PowerOfChoice(5).check(5, 5)


def test_the_number_of_candidates_has_to_be_given() -> None:
    with pytest.raises(ExperimentError, match="needs the parameter 'candidates'"):
        make("power-of-choice")
    with pytest.raises(ExperimentError, match=r"candidates must be a whole number, not 2\.5"):
        make("power-of-choice", candidates=2.5)
    with pytest.raises(ExperimentError, match="no parameter 'candidates'"):
        make("random", candidates=3)


# --- at work


def test_names_go_in_and_out() -> None:
    selector = Selector(PowerOfChoice(4), Draw(1), 0.2, examples=np.arange(10), name="site-{}".format)
    asked = selector.candidates(1, 1, 10)
    assert len(asked) == 4
    losses = {name: float(place) for place, name in enumerate(asked)}
    assert sorted(selector.choose(1, 1, 10, losses)) == sorted(asked[-2:])
    assert selector.choose(1, 1, 10, {**losses, "nobody": 99.0}) == selector.choose(1, 1, 10, losses)
    assert selector.choose(1, 1, 10, {asked[0]: 1.0}) == [asked[0]]


def test_at_work_it_is_the_same_as_uniform_selection() -> None:
    assert Selector(RandomSelection(), Draw(4), 0.3).select(2, 1, 50) == random_selection(Draw(4), 0.3)(2, 1, 50)


def test_clients_that_joined_later_count_as_well() -> None:
    selector = Selector(PowerOfChoice(6), Draw(1), 0.5, examples=np.array([3, 3, 3]))
    assert len(selector.candidates(1, 1, 6)) == 6
    assert len(selector.candidates(1, 1, 2)) == 2


@dataclass(frozen=True)
class Odd(SelectionRule):
    """Answers with whatever it was made with."""

    answer: tuple[int, ...] = ()

    name: ClassVar[str] = "odd"
    summary: ClassVar[str] = "for tests"

    def choose(self, call: Call, losses: Mapping[int, float]) -> Sequence[int]:
        return self.answer


@pytest.mark.parametrize("answer", [(0, 0), (-1,), (10,), (0, 1, 2, 3)])
def test_a_rule_that_breaks_its_contract_is_named(answer: tuple[int, ...]) -> None:
    with pytest.raises(ExperimentError, match=r"'odd' answered choose\(\) with"):
        Selector(Odd(answer), Draw(1), 0.3).select(1, 1, 10)


@pytest.mark.parametrize(
    ("rule", "law"),
    [
        (Odd((0,)), SelectionLaws.test_it_selects_so_many_different_clients),
        (Odd((0, 0, 0, 0, 0)), SelectionLaws.test_it_selects_so_many_different_clients),
        (PowerOfChoice(3), SelectionLaws.test_the_shortlist_is_different_clients),
        (type("Silent", (Odd,), {"needs_losses": True})(), SelectionLaws.test_the_shortlist_is_different_clients),
    ],
)
def test_a_broken_law_is_found(rule: SelectionRule, law: Callable[[Any], None]) -> None:
    suite = SelectionLaws()
    suite.rule = rule
    with pytest.raises(AssertionError):
        law(suite)
