"""FedAvgM against its equations, PyTorch's SGD and Flower's class, on the same inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ciranda.core.errors import ExperimentError
from ciranda.core.strategies import FedAvg, FedAvgM
from ciranda.core.strategies.base import Strategy
from ciranda.core.update import Aggregate
from ciranda.testing.strategies import StrategyLaws, example_aggregate, example_model
from tests.core.strategies.flower import flower_path

ROUNDS = 6


class TestFedAvgM(StrategyLaws):
    strategy = FedAvgM(server_momentum=0.8)


class TestNesterov(StrategyLaws):
    strategy = FedAvgM(server_momentum=0.5, nesterov=True, server_learning_rate=0.3)


def changes(seed: int = 0) -> list[np.ndarray[Any, Any]]:
    return list(np.random.default_rng(seed).normal(scale=0.1, size=(ROUNDS, 5)).astype(np.float32))


def path(strategy: Strategy, start: np.ndarray[Any, Any], steps: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    model, state = {"w": start}, strategy.init({"w": start})
    found = []
    for step in steps:
        state, moved = strategy.apply(state, model, Aggregate({"model": {"w": step}}, 10, 2, {}))
        model = dict(moved)
        found.append(model["w"])
    return found


def test_two_rounds_by_hand() -> None:
    first, second = path(FedAvgM(server_momentum=0.5), np.zeros(1, np.float32), [np.full(1, 1.0, np.float32), np.full(1, 2.0, np.float32)])
    assert first.tolist() == [1.0]
    assert second.tolist() == [1.0 + (0.5 * 1.0 + 2.0)]


@pytest.mark.parametrize("nesterov", [False, True])
def test_it_is_sgd_on_minus_the_difference(nesterov: bool) -> None:
    torch = pytest.importorskip("torch")
    weights = torch.nn.Parameter(torch.zeros(5, dtype=torch.float64))
    optimizer = torch.optim.SGD([weights], lr=0.3, momentum=0.9, nesterov=nesterov)
    found = path(FedAvgM(server_momentum=0.9, nesterov=nesterov, server_learning_rate=0.3), np.zeros(5, np.float32), changes())
    for step, mine in zip(changes(), found, strict=True):
        weights.grad = torch.from_numpy(-step.astype(np.float64))
        optimizer.step()
        np.testing.assert_allclose(mine, weights.detach().numpy(), atol=1e-6)


def test_without_momentum_it_is_fedavg() -> None:
    model, aggregate = example_model(), example_aggregate(1)
    trained = {name: model[name] for name in aggregate.parts["model"]}
    strategy = FedAvgM(server_momentum=0.0)
    _, mine = strategy.apply(strategy.init(trained), model, aggregate)
    _, plain = FedAvg().apply({}, model, aggregate)
    assert all(np.array_equal(mine[name], plain[name]) for name in model)


@pytest.mark.parametrize(("rate", "momentum"), [(1.0, 0.9), (0.5, 0.9), (0.5, 0.0)])
def test_it_agrees_with_flowers(rate: float, momentum: float) -> None:
    strategies = pytest.importorskip("flwr.serverapp.strategy")
    theirs = strategies.FedAvgM(server_learning_rate=rate, server_momentum=momentum)
    start = np.random.default_rng(3).normal(size=5).astype(np.float32)
    expected, steps = flower_path(theirs, start, changes())
    found = path(FedAvgM(server_learning_rate=rate, server_momentum=momentum), start, steps)
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("beta", [-0.1, 1.0, 2.0])
def test_an_impossible_momentum_is_refused(beta: float) -> None:
    with pytest.raises(ExperimentError, match="server-momentum"):
        FedAvgM(server_momentum=beta)
