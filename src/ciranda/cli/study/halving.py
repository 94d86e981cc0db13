"""Which candidates go on: successive halving over rounds.

Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", AISTATS 2016: all candidates train for a
few rounds, the best of them go on for `eta` times as many, and so on up to all rounds.
"""

from __future__ import annotations

from collections.abc import Mapping


def rungs(candidates: int, rounds: int, eta: int | None) -> list[int]:
    """After which rounds the candidates are compared, ascending, the last of them all `rounds`; only that without `eta`.

    Args:
        eta: keep one candidate in so many at each rung, at least 2.
    """
    found = [rounds]
    while eta and candidates > 1 and found[0] // eta >= 1:
        found.insert(0, found[0] // eta)
        candidates = kept(candidates, eta)
    return found


def kept(candidates: int, eta: int) -> int:
    """How many of so many go on."""
    return max(1, -(-candidates // eta))


def best(scores: Mapping[int, float], *, rising: bool, count: int) -> list[int]:
    """The `count` best candidates by number, in the order of their numbers; of equal ones the first."""
    order = sorted(scores, key=lambda number: (-scores[number] if rising else scores[number], number))
    return sorted(order[:count])
