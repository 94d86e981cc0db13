"""How many clients take part in a round, and fair draws of so many."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction

import numpy as np

from ciranda.core.errors import ExperimentError
from ciranda.core.params import Array
from ciranda.core.rng import Draw


def share(total: int, fraction: str | float) -> int:
    """floor(fraction x total + 1/2), the fraction read as the decimal it is written as: half of 5 is 3, and 0.29 x 100 is 29.

    Raises:
        ExperimentError: the fraction is not a number from 0 to 1.
    """
    try:
        exact = Fraction(Decimal(str(fraction)))
    except (InvalidOperation, ValueError, OverflowError):
        exact = Fraction(-1)
    if not 0 <= exact <= 1:
        raise ExperimentError("A fraction must be a number from 0 to 1, not {fraction!r}.", fraction=fraction)
    return int(exact * total + Fraction(1, 2))


def cohort_size(clients: int, fraction: str | float, minimum: int = 1) -> int:
    """How many of `clients` are selected: max(minimum, floor(fraction x clients + 1/2)).

    Raises:
        ExperimentError: the fraction is not in 0..1, or the minimum is not in 0..clients.
    """
    if not 0 <= minimum <= clients:
        raise ExperimentError(
            "At least {minimum} clients are to be selected, out of {clients}.",
            hint="Choose a minimum from 0 to {clients}, or more clients.",
            minimum=minimum,
            clients=clients,
        )
    return max(minimum, share(clients, fraction))


def sample(draw: Draw, population: int, k: int) -> list[int]:
    """`k` distinct ranks out of 0..population - 1, ascending; every subset is equally likely.

    Floyd's algorithm (Bentley and Floyd, "A sample of brilliance", CACM 30(9), 1987): time and memory O(k log k), whatever the
    population.

    Raises:
        ExperimentError: `k` is not in 0..population.
    """
    if not 0 <= k <= population:
        raise ExperimentError("Cannot select {k} of {population} clients.", k=k, population=population)
    tops = np.arange(population - k, population)
    chosen: set[int] = set()
    for top, pick in zip(tops.tolist(), draw.below(k, tops + 1).tolist(), strict=True):
        chosen.add(top if pick in chosen else pick)
    return sorted(chosen)


def weighted_sample(draw: Draw, weights: Array, k: int) -> list[int]:
    """Up to `k` distinct ranks, in the order drawn: each draw takes one of those left, in proportion to its weight.

    Args:
        weights: whole numbers from 0 up, shape (population,); ranks of weight 0 are never drawn, so there may be fewer than `k`.

    Whole numbers only, so that equal inputs give equal draws everywhere; O(k population).
    """
    left = np.array(weights, np.int64)
    drawn: list[int] = []
    for place in range(min(k, int(np.count_nonzero(left)))):
        reached = np.cumsum(left)
        word = int(draw.at("place", place=place).below(1, int(reached[-1]))[0])
        rank = int(np.searchsorted(reached, word, side="right"))
        drawn.append(rank)
        left[rank] = 0
    return drawn
