"""FedNova: Wang, Liu, Liang, Joshi, Poor, "Tackling the objective inconsistency problem in heterogeneous federated optimization",
NeurIPS 2020, https://arxiv.org/abs/2007.07481."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ciranda.core.exact import Scale
from ciranda.core.params import Signature
from ciranda.core.reducers import PartContract
from ciranda.core.strategies.base import ClientRule, StrategyState, Work, moved
from ciranda.core.strategies.local_steps import demand_sgd, gain
from ciranda.core.strategies.server import ServerStep, demand, scaled
from ciranda.core.task import Arrays, ClientSettings
from ciranda.core.update import Aggregate, Update

STEPS, NORM = "steps", "norm"
_BOUND = 2.0**24  # of |a_i|_1


@dataclass(frozen=True)
class FedNova(ServerStep):
    """Normalised averaging: clients that take more local steps do not pull the model towards their own optimum.

    A client's change of the model is -eta G_i a_i: its gradients, in the order of its steps, times the coefficients that its solver gives
    them. With d_i = G_i a_i / |a_i|_1, p_i the share of examples and tau_eff = sum p_i |a_i|_1, the server sets

        x <- x - eta_g tau_eff sum_i p_i eta d_i

    over the round's clients. |a_i|_1 is the number of steps for plain SGD, (tau - rho (1 - rho^tau) / (1 - rho)) / (1 - rho) with momentum
    rho, (1 - (1 - eta mu)^tau) / (eta mu) with a proximal term mu, and their common generalisation with both. Where all clients take
    the same number of steps it is FedAvg (or FedProx).

    Attributes:
        proximal_mu: mu >= 0 of the clients' proximal term.
    """

    proximal_mu: float = 0.0

    name: ClassVar[str] = "fednova"
    summary: ClassVar[str] = "fedavg for clients that take different numbers of local steps (Wang et al. 2020)"
    features: ClassVar[tuple[str, ...]] = ("parts-beside-the-model",)

    def __post_init__(self) -> None:
        super().__post_init__()
        demand(0 <= self.proximal_mu < math.inf, "proximal-mu", self.proximal_mu, "0 or more, such as 0.01")

    @property
    def client(self) -> ClientRule:
        return self

    def client_settings(self, settings: ClientSettings) -> ClientSettings:
        demand_sgd(self.name, settings)
        return replace(settings, proximal_mu=float(self.proximal_mu))

    def init(self, model: Arrays) -> StrategyState:
        return self.clock()

    def parts(self, model: Arrays, max_weight: int, cohort: int, population: int) -> Mapping[str, PartContract]:
        signature = Signature.of({NORM: np.zeros(())})
        return {STEPS: PartContract("weighted-mean", signature, (Scale(_BOUND, max_weight, cohort),))}

    def train(self, work: Work, state: Arrays) -> tuple[Update, Arrays]:
        """Raises TaskError for a task that does not tell its steps."""
        trained = work.fit()
        norm = gain(work.steps(trained), work.settings)
        update = work.update(trained)
        # -eta d_i; float64 in between, so that a client alone gets its own change back but for one rounding.
        direction = {name: (change / np.float64(norm)).astype(change.dtype) for name, change in update.parts["model"].items()}
        return Update({**update.parts, "model": direction, STEPS: {NORM: np.asarray(norm)}}, update.weight, update.metrics), {}

    def apply(self, state: StrategyState, model: Arrays, aggregate: Aggregate) -> tuple[StrategyState, Arrays]:
        round, clock = self.tick(state)
        tau = float(aggregate.parts[STEPS][NORM])
        return clock, moved(model, scaled(aggregate.parts["model"], tau * self.rate(round)))
