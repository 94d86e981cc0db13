"""Federated averaging: McMahan, Moore, Ramage, Hampson, Agüera y Arcas, "Communication-efficient learning of deep networks from
decentralized data", AISTATS 2017, https://arxiv.org/abs/1602.05629, Algorithm 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ciranda.core.strategies.base import StrategyState, moved
from ciranda.core.strategies.server import ServerStep, scaled
from ciranda.core.task import Arrays
from ciranda.core.update import Aggregate


@dataclass(frozen=True)
class FedAvg(ServerStep):
    """The new model is the mean of the clients' models, weighted by their numbers of examples.

    With d_k = w_k - w the difference of client k's model from the round's, sum n_k w_k / n = w + sum n_k d_k / n: the aggregate
    holds the last term, and the server adds it, times its learning rate (1 in the paper).
    """

    name: ClassVar[str] = "fedavg"
    summary: ClassVar[str] = "the mean of the clients' models, weighted by their examples (McMahan et al. 2017)"

    def init(self, model: Arrays) -> StrategyState:
        return self.clock()

    def apply(self, state: StrategyState, model: Arrays, aggregate: Aggregate) -> tuple[StrategyState, Arrays]:
        round, clock = self.tick(state)
        return clock, moved(model, scaled(aggregate.parts["model"], self.rate(round)))
