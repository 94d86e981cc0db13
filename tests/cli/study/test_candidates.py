"""What a grid means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.cli.study.candidates import Value, candidates, parse_grid
from ciranda.core.errors import ExperimentError
from ciranda.experiment.load import resolve
from ciranda.experiment.schema import Experiment


def base(*overrides: str) -> Experiment:
    return resolve("digits", overrides)


def test_values_are_toml_scalars() -> None:
    grid = parse_grid(["strategy.name=fedavg,fedadam", "client.learning-rate=0.01, 0.1", "client.batch-size=10,32", "rounds.close='first'"])
    assert grid == {
        "strategy.name": ["fedavg", "fedadam"],
        "client.learning-rate": [0.01, 0.1],
        "client.batch-size": [10, 32],
        "rounds.close": ["first"],
    }


def test_a_comma_in_quotes_separates_nothing_and_a_value_counts_once() -> None:
    assert parse_grid(["strategy.name='a,b',c,c"]) == {"strategy.name": ["a,b", "c"]}
    assert parse_grid(["client.learning_rate=1"]) == {"client.learning-rate": [1]}


@pytest.mark.parametrize(
    "entry", ["", "client", "client.x", "client.x=", "=1", "client=1", "client.=1", ".x=1", "client.x=1,,2", "client.x=[1,2]"]
)
def test_what_is_no_grid_is_refused_with_an_example(entry: str) -> None:
    with pytest.raises(ExperimentError, match="not of the form") as caught:
        parse_grid([entry])
    assert "--grid client.learning-rate=" in caught.value.hint


@pytest.mark.parametrize("key", ["federation.alpha", "evaluate.every", "experiment.seed", "data.csv", "stop.patience", "study.fold"])
def test_what_is_measured_cannot_be_chosen_by_measuring(key: str) -> None:
    with pytest.raises(ExperimentError, match="says what is measured, not how to train"):
        parse_grid([f"{key}=1,2"])


def test_a_key_twice_is_a_mistake() -> None:
    with pytest.raises(ExperimentError, match=r"client\.batch-size is given twice"):
        parse_grid(["client.batch-size=1", "client.batch_size=2"])


def test_every_combination_is_a_whole_experiment() -> None:
    found = candidates(base(), {"client.learning-rate": [0.1, 0.2], "client.batch-size": [5, 6]})
    assert [each.number for each in found] == [1, 2, 3, 4]
    assert [(each.experiment.client.learning_rate, each.experiment.client.batch_size) for each in found] == [
        (0.1, 5),
        (0.1, 6),
        (0.2, 5),
        (0.2, 6),
    ]
    assert found[0].label == "learning-rate 0.1, batch-size 5"
    assert found[3].experiment.experiment == base().experiment


def test_a_parameter_goes_with_the_strategies_that_have_it() -> None:
    found = candidates(base(), {"strategy.name": ["fedavg", "fedprox"], "strategy.proximal-mu": [0.1, 1.0]})
    assert [dict(each.values) for each in found] == [
        {"strategy.name": "fedavg"},
        {"strategy.name": "fedprox", "strategy.proximal-mu": 0.1},
        {"strategy.name": "fedprox", "strategy.proximal-mu": 1.0},
    ]
    assert [each.label for each in found] == ["fedavg", "fedprox, proximal-mu 0.1", "fedprox, proximal-mu 1"]
    assert found[1].experiment.strategy.params == {"proximal_mu": 0.1}


def test_the_bases_parameters_stay_with_its_strategy() -> None:
    prox = base("strategy.name=fedprox", "strategy.proximal-mu=0.5")
    plain, same = candidates(prox, {"strategy.name": ["fedavg", "fedprox"]})
    assert plain.experiment.strategy.params == {}
    assert same.experiment.strategy.params == {"proximal_mu": 0.5}


def test_a_parameter_that_no_strategy_here_has_is_a_mistake() -> None:
    with pytest.raises(ExperimentError, match=r"--grid strategy\.tau: fedavg has no such parameter"):
        candidates(base(), {"strategy.tau": [0.1]})


def test_a_combination_that_cannot_work_is_named_before_anything_is_trained() -> None:
    with pytest.raises(ExperimentError, match=r"--grid client\.momentum=0\.9.*goes with optimizer 'sgd'"):
        candidates(base(), {"client.optimizer": ["sgd", "adam"], "client.momentum": [0.9]})
    with pytest.raises(ExperimentError, match=r"--grid client\.learning-rat=1"):
        candidates(base(), {"client.learning-rat": [1]})


def test_an_empty_grid_and_an_endless_one_are_refused() -> None:
    with pytest.raises(ExperimentError, match="A grid of 0 combinations"):
        candidates(base(), {})
    with pytest.raises(ExperimentError, match="A grid of 1000000 combinations"):
        candidates(base(), {"client.batch-size": list(range(1, 1001)), "client.local-epochs": list(range(1, 1001))})


GRID: dict[str, list[Value]] = {"client.batch-size": [1, 2, 3], "client.local-epochs": [1, 2, 3]}


@given(st.integers(1, 12), st.integers(0, 5))
def test_a_random_search_draws_from_the_grid_without_repeating(count: int, seed: int) -> None:
    some = candidates(base(f"experiment.seed={seed}"), GRID, random=count)
    chosen = [tuple(each.values.items()) for each in some]
    assert len(set(chosen)) == len(chosen) == min(count, 9)
    assert set(chosen) <= {tuple(each.values.items()) for each in candidates(base(), GRID)}
    assert chosen == [tuple(each.values.items()) for each in candidates(base(f"experiment.seed={seed}"), GRID, random=count)]


def test_the_seed_draws_other_combinations() -> None:
    drawn = {tuple(tuple(each.values.items()) for each in candidates(base(f"experiment.seed={seed}"), GRID, random=3)) for seed in range(8)}
    assert len(drawn) > 1


def test_trying_nothing_is_refused() -> None:
    with pytest.raises(ExperimentError, match="--random 0 tries nothing"):
        candidates(base(), GRID, random=0)
