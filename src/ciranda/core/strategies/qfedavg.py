"""q-FedAvg: Li, Sanjabi, Beirami, Smith, "Fair resource allocation in federated learning", ICLR 2020, https://arxiv.org/abs/1905.10497,
Algorithm 2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ciranda.core.exact import Scale
from ciranda.core.params import Signature
from ciranda.core.reducers import PartContract
from ciranda.core.stages.clip import l2_norm
from ciranda.core.strategies.base import ClientRule, StrategyState, Work, moved
from ciranda.core.strategies.local_steps import Weighting
from ciranda.core.strategies.server import ServerStep, demand, scaled
from ciranda.core.task import Arrays, ClientSettings
from ciranda.core.update import Aggregate, Update

FAIRNESS, CURVATURE, LOSS = "fairness", "curvature", "loss"
_BOUND = 2.0**24  # of relative losses to the power q, and of what is multiplied by them
_TINY = 1e-10  # as in the authors' code: a loss of 0 has no power of q - 1


@dataclass(frozen=True)
class QFedAvg(ServerStep):
    """FedAvg that counts a client the more, the worse the model serves it: it minimises sum p_k F_k^(q + 1) / (q + 1) (equation 2).

    With F_k the loss of the round's model w on client k's examples, w_k what it trained, L = 1 / eta and Dw_k = L (w - w_k), a client
    sends

        D_k = F_k^q Dw_k,   h_k = q F_k^(q - 1) |Dw_k|^2 + L F_k^q,

    and the server sets w <- w - eta_g sum D_k / sum h_k. With q = 0 that is the clients' plain mean.

    Two things are done differently without changing that step: both sums are divided by L, and losses are taken relative to the mean
    of the round before, whose power of q cancels, so that a large q neither overflows nor vanishes. In the first round that mean is
    not known yet, and q counts as 0.

    Attributes:
        q: 0 is fedavg, larger is fairer and takes smaller steps; the paper tries 0.001 to 15.
        lipschitz: L > 0; by default 1 / client.learning-rate, as in the paper.
        weighting: "uniform" counts each client of the round alike, as the paper's sums do; "examples" weights by p_k, as is right where, as
            here, clients are selected with equal chances.
    """

    q: float = 0.1
    lipschitz: float | None = None
    weighting: Weighting = "uniform"

    name: ClassVar[str] = "qfedavg"
    summary: ClassVar[str] = "fairness: clients with a larger loss count more (Li et al. 2020)"
    features: ClassVar[tuple[str, ...]] = ("parts-beside-the-model", "scaled-updates")

    def __post_init__(self) -> None:
        super().__post_init__()
        demand(0 <= self.q < math.inf, "q", self.q, "0 or more, such as 1")
        demand(self.lipschitz is None or 0 < self.lipschitz < math.inf, "lipschitz", self.lipschitz, "more than 0")

    @property
    def client(self) -> ClientRule:
        return self

    def init(self, model: Arrays) -> StrategyState:
        return {**self.clock(), LOSS: np.zeros(())}

    def broadcast(self, state: StrategyState) -> Arrays:
        return {LOSS: state[LOSS]}

    def parts(self, model: Arrays, max_weight: int, cohort: int, population: int) -> Mapping[str, PartContract]:
        scale = Scale(_BOUND, 1 if self.weighting == "uniform" else max_weight, cohort)
        numbers = Signature.of({CURVATURE: np.zeros(()), LOSS: np.zeros(())})
        return {
            "model": PartContract("weighted-mean", Signature.of(model), (scale,) * len(model)),
            FAIRNESS: PartContract("weighted-mean", numbers, (scale, scale)),
        }

    def train(self, work: Work, state: Arrays) -> tuple[Update, Arrays]:
        loss, usual = work.loss(), float(work.broadcast[LOSS])
        update = work.update(work.fit())
        changes = update.parts["model"]
        factor, curvature = self._factors(loss, usual, l2_norm(changes.values()), work.settings)
        with np.errstate(all="ignore"):  # what is not finite is refused where it arrives
            model = {name: (change * np.float64(factor)).astype(change.dtype) for name, change in changes.items()}
        numbers = {CURVATURE: np.asarray(curvature), LOSS: np.asarray(loss)}
        weight = 1 if self.weighting == "uniform" else update.weight
        return Update({**update.parts, "model": model, FAIRNESS: numbers}, weight, update.metrics), {}

    def apply(self, state: StrategyState, model: Arrays, aggregate: Aggregate) -> tuple[StrategyState, Arrays]:
        round, clock = self.tick(state)
        numbers = aggregate.parts[FAIRNESS]
        rate = self.rate(round) / float(numbers[CURVATURE])
        return {**clock, LOSS: numbers[LOSS]}, moved(model, scaled(aggregate.parts["model"], rate))

    def _factors(self, loss: float, usual: float, norm: float, settings: ClientSettings) -> tuple[float, float]:
        """(F^q, h / L) over the usual loss to the power q, for a change of the model of L2 norm `norm`."""
        if not usual or not self.q:
            return 1.0, 1.0
        lipschitz = self.lipschitz or 1.0 / settings.learning_rate
        try:
            relative = (loss + _TINY) / usual
            factor = relative**self.q
            return factor, factor + self.q * relative ** (self.q - 1) * lipschitz * norm * norm / usual
        except OverflowError:
            return math.inf, math.inf
