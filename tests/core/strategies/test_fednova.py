"""FedNova against the paper's update, written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import ExperimentError
from ciranda.core.strategies import FedAvg, FedNova, FedProx
from ciranda.core.strategies.local_steps import gain
from ciranda.core.task import ClientSettings
from ciranda.testing.strategies import ClientRuleLaws
from tests.core.strategies.federation import SETTINGS, WIDTH, Vector, batches, gradient, owned, play

ROUNDS = [(0, 2), (1, 2), (0, 1, 3), (2, 3)]
POPULATION = 4


class TestFedNova(ClientRuleLaws):
    strategy = FedNova()


class TestProximal(ClientRuleLaws):
    strategy = FedNova(proximal_mu=0.1, server_learning_rate=0.5)


def coefficients(tau: int, rho: float, alpha: float) -> Vector:
    """a_i: how much each gradient, first to last, moves the model, in units of the learning rate."""
    a = np.zeros(tau)
    for s in range(tau):
        impulse, velocity, way = np.eye(tau)[s], 0.0, 0.0
        for step in range(tau):
            velocity = rho * velocity + impulse[step] - alpha * way
            way += velocity
        a[s] = way
    return a


def by_hand(settings: ClientSettings, eta_g: float = 1.0) -> list[Vector]:
    """x - eta_g tau_eff sum p_i eta d_i with d_i = G_i a_i / |a_i|_1."""
    x = np.zeros(WIDTH)
    history = []
    for cohort in ROUNDS:
        direction, tau_eff, examples = np.zeros(WIDTH), 0.0, sum(len(owned(i)) for i in cohort)
        for i in cohort:
            y, velocity, gradients = x, np.zeros(WIDTH), []
            for batch in batches(owned(i), settings):
                gradients.append(gradient(y, batch))
                velocity = settings.momentum * velocity + gradients[-1] + settings.proximal_mu * (y - x)
                y = y - settings.learning_rate * velocity
            a = coefficients(len(gradients), settings.momentum, settings.learning_rate * settings.proximal_mu)
            p = len(owned(i)) / examples
            direction += p * (np.array(gradients).T @ a) / np.abs(a).sum()
            tau_eff += p * np.abs(a).sum()
        x = x - eta_g * tau_eff * settings.learning_rate * direction
        history.append(x)
    return history


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("mu", [0.0, 0.5])
@pytest.mark.parametrize("eta_g", [1.0, 0.6])
def test_it_is_the_papers_update(momentum: float, mu: float, eta_g: float) -> None:
    settings = replace(SETTINGS, momentum=momentum)
    played = play(FedNova(proximal_mu=mu, server_learning_rate=eta_g), ROUNDS, POPULATION, settings)
    np.testing.assert_allclose(played.models, by_hand(replace(settings, proximal_mu=mu), eta_g), rtol=1e-9, atol=1e-12)


@given(st.integers(1, 200), st.floats(0.0, 0.99))
def test_the_norm_with_momentum_is_the_papers(tau: int, rho: float) -> None:
    closed = (tau - rho * (1 - rho**tau) / (1 - rho)) / (1 - rho)
    assert gain(tau, ClientSettings(momentum=rho)) == pytest.approx(closed, rel=1e-6)


@given(st.integers(1, 200), st.floats(1e-3, 0.99))
def test_the_norm_with_a_proximal_term_is_the_papers(tau: int, alpha: float) -> None:
    assert gain(tau, ClientSettings(learning_rate=0.1, proximal_mu=10 * alpha)) == pytest.approx((1 - (1 - alpha) ** tau) / alpha, rel=1e-9)


@given(st.integers(1, 30), st.floats(0.0, 0.9), st.floats(0.0, 0.5))
def test_the_norm_adds_the_coefficients_up(tau: int, rho: float, alpha: float) -> None:
    settings = ClientSettings(learning_rate=0.5, momentum=rho, proximal_mu=2 * alpha)
    assert gain(tau, settings) == pytest.approx(coefficients(tau, rho, alpha).sum(), rel=1e-9, abs=1e-9)


def test_equal_numbers_of_steps_make_it_fedavg() -> None:
    settings = replace(SETTINGS, batch_size=100)  # one step an epoch for everybody
    nova, avg = play(FedNova(), ROUNDS, POPULATION, settings), play(FedAvg(), ROUNDS, POPULATION, settings)
    np.testing.assert_allclose(nova.models, avg.models, rtol=1e-9, atol=1e-12)


def test_unequal_numbers_of_steps_do_not() -> None:
    nova, avg = play(FedNova(), ROUNDS, POPULATION), play(FedAvg(), ROUNDS, POPULATION)
    assert np.abs(nova.models[0] - avg.models[0]).max() > 1e-3


def test_the_pull_reaches_the_clients() -> None:
    assert FedNova(proximal_mu=0.3).client_settings(SETTINGS) == FedProx(proximal_mu=0.3).client_settings(SETTINGS)
    with pytest.raises(ExperimentError, match=r"'fednova' needs client\.optimizer = 'sgd'"):
        FedNova().client_settings(ClientSettings(optimizer="adamw"))
    with pytest.raises(ExperimentError, match="proximal-mu"):
        FedNova(proximal_mu=-1)
