"""Every client's view of one data set, and what one client does in a round."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.client import sums_digest, train_update, update_digest
from ciranda.core.errors import DataError, SignatureError
from ciranda.core.metrics import Sums
from ciranda.core.partition import Partition, partition
from ciranda.core.population import Population, name_of, rank_of
from ciranda.core.rng import Draw
from ciranda.core.stages import Chain, Clip
from ciranda.core.strategies.base import Work
from ciranda.core.task import ClientSettings, Trained
from ciranda.core.update import Contract, Update
from ciranda.testing.toys import MeanTask


def population(clients: int = 4, validation: float = 0.0, test: float = 0.0, each: int = 5) -> Population:
    data = MeanTask(clients, each).data()
    return Population(data, partition("iid", data.train.y, clients, Draw(3)), validation, test, Draw(4))


@given(st.integers(0, 10**9))
def test_names_and_ranks_are_each_others_inverse(rank: int) -> None:
    assert rank_of(name_of(rank)) == rank


@given(st.integers(1, 6), st.floats(0, 0.45), st.floats(0, 0.45))
def test_a_clients_parts_are_disjoint_and_complete(clients: int, validation: float, test: float) -> None:
    people = population(clients, validation, test)
    seen = [
        value
        for rank in range(clients)
        for part in (people.train(rank), people.validation(rank), people.test(rank))
        for value in part.x[:, 0].tolist()
    ]
    assert sorted(seen) == sorted(people.data.train.x[:, 0].tolist())


def test_without_fractions_a_client_trains_on_all_it_has() -> None:
    people = population()
    assert len(people.train(0)) == 5
    assert len(people.validation(0)) == len(people.test(0)) == 0


def test_labels_stay_with_their_features() -> None:
    people = population(validation=0.3, test=0.3)
    for rank in range(people.size):
        part = people.test(rank)
        np.testing.assert_array_equal(part.x.mean(axis=1), part.y)


def test_the_largest_weight_is_that_of_the_largest_client() -> None:
    people = population()
    uneven = Partition(np.arange(20), np.array([0, 2, 3, 20]))
    assert replace(people, partition=uneven).max_weight() == 17


# --- one client's round


def round_of(task: MeanTask, people: Population, rank: int = 0, chain: Chain | None = None) -> Update:
    model = {"w": np.full(2, 4, np.float32)}
    contract = Contract.for_model(model, task.part_of, max_weight=people.max_weight(), cohort=4)
    work = Work(task, model, people.train(rank), ClientSettings(), contract, Draw(0))
    return train_update(work, chain or Chain())[0]


def test_an_update_is_the_difference_weighted_by_examples() -> None:
    task, people = MeanTask(), population()
    update = round_of(task, people)
    np.testing.assert_allclose(update.parts["model"]["w"], people.train(0).x.mean(axis=0) / 2 - 2, rtol=1e-6)
    assert (update.weight, update.metrics["n"]) == (5, 5)


def test_the_chain_is_applied() -> None:
    update = round_of(MeanTask(), population(), chain=Chain((Clip(0.01),)))
    assert float(np.linalg.norm(update.parts["model"]["w"])) <= 0.01


def test_a_client_without_examples_is_told_so() -> None:
    people = population()
    empty = replace(people, partition=Partition(np.arange(20), np.array([0, 0, 5, 10, 20])))
    with pytest.raises(DataError, match="no examples"):
        round_of(MeanTask(), empty)


def test_a_model_that_changes_shape_is_refused_with_both_shapes() -> None:
    class Growing(MeanTask):
        def train(self, *arguments: object) -> Trained:
            return Trained({"w": np.zeros(3, np.float32)}, {"n": 1, "loss": 0})

    with pytest.raises(SignatureError, match=r"'w' has shape \[3\] float32, agreed shape \[2\] float32"):
        round_of(Growing(), population())


def test_digests_name_the_content() -> None:
    people = population()
    first, again, other = (round_of(MeanTask(), people, rank) for rank in (0, 0, 1))
    assert update_digest(first) == update_digest(again) != update_digest(other)
    sums: Sums = {"n": 3, "confusion": np.arange(4).reshape(2, 2)}
    assert sums_digest(sums) == sums_digest(dict(sorted(sums.items())))
    assert len({sums_digest(sums), sums_digest({**sums, "n": 4}), sums_digest({**sums, "confusion": np.arange(1, 5).reshape(2, 2)})}) == 3
