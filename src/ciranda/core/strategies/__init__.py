"""What the server does with a round's mean: one file per strategy or family, all of one shape (`base.Strategy`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ciranda.core.errors import ExperimentError
from ciranda.core.parameters import build
from ciranda.core.strategies.adaptive import FedAdagrad, FedAdam, FedYogi
from ciranda.core.strategies.base import Strategy, StrategyState
from ciranda.core.strategies.fedavg import FedAvg
from ciranda.core.strategies.fedavgm import FedAvgM
from ciranda.core.strategies.fednova import FedNova
from ciranda.core.strategies.fedprox import FedProx
from ciranda.core.strategies.qfedavg import QFedAvg
from ciranda.core.strategies.scaffold import Scaffold
from ciranda.core.texts import Text

__all__ = [
    "STRATEGIES",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedAvgM",
    "FedNova",
    "FedProx",
    "FedYogi",
    "QFedAvg",
    "Scaffold",
    "Strategy",
    "StrategyState",
    "make",
]

STRATEGIES: Mapping[str, type[Strategy]] = {
    kind.name: kind for kind in (FedAvg, FedProx, FedAvgM, FedAdagrad, FedAdam, FedYogi, Scaffold, FedNova, QFedAvg)
}


def make(kind: str | type[Strategy], **params: Any) -> Strategy:
    """The strategy of this name, or of a class of one's own, with these parameters.

    Raises:
        ExperimentError: an unknown strategy or parameter, or an impossible value.
    """
    if isinstance(kind, str):
        if kind not in STRATEGIES:
            raise ExperimentError("There is no strategy '{name}'.", hint="Choose one of: {names}.", name=kind, names=", ".join(STRATEGIES))
        kind = STRATEGIES[kind]
    return build(kind, Text("strategy '{name}'", name=kind.name), params)
