"""CIFAR-10: the published Python batches, as a folder or as the archive, or a parquet copy with JPEG images.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ciranda.core.errors import DataError
from ciranda.core.task import Array, Examples, FederatedData
from ciranda.core.texts import Text
from ciranda.tasks.datasets.jpegs import read_jpegs
from ciranda.tasks.datasets.locate import Found, Layout, Wanted, find
from ciranda.tasks.datasets.pickled import read_pickle

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_SIDE = 32
_BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
_ARCHIVE = "cifar-10-python.tar.gz"
_LARGEST_BATCH = 64 << 20
_WANTED = Wanted(
    "CIFAR-10",
    (
        Layout(("cifar-10-batches-py", "cifar10/cifar-10-batches-py", "cifar10"), tuple((name,) for name in _BATCHES)),
        Layout(("cifar10", ""), ((_ARCHIVE,),)),
        Layout(("cifar10",), (("cifar10_train_jpeg.parquet",), ("cifar10_test_jpeg.parquet",))),
    ),
    Text("Download the Python version, {archive}; it need not be unpacked.", archive=_ARCHIVE),
)


def cifar10(root: str | Path | None = None) -> FederatedData:
    """CIFAR-10: 50,000 training and 10,000 test images, x uint8 (n, 32, 32, 3) RGB in 0..255, y int64 (n,).

    The parquet copy's images went through JPEG of quality 75; its name says so ("CIFAR-10 (JPEG q75)"), because results on it are not quite
    comparable. Its decoded images (184 MB) are kept in the cache folder.

    Raises:
        DataError: not found, or corrupt, or a batch that holds anything but plain data.
        MissingExtra: only the parquet copy is there, and pyarrow or pillow is not installed.
    """
    found = find(_WANTED, root)
    if found.layout == 2:
        train, test = (_from_jpegs(path) for path in found.files)
        return FederatedData(train, test, CLASSES, name="CIFAR-10 (JPEG q75)", source=str(found.folder))
    batches = _from_folder(found.files) if found.layout == 0 else _from_archive(found)
    examples = [_batch(data, where) for data, where in batches]
    return FederatedData(_joined(examples[:-1]), examples[-1], CLASSES, name="CIFAR-10", source=str(found.folder))


def _from_jpegs(path: Path) -> Examples:
    x, y = read_jpegs(path, _SIDE)
    return Examples(x, _labels(y, len(x), str(path)))


def _from_folder(paths: Sequence[Path]) -> list[tuple[bytes, str]]:
    batches = []
    for path in paths:
        try:
            if path.stat().st_size > _LARGEST_BATCH:
                raise DataError("{path} is larger than any batch of CIFAR-10.", path=path)
            batches.append((path.read_bytes(), str(path)))
        except OSError as error:
            raise DataError("{path} cannot be read: {error}.", path=path, error=error.strerror or error) from error
    return batches


def _from_archive(found: Found) -> list[tuple[bytes, str]]:
    """The batches inside the archive, read in one pass; nothing is unpacked to disk."""
    path = found.files[0]
    batches: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if name not in _BATCHES or not member.isfile():
                    continue
                if member.size > _LARGEST_BATCH or name in batches:
                    raise DataError(
                        "{path}: {member} is there twice or is larger than any batch of CIFAR-10.", path=path, member=member.name
                    )
                file = archive.extractfile(member)
                batches[name] = file.read() if file else b""
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(
            "{path} is not a readable tar.gz archive: {error}.", hint="Fetch the file again.", path=path, error=error
        ) from error
    missing = [name for name in _BATCHES if name not in batches]
    if missing:
        raise DataError("{path} lacks {missing}.", hint="Fetch the file again.", path=path, missing=", ".join(missing))
    return [(batches[name], f"{path}: {name}") for name in _BATCHES]


def _batch(data: bytes, where: str) -> Examples:
    """One batch: a dictionary with `data`, rows of 3 x 32 x 32 bytes (all red, all green, all blue), and `labels`."""
    content = read_pickle(data, where)
    rows, labels = content.get("data"), content.get("labels")
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != 3 * _SIDE * _SIDE or not len(rows):
        raise DataError(
            "{where} holds no 'data' of shape (n, {values}), uint8; it holds {content}.",
            where=where,
            values=3 * _SIDE * _SIDE,
            content=sorted(content),
        )
    x = np.ascontiguousarray(rows.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1))
    return Examples(x, _labels(labels, len(x), where))


def _labels(values: Any, expected: int, where: str) -> Array:
    try:
        labels = np.asarray(values)
    except ValueError as error:
        raise DataError("{where}: the labels are not one list of numbers.", where=where) from error
    if labels.dtype.kind not in "iu" or labels.shape != (expected,):
        raise DataError(
            "{where} holds {expected} images and labels of shape {shape}, {dtype}.",
            where=where,
            expected=expected,
            shape=labels.shape,
            dtype=labels.dtype,
        )
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        raise DataError(
            "{where} holds labels from {lowest} to {highest}; they run from 0 to {last}.",
            where=where,
            lowest=labels.min(),
            highest=labels.max(),
            last=len(CLASSES) - 1,
        )
    return labels.astype(np.int64)


def _joined(parts: Sequence[Examples]) -> Examples:
    return Examples(np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts]))
