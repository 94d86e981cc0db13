"""What the server does with a round's mean: one file per strategy, all of one shape (`base.Strategy`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ciranda.core.errors import ExperimentError
from ciranda.core.strategies.base import Strategy, StrategyState
from ciranda.core.strategies.fedavg import FedAvg
from ciranda.core.strategies.fedprox import FedProx

__all__ = ["STRATEGIES", "FedAvg", "FedProx", "Strategy", "StrategyState", "make"]

STRATEGIES: Mapping[str, type[FedAvg] | type[FedProx]] = {kind.name: kind for kind in (FedAvg, FedProx)}


def make(name: str, **params: Any) -> Strategy:
    """The strategy `name` with these parameters.

    Raises:
        ExperimentError: an unknown strategy or parameter, or an impossible value.
    """
    kind = STRATEGIES.get(name)
    if kind is None:
        raise ExperimentError(
            "There is no strategy '{name}'.", hint="Choose one of: {strategies}.", name=name, strategies=", ".join(STRATEGIES)
        )
    known = [each.name for each in fields(kind)]
    for parameter in sorted(set(params) - set(known)):
        # As an experiment file spells them.
        takes = ", ".join(known).replace("_", "-") or "none"
        raise ExperimentError(
            "The strategy '{name}' has no parameter '{parameter}'.",
            hint="It takes: {takes}.",
            name=name,
            parameter=parameter.replace("_", "-"),
            takes=takes,
        )
    return kind(**params)
