"""The presets load, are described in both languages, and hold the numbers that they are named after."""

from __future__ import annotations

import pytest

from ciranda.experiment.load import dump, loads, resolve
from ciranda.experiment.presets import preset_names, presets


def test_the_default_comes_first() -> None:
    assert preset_names()[0] == "digits"
    assert set(preset_names()) >= {"classic-mnist", "classic-cifar10", "inmetro-cifar10", "mcmahan-mnist-iid", "mcmahan-mnist-noniid"}


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_under_its_own_name_and_round_trips(name: str) -> None:
    experiment = resolve(name)
    assert experiment.experiment.name == name
    assert loads(dump(experiment), name) == experiment


def test_every_preset_has_one_line_in_each_language() -> None:
    for preset in presets():
        assert 20 < len(preset.description) < 120
        assert 20 < len(preset.description_pt) < 120
        assert preset.description != preset.description_pt


@pytest.mark.parametrize("name", ["classic-mnist", "classic-cifar10"])
def test_classic_is_twenty_clients_ten_a_round_ten_epochs_ten_rounds(name: str) -> None:
    experiment = resolve(name)
    assert experiment.federation.clients == 20
    assert experiment.cohort(20) == 10
    assert (experiment.client.local_epochs, experiment.rounds.num_rounds) == (10, 10)
    assert (experiment.client.optimizer, experiment.client.learning_rate, experiment.client.momentum) == ("sgd", 0.01, 0.5)
    assert experiment.client.batch_size <= 100


@pytest.mark.parametrize("name", ["mcmahan-mnist-iid", "mcmahan-mnist-noniid"])
def test_mcmahan_is_a_hundred_clients_c_01_e_5_b_10(name: str) -> None:
    experiment = resolve(name)
    assert experiment.federation.clients == 100
    assert experiment.cohort(100) == 10
    assert (experiment.client.local_epochs, experiment.client.batch_size) == (5, 10)
    assert experiment.stop.target == 0.99


def test_the_non_iid_clients_hold_two_classes() -> None:
    assert resolve("mcmahan-mnist-noniid").federation.params == {"num_classes_per_partition": 2}


def test_the_tutorials_have_their_numbers() -> None:
    iris, diabetes, fashion = (resolve(name) for name in ("iris", "diabetes", "fashion-mnist-dirichlet"))
    assert (iris.federation.clients, iris.rounds.num_rounds, iris.client.local_epochs) == (2, 20, 20)
    assert (iris.client.optimizer, iris.client.learning_rate, iris.federation.test_fraction) == ("adam", 0.01, 0.2)
    assert (diabetes.federation.clients, diabetes.rounds.num_rounds, diabetes.evaluate.where) == (2, 20, "both")
    assert (fashion.federation.clients, fashion.federation.params, fashion.rounds.num_rounds) == (30, {"alpha": 1.0}, 30)
    choice = resolve("power-of-choice")
    assert (choice.federation.clients, choice.federation.params, choice.rounds.num_rounds) == (100, {"alpha": 0.3}, 100)
    assert (choice.rounds.selection, choice.rounds.params, choice.cohort(100)) == ("power-of-choice", {"candidates": 30}, 3)
    assert (choice.client.optimizer, choice.client.learning_rate, choice.client.momentum) == ("sgd", 0.01, 0.9)


def test_inmetro_is_three_rounds_of_five_of_ten_with_adam() -> None:
    experiment = resolve("inmetro-cifar10")
    assert (experiment.federation.clients, experiment.cohort(10), experiment.rounds.num_rounds) == (10, 5, 3)
    assert (experiment.client.optimizer, experiment.client.learning_rate, experiment.client.batch_size) == ("adam", 0.01, 32)
    assert (experiment.client.local_epochs, experiment.federation.test_fraction) == (1, 0.2)
