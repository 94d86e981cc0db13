"""How one data set is dealt out to clients: schemes, their result with its manifest, and each client's own split."""

from ciranda.core.partition.base import Partition, binned, chance_heterogeneity, heterogeneity, histograms, is_classes, split
from ciranda.core.partition.parameters import CHECKS
from ciranda.core.partition.schemes import PARTITIONERS, Partitioner, checked, partition

__all__ = [
    "CHECKS",
    "PARTITIONERS",
    "Partition",
    "Partitioner",
    "binned",
    "chance_heterogeneity",
    "checked",
    "heterogeneity",
    "histograms",
    "is_classes",
    "partition",
    "split",
]
