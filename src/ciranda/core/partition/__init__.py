"""How one data set is dealt out to clients: schemes, their result with its manifest, and each client's own split."""

from ciranda.core.partition.base import Partition, heterogeneity, split
from ciranda.core.partition.schemes import PARTITIONERS, Partitioner, partition

__all__ = ["PARTITIONERS", "Partition", "Partitioner", "heterogeneity", "partition", "split"]
