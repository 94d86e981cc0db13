"""FedAvgM: Hsu, Qi, Brown, "Measuring the effects of non-identical data distribution for federated visual classification", 2019,
https://arxiv.org/abs/1909.06335, section 4.3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ciranda.core.strategies.base import StrategyState, moved
from ciranda.core.strategies.server import ServerStep, demand, scaled
from ciranda.core.task import Array, Arrays
from ciranda.core.update import Aggregate


@dataclass(frozen=True)
class FedAvgM(ServerStep):
    """FedAvg with momentum on the server.

    With D the clients' mean difference from the round's model: v <- beta v + D and w <- w + eta v. With `nesterov` the step is
    w <- w + eta (D + beta v), as Sutskever et al. (ICML 2013) have it in the form of PyTorch's SGD; the paper's own runs are with it. With
    beta = 0 it is FedAvg.

    Attributes:
        server_momentum: beta, 0 <= beta < 1; the paper's best is mostly 0.9 or more.
        nesterov: whether the step looks ahead.
    """

    server_momentum: float = 0.9
    nesterov: bool = False

    name: ClassVar[str] = "fedavgm"
    summary: ClassVar[str] = "fedavg with momentum on the server (Hsu et al. 2019)"

    def __post_init__(self) -> None:
        super().__post_init__()
        demand(0 <= self.server_momentum < 1, "server-momentum", self.server_momentum, "0 or more and less than 1")

    def init(self, model: Arrays) -> StrategyState:
        return {**self.clock(), **{_velocity(name): np.zeros_like(tensor) for name, tensor in model.items()}}

    def apply(self, state: StrategyState, model: Arrays, aggregate: Aggregate) -> tuple[StrategyState, Arrays]:
        round, clock = self.tick(state)
        following = {**state, **clock}
        step: dict[str, Array] = {}
        for name, mean in aggregate.parts["model"].items():
            beta = mean.dtype.type(self.server_momentum)
            velocity = np.asarray(beta * state[_velocity(name)] + mean)
            following[_velocity(name)] = velocity
            step[name] = np.asarray(mean + beta * velocity) if self.nesterov else velocity
        return following, moved(model, scaled(step, self.rate(round)))


def _velocity(name: str) -> str:
    return f"velocity/{name}"
