"""The same clients' data dealt otherwise: nobody validates on what he trained on, and the test set is out of reach."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import DataError, ExperimentError
from ciranda.core.holdout import fold_of, pooled, with_validation, without_fold
from ciranda.core.partition import partition
from ciranda.core.population import Population
from ciranda.core.rng import Draw
from ciranda.core.task import Examples, FederatedData

DRAW = Draw(7)


def people(clients: int, validation: float = 0.2, test: float = 0.2, each: int = 10) -> Population:
    """Clients whose every example is told apart by its value; the server's test examples are negative."""
    x = np.arange(clients * each, dtype=np.float64).reshape(-1, 1)
    data = FederatedData(Examples(x, x[:, 0]), Examples(-1 - x[:3], -1 - x[:3, 0]))
    return Population(data, partition("iid", data.train.y, clients, Draw(1)), validation, test, DRAW)


def values(examples: Examples) -> set[float]:
    found = examples.y.tolist()
    assert len(found) == len(set(found))
    return set(found)


def trained(population: Population) -> set[float]:
    return set().union(*(values(population.train(rank)) for rank in range(population.size)))


@given(st.integers(2, 12), st.data())
def test_folds_are_disjoint_and_complete(clients: int, data: st.DataObject) -> None:
    folds = data.draw(st.integers(2, clients))
    parts = [fold_of(clients, folds, fold, DRAW).tolist() for fold in range(1, folds + 1)]
    assert sorted(rank for part in parts for rank in part) == list(range(clients))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_folds_are_drawn_by_the_seed() -> None:
    assert fold_of(30, 3, 1, Draw(1)).tolist() == fold_of(30, 3, 1, Draw(1)).tolist()
    assert fold_of(30, 3, 1, Draw(1)).tolist() != fold_of(30, 3, 1, Draw(2)).tolist()
    assert fold_of(30, 3, 1, Draw(1)).tolist() != list(range(0, 30, 3))


@pytest.mark.parametrize(("clients", "folds", "fold"), [(3, 4, 1), (3, 1, 1), (3, 2, 0), (3, 2, 3)])
def test_folds_that_cannot_be_are_refused(clients: int, folds: int, fold: int) -> None:
    with pytest.raises(ExperimentError, match=f"Fold {fold} of {folds} cannot be made of {clients} clients"):
        fold_of(clients, folds, fold, DRAW)


@given(st.integers(2, 8), st.integers(2, 4), st.sampled_from([0.0, 0.2]), st.sampled_from([0.0, 0.3]))
def test_the_clients_of_a_fold_only_validate(clients: int, folds: int, validation: float, test: float) -> None:
    whole = people(clients, validation, test)
    folds = min(folds, clients)
    kept_for_test = set().union(*(values(whole.test(rank)) for rank in range(clients)))
    validated: list[float] = []
    for fold in range(1, folds + 1):
        out = fold_of(clients, folds, fold, DRAW).tolist()
        rest = without_fold(whole, folds, fold, DRAW)
        assert rest.size == clients - len(out)
        assert trained(rest).isdisjoint(values(rest.data.test))
        assert trained(rest) == {
            value
            for rank in range(clients)
            if rank not in out
            for part in (whole.train(rank), whole.validation(rank))
            for value in part.y.tolist()
        }
        validated += rest.data.test.y.tolist()
        for rank in range(rest.size):
            assert not len(rest.test(rank))
            assert not len(rest.validation(rank))
    # Every example is validated once, but for the clients' own test examples, which nobody sees.
    everything = set(whole.data.train.y.tolist())
    assert sorted(validated) == sorted(everything - kept_for_test)


def test_with_validation_the_clients_train_as_before() -> None:
    whole = people(5)
    other = with_validation(whole)
    assert [other.train(rank).y.tolist() for rank in range(5)] == [whole.train(rank).y.tolist() for rank in range(5)]
    assert values(other.data.test) == set().union(*(values(whole.validation(rank)) for rank in range(5)))
    assert other.max_weight() == max(len(whole.train(rank)) for rank in range(5))


def test_without_validation_examples_there_is_nothing_to_validate_on() -> None:
    with pytest.raises(DataError, match="No client keeps back an example"):
        with_validation(people(5, validation=0.0))


@pytest.mark.parametrize("derive", [lambda whole: with_validation(whole), lambda whole: without_fold(whole, 2, 1, DRAW)])
def test_the_test_set_is_gone(derive: object) -> None:
    assert callable(derive)
    other = derive(people(4))
    seen = other.data.test.y.tolist() + other.data.train.y.tolist()
    assert min(seen) >= 0


@given(st.integers(1, 6), st.sampled_from([0.0, 0.2]), st.sampled_from([0.0, 0.3]))
def test_pooled_there_is_one_client_with_everything(clients: int, validation: float, test: float) -> None:
    whole = people(clients, validation, test)
    one = pooled(whole)
    assert one.size == 1
    assert values(one.train(0)) == trained(whole)
    assert values(one.test(0)) == set().union(*(values(whole.test(rank)) for rank in range(clients)))
    assert not len(one.validation(0))
    assert one.max_weight() == len(one.train(0))
    assert one.data.test is whole.data.test
