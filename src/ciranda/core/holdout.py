"""Other ways to deal the same clients' data: to choose settings without the test set, and to train centrally on what the clients hold.

Each function takes a population and gives another one. Where settings are chosen, the examples to validate on stand in the place of
the server's test set, so whoever works on the new population has no test set at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ciranda.core.errors import DataError, ExperimentError
from ciranda.core.partition import Partition
from ciranda.core.population import Population
from ciranda.core.rng import Draw

Index = NDArray[np.int64]


def fold_of(clients: int, folds: int, fold: int, draw: Draw) -> Index:
    """The ranks of the clients in fold `fold` (1..folds), ascending, int64: disjoint sets that differ in size by one client at most.

    Raises:
        ExperimentError: fewer than two folds, more folds than clients, or no such fold.
    """
    if not 2 <= folds <= clients or not 1 <= fold <= folds:
        raise ExperimentError(
            "Fold {fold} of {folds} cannot be made of {clients} clients.",
            fold=fold,
            folds=folds,
            clients=clients,
            hint="Give from 2 to {clients} folds, counted from 1.",
        )
    return np.sort(draw.at("folds", folds=folds).permutation(clients)[fold - 1 :: folds])


def without_fold(population: Population, folds: int, fold: int, draw: Draw) -> Population:
    """The clients of the other folds, numbered anew, to train; all that the fold's clients hold, but for their test examples, to
    validate on. Cross-validation over clients says how well the settings do for a client that took no part.

    Raises:
        ExperimentError: as `fold_of`.
    """
    out = fold_of(population.size, folds, fold, draw)
    others = np.setdiff1d(np.arange(population.size), out)
    held = [part for rank in out.tolist() for part in population.split(rank)[:2]]
    return _validated(population, (_learned(population, rank) for rank in others.tolist()), np.concatenate(held))


def with_validation(population: Population) -> Population:
    """The same clients, who train on what they trained on before; what they all keep back for validation, to validate on.

    Raises:
        DataError: nobody keeps any example back.
    """
    ranks = range(population.size)
    return _validated(population, (population.split(rank)[0] for rank in ranks), np.concatenate([population.split(r)[1] for r in ranks]))


def pooled(population: Population) -> Population:
    """One client, "0", that holds what all clients train on, and evaluates on what they all evaluate on."""
    splits = [population.split(rank) for rank in range(population.size)]
    train, test = (np.sort(np.concatenate([split[place] for split in splits])) for place in (0, 2))
    return replace(
        population,
        partition=_partition([train], population),
        validation_fraction=0.0,
        test_fraction=0.0,
        tests=_partition([test], population),
    )


def _learned(population: Population, rank: int) -> Index:
    """What a client may learn from when the validation is somebody else's: its own validation examples too."""
    return np.sort(np.concatenate(population.split(rank)[:2]))


def _validated(population: Population, shares: Iterable[Index], validation: Index) -> Population:
    if not len(validation):
        raise DataError("No client keeps back an example to validate on.", hint="Raise federation.validation-fraction.")
    data = population.data
    return replace(
        population,
        data=replace(data, test=data.train[np.sort(validation)]),
        partition=_partition(list(shares), population),
        validation_fraction=0.0,
        test_fraction=0.0,
    )


def _partition(shares: list[Index], population: Population) -> Partition:
    offsets = np.concatenate([[0], np.cumsum([len(share) for share in shares])]).astype(np.int64)
    return Partition(np.concatenate(shares).astype(np.int64), offsets, population.partition.origin)
