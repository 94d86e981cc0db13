"""Rules that need no more than the round's number: at random, in turn, and everybody equally often."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ciranda.core.selection.base import Call, SelectionRule
from ciranda.core.selection.sizes import sample


@dataclass(frozen=True)
class RandomSelection(SelectionRule):
    """Uniform without replacement, as in federated averaging. A retry of a round draws another cohort."""

    name: ClassVar[str] = "random"
    summary: ClassVar[str] = "every cohort equally likely, drawn anew in every round"

    def choose(self, call: Call, losses: Mapping[int, float]) -> Sequence[int]:
        return sample(call.fresh, call.roster, call.size)


@dataclass(frozen=True)
class RoundRobin(SelectionRule):
    """In turn: round t takes the next clients after those of round t - 1, around and around. A retry goes on to the next ones."""

    name: ClassVar[str] = "round-robin"
    summary: ClassVar[str] = "in turn, in the order of their names"

    def choose(self, call: Call, losses: Mapping[int, float]) -> Sequence[int]:
        return [place % call.roster for place in range(_start(call), _start(call) + call.size)]


@dataclass(frozen=True)
class Balanced(SelectionRule):
    """Everybody equally often, in random company: fair in participation.

    Round-robin over a random order of the clients, which is drawn anew whenever all of them have taken part equally often. At
    any time two clients' numbers of rounds differ by at most one (retries of rounds aside), where uniform selection lets them
    drift apart with the square root of the rounds; and with clients that are all seen once per cycle, training has the smaller
    error of sampling without replacement: Cho, Sharma, Joshi, Xu, Kale, Zhang, "On the convergence of federated averaging with
    cyclic client participation", ICML 2023.
    """

    name: ClassVar[str] = "balanced"
    summary: ClassVar[str] = "everybody equally often, in random company: fair participation"

    def choose(self, call: Call, losses: Mapping[int, float]) -> Sequence[int]:
        if not call.size:
            return []
        # So many places make every client's number of turns whole.
        cycle, start = divmod(_start(call), math.lcm(call.roster, call.size))
        order = call.draw.at("order", cycle=cycle, roster=call.roster).permutation(call.roster)
        return [int(order[place % call.roster]) for place in range(start, start + call.size)]


def _start(call: Call) -> int:
    """How many turns were taken before this round."""
    return (call.round - 1 + max(0, call.attempt - 1)) * call.size
