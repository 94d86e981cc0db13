"""FedProx: Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith, "Federated optimization in heterogeneous networks", MLSys 2020,
https://arxiv.org/abs/1812.06127, Algorithm 2."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from ciranda.core.errors import ExperimentError
from ciranda.core.strategies.base import BaseStrategy, StrategyState, moved
from ciranda.core.task import Arrays, ClientSettings
from ciranda.core.update import Aggregate


@dataclass(frozen=True)
class FedProx(BaseStrategy):
    """FedAvg whose clients minimise F_k(w) + mu/2 |w - w_t|^2 (equation 2), which holds them near the round's model w_t.

    The mean is weighted by examples, as in the authors' experiments (Algorithm 2 itself draws clients by their weight and takes
    the plain mean). With mu = 0 it is FedAvg.

    Attributes:
        proximal_mu: mu >= 0; the paper tries 0.001, 0.01, 0.1 and 1.
    """

    proximal_mu: float = 0.01

    name: ClassVar[str] = "fedprox"
    summary: ClassVar[str] = "fedavg with a pull of strength proximal_mu towards the round's model (Li et al. 2020)"

    def __post_init__(self) -> None:
        number = isinstance(self.proximal_mu, int | float) and not isinstance(self.proximal_mu, bool)
        if not (number and 0 <= self.proximal_mu < math.inf):
            raise ExperimentError(
                "strategy.proximal-mu is {proximal_mu!r}; it must be a number from 0 up.",
                hint="Start with 0.01.",
                proximal_mu=self.proximal_mu,
            )

    def client_settings(self, settings: ClientSettings) -> ClientSettings:
        return replace(settings, proximal_mu=float(self.proximal_mu))

    def init(self, model: Arrays) -> StrategyState:
        return {}

    def apply(self, state: StrategyState, model: Arrays, aggregate: Aggregate) -> tuple[StrategyState, Arrays]:
        return state, moved(model, aggregate.parts["model"])
