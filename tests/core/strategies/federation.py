"""A federation of least-squares problems in double precision, small enough to be computed again by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ciranda.core.client import train_update
from ciranda.core.metrics import Sums, fixed
from ciranda.core.rng import Draw
from ciranda.core.stages import Chain, States
from ciranda.core.strategies.base import Strategy, Work
from ciranda.core.task import Array, Arrays, ClientSettings, Examples, FederatedData, Part, Trained
from ciranda.core.update import Contract, finish, fold, zero

Vector = NDArray[np.float64]
WIDTH = 3
SETTINGS = ClientSettings(local_epochs=2, batch_size=4, learning_rate=0.05)


class LeastSquares:
    """F(w) = mean of (x w - y)^2 / 2, by mini-batches in the order in which the examples lie."""

    name = "least-squares"
    kind: Literal["classification", "regression"] = "regression"

    def data(self) -> FederatedData:
        return FederatedData(owned(0), owned(1))

    def initial(self, draw: Draw) -> Arrays:
        return {"w": np.zeros(WIDTH)}

    def part_of(self, name: str) -> Part:
        return "model"

    def train(self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw, correction: Arrays | None = None) -> Trained:
        w, velocity = model["w"].copy(), np.zeros(WIDTH)
        steps = 0
        for _ in range(settings.local_epochs):
            for start in range(0, len(examples), settings.batch_size):
                g = gradient(w, examples[start : start + settings.batch_size]) + settings.proximal_mu * (w - model["w"])
                velocity = settings.momentum * velocity + g + (0.0 if correction is None else correction["w"])
                w = w - settings.learning_rate * velocity
                steps += 1
        return Trained({"w": w}, {"n": len(examples), "loss": fixed(loss(w, examples) * len(examples))}, steps)

    def evaluate(self, model: Arrays, examples: Examples, batch_size: int) -> Sums:
        return {"n": len(examples), "loss": fixed(loss(model["w"], examples) * len(examples))}

    def predict(self, model: Arrays, x: Array) -> Array:
        return np.asarray(x @ model["w"])


def owned(client: int) -> Examples:
    """What a client owns: 3, 8, 13, ... examples of a linear law of its own."""
    generator = np.random.default_rng(client)
    x = generator.normal(size=(3 + 5 * client, WIDTH))
    return Examples(x, x @ generator.normal(size=WIDTH) + 0.1 * generator.normal(size=len(x)))


def gradient(w: Vector, examples: Examples) -> Vector:
    return np.asarray(examples.x.T @ (examples.x @ w - examples.y) / len(examples))


def loss(w: Vector, examples: Examples) -> float:
    return float(np.square(examples.x @ w - examples.y).mean() / 2)


def batches(examples: Examples, settings: ClientSettings) -> list[Examples]:
    """Every batch that a client takes in a round."""
    starts = range(0, len(examples), settings.batch_size)
    return [examples[start : start + settings.batch_size] for start in starts] * settings.local_epochs


@dataclass
class Played:
    """The model after each round, and what the clients hold in the end."""

    models: list[Vector]
    states: dict[int, States]


def play(strategy: Strategy, rounds: Sequence[Sequence[int]], population: int, settings: ClientSettings = SETTINGS) -> Played:
    """Run the rounds, each with these clients, as a runtime does."""
    task, rule = LeastSquares(), strategy.client
    settings = strategy.client_settings(settings)
    model: Arrays = task.initial(Draw(0))
    state = strategy.init(model)
    played = Played([], {})
    for number, cohort in enumerate(rounds, 1):
        heaviest = max(len(owned(client)) for client in range(population))
        contract = Contract.for_model(model, task.part_of, max_weight=heaviest, cohort=len(cohort), rule=rule, population=population)
        total = zero(contract)
        for client in cohort:
            draw = Draw(1).at("train", round=number, client=client)
            work = Work(task, model, owned(client), settings, contract, draw, strategy.broadcast(state))
            message, played.states[client] = train_update(work, Chain(), rule, played.states.get(client))
            total = fold(contract, total, str(client), message)
        state, model = strategy.apply(state, model, finish(contract, total))
        played.models.append(model["w"])
    return played
