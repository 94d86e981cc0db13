from __future__ import annotations

from typing import Any

import pytest

from ciranda.core.errors import ExperimentError
from ciranda.core.parameters import names_of
from ciranda.core.strategies import STRATEGIES, FedAdam, FedAvg, FedAvgM, FedProx, make


def test_every_strategy_is_listed_under_its_own_name() -> None:
    assert {name: kind.name for name, kind in STRATEGIES.items()} == {name: name for name in STRATEGIES}
    assert {"fedavg", "fedprox"} <= set(STRATEGIES)


def test_making_one_passes_its_parameters() -> None:
    assert make("fedavg") == FedAvg()
    assert make("fedprox", proximal_mu=0.3) == FedProx(0.3)


def test_an_unknown_strategy_names_the_known_ones() -> None:
    with pytest.raises(ExperimentError, match="fedmagic") as caught:
        make("fedmagic")
    assert "fedavg" in caught.value.hint
    assert "fedprox" in caught.value.hint


@pytest.mark.parametrize(("name", "hint"), [("fedavg", "server-learning-rate"), ("fedprox", "proximal-mu")])
def test_an_unknown_parameter_names_the_known_ones(name: str, hint: str) -> None:
    with pytest.raises(ExperimentError, match=r"'mu'") as caught:
        make(name, mu=1.0)
    assert hint in caught.value.hint


def test_a_strategys_own_parameters_come_first() -> None:
    assert names_of(FedProx)[0] == "proximal_mu"
    assert names_of(FedAdam)[:2] == ("beta_2", "bias_correction")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"beta_1": True}, "beta-1 must be a number, not True"),
        ({"beta_1": "0.9"}, "beta-1 must be a number, not '0.9'"),
        ({"beta_1": float("nan")}, "beta-1 must be a number, not nan"),
        ({"bias_correction": "yes"}, "bias-correction must be one of: none, adam, flower, not 'yes'"),
        ({"server_warmup_rounds": 2.5}, "server-warmup-rounds must be a whole number, not 2.5"),
        ({"initial_second_moment": "tau"}, "initial-second-moment must be a number, not 'tau'"),
    ],
)
def test_a_parameter_of_another_type_is_refused(params: dict[str, Any], words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        make("fedadam", **params)


def test_truth_values_texts_and_whole_numbers_are_parameters() -> None:
    assert make("fedavgm", nesterov=True) == FedAvgM(nesterov=True)
    assert make("fedadam", bias_correction="flower", tau=1) == FedAdam(bias_correction="flower", tau=1.0)
    with pytest.raises(ExperimentError, match="nesterov must be true or false, not 1"):
        make("fedavgm", nesterov=1)


def test_a_class_of_ones_own_is_made_like_the_others() -> None:
    assert make(FedProx, proximal_mu=0.3) == FedProx(0.3)
