"""Schemes that decide which classes a client holds: pathological, shards, and a distribution given by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ciranda.core.errors import ExperimentError
from ciranda.core.partition.base import Index
from ciranda.core.partition.deal import NOBODY, Pieces, at_most, by_class, even
from ciranda.core.rng import Draw
from ciranda.core.texts import Text


def pathological(
    labels: NDArray[Any], clients: int, draw: Draw, *, num_classes_per_partition: int, class_assignment_mode: str = "first-deterministic"
) -> Pieces:
    """Each client holds that many classes; the clients of a class share it evenly (McMahan et al., arXiv:1602.05629, section 3)."""
    order, class_sizes = by_class(labels, draw)
    classes = len(class_sizes)
    at_most("num-classes-per-partition", num_classes_per_partition, classes, Text("number of classes in the data"))
    held = _assigned(draw, clients, classes, num_classes_per_partition, class_assignment_mode)
    holders = np.bincount(held.ravel(), minlength=classes)
    if not holders.all():
        raise ExperimentError(
            "Class {number} (counted from 0 in label order) is held by no client: {clients} clients hold {held} of {classes} classes each.",
            key="num-classes-per-partition",
            number=int(holders.argmin()),
            clients=clients,
            held=num_classes_per_partition,
            classes=classes,
            hint="Use more clients or more classes per client.",
        )
    owners = np.argsort(held.ravel(), kind="stable")
    owners //= num_classes_per_partition
    sizes = np.concatenate([even(size, holding) for size, holding in zip(class_sizes.tolist(), holders.tolist(), strict=True)])
    return order, owners, sizes


def shard(
    labels: NDArray[Any],
    clients: int,
    draw: Draw,
    *,
    num_shards_per_partition: int | None = None,
    shard_size: int | None = None,
    keep_incomplete_shard: bool = False,
) -> Pieces:
    """The examples, sorted by class, are cut into shards, and each client gets some at random (McMahan et al., section 3).

    With num_shards_per_partition alone, shards are even and use all examples. With shard_size alone, clients get equally many shards
    or one more, and what is left at the end makes a last, smaller shard if `keep_incomplete_shard`. With both, that many shards of
    that size are dealt and the others left out.
    """
    order, _ = by_class(labels, draw)
    if shard_size is None:
        if num_shards_per_partition is None:
            raise ExperimentError("The partitioner 'shard' needs num-shards-per-partition or shard-size.", key="shard-size")
        shards = clients * num_shards_per_partition
        at_most("num-shards-per-partition", num_shards_per_partition, len(labels) // clients, Text("examples per client"))
        sizes = even(len(labels), shards)
    else:
        rest = len(labels) % shard_size
        sizes = np.append(np.full(len(labels) // shard_size, shard_size), rest)
        shards = len(sizes) - 1
        if num_shards_per_partition is None and keep_incomplete_shard and rest:
            shards += 1
    per_client = np.full(clients, num_shards_per_partition) if num_shards_per_partition else even(shards, clients)
    if per_client.sum() > shards or not per_client.all():
        raise ExperimentError(
            "{shards} shards of {size} examples are too few for {clients} clients.",
            key="shard-size",
            shards=shards,
            size=shard_size,
            clients=clients,
            hint="Make shard-size smaller.",
        )
    owners = np.full(len(sizes), NOBODY)
    owners[draw.at("shards").permutation(shards)[: per_client.sum()]] = np.repeat(np.arange(clients), per_client)
    return order, owners, sizes


def distribution(
    labels: NDArray[Any],
    clients: int,
    draw: Draw,
    *,
    distribution_array: Sequence[Sequence[float]],
    num_unique_labels_per_partition: int,
    preassigned_num_samples_per_label: int,
    rescale: bool = True,
) -> Pieces:
    """Client r holds the classes r, r + 1, ... (modulo their number), and the class's row says how many examples each of its holders
    gets, in order of rank (after Li et al., arXiv:1812.06127, section 5.1).

    With `rescale`, rows are shares of what remains of a class after every holder has `preassigned_num_samples_per_label`, and one holder at
    random gets what rounding leaves; without it they are numbers of examples, and the others are left out.
    """
    order, class_sizes = by_class(labels, draw)
    classes, k = len(class_sizes), num_unique_labels_per_partition
    at_most("num-unique-labels-per-partition", k, classes, Text("number of classes in the data"))
    if clients % classes:
        raise ExperimentError(
            "federation.clients is {clients}; the partitioner 'distribution' needs a multiple of the {classes} classes.",
            key="clients",
            clients=clients,
            classes=classes,
        )
    table, holders = np.asarray(distribution_array, np.float64), k * clients // classes
    if table.shape != (classes, holders):
        raise ExperimentError(
            "federation.distribution-array has {rows} rows of {columns}; it needs {classes} rows, one for each class, of {holders},"
            " one for each client that holds the class.",
            key="distribution-array",
            rows=table.shape[0],
            columns=table.shape[1],
            classes=classes,
            holders=holders,
        )
    least = preassigned_num_samples_per_label
    sizes = _rescaled(table, class_sizes, least, draw) if rescale else _as_given(table, class_sizes)
    owners = np.argsort(_assigned(draw, clients, classes, k, "deterministic").ravel(), kind="stable") // k
    pieces = np.hstack([sizes, (class_sizes - sizes.sum(axis=1))[:, None]])
    return order, np.hstack([owners.reshape(classes, holders), np.full((classes, 1), NOBODY)]).ravel(), pieces.ravel()


def _rescaled(table: NDArray[np.float64], class_sizes: Index, least: int, draw: Draw) -> NDArray[np.int64]:
    holders = table.shape[1]
    if not table.any(axis=1).all():
        raise ExperimentError(
            "federation.distribution-array has only zeros in row {row}.", key="distribution-array", row=int(table.any(axis=1).argmin())
        )
    shared = class_sizes - least * holders
    if (shared < holders).any():
        raise ExperimentError(
            "federation.preassigned-num-samples-per-label is {least}: class {number} has {found} examples for its {holders} clients.",
            key="preassigned-num-samples-per-label",
            least=least,
            number=int(shared.argmin()),
            found=int(class_sizes[shared.argmin()]),
            holders=holders,
            hint="Lower it, or use fewer clients.",
        )
    sizes: Index = np.floor(table / table.sum(axis=1, keepdims=True) * shared[:, None]).astype(np.int64) + least
    sizes[np.arange(len(table)), draw.at("remainder").below(len(table), holders)] += class_sizes - sizes.sum(axis=1)
    return sizes


def _as_given(table: NDArray[np.float64], class_sizes: Index) -> NDArray[np.int64]:
    sizes = table.astype(np.int64)
    over = sizes.sum(axis=1) - class_sizes
    if (over > 0).any():
        number = int(over.argmax())
        raise ExperimentError(
            "federation.distribution-array asks for {asked} examples of class {number}, which has {found}.",
            key="distribution-array",
            asked=int(sizes[number].sum()),
            number=number,
            found=int(class_sizes[number]),
            hint="Set rescale = true to read the rows as shares.",
        )
    return sizes


def _assigned(draw: Draw, clients: int, classes: int, k: int, mode: str) -> Index:
    """Which `k` classes each client holds, shape (clients, k)."""
    ranks = np.arange(clients)[:, None]
    if mode == "deterministic":
        held: Index = (ranks + np.arange(k)) % classes
        return held
    if mode == "first-deterministic":
        others = _distinct(draw.at("classes"), clients, classes - 1, k - 1)
        return np.hstack([ranks % classes, (ranks + 1 + others) % classes])
    return _distinct(draw.at("classes"), clients, classes, k)


def _distinct(draw: Draw, rows: int, population: int, k: int) -> NDArray[np.int64]:
    """For each row `k` distinct values of 0..population - 1, shape (rows, k): Floyd's algorithm, a column at a time."""
    chosen = np.empty((rows, k), np.int64)
    for column in range(k):
        top = population - k + column
        picks = draw.at("pick", column=column).below(rows, top + 1)
        taken = (chosen[:, :column] == picks[:, None]).any(axis=1)
        chosen[:, column] = np.where(taken, top, picks)
    return chosen
