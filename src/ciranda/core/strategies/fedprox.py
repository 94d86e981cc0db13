"""FedProx: Li, Sahu, Zaheer, Sanjabi, Talwalkar, Smith, "Federated optimization in heterogeneous networks", MLSys 2020,
https://arxiv.org/abs/1812.06127, Algorithm 2."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from ciranda.core.strategies.fedavg import FedAvg
from ciranda.core.strategies.server import demand
from ciranda.core.task import ClientSettings


@dataclass(frozen=True)
class FedProx(FedAvg):
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
        super().__post_init__()
        demand(0 <= self.proximal_mu < math.inf, "proximal-mu", self.proximal_mu, "0 or more, such as 0.01")

    def client_settings(self, settings: ClientSettings) -> ClientSettings:
        return replace(settings, proximal_mu=float(self.proximal_mu))
