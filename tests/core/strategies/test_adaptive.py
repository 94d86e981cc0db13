"""FedAdagrad, FedAdam and FedYogi against Algorithm 2 written out, and against Flower's classes on the same inputs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ciranda.core.errors import ExperimentError
from ciranda.core.strategies import FedAdagrad, FedAdam, FedYogi
from ciranda.core.strategies.adaptive import Adaptive
from ciranda.core.update import Aggregate
from ciranda.testing.strategies import StrategyLaws
from tests.core.strategies.flower import flower_path

Vector = np.ndarray[Any, Any]
ROUNDS = 8


class TestFedAdagrad(StrategyLaws):
    strategy = FedAdagrad()


class TestFedAdagradWithMomentum(StrategyLaws):
    strategy = FedAdagrad(beta_1=0.5)


class TestFedAdam(StrategyLaws):
    strategy = FedAdam()


class TestFedAdamAsInFlower(StrategyLaws):
    strategy = FedAdam(bias_correction="flower")


class TestFedYogi(StrategyLaws):
    strategy = FedYogi()


def changes() -> list[Vector]:
    """Steps of very different sizes, zeros among them, so that every branch of the second moment is taken."""
    generator = np.random.default_rng(1)
    steps = generator.normal(size=(ROUNDS, 12)) * 10.0 ** generator.integers(-4, 1, size=(ROUNDS, 12))
    steps[generator.random(steps.shape) < 0.1] = 0.0
    return list(steps.astype(np.float32))


def path(strategy: Adaptive, start: Vector, steps: list[Vector]) -> list[Vector]:
    model, state = {"w": start}, strategy.init({"w": start})
    found = []
    for step in steps:
        state, moved = strategy.apply(state, model, Aggregate({"model": {"w": step}}, 10, 2, {}))
        model = dict(moved)
        found.append(model["w"])
    return found


def algorithm_2(rule: str, x: Vector, deltas: list[Vector], eta: float, beta_1: float, beta_2: float, tau: float) -> list[Vector]:
    """The paper, line by line, in double precision."""
    x = x.astype(np.float64)
    m, v = np.zeros_like(x), np.full_like(x, tau**2)
    found = []
    for delta in deltas:
        d = delta.astype(np.float64)
        m = beta_1 * m + (1 - beta_1) * d
        if rule == "adagrad":
            v = v + d**2
        elif rule == "yogi":
            v = v - (1 - beta_2) * d**2 * np.sign(v - d**2)
        else:
            v = beta_2 * v + (1 - beta_2) * d**2
        x = x + eta * m / (np.sqrt(v) + tau)
        found.append(x)
    return found


START = np.random.default_rng(2).normal(size=12).astype(np.float32)


@pytest.mark.parametrize(
    ("rule", "strategy", "beta_2"),
    [
        ("adagrad", FedAdagrad(server_learning_rate=0.03, beta_1=0.3, tau=0.01), 0.0),
        ("adagrad", FedAdagrad(server_learning_rate=0.03, tau=0.01), 0.0),
        ("adam", FedAdam(server_learning_rate=0.03, beta_1=0.8, beta_2=0.95, tau=0.01), 0.95),
        ("yogi", FedYogi(server_learning_rate=0.03, beta_1=0.8, beta_2=0.95, tau=0.01), 0.95),
    ],
)
def test_it_is_algorithm_2(rule: str, strategy: Adaptive, beta_2: float) -> None:
    expected = algorithm_2(rule, START, changes(), 0.03, strategy.beta_1, beta_2, 0.01)
    for mine, theirs in zip(path(strategy, START, changes()), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "mine"),
    [
        ("FedAdam", FedAdam(bias_correction="flower")),
        ("FedYogi", FedYogi(server_learning_rate=0.01, initial_second_moment=0)),
        ("FedAdagrad", FedAdagrad(initial_second_moment=0)),
    ],
)
def test_flowers_variant_is_one_setting(name: str, mine: Any) -> None:
    strategies = pytest.importorskip("flwr.serverapp.strategy")
    params = {"eta": mine.server_learning_rate, "tau": mine.tau}
    if name != "FedAdagrad":
        params |= {"beta_1": mine.beta_1, "beta_2": mine.beta_2}
    expected, steps = flower_path(getattr(strategies, name)(**params), START, changes())
    for ours, theirs in zip(path(mine, START, steps), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def test_the_papers_adam_is_not_flowers() -> None:
    paper, flower = path(FedAdam(), START, changes()), path(FedAdam(bias_correction="flower"), START, changes())
    assert np.abs(paper[0] - flower[0]).max() > 1e-3


def test_bias_correction_is_that_of_adam() -> None:
    """Against PyTorch's Adam, whose epsilon stands where tau does once the correction is taken out of it."""
    torch = pytest.importorskip("torch")
    weights = torch.nn.Parameter(torch.from_numpy(START.astype(np.float64)))
    optimizer = torch.optim.Adam([weights], lr=0.1, betas=(0.9, 0.99), eps=1e-12)
    steps = [step + np.float32(0.01) for step in changes()]
    for step, mine in zip(steps, path(FedAdam(bias_correction="adam", tau=1e-12), START, steps), strict=True):
        weights.grad = torch.from_numpy(-step.astype(np.float64))
        optimizer.step()
        np.testing.assert_allclose(mine, weights.detach().numpy(), atol=2e-6)


def test_second_moments_begin_where_the_paper_says() -> None:
    model = {"w": START}
    assert np.unique(FedYogi(tau=0.5).init(model)["variance/w"]).tolist() == [0.25]
    assert np.unique(FedYogi(initial_second_moment=2).init(model)["variance/w"]).tolist() == [2.0]
    assert np.unique(FedAdam(bias_correction="adam").init(model)["variance/w"]).tolist() == [0.0]
    assert np.unique(FedAdam(bias_correction="adam", initial_second_moment=0.5).init(model)["variance/w"]).tolist() == [0.5]


def test_no_first_moment_is_kept_that_is_not_needed() -> None:
    assert set(FedAdagrad().init({"w": START})) == {"variance/w"}
    assert set(FedAdam(bias_correction="flower").init({"w": START})) == {"round", "mean/w", "variance/w"}


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (FedAdam, {"beta_1": 1.0}),
        (FedAdam, {"beta_2": 1.0}),
        (FedYogi, {"beta_2": -0.1}),
        (FedAdagrad, {"tau": 0.0}),
        (FedAdagrad, {"tau": math.inf}),
        (FedAdam, {"initial_second_moment": -1e-9}),
        (FedAdam, {"bias_correction": "keras"}),
        (FedYogi, {"server_learning_rate": -1.0}),
    ],
)
def test_impossible_values_are_refused(kind: type[Adaptive], params: dict[str, Any]) -> None:
    with pytest.raises(ExperimentError, match=next(iter(params)).replace("_", "-")):
        kind(**params)
