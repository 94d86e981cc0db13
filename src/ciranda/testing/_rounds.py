"""Made-up rounds for the laws of strategies: a model with every kind of tensor, clients that train by drawing, and what they add up to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from ciranda.core.metrics import Sums
from ciranda.core.rng import Draw
from ciranda.core.strategies.base import ClientRule, Strategy, StrategyState, Work
from ciranda.core.task import Array, Arrays, ClientSettings, Examples, FederatedData, Part, Trained
from ciranda.core.update import Aggregate, Contract, Update, finish, fold, zero

CLIENTS = 4
POPULATION = 9
# A parameter of each shape that models have, one in double precision; a buffer and a counter that are not the strategy's business.
LAYERS: Mapping[str, tuple[tuple[int, ...], str]] = {
    "conv.weight": ((4, 3, 2, 2), "float32"),
    "linear.bias": ((5,), "float32"),
    "temperature": ((), "float32"),
    "no.outputs": ((0, 5), "float32"),
    "exact.weight": ((3, 2), "float64"),
}


def example_model() -> dict[str, Array]:
    """A small model with every kind of tensor, read-only."""
    generator = Draw(1).at("model").generator()
    model: dict[str, Array] = {name: np.asarray(generator.normal(size=shape), dtype) for name, (shape, dtype) in LAYERS.items()}
    model["norm.running_mean"] = np.ones(4, np.float32)
    model["norm.num_batches_tracked"] = np.asarray(7, np.int64)
    return locked(model)


def trained_part(model: Arrays) -> dict[str, Array]:
    """The tensors of `model` that are trained: what `Strategy.init` is given."""
    return {name: tensor for name, tensor in model.items() if name in LAYERS}


def example_aggregate(round: int) -> Aggregate:
    """The aggregate of a made-up round: mean differences of the parameters, read-only."""
    generator = Draw(1).at("round", round=round).generator()
    step = {name: np.asarray(generator.normal(scale=0.1, size=shape), dtype) for name, (shape, dtype) in LAYERS.items()}
    return Aggregate({"model": locked(step)}, weight=120, count=4, metrics={"n": 120, "loss": 1 << 24})


class DrawnTask:
    """Training is a draw: every parameter moves by a little, in three steps of SGD as far as anyone can tell."""

    name = "drawn"
    kind: Literal["classification", "regression"] = "regression"

    def __init__(self, value: float | None = None) -> None:
        """Args: value: what every parameter is set to instead, such as NaN."""
        self._value = value

    def data(self) -> FederatedData:
        return FederatedData(examples(0), examples(1))

    def initial(self, draw: Draw) -> Arrays:
        return example_model()

    def part_of(self, name: str) -> Part:
        return "model" if name in LAYERS else "counters" if name.endswith("num_batches_tracked") else "buffers"

    def train(self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw, correction: Arrays | None = None) -> Trained:
        generator = draw.generator()
        arrays = dict(model)
        for name, (shape, dtype) in LAYERS.items():
            change = generator.normal(scale=0.1, size=shape) - 3 * settings.learning_rate * (correction or {}).get(name, 0.0)
            arrays[name] = np.asarray(model[name] + change if self._value is None else np.full(shape, self._value), dtype)
        return Trained(arrays, {"n": len(examples), "loss": len(examples) << 24}, steps=3)

    def evaluate(self, model: Arrays, examples: Examples, batch_size: int) -> Sums:
        return {"n": len(examples), "loss": int(examples.x.sum()) << 20}

    def predict(self, model: Arrays, x: Array) -> Array:
        return np.zeros(len(x), np.float32)


def examples(client: int) -> Examples:
    """What a client owns: more with every client."""
    x = np.arange(client + 2, dtype=np.float32).reshape(-1, 1) + 1
    return Examples(x, x[:, 0])


def contract_of(rule: ClientRule | None, model: Arrays, cohort: int = CLIENTS) -> Contract:
    """What updates in a made-up round must satisfy."""
    return Contract.for_model(model, DrawnTask().part_of, max_weight=CLIENTS + 1, cohort=cohort, rule=rule, population=POPULATION)


def work_of(strategy: Strategy, state: StrategyState, model: Arrays, client: int, round: int = 1, value: float | None = None) -> Work:
    """What client 0, 1, ... has before it in a made-up round; everything read-only."""
    settings = strategy.client_settings(ClientSettings(learning_rate=0.1))
    draw = Draw(5).at("train", round=round, client=client)
    broadcast = locked(strategy.broadcast(state))
    return Work(DrawnTask(value), locked(model), examples(client), settings, contract_of(strategy.client, model), draw, broadcast)


def played(strategy: Strategy, state: StrategyState, model: Arrays, round: int) -> Aggregate:
    """What the clients of a made-up round add up to: by the strategy's own rule where it has one."""
    rule = strategy.client
    if rule is None:
        return example_aggregate(round)
    updates = [rule.train(work_of(strategy, state, model, client, round), {})[0] for client in range(CLIENTS)]
    return added(contract_of(rule, model), updates)


def added(contract: Contract, updates: list[Update]) -> Aggregate:
    """The aggregate of `updates`, read-only."""
    total = zero(contract)
    for number, update in enumerate(updates):
        total = fold(contract, total, str(number), update)
    aggregate = finish(contract, total)
    return Aggregate(
        {part: locked(arrays) for part, arrays in aggregate.parts.items()}, aggregate.weight, aggregate.count, aggregate.metrics
    )


def locked(arrays: Arrays) -> dict[str, Array]:
    """The same arrays, which from now on cannot be written into."""
    for array in arrays.values():
        if isinstance(array, np.ndarray):  # a law of its own says so where it is none
            array.setflags(write=False)
    return dict(arrays)


def backwards(arrays: Arrays) -> dict[str, Array]:
    """The same arrays in the opposite order."""
    return dict(reversed(list(arrays.items())))
