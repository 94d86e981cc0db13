from __future__ import annotations

import math
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import ExperimentError
from ciranda.core.rng import Draw
from ciranda.core.selection import cohort_size, random_selection, sample, share


@pytest.mark.parametrize(
    ("clients", "fraction", "size"),
    [
        (10, 0.33, 3),
        (100, 0.1, 10),
        (5, 0.5, 3),
        (100, "0.29", 29),
        (100, 0.285, 29),
        (1000, 0.0005, 1),
        (20, 1.0, 20),
        (20, 1, 20),
        (20, "1e-1", 2),
        (1, 0.5, 1),
        (7, 0.0, 0),
        (10**9, 1e-9, 1),
        (10**6, "0.0010005", 1001),
    ],
)
def test_half_a_client_is_a_client(clients: int, fraction: str | float, size: int) -> None:
    assert cohort_size(clients, fraction, 0) == size


@given(st.integers(0, 10**9), st.integers(0, 1000))
def test_the_fraction_is_read_as_a_decimal(clients: int, thousandths: int) -> None:
    exact = math.floor(Decimal(thousandths) * clients / 1000 + Decimal("0.5"))
    assert share(clients, thousandths / 1000) == exact
    assert share(clients, f"0.{thousandths:03d}" if thousandths < 1000 else "1") == exact


@given(st.integers(1, 1000), st.integers(0, 100), st.integers(0, 1000))
def test_a_cohort_is_at_least_the_minimum_and_at_most_everybody(clients: int, percent: int, minimum: int) -> None:
    minimum = min(minimum, clients)
    assert minimum <= cohort_size(clients, percent / 100, minimum) <= clients


@pytest.mark.parametrize("fraction", [-0.1, 1.01, 2, math.nan, math.inf, "", "a tenth", "nan", None, True - 2])
def test_an_impossible_fraction_is_refused(fraction: Any) -> None:
    with pytest.raises(ExperimentError, match="from 0 to 1"):
        cohort_size(10, fraction, 1)
    with pytest.raises(ExperimentError, match="from 0 to 1"):
        random_selection(Draw(1), fraction)


@pytest.mark.parametrize(("clients", "minimum"), [(10, 11), (10, -1), (0, 1)])
def test_an_impossible_minimum_is_refused(clients: int, minimum: int) -> None:
    with pytest.raises(ExperimentError, match=f"At least {minimum} clients"):
        cohort_size(clients, 0.5, minimum)


@given(st.integers(0, 400), st.data())
def test_a_sample_is_distinct_ranks_in_order(population: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, population))
    ranks = sample(Draw(data.draw(st.integers())), population, k)
    assert len(ranks) == k
    assert ranks == sorted(set(ranks))
    assert all(0 <= rank < population for rank in ranks)


def test_everybody_is_everybody() -> None:
    assert sample(Draw(1), 30, 30) == list(range(30))


def test_the_sample_is_pinned() -> None:
    assert sample(Draw(2017).at("select", round=1), 1_000_000, 4) == [517885, 748068, 892179, 960954]


@pytest.mark.parametrize(("population", "k"), [(3, 4), (3, -1), (0, 1)])
def test_more_than_everybody_is_refused(population: int, k: int) -> None:
    with pytest.raises(ExperimentError, match="Cannot select"):
        sample(Draw(1), population, k)


def test_every_subset_is_equally_likely() -> None:
    counts: dict[tuple[int, ...], int] = {}
    for trial in range(10_000):
        subset = tuple(sample(Draw(11).at("trial", n=trial), 5, 3))
        counts[subset] = counts.get(subset, 0) + 1
    assert len(counts) == 10
    assert sum((count - 1_000) ** 2 / 1_000 for count in counts.values()) < 34  # chi-squared, 9 degrees of freedom: p < 1e-4


def test_no_rank_is_favoured_in_a_large_population() -> None:
    """1,000 of a million, 20 times: the ranks fall evenly into tenths."""
    tenths = [0] * 10
    for trial in range(20):
        for rank in sample(Draw(3).at("trial", n=trial), 1_000_000, 1_000):
            tenths[rank // 100_000] += 1
    assert sum((count - 2_000) ** 2 / 2_000 for count in tenths) < 34


@pytest.mark.parametrize("population", [10**6, 10**9, 10**15])
def test_memory_is_that_of_the_cohort(population: int) -> None:
    tracemalloc.start()
    try:
        ranks = sample(Draw(1), population, 1_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(ranks) == 1_000
    assert peak < 400_000


def test_selection_is_a_function_of_round_attempt_and_roster() -> None:
    select = random_selection(Draw(1), 0.1)
    again = random_selection(Draw(1), 0.1)
    assert len(select(1, 0, 1000)) == 100
    assert select(3, 0, 1000) == again(3, 0, 1000)
    cohorts = {tuple(select(*key)) for key in [(1, 0, 1000), (2, 0, 1000), (1, 1, 1000), (1, 0, 1001)]}
    assert len(cohorts) == 4
    assert random_selection(Draw(2), 0.1)(1, 0, 1000) != select(1, 0, 1000)


def test_selection_speaks_in_logical_names() -> None:
    assert random_selection(Draw(1), 1.0)(1, 0, 3) == ["0", "1", "2"]
    assert random_selection(Draw(1), 1.0, name="site-{}".format)(1, 0, 2) == ["site-0", "site-1"]


def test_a_fraction_of_nothing_selects_the_minimum() -> None:
    assert random_selection(Draw(1), 0.0, 0)(1, 0, 50) == []
    assert len(random_selection(Draw(1), 0.0, 2)(1, 0, 50)) == 2


def test_a_roster_that_shrank_below_the_minimum_is_said() -> None:
    with pytest.raises(ExperimentError, match="At least 5"):
        random_selection(Draw(1), 0.5, 5)(1, 0, 4)


def test_over_rounds_everybody_gets_a_turn() -> None:
    select = random_selection(Draw(8), 0.1)
    turns = [0] * 100
    for round in range(1, 401):
        for name in select(round, 0, 100):
            turns[int(name)] += 1
    # 40 expected each, binomial with standard deviation 6.
    assert min(turns) > 40 - 5 * 6
    assert max(turns) < 40 + 5 * 6
