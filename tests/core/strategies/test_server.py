"""The server's learning rate over the rounds."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import ExperimentError
from ciranda.core.strategies import STRATEGIES, FedAvg, FedAvgM
from ciranda.core.strategies.server import ServerStep, power, scaled
from ciranda.testing.strategies import StrategyLaws, example_aggregate, example_model, played, trained_part

STEPPING = {name: kind for name, kind in STRATEGIES.items() if issubclass(kind, ServerStep)}


class TestFedAvgWithASchedule(StrategyLaws):
    strategy = FedAvg(server_learning_rate=0.7, server_schedule="cosine", server_decay_rounds=5, server_warmup_rounds=3)


def rates(rounds: int, **params: Any) -> list[float]:
    return [FedAvg(**params).rate(round) for round in range(1, rounds + 1)]


def test_a_constant_rate() -> None:
    assert rates(3) == [1.0, 1.0, 1.0]
    assert rates(2, server_learning_rate=0.25) == [0.25, 0.25]


def test_steps() -> None:
    assert rates(6, server_schedule="step", server_decay=0.1, server_decay_rounds=2) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert rates(2, server_schedule="step", server_decay_rounds=1) == [1.0, 0.5]


def test_exponential_decay() -> None:
    assert rates(4, server_schedule="exponential", server_decay=0.5, server_learning_rate=2.0) == [2.0, 1.0, 0.5, 0.25]
    assert rates(2, server_schedule="exponential") == [1.0, 0.99]


def test_half_a_cosine() -> None:
    expected = [(1 + math.cos(math.pi * (t - 1) / 8)) / 2 for t in range(1, 9)]
    assert rates(8, server_schedule="cosine", server_decay_rounds=8) == pytest.approx(expected, abs=1e-15)
    beyond = rates(12, server_schedule="cosine", server_decay_rounds=8)[8:]
    assert beyond == [pytest.approx(expected[-1])] * 4, "an extended run goes on at the last rate"


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_the_cosine_is_that_of_the_library(round: int, rounds: int) -> None:
    found = FedAvg(server_schedule="cosine", server_decay_rounds=rounds).rate(round)
    assert found == pytest.approx((1 + math.cos(math.pi * (min(round, rounds) - 1) / rounds)) / 2, abs=4e-16)


def test_warm_up_goes_with_every_schedule() -> None:
    assert rates(5, server_warmup_rounds=4) == [0.25, 0.5, 0.75, 1.0, 1.0]
    warm = rates(6, server_warmup_rounds=2, server_schedule="exponential", server_decay=0.5)
    assert warm == [0.5, 0.5, 0.25, 0.125, 0.0625, 0.03125]


@given(st.floats(0.01, 1.0), st.integers(0, 2000))
def test_powers(base: float, exponent: int) -> None:
    assert power(base, exponent) == pytest.approx(base**exponent, rel=1e-11, abs=1e-300)


@pytest.mark.parametrize("name", STEPPING)
def test_every_strategy_follows_its_schedule(name: str) -> None:
    """Its second step under a schedule is the plain second step, times the rate."""
    plain = STEPPING[name]()
    halving = replace(plain, server_schedule="exponential", server_decay=0.5)
    model = example_model()
    trained = trained_part(model)
    moves = []
    for strategy in (plain, halving):
        state = strategy.init(trained)
        state, _ = strategy.apply(state, model, played(strategy, state, model, 1))
        _, after = strategy.apply(state, model, played(strategy, state, model, 2))
        moves.append({key: after[key].astype(np.float64) - model[key] for key in trained})
    for key in trained:
        np.testing.assert_allclose(moves[1][key], moves[0][key] / 2, atol=3e-7)
    assert np.abs(moves[0]["linear.bias"]).max() > 1e-3


def test_without_a_schedule_nothing_is_counted() -> None:
    assert FedAvg().init(example_model()) == {}
    assert set(FedAvg(server_warmup_rounds=2).init(example_model())) == {"round"}
    assert "round" not in FedAvgM().init(example_model())


def test_a_rate_of_one_leaves_the_step_alone() -> None:
    step = example_aggregate(1).parts["model"]
    assert scaled(step, 1.0) is step
    assert scaled(step, 0.5)["exact.weight"].dtype == np.float64
    assert scaled(step, 0.5)["temperature"].dtype == np.float32


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"server_learning_rate": 0.0}, "server-learning-rate is 0.0"),
        ({"server_learning_rate": math.inf}, "server-learning-rate"),
        ({"server_schedule": "linear"}, "one of: constant, step, exponential, cosine"),
        ({"server_schedule": "step"}, "server-decay-rounds is needed by server-schedule = 'step'"),
        ({"server_schedule": "cosine"}, "server-decay-rounds is needed"),
        ({"server_schedule": "cosine", "server_decay_rounds": 0}, "server-decay-rounds is 0"),
        ({"server_schedule": "cosine", "server_decay_rounds": 3, "server_decay": 0.5}, "server-decay does not go with"),
        ({"server_schedule": "exponential", "server_decay": 1.5}, "server-decay is 1.5"),
        ({"server_schedule": "exponential", "server_decay_rounds": 3}, "server-decay-rounds does not go with"),
        ({"server_decay": 0.5}, "does not go with server-schedule = 'constant'"),
        ({"server_warmup_rounds": -1}, "server-warmup-rounds is -1"),
    ],
)
def test_what_cannot_work_is_refused(params: dict[str, Any], words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        FedAvg(**params)
