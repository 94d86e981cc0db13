"""Which examples each client owns: one data set, one partition, and every client's own train, validation and test split.

A client is a rank 0..N-1 here, a name elsewhere (`name_of`, `rank_of`). Nothing is stored per client beyond the partition's
offsets, so a million registered clients are two arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ciranda.core.partition import Partition, split
from ciranda.core.rng import Draw
from ciranda.core.task import Examples, FederatedData


def name_of(rank: int) -> str:
    """The logical name of the client with this rank."""
    return str(rank)


def rank_of(name: str) -> int:
    """The rank behind a logical name made by `name_of`."""
    return int(name)


@dataclass(frozen=True)
class Population:
    """The clients' view of `data`.

    Attributes:
        validation_fraction, test_fraction: the share of each client's own examples that it keeps back, 0 <= sum < 1.
        draw: keys the clients' own splits.
        tests: what each client keeps back for evaluation, where that is no share of its own.
    """

    data: FederatedData
    partition: Partition
    validation_fraction: float
    test_fraction: float
    draw: Draw
    tests: Partition | None = None

    @property
    def size(self) -> int:
        return self.partition.num_clients

    def train(self, rank: int) -> Examples:
        """What client `rank` trains on."""
        return self.data.train[self.split(rank)[0]]

    def validation(self, rank: int) -> Examples:
        """What client `rank` keeps back for choosing settings."""
        return self.data.train[self.split(rank)[1]]

    def test(self, rank: int) -> Examples:
        """What client `rank` keeps back for evaluation."""
        return self.data.train[self.split(rank)[2]]

    def max_weight(self) -> int:
        """The most examples that one client holds: the largest weight that a reply may claim."""
        return max(1, int(self.partition.sizes.max()))

    def split(self, rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which of `data.train` client `rank` holds to train on, to validate on and to be evaluated on: indices, int64, ascending."""
        index = self.partition.of(rank)
        if self.tests is not None:
            return index, index[:0], self.tests.of(rank)
        if not self.validation_fraction and not self.test_fraction:
            return index, index[:0], index[:0]
        return split(index, self.draw.at("client-split", client=name_of(rank)), self.validation_fraction, self.test_fraction)
