"""Selection as arithmetic: how many, who, how often; and a rule that breaks its contract is caught."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import ExperimentError
from ciranda.core.rng import Draw
from ciranda.core.selection import SELECTIONS, Call, SelectionRule, Selector, cohort_size, make, sample, share, weighted_sample

# --- how many


@given(st.integers(0, 10**9), st.integers(0, 10**6))
def test_a_share_is_rounded_half_up_as_exact_decimals_are(total: int, millionths: int) -> None:
    text = f"{millionths // 10**6}.{millionths % 10**6:06}"
    assert share(total, text) == math.floor(Fraction(text) * total + Fraction(1, 2))


@given(st.integers(0, 1000), st.integers(0, 100), st.integers(0, 100))
def test_a_larger_share_selects_no_fewer(total: int, one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert share(total, low / 100) <= share(total, high / 100)
    assert share(total, 0) == 0
    assert share(total, 1) == total


@pytest.mark.parametrize("fraction", ["", "x", "1/2", "-0.1", "1.0001", "nan", "inf", float("nan"), 2, -1, "1e400", "50%"])
def test_what_is_no_share_is_refused(fraction: str | float) -> None:
    with pytest.raises(ExperimentError, match="a number from 0 to 1"):
        share(10, fraction)
    with pytest.raises(ExperimentError, match="a number from 0 to 1"):
        Selector(make("random"), Draw(1), fraction)


@given(st.integers(1, 500), st.integers(0, 100), st.integers(0, 500))
def test_a_cohort_has_at_least_the_minimum_and_never_more_than_there_are(clients: int, hundredths: int, minimum: int) -> None:
    if minimum > clients:
        with pytest.raises(ExperimentError, match=f"At least {minimum} clients .* out of {clients}"):
            cohort_size(clients, hundredths / 100, minimum)
        return
    size = cohort_size(clients, hundredths / 100, minimum)
    assert minimum <= size <= clients
    assert size == max(minimum, share(clients, hundredths / 100))


# --- who


@given(st.integers(0, 2**32), st.integers(0, 60), st.data())
def test_a_sample_is_so_many_different_ranks_ascending(seed: int, population: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, population))
    chosen = sample(Draw(seed), population, k)
    assert len(chosen) == k
    assert chosen == sorted(set(chosen))
    assert all(0 <= rank < population for rank in chosen)
    assert chosen == sample(Draw(seed), population, k)


def test_a_sample_of_a_million_clients_draws_few_and_reaches_all_parts() -> None:
    chosen = np.array([sample(Draw(seed), 10**9, 5) for seed in range(200)]).ravel() / 10**9
    assert (np.histogram(chosen, 10, (0, 1))[0] > 60).all()


def test_every_pair_is_equally_likely() -> None:
    pairs = Counter(tuple(sample(Draw(seed), 4, 2)) for seed in range(3000))
    assert len(pairs) == 6
    expected = 500
    assert sum((count - expected) ** 2 / expected for count in pairs.values()) < 20.5  # chi squared, 5 degrees, p = 0.001


@pytest.mark.parametrize("k", [-1, 4])
def test_more_than_there_are_cannot_be_drawn(k: int) -> None:
    with pytest.raises(ExperimentError, match=f"Cannot select {k} of 3"):
        sample(Draw(1), 3, k)


@given(st.integers(0, 2**32), st.lists(st.integers(0, 9), max_size=12), st.integers(0, 15))
def test_weighted_draws_are_different_and_none_of_weight_zero(seed: int, weights: list[int], k: int) -> None:
    drawn = weighted_sample(Draw(seed), np.array(weights, np.int64), k)
    assert len(drawn) == len(set(drawn)) == min(k, sum(weight > 0 for weight in weights))
    assert all(weights[rank] for rank in drawn)


def test_weighted_draws_follow_their_weights() -> None:
    first = Counter(weighted_sample(Draw(seed), np.array([1, 0, 3, 6]), 1)[0] for seed in range(2000))
    for rank, expected in ((0, 200), (2, 600), (3, 1200)):
        assert abs(first[rank] - expected) < 5 * math.sqrt(expected)


def test_the_second_weighted_draw_is_among_those_left() -> None:
    """P(2 second) = sum over first draws f of w_f / W x w_2 / (W - w_f)."""
    second = Counter(weighted_sample(Draw(seed), np.array([1, 2, 3]), 2)[1] for seed in range(3000))
    expected = {
        rank: sum(w / 6 * weight / (6 - w) for first, w in enumerate((1, 2, 3)) if first != rank) for rank, weight in enumerate((1, 2, 3))
    }
    for rank, chance in expected.items():
        assert second[rank] == pytest.approx(3000 * chance, abs=5 * math.sqrt(3000 * chance))


# --- how often


def cohorts(rule: SelectionRule, rounds: int, roster: int, size: int) -> list[list[int]]:
    examples = np.ones(roster, np.int64)
    return [list(rule.choose(Call(number, 1, roster, size, examples, Draw(3)), {})) for number in range(1, rounds + 1)]


@pytest.mark.parametrize("name", ["round-robin", "balanced"])
@given(roster=st.integers(1, 12), rounds=st.integers(1, 40), data=st.data())
def test_two_clients_turns_differ_by_one_at_most(name: str, roster: int, rounds: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(0, roster))
    turns = Counter(rank for cohort in cohorts(make(name), rounds, roster, size) for rank in cohort)
    counts = [turns[rank] for rank in range(roster)]
    assert sum(counts) == rounds * size
    assert max(counts) - min(counts) <= 1


@given(st.integers(1, 10), st.integers(1, 5))
def test_round_robin_goes_on_where_the_last_round_ended(roster: int, rounds: int) -> None:
    size = max(1, roster // 2)
    order = [rank for cohort in cohorts(make("round-robin"), rounds, roster, size) for rank in cohort]
    assert order == [place % roster for place in range(rounds * size)]


def test_balanced_company_is_drawn_anew_for_every_cycle() -> None:
    cycles = [tuple(map(frozenset, cohorts(make("balanced"), 40, 8, 2)[start : start + 4])) for start in range(0, 40, 4)]
    assert len(set(cycles)) > 5
    assert all(frozenset().union(*cycle) == frozenset(range(8)) for cycle in cycles)


@pytest.mark.parametrize("name", [name for name, kind in SELECTIONS.items() if not kind.needs_losses])
def test_a_retry_selects_others_and_a_replay_the_same(name: str) -> None:
    selector = Selector(make(name), Draw(5), "0.3", 2)
    assert selector.select(4, 1, 40) != selector.select(4, 2, 40)
    assert selector.select(4, 1, 40) == Selector(make(name), Draw(5), "0.3", 2).select(4, 1, 40)


# --- by loss

LOSSES = st.dictionaries(st.integers(0, 11), st.floats(-5, 5), max_size=12)


@given(LOSSES, st.integers(1, 6))
def test_power_of_choice_takes_the_highest_losses(losses: Mapping[int, float], size: int) -> None:
    rule = make("power-of-choice", candidates=12)
    chosen = list(rule.choose(Call(1, 1, 12, size, np.ones(12, np.int64), Draw(1)), losses))
    assert len(chosen) == min(size, len(losses))
    left = [losses[rank] for rank in losses if rank not in chosen]
    assert not left or not chosen or min(losses[rank] for rank in chosen) >= max(left)


def test_of_equal_losses_chance_decides_and_not_the_rank() -> None:
    rule = make("power-of-choice", candidates=6)
    equal = dict.fromkeys(range(6), 0.5)
    first = Counter(rule.choose(Call(number, 1, 6, 1, np.ones(6, np.int64), Draw(2)), equal)[0] for number in range(600))
    assert len(first) == 6
    assert max(first.values()) < 2 * min(first.values())


@pytest.mark.parametrize("candidates", [2, 11])
def test_candidates_must_be_enough_and_there(candidates: int) -> None:
    with pytest.raises(ExperimentError, match=f"rounds.candidates is {candidates}; 3 of 10 clients .* from 3 to 10"):
        make("power-of-choice", candidates=candidates).check(10, 3)
    make("power-of-choice", candidates=3).check(10, 3)


def test_losses_of_clients_that_were_not_asked_have_no_say() -> None:
    selector = Selector(make("power-of-choice", candidates=3), Draw(4), "0.1", 1, np.arange(1, 21), "c{}".format)
    asked = selector.candidates(1, 1, 20)
    outsider = next(f"c{rank}" for rank in range(20) if f"c{rank}" not in asked)
    losses = {name: float(place) for place, name in enumerate(asked)} | {outsider: 99.0}
    assert list(selector.choose(1, 1, 20, losses)) == list(asked[-2:])


# --- what is refused


@dataclass(frozen=True)
class Wrong(SelectionRule):
    name: ClassVar[str] = "wrong"
    summary: ClassVar[str] = "answers what it should not"
    answer: tuple[int, ...] = ()

    def choose(self, call: Call, losses: Mapping[int, float]) -> Sequence[int]:
        return self.answer

    def shortlist(self, call: Call) -> Sequence[int]:
        return self.answer


@pytest.mark.parametrize("answer", [(-1,), (5,), (1, 1), (0, 1, 2)])
def test_a_rule_that_breaks_its_contract_is_named(answer: tuple[int, ...]) -> None:
    selector = Selector(Wrong(answer), Draw(1), "0.4")
    with pytest.raises(ExperimentError, match=r"'wrong' answered choose\(\)") as caught:
        selector.select(1, 1, 5)
    assert "from 0 to 4; choose() at most 2" in caught.value.hint
    if answer != (0, 1, 2):  # a shortlist may be as long as it likes
        with pytest.raises(ExperimentError, match=r"answered shortlist\(\)"):
            selector.candidates(1, 1, 5)
    else:
        assert list(selector.candidates(1, 1, 5)) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("kind", "params", "words"),
    [
        ("fairest", {}, "no selection rule 'fairest'"),
        ("random", {"candidates": 3}, "candidates"),
        ("power-of-choice", {}, "candidates"),
        ("power-of-choice", {"candidates": "many"}, "candidates"),
        ("power-of-choice", {"candidates": 1.5}, "candidates"),
    ],
)
def test_a_rule_that_cannot_be_made_says_why(kind: str, params: dict[str, Any], words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        make(kind, **params)


def test_clients_that_joined_later_count_as_having_one_example() -> None:
    seen: list[list[int]] = []

    class Looks(Wrong):
        def choose(self, call: Call, losses: Mapping[int, float]) -> Sequence[int]:
            seen.append(call.examples.tolist())
            return ()

    for examples in (None, np.array([7, 8]), np.array([7, 8, 9, 10])):
        Selector(Looks(), Draw(1), "0.5", examples=examples).select(1, 1, 3)
    assert seen == [[1, 1, 1], [7, 8, 1], [7, 8, 9]]
