"""Data sets: real ones by name, and those made from arrays, tables and other libraries' data sets. Seen by users as `ciranda.data`.

Features stay in the compact dtype in which they are stored, images as uint8 of shape (n, height, width) or (n, height, width,
channels); a task scales them. Class labels are int64. Loading is deterministic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ciranda.core.task import FederatedData
from ciranda.tasks.datasets.arrays import from_arrays
from ciranda.tasks.datasets.cifar import cifar10
from ciranda.tasks.datasets.csvfile import from_csv
from ciranda.tasks.datasets.foreign import from_huggingface, from_torch
from ciranda.tasks.datasets.frames import from_frame
from ciranda.tasks.datasets.idx import fashion_mnist, mnist
from ciranda.tasks.datasets.packed import diabetes, digits, iris
from ciranda.tasks.datasets.plays import hamlet

__all__ = [
    "DATASETS",
    "DatasetEntry",
    "cifar10",
    "diabetes",
    "digits",
    "fashion_mnist",
    "from_arrays",
    "from_csv",
    "from_frame",
    "from_huggingface",
    "from_torch",
    "hamlet",
    "iris",
    "mnist",
]


@dataclass(frozen=True)
class DatasetEntry:
    """A data set by name. `load()` reads it; those that lie in files take `root`, the folder to look in."""

    name: str
    description: str
    load: Callable[..., FederatedData]


_ENTRIES = (
    DatasetEntry("digits", "1,797 handwritten digits, 8x8, ten classes; comes with the package", digits),
    DatasetEntry("mnist", "70,000 handwritten digits, 28x28, ten classes", mnist),
    DatasetEntry("fashion-mnist", "70,000 photographs of garments, 28x28, ten classes", fashion_mnist),
    DatasetEntry("cifar10", "60,000 colour photographs, 32x32, ten classes", cifar10),
    DatasetEntry("iris", "150 flowers, 4 measurements, three species; comes with the package", iris),
    DatasetEntry("diabetes", "442 patients, 10 measurements, progression after a year (regression); comes with the package", diabetes),
    DatasetEntry("hamlet", "Hamlet by Shakespeare, 16 roles, windows of 48 characters and the next; comes with the package", hamlet),
)
DATASETS: Mapping[str, DatasetEntry] = {entry.name: entry for entry in _ENTRIES}
