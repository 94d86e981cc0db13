from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ciranda.core.errors import ExperimentError
from ciranda.core.strategies import FedAvg, FedProx
from ciranda.core.task import ClientSettings
from ciranda.testing.strategies import StrategyLaws, example_aggregate, example_model


class TestFedProx(StrategyLaws):
    strategy = FedProx(proximal_mu=0.1)


def test_the_pull_is_all_that_clients_are_told() -> None:
    settings = ClientSettings(local_epochs=7, momentum=0.9)
    told = FedProx(proximal_mu=0.5).client_settings(settings)
    assert told == ClientSettings(local_epochs=7, momentum=0.9, proximal_mu=0.5)


def test_without_a_pull_it_is_fedavg() -> None:
    settings = ClientSettings(local_epochs=7)
    assert FedProx(proximal_mu=0).client_settings(settings) == FedAvg().client_settings(settings)


def test_the_server_does_what_fedavg_does() -> None:
    model, aggregate = example_model(), example_aggregate(1)
    _, prox = FedProx(proximal_mu=1.0).apply({}, model, aggregate)
    _, plain = FedAvg().apply({}, model, aggregate)
    assert all(np.array_equal(prox[name], plain[name]) for name in model)


@pytest.mark.parametrize("mu", [-0.1, math.nan, math.inf, "0.1", None, True])
def test_an_impossible_pull_is_refused(mu: Any) -> None:
    with pytest.raises(ExperimentError, match="proximal-mu"):
        FedProx(proximal_mu=mu)
