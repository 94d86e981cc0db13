"""The server's step and its learning rate over the rounds, for every strategy that moves the model by a multiple of something.

Rates come from + - * / alone, and the round from the strategy's state: every process that closes a round gets the same bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from ciranda.core.errors import ExperimentError
from ciranda.core.parameters import check
from ciranda.core.strategies.base import BaseStrategy, StrategyState
from ciranda.core.task import Arrays

_ROUND = "round"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ServerStep(BaseStrategy):
    """A strategy whose step on the server has a learning rate.

    In round t (1 at first; rounds that were skipped do not count) the rate is eta times the schedule's factor times the warm-up's:

    * "constant": 1.
    * "step": gamma^floor((t - 1) / R).
    * "exponential": gamma^(t - 1).
    * "cosine": (1 + cos(pi (min(t, R) - 1) / R)) / 2, so R is the number of rounds over which it falls. Loshchilov, Hutter, "SGDR",
      ICLR 2017, equation 5 without restarts.
    * warm-up over W rounds: min(1, t / W).

    Attributes:
        server_learning_rate: eta > 0.
        server_schedule: one of the above.
        server_decay: gamma, more than 0 and at most 1; 0.5 for "step" and 0.99 for "exponential" if it is not given.
        server_decay_rounds: R >= 1, which "step" and "cosine" need.
        server_warmup_rounds: W >= 0.
    """

    server_learning_rate: float = 1.0
    server_schedule: Literal["constant", "step", "exponential", "cosine"] = "constant"
    server_decay: float | None = None
    server_decay_rounds: int | None = None
    server_warmup_rounds: int = 0

    def __post_init__(self) -> None:
        check(self)
        demand(0 < self.server_learning_rate < math.inf, "server-learning-rate", self.server_learning_rate, "more than 0")
        demand(self.server_warmup_rounds >= 0, "server-warmup-rounds", self.server_warmup_rounds, "0 or more")
        schedule, decay, rounds = self.server_schedule, self.server_decay, self.server_decay_rounds
        if decay is not None:
            _belongs(schedule in ("step", "exponential"), "server-decay", schedule)
            demand(0 < decay <= 1, "server-decay", decay, "more than 0 and at most 1")
        if rounds is not None:
            _belongs(schedule in ("step", "cosine"), "server-decay-rounds", schedule)
            demand(rounds >= 1, "server-decay-rounds", rounds, "1 or more")
        elif schedule in ("step", "cosine"):
            raise ExperimentError(
                "strategy.{key} is needed by server-schedule = '{schedule}'.",
                hint="For 'step' the rounds between two steps; for 'cosine' the rounds of the run.",
                key="server-decay-rounds",
                schedule=schedule,
            )

    @property
    def counts_rounds(self) -> bool:
        """Whether the state holds the number of rounds closed so far. Without need it does not: no state, no bytes."""
        return self.server_schedule != "constant" or self.server_warmup_rounds > 0

    def clock(self) -> StrategyState:
        """The part of the state before round 1 that counts."""
        return {_ROUND: np.asarray(0, np.int64)} if self.counts_rounds else {}

    def tick(self, state: StrategyState) -> tuple[int, StrategyState]:
        """The round that is being closed (1 when nobody counts), and the counting part of the state after it."""
        if _ROUND not in state:
            return 1, {}
        round = int(state[_ROUND]) + 1
        return round, {_ROUND: np.asarray(round, np.int64)}

    def rate(self, round: int) -> float:
        """The learning rate of a round, from 1 up."""
        factor = 1.0
        if self.server_schedule == "step":
            factor = power(_given(self.server_decay, 0.5), (round - 1) // _given(self.server_decay_rounds, 1))
        elif self.server_schedule == "exponential":
            factor = power(_given(self.server_decay, 0.99), round - 1)
        elif self.server_schedule == "cosine":
            last = _given(self.server_decay_rounds, 1)
            factor = _half_cosine((min(round, last) - 1) / last)
        if round < self.server_warmup_rounds:
            factor *= round / self.server_warmup_rounds
        return self.server_learning_rate * factor


def scaled(step: Arrays, rate: float) -> Arrays:
    """`step` times `rate`, in the tensors' own dtypes; the same object for a rate of 1."""
    if rate == 1.0:
        return step
    return {name: np.asarray(values * values.dtype.type(rate)) for name, values in step.items()}


def power(base: float, exponent: int) -> float:
    """base^exponent for a whole exponent from 0 up, by multiplication only: a library's `pow` may differ in its last bit."""
    result = 1.0
    while exponent:
        if exponent % 2:
            result *= base
        base *= base
        exponent //= 2
    return result


def demand(holds: bool, key: str, value: object, allowed: str) -> None:
    """Raise ExperimentError unless a parameter's value is possible."""
    if not holds:
        raise ExperimentError("strategy.{key} is {value!r}; it must be {allowed}.", key=key, value=value, allowed=allowed)


def _belongs(holds: bool, key: str, schedule: str) -> None:
    if not holds:
        raise ExperimentError("strategy.{key} does not go with server-schedule = '{schedule}'.", key=key, schedule=schedule)


def _given(value: T | None, otherwise: T) -> T:
    return otherwise if value is None else value


def _half_cosine(share: float) -> float:
    """(1 + cos(pi share)) / 2 = cos(pi share / 2)^2 for 0 <= share <= 1, to the last bits, by the series of the cosine."""
    square = (math.pi / 2 * share) ** 2
    cosine = 1.0
    for k in range(13, 0, -1):  # the next term is below 2^-70
        cosine = 1.0 - cosine * square / ((2 * k - 1) * 2 * k)
    return cosine * cosine
