"""q-FedAvg against Algorithm 2, written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ciranda.core.errors import ExperimentError, TaskError
from ciranda.core.metrics import Sums
from ciranda.core.rng import Draw
from ciranda.core.strategies import QFedAvg
from ciranda.core.strategies.base import Work
from ciranda.core.task import Arrays, Examples
from ciranda.core.update import Contract
from ciranda.testing.strategies import ClientRuleLaws
from tests.core.strategies.federation import SETTINGS, WIDTH, LeastSquares, Vector, batches, gradient, loss, owned, play

ROUNDS = [(0, 2), (1, 2), (0, 1, 3), (2, 3), (0, 1, 2, 3)]
POPULATION = 4


class TestQFedAvg(ClientRuleLaws):
    strategy = QFedAvg(q=2.0)


class TestByExamples(ClientRuleLaws):
    strategy = QFedAvg(q=0.1, weighting="examples", lipschitz=3.0, server_learning_rate=0.5)


def algorithm_2(q: float, L: float, weights: bool = False) -> list[Vector]:
    """w after each round, in the paper's letters; q counts from the second round on."""
    w = np.zeros(WIDTH)
    history = []
    for number, S in enumerate(ROUNDS):
        power = q if number else 0.0
        delta, h = np.zeros(WIDTH), 0.0
        for k in S:
            trained = w
            for batch in batches(owned(k), SETTINGS):
                trained = trained - SETTINGS.learning_rate * gradient(trained, batch)
            dw, F, p = L * (w - trained), loss(w, owned(k)), len(owned(k)) if weights else 1
            delta = delta + p * F**power * dw
            h += p * (power * F ** (power - 1) * float(dw @ dw) + L * F**power)
        w = w - delta / h
        history.append(w)
    return history


@pytest.mark.parametrize("q", [0.0, 0.1, 1.0, 5.0])
def test_it_is_algorithm_2(q: float) -> None:
    played = play(QFedAvg(q=q), ROUNDS, POPULATION)
    np.testing.assert_allclose(played.models, algorithm_2(q, 1 / SETTINGS.learning_rate), rtol=1e-6, atol=1e-9)


def test_weights_and_the_constant_are_parameters() -> None:
    played = play(QFedAvg(q=1.0, weighting="examples", lipschitz=3.0), ROUNDS, POPULATION)
    np.testing.assert_allclose(played.models, algorithm_2(1.0, 3.0, weights=True), rtol=1e-6, atol=1e-9)


def test_a_larger_q_serves_the_worst_client_better() -> None:
    everyone = [tuple(range(POPULATION))] * 60
    worst = [max(loss(play(QFedAvg(q=q), everyone, POPULATION).models[-1], owned(k)) for k in range(POPULATION)) for q in (0.0, 5.0)]
    assert worst[1] < 0.9 * worst[0]


def work_with(task: LeastSquares, usual: float) -> Work:
    model = {"w": np.zeros(WIDTH)}
    contract = Contract.for_model(model, task.part_of, max_weight=8, cohort=1, rule=QFedAvg(), population=POPULATION)
    return Work(task, model, owned(1), SETTINGS, contract, Draw(0), {"loss": np.asarray(usual)})


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_only_relative_losses_are_sent(scale: float) -> None:
    """A loss in other units, with the usual one in the same, gives numbers of the same size."""

    class Scaled(LeastSquares):
        def evaluate(self, model: Arrays, examples: Examples, batch_size: int) -> Sums:
            return {"n": 1, "loss": round(2.0 * scale * 2**24)}

    update, _ = QFedAvg(q=3.0).train(work_with(Scaled(), scale), {})
    plain, _ = QFedAvg(q=0.0).train(work_with(Scaled(), scale), {})
    np.testing.assert_allclose(update.parts["model"]["w"], 8 * plain.parts["model"]["w"], rtol=0.2)


def test_an_update_beyond_all_bounds_is_refused_and_not_an_error() -> None:
    update, _ = QFedAvg(q=1e6).train(work_with(LeastSquares(), 1e-9), {})
    assert not np.isfinite(update.parts["model"]["w"]).any()


def test_a_task_without_a_loss_is_refused() -> None:
    class Silent(LeastSquares):
        def evaluate(self, model: Arrays, examples: Examples, batch_size: int) -> Sums:
            return {"n": len(examples)}

    with pytest.raises(TaskError, match="neither loss nor mse"):
        QFedAvg().train(work_with(Silent(), 1.0), {})


@pytest.mark.parametrize("params", [{"q": -0.5}, {"q": float("inf")}, {"lipschitz": 0.0}, {"weighting": "mean"}])
def test_impossible_parameters_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ExperimentError):
        QFedAvg(**params)
