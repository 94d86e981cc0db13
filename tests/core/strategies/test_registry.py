from __future__ import annotations

import pytest

from ciranda.core.errors import ExperimentError
from ciranda.core.strategies import STRATEGIES, FedAvg, FedProx, make


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


@pytest.mark.parametrize(("name", "hint"), [("fedavg", "none"), ("fedprox", "proximal-mu")])
def test_an_unknown_parameter_names_the_known_ones(name: str, hint: str) -> None:
    with pytest.raises(ExperimentError, match=r"'mu'") as caught:
        make(name, mu=1.0)
    assert hint in caught.value.hint
