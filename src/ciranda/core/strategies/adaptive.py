"""FedAdagrad, FedAdam and FedYogi: Reddi, Charles, Zaheer, Garrett, Rush, Konečný, Kumar, McMahan, "Adaptive federated optimization",
ICLR 2021, https://arxiv.org/abs/2003.00295, Algorithm 2."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ciranda.core.strategies.base import StrategyState, moved
from ciranda.core.strategies.server import ServerStep, demand, power, scaled
from ciranda.core.task import Array, Arrays
from ciranda.core.update import Aggregate


@dataclass(frozen=True, kw_only=True)
class Adaptive(ServerStep):
    """What the three share. With D the clients' mean difference from the round's model, coordinate by coordinate:

        m_t = beta_1 m_{t-1} + (1 - beta_1) D,   v_t as each of them says,   x_{t+1} = x_t + eta m_t / (sqrt(v_t) + tau).

    m_{-1} = 0. The mean is weighted by examples, where Algorithm 2 has the plain one. Moments are kept in the tensors' own dtypes.

    Attributes:
        server_learning_rate: eta; a tenth of a unit as in Flower, the paper searches 10^-3 to 10^1.
        beta_1: 0 <= beta_1 < 1.
        tau: the degree of adaptivity, more than 0.
        initial_second_moment: v_{-1} >= 0, by default tau^2 as in the paper. Flower starts at 0.
    """

    server_learning_rate: float = 0.1
    beta_1: float = 0.9
    tau: float = 0.001
    initial_second_moment: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        demand(0 <= self.beta_1 < 1, "beta-1", self.beta_1, "0 or more and less than 1")
        demand(0 < self.tau < math.inf, "tau", self.tau, "more than 0")
        moment = self.initial_second_moment
        demand(moment is None or 0 <= moment < math.inf, "initial-second-moment", moment, "0 or more")

    @property
    def first_variance(self) -> float:
        """v_{-1}."""
        return self.tau * self.tau if self.initial_second_moment is None else self.initial_second_moment

    @abstractmethod
    def variance(self, before: Array, square: Array) -> Array:
        """v_t from v_{t-1} and D^2, in their dtype."""

    def correction(self, round: int) -> float:
        """What the learning rate of a round is multiplied by."""
        return 1.0

    def init(self, model: Arrays) -> StrategyState:
        means = {_mean(name): np.zeros_like(tensor) for name, tensor in model.items()} if self.beta_1 else {}
        return {**self.clock(), **means, **{_variance(name): np.full_like(tensor, self.first_variance) for name, tensor in model.items()}}

    def apply(self, state: StrategyState, model: Arrays, aggregate: Aggregate) -> tuple[StrategyState, Arrays]:
        round, clock = self.tick(state)
        following = {**state, **clock}
        step: dict[str, Array] = {}
        for name, change in aggregate.parts["model"].items():
            number = change.dtype.type
            mean = change
            if self.beta_1:
                mean = np.asarray(number(self.beta_1) * state[_mean(name)] + number(1 - self.beta_1) * change)
                following[_mean(name)] = mean
            variance = np.asarray(self.variance(state[_variance(name)], change * change))
            following[_variance(name)] = variance
            step[name] = np.asarray(mean / (np.sqrt(variance) + number(self.tau)))
        return following, moved(model, scaled(step, self.rate(round) * self.correction(round)))


@dataclass(frozen=True, kw_only=True)
class FedAdagrad(Adaptive):
    """v_t = v_{t-1} + D^2.

    Attributes:
        beta_1: 0 by default, as in the paper's experiments.
    """

    beta_1: float = 0.0

    name: ClassVar[str] = "fedadagrad"
    summary: ClassVar[str] = "Adagrad on the server (Reddi et al. 2021)"

    def variance(self, before: Array, square: Array) -> Array:
        following: Array = before + square
        return following


@dataclass(frozen=True, kw_only=True)
class FedAdam(Adaptive):
    """v_t = beta_2 v_{t-1} + (1 - beta_2) D^2.

    Attributes:
        beta_2: 0 <= beta_2 < 1.
        bias_correction: "none" as in the paper; "adam" multiplies eta by sqrt(1 - beta_2^t) / (1 - beta_1^t), t = 1 in the first round
            (Kingma and Ba 2015, before section 2.1); "flower" does so with t + 1 in the place of t, which is FedAdam in Flower 1.41. Both
            correct for moments that start at 0, so v_{-1} is 0 with them unless it is given.
    """

    beta_2: float = 0.99
    bias_correction: Literal["none", "adam", "flower"] = "none"

    name: ClassVar[str] = "fedadam"
    summary: ClassVar[str] = "Adam on the server (Reddi et al. 2021)"

    def __post_init__(self) -> None:
        super().__post_init__()
        demand(0 <= self.beta_2 < 1, "beta-2", self.beta_2, "0 or more and less than 1")

    @property
    def counts_rounds(self) -> bool:
        return super().counts_rounds or self.bias_correction != "none"

    @property
    def first_variance(self) -> float:
        if self.initial_second_moment is None and self.bias_correction != "none":
            return 0.0
        return super().first_variance

    def variance(self, before: Array, square: Array) -> Array:
        number = square.dtype.type
        following: Array = number(self.beta_2) * before + number(1 - self.beta_2) * square
        return following

    def correction(self, round: int) -> float:
        if self.bias_correction == "none":
            return 1.0
        times = round + (self.bias_correction == "flower")
        return math.sqrt(1 - power(self.beta_2, times)) / (1 - power(self.beta_1, times))


@dataclass(frozen=True, kw_only=True)
class FedYogi(Adaptive):
    """v_t = v_{t-1} - (1 - beta_2) D^2 sign(v_{t-1} - D^2).

    Attributes:
        beta_2: 0 <= beta_2 < 1.
    """

    beta_2: float = 0.99

    name: ClassVar[str] = "fedyogi"
    summary: ClassVar[str] = "Yogi on the server (Reddi et al. 2021)"

    def __post_init__(self) -> None:
        super().__post_init__()
        demand(0 <= self.beta_2 < 1, "beta-2", self.beta_2, "0 or more and less than 1")

    def variance(self, before: Array, square: Array) -> Array:
        following: Array = before - square.dtype.type(1 - self.beta_2) * square * np.sign(before - square)
        return following


def _mean(name: str) -> str:
    return f"mean/{name}"


def _variance(name: str) -> str:
    return f"variance/{name}"
