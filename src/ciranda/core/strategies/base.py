"""The shape of every strategy: pure functions on values, with all memory in an explicit state.

A strategy is a frozen dataclass whose fields are its parameters, so that a round can be closed by any process that holds the
model, the state and the round's aggregate. `ciranda.testing.strategies` checks a new one.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np

from ciranda.core.task import Array, Arrays, ClientSettings
from ciranda.core.update import Aggregate

StrategyState = dict[str, Array]
"""What a strategy remembers between rounds: name -> numeric array. Stored and sent like a model."""


class Strategy(Protocol):
    """How clients are told to train, and how the model moves when a round closes.

    Attributes:
        name: as in an experiment's `strategy.name`.
        summary: one line for listings.
        needs_cohort: False if the reduced aggregate is enough; True if every single update is needed (median, Krum), which
            costs memory for the whole cohort.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    needs_cohort: ClassVar[bool]

    def client_settings(self, settings: ClientSettings) -> ClientSettings:
        """The settings that clients train with."""

    def init(self, model: Arrays) -> StrategyState:
        """The state before round 1."""

    def apply(self, state: StrategyState, model: Arrays, aggregate: Aggregate) -> tuple[StrategyState, Arrays]:
        """The state and the model after a round.

        Moves the tensors of `aggregate.parts["model"]` and keeps the others, names, shapes and dtypes included. Writes into
        none of its arguments; the results may share arrays with them.
        """


def moved(model: Arrays, step: Arrays) -> Arrays:
    """`model` with `step` added, name by name, in the model's own dtype; tensors without a step are the same objects."""
    # `asarray`: the sum of two 0-d arrays is a scalar otherwise.
    return {name: np.asarray(np.add(tensor, step[name], dtype=tensor.dtype)) if name in step else tensor for name, tensor in model.items()}
