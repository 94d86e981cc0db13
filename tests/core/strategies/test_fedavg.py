from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.strategies import FedAvg
from ciranda.core.task import ClientSettings
from ciranda.core.update import Aggregate
from ciranda.testing.strategies import StrategyLaws


class TestFedAvg(StrategyLaws):
    strategy = FedAvg()


def aggregate(**step: np.ndarray) -> Aggregate:
    return Aggregate({"model": step}, weight=1, count=1, metrics={})


def test_the_new_model_is_the_old_one_and_the_mean_difference() -> None:
    model = {"w": np.asarray([1.0, 2.0], np.float32), "b": np.asarray(3.0, np.float32)}
    _, after = FedAvg().apply({}, model, aggregate(w=np.asarray([0.5, -1.0], np.float32), b=np.asarray(-3.0, np.float32)))
    assert after["w"].tolist() == [1.5, 1.0]
    assert after["b"].shape == ()
    assert after["b"] == 0.0


def test_a_double_precision_mean_is_added_in_the_models_precision() -> None:
    model = {"w": np.ones(1, np.float32)}
    _, after = FedAvg().apply({}, model, aggregate(w=np.full(1, 2.0**-30)))
    assert after["w"].dtype == np.float32
    assert after["w"] == 1.0


def test_a_tensor_without_a_difference_is_not_copied() -> None:
    model = {"w": np.ones(1, np.float32), "seen": np.asarray(3)}
    _, after = FedAvg().apply({}, model, aggregate(w=np.ones(1, np.float32)))
    assert after["seen"] is model["seen"]


@given(st.floats(0.001, 10), st.integers(1, 9))
def test_clients_train_as_the_experiment_says(rate: float, epochs: int) -> None:
    settings = ClientSettings(learning_rate=rate, local_epochs=epochs)
    assert FedAvg().client_settings(settings) == settings
