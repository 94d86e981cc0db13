"""The shape of every strategy: pure functions on values, with all memory in an explicit state.

A strategy is a frozen dataclass whose fields are its parameters, so that a round can be closed by any process that holds the
model, the state and the round's aggregate. Inherit from `BaseStrategy` and write `init` and `apply`; a strategy that also changes
what clients do gives a `ClientRule`, often itself. `ciranda.testing.strategies` checks a new one.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np

from ciranda.core.errors import TaskError
from ciranda.core.metrics import summarise
from ciranda.core.reducers import PartContract
from ciranda.core.rng import Draw
from ciranda.core.task import Array, Arrays, ClientSettings, Examples, Task, Trained
from ciranda.core.update import Aggregate, Contract, Update, difference

StrategyState = dict[str, Array]
"""What a strategy remembers between rounds: name -> numeric array. Stored and sent like a model."""


@dataclass(frozen=True)
class Work:
    """What one client has before it in a round.

    Attributes:
        model: the round's model, with the client's own private tensors in it.
        contract: what the update must satisfy.
        broadcast: what the strategy sends beside the model (`Strategy.broadcast`).
    """

    task: Task
    model: Arrays
    examples: Examples
    settings: ClientSettings
    contract: Contract
    draw: Draw
    broadcast: Arrays = field(default_factory=dict)

    def fit(self, correction: Arrays | None = None) -> Trained:
        """Train from the model, with `correction` (name -> array, parameters only) added to every gradient.

        Raises:
            TaskError: the task cannot add a correction.
            DivergedError: the loss or a parameter is not finite.
        """
        if correction is None:
            return self.task.train(self.model, self.examples, self.settings, self.draw)
        if "correction" not in inspect.signature(self.task.train).parameters:
            raise TaskError(
                "The task '{task}' adds no correction to its gradients, which this strategy needs.",
                task=self.task.name,
                hint="Give its train() a last parameter `correction: Arrays | None = None`, or choose another strategy.",
            )
        return self.task.train(self.model, self.examples, self.settings, self.draw, correction)

    def update(self, trained: Trained) -> Update:
        """The update that `trained` amounts to, weighted by examples; its part "private" stays with the client.

        Raises SignatureError if training returned other tensors than the round's model has.
        """
        self.contract.check_local(trained.arrays)
        parts = difference(self.model, trained.arrays, self.task.part_of)
        if sum(map(len, parts.values())) < len(trained.arrays):
            parts["private"] = {name: array for name, array in trained.arrays.items() if self.task.part_of(name) == "private"}
        return Update(parts, len(self.examples), trained.metrics)

    def steps(self, trained: Trained) -> int:
        """The number of optimizer steps taken, for a rule that has to undo them. Raises TaskError if the task does not tell."""
        if trained.steps < 1:
            raise TaskError(
                "The task '{task}' does not tell how many steps of client.optimizer it took, which this strategy needs.",
                task=self.task.name,
                hint="A task with an optimizer of its own works with fedavg and the strategies of the server alone.",
            )
        return trained.steps

    def loss(self) -> float:
        """The mean loss of the round's model on the client's examples; the mean squared error where a task has no loss.

        Raises TaskError if the task measures neither.
        """
        values = summarise(self.task.evaluate(self.model, self.examples, max(256, self.settings.batch_size)))
        for name in ("loss", "mse"):
            if name in values:
                return values[name]
        raise TaskError("The task '{task}' measures neither loss nor mse, one of which this strategy needs.", task=self.task.name)


class ClientRule(Protocol):
    """What a strategy has clients do beyond plain training.

    Pure: `train` is a function of its arguments, so that a round repeated after a crash gives the same bits. The state it returns is
    tentative until the round's record names the client among the accepted; else the old one holds.
    """

    def parts(self, model: Arrays, max_weight: int, cohort: int, population: int) -> Mapping[str, PartContract]:
        """The parts of an update beside those of the task, and how they are reduced.

        Args:
            model: the tensors of the part "model".
            max_weight: the largest number of examples of a client. cohort: the most clients in a round. population: all clients.
        """

    def train(self, work: Work, state: Arrays) -> tuple[Update, Arrays]:
        """The update, and the client's next state. `state` is {} at first. Writes into neither."""


class Strategy(Protocol):
    """How clients are told to train, and how the model moves when a round closes.

    Attributes:
        name: as in an experiment's `strategy.name`.
        summary: one line for listings.
        needs_cohort: False if the reduced aggregate is enough; True if every single update is needed (median, Krum), which
            costs memory for the whole cohort.
        features: what it brings of `ciranda.core.stages.INCOMPATIBLE`.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    needs_cohort: ClassVar[bool]
    features: ClassVar[tuple[str, ...]]

    @property
    def client(self) -> ClientRule | None:
        """What clients do beyond plain training, or None."""

    def client_settings(self, settings: ClientSettings) -> ClientSettings:
        """The settings that clients train with. Raises ExperimentError for settings that the strategy cannot work with."""

    def init(self, model: Arrays) -> StrategyState:
        """The state before round 1. `model` holds the tensors that are trained and averaged, and no others."""

    def broadcast(self, state: StrategyState) -> Arrays:
        """What goes to clients beside the model; the same names, shapes and dtypes in every round."""

    def apply(self, state: StrategyState, model: Arrays, aggregate: Aggregate) -> tuple[StrategyState, Arrays]:
        """The state and the model after a round.

        Moves the tensors of `aggregate.parts["model"]` and keeps the others, names, shapes and dtypes included. Writes into
        none of its arguments; the results may share arrays with them.
        """


class BaseStrategy(ABC):
    """A strategy whose clients train plainly. Give it `name`, `summary`, `init` and `apply`; the rest may be replaced."""

    name: ClassVar[str]
    summary: ClassVar[str]
    needs_cohort: ClassVar[bool] = False
    features: ClassVar[tuple[str, ...]] = ()

    @property
    def client(self) -> ClientRule | None:
        return None

    def client_settings(self, settings: ClientSettings) -> ClientSettings:
        return settings

    @abstractmethod
    def init(self, model: Arrays) -> StrategyState:
        """See `Strategy.init`."""

    def broadcast(self, state: StrategyState) -> Arrays:
        return {}

    @abstractmethod
    def apply(self, state: StrategyState, model: Arrays, aggregate: Aggregate) -> tuple[StrategyState, Arrays]:
        """See `Strategy.apply`."""


def moved(model: Arrays, step: Arrays) -> Arrays:
    """`model` with `step` added, name by name, in the model's own dtype; tensors without a step are the same objects."""
    # `asarray`: the sum of two 0-d arrays is a scalar otherwise.
    return {name: np.asarray(np.add(tensor, step[name], dtype=tensor.dtype)) if name in step else tensor for name, tensor in model.items()}
