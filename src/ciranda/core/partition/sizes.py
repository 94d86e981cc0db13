"""Schemes that deal by number alone: how many examples each client gets, whichever they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ciranda.core.errors import ExperimentError
from ciranda.core.partition.base import Index
from ciranda.core.partition.deal import NOBODY, Pieces, even, shuffled
from ciranda.core.rng import Draw


def iid(labels: NDArray[Any], clients: int, draw: Draw) -> Pieces:
    """Shuffled and cut evenly."""
    return shuffled(len(labels), draw), np.arange(clients), even(len(labels), clients)


def size(labels: NDArray[Any], clients: int, draw: Draw, *, partition_sizes: Sequence[int]) -> Pieces:
    """Client r gets partition_sizes[r] examples; those beyond their sum are left out."""
    sizes = np.asarray(partition_sizes, np.int64)
    return shuffled(len(labels), draw), np.append(np.arange(clients), NOBODY), np.append(sizes, left_over(sizes, len(labels)))


def linear(labels: NDArray[Any], clients: int, draw: Draw) -> Pieces:
    """Sizes in proportion to 1, 2, ..., clients."""
    return _proportional(np.arange(1.0, clients + 1), len(labels), draw)


def square(labels: NDArray[Any], clients: int, draw: Draw) -> Pieces:
    """Sizes in proportion to 1, 4, ..., clients^2."""
    return _proportional(np.square(np.arange(1.0, clients + 1)), len(labels), draw)


def exponential(labels: NDArray[Any], clients: int, draw: Draw) -> Pieces:
    """Sizes in proportion to e, e^2, ..., e^clients."""
    return _proportional(np.exp(np.arange(1.0, clients + 1) - clients), len(labels), draw)


def left_over(sizes: Index, examples: int) -> int:
    """How many examples the sizes leave. Raises ExperimentError when they ask for more than there are."""
    total = int(sizes.sum())
    if total > examples:
        raise ExperimentError(
            "federation.partition-sizes sum to {total}, and there are {examples} examples.",
            key="partition-sizes",
            total=total,
            examples=examples,
        )
    return examples - total


def _proportional(units: NDArray[np.float64], examples: int, draw: Draw) -> Pieces:
    """Sizes rounded down; what that leaves goes to the last client, the largest."""
    sizes = (units / units.sum() * examples).astype(np.int64)
    sizes[-1] += examples - sizes.sum()
    return shuffled(examples, draw), np.arange(len(units)), sizes
