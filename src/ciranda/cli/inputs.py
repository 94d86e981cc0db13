"""What a user gives to `ciranda predict`, as arrays like those that the model was trained on."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ciranda.core.errors import DataError, MissingExtra
from ciranda.core.task import Array, FederatedData

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")


@dataclass(frozen=True)
class Inputs:
    """`x` of shape (n, ...) as in the data; a name for each row; the true target of each row where it is known."""

    x: Array
    names: list[str]
    truth: Array | None = None


def read_inputs(text: str, data: FederatedData) -> Inputs:
    """Read test:INDEX (or test:FROM-TO), an image, a .npy array or a .csv file.

    Raises:
        DataError: no such input, or one that does not fit the data, with both shapes.
    """
    if text.startswith("test:"):
        return _from_test(text, data)
    path = Path(text)
    if not path.is_file():
        raise DataError("There is no file {text}.", hint="INPUT is test:0, an image, a .npy array or a .csv file.", text=text)
    suffix = path.suffix.lower()
    if suffix in IMAGES:
        return Inputs(_image(path, data.train.x), [path.name])
    if suffix == ".npy":
        x = _array(path)
    elif suffix == ".csv":
        x = _numbers(path)
    else:
        raise DataError("{text} is not an image ({images}), a .npy array or a .csv file.", text=text, images=", ".join(IMAGES))
    x = _fitted(x, data.train.x, text)
    return Inputs(x, [str(number) for number in range(len(x))])


def _from_test(text: str, data: FederatedData) -> Inputs:
    first, _, last = text.removeprefix("test:").partition("-")
    if not first.isdecimal() or (last and not last.isdecimal()):
        raise DataError("'{text}' is not test:INDEX or test:FROM-TO.", hint="For example test:0, or test:0-9.", text=text)
    start, stop = int(first), int(last or first)
    if not start <= stop < len(data.test):
        raise DataError("'{text}' is out of range: there are {count} test examples, counted from 0.", text=text, count=len(data.test))
    index = np.arange(start, stop + 1)
    return Inputs(data.test.x[index], [f"test:{number}" for number in index], data.test.y[index])


def _image(path: Path, like: Array) -> Array:
    """An image in the size and colours of the training images; its white is their greatest value."""
    if like.ndim not in (3, 4):
        raise DataError("The model was not trained on images: its examples have shape {shape}.", shape=like.shape[1:])
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise MissingExtra("pillow", "data", "Reading an image") from error
    try:
        with Image.open(path) as opened:
            colours = "RGB" if like.ndim == 4 and like.shape[3] == 3 else "L"
            picture = opened.convert(colours).resize((like.shape[2], like.shape[1]), Image.Resampling.LANCZOS)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise DataError("{path} is not an image that can be read: {error}.", path=path, error=error) from error
    greatest = float(like[: min(len(like), 1000)].max())
    scaled = np.asarray(picture, np.float64).reshape(like.shape[1:]) * (greatest / 255)
    values = np.rint(scaled) if np.issubdtype(like.dtype, np.integer) else scaled
    return values.astype(like.dtype)[None]


def _array(path: Path) -> Array:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise DataError("{path} is not a NumPy array of numbers: {error}.", path=path, error=error) from error


def _numbers(path: Path) -> Array:
    """Rows of numbers; a first line of names is passed over."""
    with path.open(newline="", encoding="utf-8-sig") as stream:
        lines = [(number, row) for number, row in enumerate(csv.reader(stream), start=1) if row]
    table = []
    for place, (number, row) in enumerate(lines):
        try:
            table.append([float(value) for value in row])
        except ValueError as error:
            if place > 0:
                raise DataError("{path}, line {number}: {error}.", path=path, number=number, error=error) from error
    if not table or len({len(row) for row in table}) > 1:
        raise DataError("{path} has no rows of numbers of one length.", path=path)
    return np.array(table)


def _fitted(x: Array, like: Array, name: str) -> Array:
    """`x` as examples like those in `like`: one example becomes a batch of one, flat rows take the examples' shape."""
    if x.dtype.kind not in "biuf" or (x.dtype.kind == "f" and not np.isfinite(x).all()):
        raise DataError("{name} holds values that are not finite numbers.", name=name)
    shape = like.shape[1:]
    if x.shape == shape:
        x = x[None]
    if x.shape[1:] != shape and x.ndim == 2 and x.shape[1] == int(np.prod(shape)):
        x = x.reshape(len(x), *shape)
    if x.shape[1:] != shape:
        raise DataError(
            "{name} has shape {shape}; the model wants one or more examples of shape {other_shape}.",
            name=name,
            shape=x.shape,
            other_shape=shape,
        )
    return _as_type(x, like.dtype, name)


def _as_type(x: Array, dtype: np.dtype, name: str) -> Array:
    converted = x.astype(dtype)
    if np.issubdtype(dtype, np.integer) and not np.array_equal(converted, x):
        raise DataError(
            "{name} holds values that the data's type {dtype} cannot hold.", hint="Give raw values, as in the data.", name=name, dtype=dtype
        )
    return converted
