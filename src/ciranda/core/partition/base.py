"""A partition: which examples each client owns, what it looks like, and how a client splits its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ciranda.core.errors import DataError, ExperimentError
from ciranda.core.rng import Draw
from ciranda.core.selection import share

Index = NDArray[np.int64]

DETAILED = 10_000
"""A manifest lists every client up to this many; beyond, it would outgrow the model."""

_BLOCK = 65_536


@dataclass(frozen=True, eq=False)
class Partition:
    """Disjoint sets of example indices, one per client. Together they are the whole data set, unless its scheme was told to leave some out.

    Attributes:
        indices: the clients' examples one after the other, each client's ascending, int64, shape (dealt,); read-only.
        offsets: client r owns indices[offsets[r]:offsets[r + 1]], int64, shape (clients + 1,); read-only.
        origin: what made it (partitioner, parameters, seed), for the manifest.
    """

    indices: Index
    offsets: Index
    origin: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.indices.setflags(write=False)
        self.offsets.setflags(write=False)

    @property
    def num_clients(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> Index:
        """How many examples each client owns, int64, shape (clients,)."""
        return np.diff(self.offsets)

    def of(self, rank: int) -> Index:
        """The examples of client `rank`: a read-only view, int64, ascending.

        Raises:
            DataError: there is no such client.
        """
        if not 0 <= rank < self.num_clients:
            raise DataError("There is no client {rank}: the partition has clients 0 to {last}.", rank=rank, last=self.num_clients - 1)
        return self.indices[self.offsets[rank] : self.offsets[rank + 1]]

    def manifest(self, labels: NDArray[Any]) -> dict[str, Any]:
        """A JSON-ready record by which two parties see that they dealt the same examples alike.

        Args:
            labels: class labels, shape (examples,), to count per client; labels that are not classes are not counted.

        Returns:
            The origin; clients, examples dealt, `left_out`, sizes (min, median, max); `sha256` over offsets and indices as
            little-endian int64; `labels`, label -> count, and `heterogeneity`; and, for up to 10,000 clients, `per_client`: for each
            its size, label counts in the order of `labels`, and the SHA-256 of its indices.
        """
        sizes = self.sizes
        record: dict[str, Any] = {
            **self.origin,
            "clients": self.num_clients,
            "examples": len(self.indices),
            "left_out": len(labels) - len(self.indices),
            "sizes": {"min": int(sizes.min()), "median": float(np.median(sizes)), "max": int(sizes.max())},
            "sha256": _sha256(self.offsets, self.indices),
        }
        classes = is_classes(labels)
        if classes:
            values, counts = np.unique(labels[self.indices], return_counts=True)
            record["labels"] = {str(value): int(count) for value, count in zip(values, counts, strict=True)}
            record["heterogeneity"] = heterogeneity(self, labels)
        if self.num_clients <= DETAILED:
            rows: list[dict[str, Any]] = [{"size": size, "sha256": _sha256(self.of(rank))} for rank, size in enumerate(sizes.tolist())]
            if classes:
                counted = np.concatenate(list(histograms(self, labels))).tolist()
                for row, histogram in zip(rows, counted, strict=True):
                    row["labels"] = histogram
            record["per_client"] = rows
        return record


def heterogeneity(partition: Partition, labels: NDArray[Any]) -> float:
    """How far the clients' labels are from the whole: the mean over clients of the total variation distance between the client's
    label distribution and that of all that was dealt. 0: all alike; near 1: every client has a class of its own, out of many.

    Args:
        labels: class labels, shape (examples,).

    Raises:
        DataError: the labels are not classes, or a client has no examples.
    """
    if not is_classes(labels):
        raise DataError("Heterogeneity compares class labels; these labels are not classes.")
    if (partition.sizes < 1).any():
        raise DataError("Client {client} has no examples.", client=int(partition.sizes.argmin()))
    whole = np.unique(labels[partition.indices], return_counts=True)[1] / len(partition.indices)
    distances = 0.0
    for counts in histograms(partition, labels):
        own = counts / counts.sum(axis=1, keepdims=True)
        distances += float(np.abs(own - whole).sum()) / 2
    return distances / partition.num_clients


def chance_heterogeneity(partition: Partition, labels: NDArray[Any]) -> float:
    """The `heterogeneity` that clients of these sizes have on average when examples are dealt at random: small clients differ by chance.

    De Moivre's mean absolute deviation of a binomial variate, with the correction for drawing without replacement.
    """
    total = len(partition.indices)
    shares = np.unique(labels[partition.indices], return_counts=True)[1] / total
    if len(shares) < 2:
        return 0.0
    sizes, clients = np.unique(partition.sizes, return_counts=True)
    deviations = np.array([sum(_mean_deviation(size, share) for share in shares.tolist()) for size in sizes.tolist()])
    finite = np.sqrt((total - sizes) / max(1, total - 1))
    return float((clients * finite * deviations / (2 * sizes)).sum() / partition.num_clients)


def binned(targets: NDArray[Any], bins: int = 10) -> NDArray[np.int64]:
    """Targets as classes 0..bins - 1 of about equal size, in ascending order; of several outputs, the first. For comparing clients whose
    targets are no classes."""
    values = np.asarray(targets, np.float64).reshape(len(targets), -1)[:, 0]
    edges = np.unique(np.quantile(values, np.arange(1, bins) / bins))
    return np.searchsorted(edges, values, side="right").astype(np.int64)


def split(index: Index, draw: Draw, validation_fraction: str | float, test_fraction: str | float) -> tuple[Index, Index, Index]:
    """A client's own examples, shuffled apart into (train, validation, test), each ascending.

    The parts kept back have floor(fraction x n + 1/2) examples, but training keeps at least one.

    Args:
        index: the client's examples, int64, shape (n,).

    Raises:
        ExperimentError: a fraction is not in 0..1, or they leave nothing to train on.
    """
    n = len(index)
    validation, test = share(n, validation_fraction), share(n, test_fraction)
    if float(validation_fraction) + float(test_fraction) >= 1:
        raise ExperimentError(
            "The fractions for validation ({validation_fraction}) and test ({test_fraction}) leave nothing to train on.",
            hint="Their sum must stay below 1.",
            validation_fraction=validation_fraction,
            test_fraction=test_fraction,
        )
    test = min(test, max(0, n - 1))
    validation = min(validation, max(0, n - 1 - test))
    shuffled = index[draw.permutation(n)]
    return np.sort(shuffled[validation + test :]), np.sort(shuffled[:validation]), np.sort(shuffled[validation : validation + test])


def is_classes(labels: NDArray[Any]) -> bool:
    """Whether `labels` are class labels: one integer, boolean or string per example."""
    return labels.ndim == 1 and labels.dtype.kind in "iubUS"


def histograms(partition: Partition, labels: NDArray[Any]) -> Iterator[NDArray[np.int64]]:
    """Label counts of the clients, block by block in order of rank: int64 arrays of shape (clients in block, classes), the classes that
    were dealt in ascending order."""
    values = np.unique(labels[partition.indices])
    sizes = partition.sizes
    for first in range(0, partition.num_clients, _BLOCK):
        block = sizes[first : first + _BLOCK]
        examples = partition.indices[partition.offsets[first] : partition.offsets[first + len(block)]]
        cells = np.repeat(np.arange(len(block)) * len(values), block) + np.searchsorted(values, labels[examples])
        yield np.bincount(cells, minlength=len(block) * len(values)).reshape(len(block), len(values))


def _mean_deviation(n: int, p: float) -> float:
    """E|X - n p| of X ~ Binomial(n, p), 0 < p < 1."""
    m = math.floor(n * p) + 1
    logs = math.lgamma(n + 1) - math.lgamma(m + 1) - math.lgamma(n - m + 1) if m <= n else -math.inf
    return 2 * m * math.exp(logs + m * math.log(p) + (n - m + 1) * math.log1p(-p))


def _sha256(*arrays: Index) -> str:
    digest = sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array, dtype="<i8").data)
    return digest.hexdigest()
