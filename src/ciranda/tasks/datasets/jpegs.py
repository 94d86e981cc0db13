"""Parquet files of JPEG images (columns `jpeg`, `label`), decoded once and then kept in the cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ciranda.core.errors import DataError, MissingExtra
from ciranda.core.task import Array
from ciranda.tasks.datasets.locate import cache_folder

_PURPOSE = "Reading images from a parquet file"


def read_jpegs(path: Path, side: int) -> tuple[Array, Array]:
    """The images, uint8 (n, side, side, 3), and labels, (n,), of a parquet file.

    The decoded arrays are kept under the digest of the file and the version of the JPEG decoder, so another file or decoder never meets
    them; a copy that is damaged (the zip format's own check sums tell) is decoded again.

    Raises:
        DataError: the file is not such a parquet file, or an image cannot be decoded or has another size.
        MissingExtra: pyarrow or pillow is not installed.
    """
    decoder = _decoder()
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError("{path} cannot be read: {error}.", path=path, error=error.strerror or error) from error
    kept = cache_folder() / "decoded" / f"{path.stem}-{digest[:32]}-{decoder}.npz"
    arrays = _recall(kept, side)
    if arrays is None:
        jpegs, labels = _columns(path)
        arrays = _decoded(jpegs, side, path), labels
        # The cache saves time and no more: a disk that is full or read-only must not stop a run.
        with contextlib.suppress(OSError):
            _keep(kept, *arrays)
    return arrays


def _decoder() -> str:
    try:
        from PIL import features
    except ImportError as error:
        raise MissingExtra("pillow", "data", _PURPOSE) from error
    # Decoders differ in the last bit, so the version belongs to what names the result.
    return f"jpeg{features.version('libjpeg_turbo') or features.version('jpg')}"


def _parquet() -> ModuleType:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra("pyarrow", "data", _PURPOSE) from error
    module: ModuleType = pyarrow.parquet
    return module


def _columns(path: Path) -> tuple[list[Any], Array]:
    parquet = _parquet()
    import pyarrow

    try:
        table = parquet.read_table(path, columns=["jpeg", "label"])
        jpegs, labels = table["jpeg"].to_pylist(), table["label"].to_numpy()
    except (pyarrow.ArrowException, KeyError, OSError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise DataError(
            "{path} cannot be read as a parquet file with the columns 'jpeg' and 'label': {reason}.", path=path, reason=reason
        ) from error
    if not jpegs:
        raise DataError("{path} holds no images.", path=path)
    return jpegs, labels


def _decoded(jpegs: list[Any], side: int, path: Path) -> Array:
    from PIL import Image

    images = np.empty((len(jpegs), side, side, 3), np.uint8)
    for row, data in enumerate(jpegs):
        try:
            with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
                # The size stands in the header: nothing large is ever decoded.
                if image.size != (side, side):
                    raise DataError(
                        "{path}: image {row} has {first}x{second} pixels; {side}x{side} are expected.",
                        path=path,
                        row=row,
                        first=image.size[0],
                        second=image.size[1],
                        side=side,
                    )
                images[row] = np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError, TypeError) as error:
            raise DataError(
                "{path}: image {row} is not a whole JPEG image: {error}.", hint="Fetch the file again.", path=path, row=row, error=error
            ) from error
    return images


def _recall(kept: Path, side: int) -> tuple[Array, Array] | None:
    try:
        # Opened here, because numpy leaves a file that is no archive open.
        with kept.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            x, y = archive["x"], archive["y"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return (x, y) if x.shape == (len(y), side, side, 3) and x.dtype == np.uint8 else None


def _keep(kept: Path, x: Array, y: Array) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=kept.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, x=x, y=y)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(kept)
    finally:
        Path(name).unlink(missing_ok=True)
