"""Who holds what in each role of a study: the same examples, dealt so that nobody is judged by what was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.cli.dealing import population_of
from ciranda.core.errors import CirandaError, DataError, ExperimentError
from ciranda.core.population import Population
from ciranda.core.rng import Draw
from ciranda.core.task import Examples, FederatedData
from ciranda.experiment.load import resolve
from ciranda.experiment.schema import Experiment

ROWS = 120


def data(test: int = 10, *, groups: bool = True) -> FederatedData:
    """Every example is told apart by its x; the server's test examples are negative."""
    x = np.arange(ROWS, dtype=np.float64)[:, None]
    kept = -1 - np.arange(test, dtype=np.float64)[:, None]
    owners = np.arange(ROWS) % 6 if groups else None
    return FederatedData(Examples(x, np.arange(ROWS) % 3), Examples(kept, np.arange(test) % 3), ("a", "b", "c"), groups=owners)


def experiment(**settings: Any) -> Experiment:
    given = {"federation.clients": 6, "federation.validation-fraction": 0.2, "federation.test-fraction": 0.2, **settings}
    return resolve("iris", [f"{key}={value}" for key, value in given.items()])


def dealt(draw: int = 1, held: FederatedData | None = None, **settings: Any) -> Population:
    return population_of(experiment(**settings), data() if held is None else held, Draw(draw))


def ids(examples: Examples) -> set[float]:
    found = examples.x[:, 0].tolist()
    assert len(found) == len(set(found))
    return set(found)


def trained(population: Population) -> set[float]:
    return set().union(*(ids(population.train(rank)) for rank in range(population.size)))


def judged(population: Population) -> set[float]:
    return set().union(*(ids(population.test(rank)) for rank in range(population.size)))


ROLES: list[dict[str, Any]] = [
    {"study.role": "federated"},
    {"study.role": "centralised"},
    {"study.role": "validation", "evaluate.where": "server"},
    {"study.role": "fold", "evaluate.where": "server", "study.folds": 3, "study.fold": 2},
]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: str(role["study.role"]))
@pytest.mark.parametrize("partitioner", ["iid", "linear"])
def test_nobody_is_judged_by_what_was_trained_on(role: dict[str, Any], partitioner: str) -> None:
    population = dealt(**{**role, "federation.partitioner": partitioner})
    learned = trained(population)
    assert learned
    assert not learned & judged(population)
    assert not learned & ids(population.data.test)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: str(role["study.role"]))
def test_the_same_draw_deals_the_same_and_another_otherwise(role: dict[str, Any]) -> None:
    one, same, other = dealt(1, **role), dealt(1, **role), dealt(2, **role)
    assert [ids(one.train(rank)) for rank in range(one.size)] == [ids(same.train(rank)) for rank in range(one.size)]
    assert [ids(one.train(rank)) for rank in range(one.size)] != [ids(other.train(rank)) for rank in range(one.size)]


def test_in_a_run_the_clients_share_everything_and_the_server_keeps_its_test() -> None:
    population = dealt()
    kept = set().union(*(ids(population.validation(rank)) for rank in range(6)))
    assert trained(population) | judged(population) | kept == set(map(float, range(ROWS)))
    assert ids(population.data.test) == {-1.0 - number for number in range(10)}


def test_one_centre_trains_on_what_all_clients_train_on() -> None:
    alone, together = dealt(**ROLES[1]), dealt()
    assert alone.size == 1
    assert trained(alone) == trained(together)
    assert judged(alone) == judged(together)
    assert ids(alone.data.test) == ids(together.data.test)


def test_validation_stands_in_the_place_of_the_test_set() -> None:
    chosen, plain = dealt(**ROLES[2]), dealt()
    assert chosen.size == plain.size
    assert trained(chosen) == trained(plain)
    assert ids(chosen.data.test) == set().union(*(ids(plain.validation(rank)) for rank in range(6)))


def test_every_client_validates_in_one_fold_and_trains_in_the_others() -> None:
    folds = [dealt(**{**ROLES[3], "study.fold": fold}) for fold in (1, 2, 3)]
    held = [ids(fold.data.test) for fold in folds]
    plain = dealt()
    learned = set(map(float, range(ROWS))) - judged(plain)
    assert set().union(*held) == learned
    assert sum(map(len, held)) == len(learned)
    for fold, out in zip(folds, held, strict=True):
        assert fold.size == 4
        assert trained(fold) == learned - out


@given(st.integers(1, 12), st.sampled_from([0.0, 0.1, 0.3]), st.sampled_from([0.1, 0.4]))
def test_any_number_of_clients_and_shares_lose_no_example(clients: int, validation: float, test: float) -> None:
    settings: dict[str, Any] = {
        "federation.clients": clients,
        "federation.validation-fraction": validation,
        "federation.test-fraction": test,
    }
    population = dealt(**settings)
    parts = [ids(part) for rank in range(clients) for part in (population.train(rank), population.validation(rank), population.test(rank))]
    assert sum(map(len, parts)) == len(set().union(*parts)) == ROWS
    assert population.max_weight() >= ROWS / clients


def test_natural_owners_keep_their_rows() -> None:
    natural: dict[str, Any] = {"federation.clients": 6, "federation.partitioner": "natural-id"}
    population = dealt(**natural)
    for rank in range(6):
        own = ids(population.train(rank)) | ids(population.validation(rank)) | ids(population.test(rank))
        assert {number % 6 for number in own} == {rank}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: str(role["study.role"]))
def test_a_server_without_test_examples_can_only_judge_by_validation(role: dict[str, Any]) -> None:
    settings = {**role, "evaluate.where": "server"}
    if role["study.role"] in ("validation", "fold"):
        assert len(dealt(held=data(0), **settings).data.test)
        return
    with pytest.raises(ExperimentError, match="the data has no test examples") as caught:
        dealt(held=data(0), **settings)
    assert 'evaluate.where = "clients"' in caught.value.hint


@pytest.mark.parametrize(
    ("settings", "held", "kind", "words"),
    [
        ({"federation.partitioner": "natural-id"}, data(groups=False), CirandaError, "owner|group|natural"),
        ({"federation.clients": ROWS + 1}, data(), CirandaError, f"{ROWS + 1} clients"),
        ({**ROLES[2], "federation.validation-fraction": 0.0}, data(), DataError, "No client keeps back an example"),
        ({**ROLES[3], "study.folds": 7, "study.fold": 1}, data(), ExperimentError, "Fold 1 of 7 .* 6 clients"),
    ],
)
def test_what_cannot_be_dealt_is_refused(settings: dict[str, Any], held: FederatedData, kind: type[CirandaError], words: str) -> None:
    with pytest.raises(kind, match=words):
        dealt(held=held, **settings)
