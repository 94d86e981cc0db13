"""SCAFFOLD against Algorithm 1, written out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ciranda.core.client import STRATEGY
from ciranda.core.errors import ExperimentError, TaskError
from ciranda.core.rng import Draw
from ciranda.core.strategies import FedAvg, Scaffold
from ciranda.core.strategies.base import Work
from ciranda.core.task import Arrays, ClientSettings, Examples, Trained
from ciranda.core.update import Contract
from ciranda.testing.strategies import ClientRuleLaws
from tests.core.strategies.federation import SETTINGS, WIDTH, LeastSquares, Vector, batches, gradient, owned, play

ROUNDS = [(0, 2), (1, 2), (0, 1), (2, 3), (0, 3), (1, 2)]
POPULATION = 4


class TestSteps(ClientRuleLaws):
    strategy = Scaffold()


class TestGradient(ClientRuleLaws):
    strategy = Scaffold(control="gradient", weighting="examples", server_learning_rate=0.5)


def algorithm_1(option: int, eta_g: float = 1.0, weights: bool = False) -> tuple[list[Vector], dict[int, Vector]]:
    """x after each round, and every c_i in the end; the letters are the paper's."""
    eta_l, N = SETTINGS.learning_rate, POPULATION
    x, c = np.zeros(WIDTH), np.zeros(WIDTH)
    c_i = {i: np.zeros(WIDTH) for i in range(N)}
    history = []
    for S in ROUNDS:
        dy, dc = {}, {}
        for i in S:
            y, taken = x.copy(), batches(owned(i), SETTINGS)
            for batch in taken:
                y = y - eta_l * (gradient(y, batch) - c_i[i] + c)
            plus = gradient(x, owned(i)) if option == 1 else c_i[i] - c + (x - y) / (len(taken) * eta_l)
            dy[i], dc[i] = y - x, plus - c_i[i]
            c_i[i] = plus
        share = {i: len(owned(i)) / sum(len(owned(j)) for j in S) if weights else 1 / len(S) for i in S}
        x = x + eta_g * sum(share[i] * dy[i] for i in S)
        c = c + sum(dc.values()) / N
        history.append(x)
    return history, c_i


@pytest.mark.parametrize(
    ("strategy", "arguments"),
    [
        (Scaffold(), {"option": 2}),
        (Scaffold(control="gradient"), {"option": 1}),
        (Scaffold(server_learning_rate=0.7), {"option": 2, "eta_g": 0.7}),
        (Scaffold(weighting="examples"), {"option": 2, "weights": True}),
    ],
)
def test_it_is_algorithm_1(strategy: Scaffold, arguments: dict[str, Any]) -> None:
    played = play(strategy, ROUNDS, POPULATION)
    models, controls = algorithm_1(**arguments)
    np.testing.assert_allclose(played.models, models, rtol=1e-8, atol=1e-10)
    for client, states in played.states.items():
        np.testing.assert_allclose(states[STRATEGY]["w"], controls[client], rtol=1e-8, atol=1e-10)


def test_without_controls_the_first_round_is_the_clients_plain_mean() -> None:
    everyone = tuple(range(POPULATION))
    first = play(Scaffold(weighting="examples"), [everyone], POPULATION).models[0]
    np.testing.assert_allclose(first, play(FedAvg(), [everyone], POPULATION).models[0], rtol=1e-12)


def test_it_ends_where_fedavg_drifts_from() -> None:
    """Full participation, many local steps: SCAFFOLD finds the minimum of the clients' mean loss, FedAvg another point."""
    everyone = tuple(range(POPULATION))
    settings = replace(SETTINGS, batch_size=100, local_epochs=10)
    moments = [(owned(i).x.T @ owned(i).x / len(owned(i)), owned(i).x.T @ owned(i).y / len(owned(i))) for i in everyone]
    best = np.linalg.solve(sum(a for a, _ in moments), sum(b for _, b in moments))
    scaffold = play(Scaffold(), [everyone] * 200, POPULATION, settings).models[-1]
    fedavg = play(FedAvg(), [everyone] * 200, POPULATION, settings).models[-1]
    assert np.abs(scaffold - best).max() < 1e-6
    assert np.abs(fedavg - best).max() > 1e-2


def test_momentum_leaves_the_control_a_mean_of_gradients() -> None:
    """Under one gradient for all steps and clients, c_i+ is that gradient, whatever the momentum."""

    class Slope(LeastSquares):
        def train(
            self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw, correction: Arrays | None = None
        ) -> Trained:
            w, velocity = model["w"], np.zeros(WIDTH)
            for _ in range(7):
                velocity = settings.momentum * velocity + np.arange(WIDTH)
                w = w - settings.learning_rate * velocity
            return Trained({"w": w}, {"n": 1, "loss": 0}, 7)

    work = work_with(Slope(), ClientSettings(learning_rate=0.1, momentum=0.8))
    np.testing.assert_allclose(Scaffold().train(work, {})[1]["w"], np.arange(WIDTH), atol=1e-12)


def test_a_task_without_correction_is_refused() -> None:
    class Plain(LeastSquares):
        def train(self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw) -> Trained:  # type: ignore[override]
            return Trained(model, {"n": 1, "loss": 0}, 1)

    with pytest.raises(TaskError, match="'least-squares' adds no correction"):
        Scaffold().train(work_with(Plain()), {})


def test_a_task_that_steps_in_its_own_way_is_refused() -> None:
    class Own(LeastSquares):
        def train(
            self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw, correction: Arrays | None = None
        ) -> Trained:
            return replace(super().train(model, examples, settings, draw, correction), steps=0)

    with pytest.raises(TaskError, match="does not tell how many steps"):
        Scaffold().train(work_with(Own()), {})


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (ClientSettings(optimizer="adam"), "'scaffold' needs client.optimizer = 'sgd', not 'adam'"),
        (ClientSettings(momentum=0.9, extra={"nesterov": 1.0}), "client.nesterov"),
    ],
)
def test_other_optimizers_are_refused(settings: ClientSettings, text: str) -> None:
    with pytest.raises(ExperimentError, match=text):
        Scaffold().client_settings(settings)


@pytest.mark.parametrize("params", [{"control": "both"}, {"weighting": 1}, {"server_learning_rate": 0}])
def test_impossible_parameters_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ExperimentError):
        Scaffold(**params)


def work_with(task: LeastSquares, settings: ClientSettings = SETTINGS) -> Work:
    model = {"w": np.zeros(WIDTH)}
    contract = Contract.for_model(model, task.part_of, max_weight=8, cohort=1, rule=Scaffold(), population=POPULATION)
    return Work(task, model, owned(1), settings, contract, Draw(0), {"w": np.zeros(WIDTH)})
