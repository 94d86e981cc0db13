"""Schemes that deal classes in proportions drawn from a Dirichlet distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ciranda.core.errors import ExperimentError
from ciranda.core.partition.base import Index
from ciranda.core.partition.deal import NOBODY, Pieces, at_most, by_class, gamma_logs
from ciranda.core.partition.sizes import left_over
from ciranda.core.rng import Draw
from ciranda.core.texts import Text

ATTEMPTS = 100
"""Dirichlet draws before the wish for a minimum size is given up."""

_BLOCK = 65_536


def dirichlet(
    labels: NDArray[Any],
    clients: int,
    draw: Draw,
    *,
    alpha: float | Sequence[float],
    min_partition_size: int = 10,
    self_balancing: bool = False,
) -> Pieces:
    """Each class is cut in proportions drawn from Dirichlet(alpha, ..., alpha), or with one alpha for each client
    (Hsu et al., arXiv:1909.06335, section 3)."""
    at_most("min-partition-size", min_partition_size, len(labels) // clients, Text("examples per client"))
    weights = _alphas(alpha, clients, Text("client"))
    order, class_sizes = by_class(labels, draw)
    best = -1
    for attempt in range(ATTEMPTS):
        generator = draw.at("dirichlet", attempt=attempt).generator()
        counts = _proportional(generator, weights, class_sizes, clients, self_balancing)
        smallest = int(counts.sum(axis=0).min())
        if smallest >= min_partition_size:
            return order, np.tile(np.arange(clients), len(class_sizes)), counts.ravel()
        best = max(best, smallest)
    raise ExperimentError(
        "No Dirichlet draw out of {attempts} gave each of {clients} clients {least} of {examples} examples"
        " (alpha {alpha}); in the best, the smallest client had {best}.",
        attempts=ATTEMPTS,
        clients=clients,
        least=min_partition_size,
        examples=len(labels),
        alpha=alpha,
        best=best,
        key="alpha",
        hint="Raise alpha, lower min-partition-size, use fewer clients, or set self-balancing = true.",
    )


def inner_dirichlet(
    labels: NDArray[Any], clients: int, draw: Draw, *, partition_sizes: Sequence[int], alpha: float | Sequence[float]
) -> Pieces:
    """Each client draws its own class proportions from Dirichlet(alpha, ..., alpha), or with one alpha for each class, and then its
    examples by them until it has its size; a class that is used up is drawn no more (Acar et al., arXiv:2111.04263).

    One example at a time goes to a client chosen evenly among those that are not full.
    """
    sizes = np.asarray(partition_sizes, np.int64)
    left = left_over(sizes, len(labels))
    order, class_sizes = by_class(labels, draw)
    logs = gamma_logs(draw.at("dirichlet").generator(), _alphas(alpha, len(class_sizes), Text("class")), (clients, len(class_sizes)))
    taken = _taken(draw, _turns(draw, sizes), logs, class_sizes)
    pieces = np.vstack([taken, class_sizes - taken.sum(axis=0)])
    assert pieces[-1].sum() == left
    return order, np.tile(np.append(np.arange(clients), NOBODY), len(class_sizes)), pieces.T.ravel()


def _alphas(alpha: float | Sequence[float], count: int, what: Text) -> float | NDArray[np.float64]:
    if isinstance(alpha, float | int):
        return float(alpha)
    if len(alpha) != count:
        raise ExperimentError(
            "federation.alpha is a list of {found}; it must have one value for each {what}: {count}.",
            key="alpha",
            found=len(alpha),
            what=what,
            count=count,
        )
    return np.asarray(alpha, np.float64)


def _proportional(
    generator: np.random.Generator, alpha: float | NDArray[np.float64], class_sizes: Index, clients: int, self_balancing: bool
) -> NDArray[np.int64]:
    """How many examples of each class each client gets, shape (classes, clients)."""
    counts = np.zeros((len(class_sizes), clients), np.int64)
    held = np.zeros(clients, np.int64)
    fair = class_sizes.sum() / clients
    for row, size in zip(counts, class_sizes, strict=True):
        logs = gamma_logs(generator, alpha, clients)
        weights = np.exp(logs - logs.max())
        weights /= weights.sum()
        if self_balancing:
            # Whoever already has more than the average gets none of the classes that remain.
            weights[held > fair] = 0.0
            if not weights.any():
                weights[held <= fair] = 1.0
            weights /= weights.sum()
        cuts = (np.cumsum(weights) * size).astype(np.int64)
        cuts[-1] = size
        row[:] = np.diff(np.minimum(cuts, size), prepend=0)
        held += row
    return counts


def _turns(draw: Draw, sizes: Index) -> Index:
    """Whose turn it is, one entry for each example: evenly among those that are not full.

    Independent Poisson processes of equal rates, each ended when its client is full, have that order of arrivals.
    """
    gaps = draw.at("turns").generator().standard_exponential(int(sizes.sum()))
    times = np.cumsum(gaps)
    starts = np.cumsum(sizes) - sizes
    times -= np.repeat(times[starts] - gaps[starts], sizes)
    whose: Index = np.repeat(np.arange(len(sizes)), sizes)
    return whose[np.argsort(times, kind="stable")]


def _taken(draw: Draw, turns: Index, logs: NDArray[np.float64], class_sizes: Index) -> NDArray[np.int64]:
    """How many examples of each class each client has drawn in its turns, shape (clients, classes).

    Args:
        logs: each client's preferences, logarithms of numbers in proportion to probabilities, shape (clients, classes).
    """
    generator = draw.at("classes").generator()
    left = class_sizes.copy()
    taken = np.zeros(logs.shape, np.int64)
    for start in range(0, len(turns), _BLOCK):
        block = turns[start : start + _BLOCK]
        chance = generator.random(len(block))
        while len(block):
            # Up to the turn that takes the last example of a class, all preferences are as they are now.
            there = np.flatnonzero(left)
            picked = there[_by_preference(logs[block][:, there], chance)]
            last = [np.flatnonzero(picked == each)[left[each] - 1 : left[each]] for each in there]
            end = min((int(found[0]) + 1 for found in last if len(found)), default=len(block))
            np.add.at(taken, (block[:end], picked[:end]), 1)
            left -= np.bincount(picked[:end], minlength=len(left))
            block, chance = block[end:], chance[end:]
    return taken


def _by_preference(logs: NDArray[np.float64], chance: NDArray[np.float64]) -> Index:
    """The column that each row's `chance` in [0, 1) falls on, when columns have widths in proportion to exp(logs)."""
    edges = np.cumsum(np.exp(logs - logs.max(axis=1, keepdims=True)), axis=1)
    column: Index = (edges <= chance[:, None] * edges[:, -1:]).sum(axis=1)
    np.minimum(column, logs.shape[1] - 1, out=column)
    return column
