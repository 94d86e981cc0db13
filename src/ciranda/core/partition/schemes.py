"""The ways to deal a data set out. Names, parameters and rules follow flwr-datasets' partitioners, so that results compare.

Every scheme orders the examples, cuts the order into pieces and names each piece's owner; `_deal` does the rest for all of
them. Each example is therefore in exactly one piece, and nothing loops over examples or clients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ciranda.core.errors import DataError, ExperimentError
from ciranda.core.partition.base import Index, Partition, is_classes
from ciranda.core.rng import Draw

ATTEMPTS = 100
"""Dirichlet draws before the wish for a minimum size is given up."""

Pieces = tuple[Index, Index, Index]
"""(order of the examples, owner of each piece, size of each piece)."""


@dataclass(frozen=True)
class Partitioner:
    """A scheme as listed and called.

    Attributes:
        description: one line.
        needs: what it deals by: "examples" (their number), "classes" (class labels) or "groups" (an owner id per example).
        cut: (values dealt by, clients, draw, **parameters) -> pieces.
    """

    description: str
    needs: Literal["examples", "classes", "groups"]
    cut: Callable[..., Pieces]

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameter name -> default, `inspect.Parameter.empty` where there is none."""
        keywords = signature(self.cut).parameters.values()
        return {each.name: each.default for each in keywords if each.kind is Parameter.KEYWORD_ONLY}


def partition(name: str, labels: NDArray[Any], clients: int, draw: Draw, *, groups: NDArray[Any] | None = None, **params: Any) -> Partition:
    """Deal the examples out to `clients` clients.

    Args:
        name: one of PARTITIONERS.
        labels: one row per example; class labels of shape (examples,) where the scheme deals by class.
        clients: how many; "natural-id" has as many as there are different groups.
        draw: keys every random choice.
        groups: the natural owner of each example, shape (examples,); ascending ids become ranks 0, 1, ...
        params: the scheme's parameters.

    Raises:
        ExperimentError: an unknown scheme or parameter, an impossible value, fewer examples than clients.
        DataError: labels that are not classes, no groups, a client left without examples.
    """
    entry = PARTITIONERS.get(name)
    if entry is None:
        raise ExperimentError(f"There is no partitioner '{name}'.", hint=f"Choose one of: {', '.join(PARTITIONERS)}.")
    _check_parameters(name, entry.parameters, params)
    if clients < 1:
        raise ExperimentError(f"federation.clients is {clients}; there must be at least one client.")
    if len(labels) < clients:
        raise ExperimentError(
            f"{len(labels)} examples cannot be dealt out to {clients} clients.", hint=f"Set federation.clients to at most {len(labels)}."
        )
    values: NDArray[Any] | None = labels
    if entry.needs == "classes" and not is_classes(labels):
        raise DataError(
            f"The partitioner '{name}' deals by class, and these labels are not classes"
            f" ({labels.dtype} of shape {labels.shape}): this is a regression task.",
            hint="Use the partitioner 'iid' or 'natural-id'.",
        )
    if entry.needs == "groups":
        values = groups
        if values is None or len(values) != len(labels):
            raise DataError(
                f"The partitioner '{name}' needs the owner of each example; the data have "
                + ("none." if values is None else f"{len(values)} for {len(labels)} examples."),
                hint="Name the column that tells the owners apart (--client-column), or use another partitioner.",
            )
    result = _deal(*entry.cut(values, clients, draw, **params), clients)
    smallest = int(result.sizes.argmin())
    if result.sizes[smallest] < 1:
        raise DataError(f"The partitioner '{name}' leaves client {smallest} without examples.", hint="Use fewer clients.")
    return Partition(result.indices, result.offsets, {"partitioner": name, "seed": draw.root, **params})


def _check_parameters(name: str, known: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        allowed = f"It takes: {', '.join(map(_key, known))}." if known else "It takes none."
        raise ExperimentError(f"The partitioner '{name}' has no parameter '{_key(unknown[0])}'.", hint=allowed)
    for parameter, default in known.items():
        if default is Parameter.empty and parameter not in given:
            raise ExperimentError(f"The partitioner '{name}' needs the parameter '{_key(parameter)}'.")


def _deal(order: Index, owners: Index, sizes: Index, clients: int) -> Partition:
    """Give each piece of `order` to its owner; one sort of (owner, example) keys puts the examples in place."""
    n = len(order)
    held = np.bincount(owners, weights=sizes, minlength=clients)
    offsets = np.concatenate([[0.0], np.cumsum(held)]).astype(np.int64)
    del held
    keys = np.repeat(owners, sizes)
    keys *= n
    keys += order
    keys.sort()
    keys %= n
    return Partition(keys, offsets)


def _even(total: int, parts: int) -> Index:
    """`parts` sizes that sum to `total` and differ by at most 1, larger ones first."""
    return total // parts + (np.arange(parts) < total % parts)


def _iid(labels: NDArray[Any], clients: int, draw: Draw) -> Pieces:
    return draw.at("order").permutation(len(labels)), np.arange(clients), _even(len(labels), clients)


def _dirichlet(
    labels: NDArray[Any], clients: int, draw: Draw, *, alpha: float, min_partition_size: int = 10, self_balancing: bool = False
) -> Pieces:
    """Each class is cut in proportions drawn from Dirichlet(alpha, ..., alpha) (Hsu et al., arXiv:1909.06335)."""
    if not (_is_number(alpha) and 0 < alpha < math.inf):
        raise ExperimentError(
            f"federation.alpha is {alpha}; it must be a number above 0.", hint="Small is unlike (0.1), large is alike (100)."
        )
    _check_count("min_partition_size", min_partition_size, 1, len(labels) // clients, "examples per client")
    order, class_sizes = _by_class(labels, draw)
    best = -1
    for attempt in range(ATTEMPTS):
        generator = draw.at("dirichlet", attempt=attempt).generator()
        counts = _proportional(generator, alpha, class_sizes, clients, self_balancing)
        smallest = int(counts.sum(axis=0).min())
        if smallest >= min_partition_size:
            return order, np.tile(np.arange(clients), len(class_sizes)), counts.ravel()
        best = max(best, smallest)
    raise ExperimentError(
        f"No Dirichlet draw out of {ATTEMPTS} gave each of {clients} clients {min_partition_size} of {len(labels)} examples"
        f" (alpha {alpha}); in the best, the smallest client had {best}.",
        hint="Raise alpha, lower min-partition-size, use fewer clients, or set self-balancing = true.",
    )


def _proportional(
    generator: np.random.Generator, alpha: float, class_sizes: Index, clients: int, self_balancing: bool
) -> NDArray[np.int64]:
    """How many examples of each class each client gets, shape (classes, clients)."""
    counts = np.zeros((len(class_sizes), clients), np.int64)
    held = np.zeros(clients, np.int64)
    fair = class_sizes.sum() / clients
    for row, size in zip(counts, class_sizes, strict=True):
        weights = _symmetric_dirichlet(generator, alpha, clients)
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


def _symmetric_dirichlet(generator: np.random.Generator, alpha: float, n: int) -> NDArray[np.float64]:
    """One draw, by its logarithms: a gamma variate of a tiny alpha underflows, and all n of them together would be 0 / 0."""
    logs = np.log(generator.standard_gamma(alpha + 1.0, n)) + np.log1p(-generator.random(n)) / alpha
    weights: NDArray[np.float64] = np.exp(logs - logs.max())
    weights /= weights.sum()
    return weights


def _pathological(
    labels: NDArray[Any], clients: int, draw: Draw, *, classes_per_client: int, class_assignment_mode: str = "first-deterministic"
) -> Pieces:
    """Each client holds that many classes; the clients of a class share it evenly (McMahan et al., arXiv:1602.05629, section 3)."""
    order, class_sizes = _by_class(labels, draw)
    classes = len(class_sizes)
    _check_count("classes_per_client", classes_per_client, 1, classes, "classes in the data")
    held = _assigned(draw, clients, classes, classes_per_client, class_assignment_mode)
    holders = np.bincount(held.ravel(), minlength=classes)
    if not holders.all():
        raise ExperimentError(
            f"Class {int(holders.argmin())} (counted from 0 in label order) is held by no client:"
            f" {clients} clients hold {classes_per_client} of {classes} classes each.",
            hint="Use more clients or more classes per client.",
        )
    owners = np.argsort(held.ravel(), kind="stable")
    owners //= classes_per_client
    sizes = np.concatenate([_even(size, holding) for size, holding in zip(class_sizes.tolist(), holders.tolist(), strict=True)])
    return order, owners, sizes


def _assigned(draw: Draw, clients: int, classes: int, k: int, mode: str) -> Index:
    """Which `k` classes each client holds, shape (clients, k)."""
    ranks = np.arange(clients)[:, None]
    if mode == "deterministic":
        return (ranks + np.arange(k)) % classes
    if mode == "first-deterministic":
        others = _distinct(draw.at("classes"), clients, classes - 1, k - 1)
        return np.hstack([ranks % classes, (ranks + 1 + others) % classes])
    if mode == "random":
        return _distinct(draw.at("classes"), clients, classes, k)
    raise ExperimentError(
        f"federation.class-assignment-mode is {mode!r}; there is no such mode.",
        hint="Choose 'first-deterministic', 'deterministic' or 'random'.",
    )


def _natural_id(groups: NDArray[Any], clients: int, draw: Draw) -> Pieces:
    order = np.argsort(groups, kind="stable")
    sizes = _run_lengths(groups[order])
    if len(sizes) != clients:
        raise ExperimentError(
            f"The data have {len(sizes)} natural owners, and federation.clients is {clients}.",
            hint=f"Set federation.clients = {len(sizes)}.",
        )
    return order, np.arange(clients), sizes


def _by_class(labels: NDArray[Any], draw: Draw) -> tuple[Index, Index]:
    """The examples class by class in label order, in random order within a class; and each class's size."""
    order = draw.at("order").permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    return order, _run_lengths(labels[order])


def _run_lengths(ordered: NDArray[Any]) -> Index:
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return np.diff(starts, append=len(ordered))


def _distinct(draw: Draw, rows: int, population: int, k: int) -> NDArray[np.int64]:
    """For each row `k` distinct values of 0..population - 1, shape (rows, k): Floyd's algorithm, a column at a time."""
    chosen = np.empty((rows, k), np.int64)
    for column in range(k):
        top = population - k + column
        picks = draw.at("pick", column=column).below(rows, top + 1)
        taken = (chosen[:, :column] == picks[:, None]).any(axis=1)
        chosen[:, column] = np.where(taken, top, picks)
    return chosen


def _key(parameter: str) -> str:
    """As an experiment file spells it."""
    return parameter.replace("_", "-")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_count(name: str, value: object, low: int, high: int, what: str) -> None:
    if not (isinstance(value, int) and not isinstance(value, bool) and low <= value <= high):
        raise ExperimentError(f"federation.{_key(name)} is {value!r}; it must be a whole number from {low} to {high}, the {what}.")


PARTITIONERS: Mapping[str, Partitioner] = {
    "iid": Partitioner("shuffled and cut evenly: sizes differ by at most 1", "examples", _iid),
    "dirichlet": Partitioner("each class is shared out in Dirichlet(alpha) proportions", "classes", _dirichlet),
    "pathological": Partitioner("each client holds only classes_per_client classes", "classes", _pathological),
    "natural-id": Partitioner("one client per owner named in the data", "groups", _natural_id),
}
