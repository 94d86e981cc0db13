"""MNIST and Fashion-MNIST, from the IDX files in which they were published.

IDX: two zero bytes, a byte for the type, a byte for the number of dimensions, each dimension as a big-endian
unsigned 32-bit number, then the values, big-endian, last dimension fastest.
LeCun, Cortes, Burges, "The MNIST database of handwritten digits", 1998;
Xiao, Rasul, Vollgraf, "Fashion-MNIST", 2017, arXiv:1708.07747.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ciranda.core.errors import DataError
from ciranda.core.task import Array, Examples, FederatedData
from ciranda.core.texts import Text
from ciranda.tasks.datasets.locate import Layout, Wanted, find

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
# Deflate cannot shrink anything further than this; a header that claims more is refused before memory is taken.
_DEFLATE_LIMIT = 1032
_MOST_DIMENSIONS = 8
_FILES = tuple(
    (f"{name}.gz", name, f"{name.replace('-idx', '.idx')}.gz", name.replace("-idx", ".idx"))
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
)
_MNIST = Wanted(
    "MNIST",
    (Layout(("mnist", "MNIST/raw", "MNIST"), _FILES),),
    Text("Download the four original IDX files, gzipped or not."),
)
_FASHION = Wanted(
    "Fashion-MNIST",
    (Layout(("fashion-mnist", "FashionMNIST/raw", "fashion_mnist"), _FILES),),
    Text("On Debian and Ubuntu: apt install dataset-fashion-mnist. Elsewhere: download the four IDX files, gzipped or not."),
    ("/usr/share/datasets/fashion-mnist",),
)
_DIGITS = tuple("0123456789")
_GARMENTS = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def mnist(root: str | Path | None = None) -> FederatedData:
    """MNIST: 60,000 training and 10,000 test images, x uint8 (n, 28, 28) in 0..255, y int64 (n,). Raises DataError."""
    return _load(_MNIST, _DIGITS, root)


def fashion_mnist(root: str | Path | None = None) -> FederatedData:
    """Fashion-MNIST: 60,000 training and 10,000 test images, x uint8 (n, 28, 28) in 0..255, y int64 (n,). Raises DataError."""
    return _load(_FASHION, _GARMENTS, root)


def read_idx(path: str | Path) -> Array:
    """The array in an IDX file, gzipped or plain, in native byte order.

    Raises:
        DataError: the file cannot be read, is no IDX file, is truncated or corrupt, or is longer than its header says.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not zipped:
                return _read(file, path, size)
            with gzip.GzipFile(fileobj=file) as unzipped:
                return _read(unzipped, path, size * _DEFLATE_LIMIT)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            "{path} is a truncated or corrupt gzip file: {error}.", hint="Fetch the file again.", path=path, error=error
        ) from error
    except OSError as error:
        raise DataError("{path} cannot be read: {error}.", path=path, error=error.strerror or error) from error


def _read(file: BinaryIO | gzip.GzipFile, path: Path, most: int) -> Array:
    """Read an IDX stream that can hold at most `most` bytes."""
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _TYPES or not 1 <= start[3] <= _MOST_DIMENSIONS:
        raise DataError(
            "{path} is not an IDX file: it starts with {start}.",
            hint="Fetch the file again.",
            path=path,
            start=start.hex(" ") or Text("nothing"),
        )
    dimensions = file.read(4 * start[3])
    if len(dimensions) < 4 * start[3]:
        raise DataError("{path} is truncated: it ends inside its header.", hint="Fetch the file again.", path=path)
    shape = struct.unpack(f">{start[3]}I", dimensions)
    dtype = np.dtype(_TYPES[start[2]])
    need = math.prod(shape) * dtype.itemsize
    if need == 0:
        raise DataError("{path} is empty: its header says shape {shape}.", hint="Fetch the file again.", path=path, shape=shape)
    if need > most:
        raise DataError(
            "{path} is truncated: its header promises shape {shape}, {need} bytes.",
            hint="Fetch the file again.",
            path=path,
            shape=shape,
            need=need,
        )
    values = np.empty(shape, dtype)
    have = _fill(file, values.reshape(-1).view(np.uint8).data)
    if have < need:
        raise DataError(
            "{path} is truncated: {have} of {need} bytes of values.", hint="Fetch the file again.", path=path, have=have, need=need
        )
    if file.read(1):
        raise DataError("{path} is longer than its header says (shape {shape}).", hint="Fetch the file again.", path=path, shape=shape)
    return values.astype(dtype.newbyteorder("="), copy=False)


def _fill(file: BinaryIO | gzip.GzipFile, buffer: memoryview) -> int:
    """Fill `buffer` as far as the stream goes, in pieces; returns the number of bytes read."""
    have = 0
    while have < len(buffer):
        piece = file.read(min(len(buffer) - have, 1 << 20))
        if not piece:
            break
        buffer[have : have + len(piece)] = piece
        have += len(piece)
    return have


def _load(wanted: Wanted, classes: tuple[str, ...], root: str | Path | None) -> FederatedData:
    found = find(wanted, root)
    train = _examples(found.files[0], found.files[1], len(classes))
    test = _examples(found.files[2], found.files[3], len(classes))
    return FederatedData(train, test, classes, name=wanted.title, source=str(found.folder))


def _examples(images: Path, labels: Path, classes: int) -> Examples:
    x, y = read_idx(images), read_idx(labels)
    if x.shape[1:] != (28, 28) or x.dtype != np.uint8:
        raise DataError(
            "{images} holds {dtype} of shape {shape}, where images of shape (n, 28, 28), uint8, are expected.",
            images=images,
            dtype=x.dtype,
            shape=x.shape,
        )
    if y.ndim != 1 or y.dtype != np.uint8:
        raise DataError(
            "{labels} holds {dtype} of shape {shape}, where labels of shape (n,), uint8, are expected.",
            labels=labels,
            dtype=y.dtype,
            shape=y.shape,
        )
    if len(x) != len(y):
        raise DataError(
            "{images} holds {count} images, and {labels} holds {y_count} labels: they do not belong together.",
            images=images,
            count=len(x),
            labels=labels,
            y_count=len(y),
        )
    if y.max() >= classes:
        raise DataError(
            "{labels} holds the label {highest}; labels run from 0 to {last}.", labels=labels, highest=y.max(), last=classes - 1
        )
    return Examples(x, y.astype(np.int64))
