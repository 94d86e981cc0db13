"""What the schemes share. A scheme orders the examples, cuts the order into pieces and names each piece's owner; `deal` does the rest.

Each example is therefore in at most one piece, and nothing loops over examples or clients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ciranda.core.errors import ExperimentError
from ciranda.core.partition.base import Index, Partition
from ciranda.core.rng import Draw
from ciranda.core.texts import Text

NOBODY = -1
"""The owner of a piece that is left out."""

Pieces = tuple[Index, Index, Index]
"""(order of the examples, owner of each piece, size of each piece); the sizes sum to the length of the order."""


def deal(pieces: Pieces, clients: int, examples: int) -> Partition:
    """Give each piece to its owner; one sort of (owner, example) keys puts the examples in place."""
    order, owners, sizes = pieces
    dealt = owners != NOBODY
    if not dealt.all():
        order, owners, sizes = order[np.repeat(dealt, sizes)], owners[dealt], sizes[dealt]
    held = np.bincount(owners, weights=sizes, minlength=clients)
    offsets = np.concatenate([[0.0], np.cumsum(held)]).astype(np.int64)
    del held
    keys = np.repeat(owners, sizes)
    keys *= examples
    keys += order
    keys.sort()
    keys %= examples
    return Partition(keys, offsets)


def even(total: int, parts: int) -> Index:
    """`parts` sizes that sum to `total` and differ by at most 1, larger ones first."""
    return total // parts + (np.arange(parts) < total % parts)


def shuffled(examples: int, draw: Draw) -> Index:
    """All examples in random order."""
    return draw.at("order").permutation(examples)


def by_class(labels: NDArray[Any], draw: Draw) -> tuple[Index, Index]:
    """The examples class by class in label order, in random order within a class; and each class's size.

    Random, because files often hold a class in the order in which it was gathered: writer by writer, day by day.
    """
    order = shuffled(len(labels), draw)
    order = order[np.argsort(labels[order], kind="stable")]
    return order, run_lengths(labels[order])


def run_lengths(ordered: NDArray[Any]) -> Index:
    """The lengths of the runs of equal values."""
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return np.diff(starts, append=len(ordered))


def gamma_logs(generator: np.random.Generator, alpha: float | NDArray[np.float64], shape: int | tuple[int, int]) -> NDArray[np.float64]:
    """Logarithms of gamma variates of shape parameter `alpha`: a variate of a tiny alpha underflows, its logarithm does not.

    Normalised to sum 1, the variates along the last axis are one draw from Dirichlet(alpha, ..., alpha).
    """
    logs: NDArray[np.float64] = np.log(generator.standard_gamma(np.add(alpha, 1.0), shape))
    logs += np.log1p(-generator.random(shape)) / alpha
    return logs


def at_most(key: str, value: int, high: int, what: Text) -> None:
    """Refuse a parameter that the data is too small for. Raises ExperimentError."""
    if value > high:
        raise ExperimentError(
            "federation.{key} is {value}; it must be a whole number of at most {high}, the {what}.",
            key=key,
            value=value,
            high=high,
            what=what,
        )
