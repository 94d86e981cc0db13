"""A strategy of one's own: federated averaging that distrusts a step much longer than the steps before it.

A client whose training went astray, or a round with an unlucky cohort, can undo many rounds' progress. Here the server remembers how
long its steps usually are, and shortens one that is more than `limit` times as long. Nothing else changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ciranda import BaseStrategy
from ciranda.core.errors import ExperimentError
from ciranda.core.stages import l2_norm
from ciranda.core.strategies.base import StrategyState, moved
from ciranda.core.task import Arrays
from ciranda.core.update import Aggregate


@dataclass(frozen=True)
class Cautious(BaseStrategy):
    """With d the clients' mean difference from the round's model and u the usual length of a step:

        d <- d min(1, limit u / |d|),   w <- w + d,   u <- (1 - pace) u + pace |d|.

    The first step is taken as it is, and u begins as its length.

    Attributes:
        limit: how many times longer than usual a step may be, at least 1.
        pace: how fast the memory of earlier steps fades, more than 0 and at most 1.
    """

    limit: float = 2.0
    pace: float = 0.2

    name: ClassVar[str] = "cautious"
    summary: ClassVar[str] = "fedavg that shortens a step much longer than usual"

    def __post_init__(self) -> None:
        if self.limit < 1 or not 0 < self.pace <= 1:
            raise ExperimentError("limit must be at least 1, and pace more than 0 and at most 1.")

    def init(self, model: Arrays) -> StrategyState:
        """Everything that the strategy remembers is in this value: named arrays, kept with the run and read back after a crash."""
        return {"usual": np.asarray(0.0)}

    def apply(self, state: StrategyState, model: Arrays, aggregate: Aggregate) -> tuple[StrategyState, Arrays]:
        """A pure function: it writes into none of its arguments and keeps nothing in `self`, so any process can close a round."""
        step = aggregate.parts["model"]
        length, usual = l2_norm(step.values()), float(state["usual"])
        factor = min(1.0, self.limit * usual / length) if usual and length else 1.0
        shortened = {name: np.asarray(values * values.dtype.type(factor)) for name, values in step.items()}
        following = (1 - self.pace) * usual + self.pace * factor * length if usual else length
        return {"usual": np.asarray(following)}, moved(model, shortened)
