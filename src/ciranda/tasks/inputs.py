"""Raw inputs from outside, as examples like those that a model learned from: pictures, arrays, rows."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ciranda.core.errors import DataError, MissingExtra
from ciranda.core.task import Array, FederatedData

MAX_PIXELS = 50_000_000
_SAMPLED = 1000
_DIMENSIONS = 8


@dataclass(frozen=True)
class Form:
    """What the examples of a data set look like, and nothing that one of them says.

    Attributes:
        shape, dtype: of one example's `x`. greatest: the largest value met in a sample of them, a picture's white.
        target_shape, target_dtype: of one example's `y`. classes: their names in label order, none for a regression.
    """

    shape: tuple[int, ...]
    dtype: str
    greatest: float
    target_shape: tuple[int, ...] = ()
    target_dtype: str = "int64"
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: FederatedData) -> Form:
        x, y = data.train.x, data.train.y
        sample = x[:_SAMPLED]
        greatest = float(sample.max()) if sample.size else 0.0
        return cls(x.shape[1:], x.dtype.name, greatest, y.shape[1:], y.dtype.name, tuple(data.classes))

    def to_json(self) -> dict[str, Any]:
        x, y = [self.dtype, *self.shape], [self.target_dtype, *self.target_shape]
        return {"x": x, "y": y, "greatest": self.greatest, "classes": list(self.classes)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Form:
        """The form that `to_json` wrote. Raises DataError."""
        try:
            (dtype, *shape), (target, *targets) = value["x"], value["y"]
            numbers = [int(size) for size in (*shape, *targets)]
            if min(numbers, default=1) < 0 or len(numbers) > _DIMENSIONS or {np.dtype(dtype).kind, np.dtype(target).kind} - set("biuf"):
                raise ValueError(f"{dtype}{shape}, {target}{targets}")
            cut = len(shape)
            classes = tuple(str(name) for name in value["classes"])
            return cls(tuple(numbers[:cut]), str(dtype), float(value["greatest"]), tuple(numbers[cut:]), str(target), classes)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError("This does not say what examples look like: {error}.", error=repr(error)) from error

    @property
    def is_picture(self) -> bool:
        """Whether an example has two axes, or three with one or three colours last."""
        return len(self.shape) == 2 or (len(self.shape) == 3 and self.shape[2] in (1, 3))


def picture(data: bytes, name: str, form: Form, kinds: tuple[str, ...] = ("PNG", "JPEG")) -> Array:
    """A picture in the size and colours of the examples, shape (1, ...); its white is their greatest value.

    Raises:
        DataError: the examples are no pictures, or `data` is none of these `kinds`, damaged, or of more than MAX_PIXELS.
    """
    if not form.is_picture:
        raise DataError("The model was not trained on images: its examples have shape {shape}.", shape=form.shape)
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingExtra("pillow", "data", "Reading an image") from error
    try:
        with Image.open(io.BytesIO(data), formats=kinds) as opened:
            if opened.width * opened.height > MAX_PIXELS:  # told by the header, before a pixel is decoded
                raise DataError(
                    "{name} has {width} x {height} pixels; at most {most} are read.",
                    hint="Make it smaller: the model sees {seen} x {high}.",
                    name=name,
                    width=opened.width,
                    height=opened.height,
                    most=MAX_PIXELS,
                    seen=form.shape[1],
                    high=form.shape[0],
                )
            opened.draft("RGB", (2 * form.shape[1], 2 * form.shape[0]))  # a JPEG is decoded no larger than it is of use
            upright = ImageOps.exif_transpose(opened)
            colours = "RGB" if len(form.shape) == 3 and form.shape[2] == 3 else "L"
            drawn = upright.convert(colours).resize((form.shape[1], form.shape[0]), Image.Resampling.LANCZOS)
    except DataError:
        raise
    except Exception as error:  # a damaged picture makes Pillow raise almost anything
        raise DataError("{name} is not an image that can be read: {error}.", name=name, error=str(error)) from error
    scaled = np.asarray(drawn, np.float64).reshape(form.shape) * (form.greatest / 255)
    values = np.rint(scaled) if np.issubdtype(np.dtype(form.dtype), np.integer) else scaled
    return values.astype(form.dtype)[None]


def npy(data: bytes, name: str) -> Array:
    """The array of a .npy file. Raises DataError: it is none, holds objects, or is shorter or longer than its header says."""
    stream = io.BytesIO(data)
    try:
        major, _ = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
        if dtype.hasobject:
            raise ValueError("objects, which would have to be unpickled")
        rest = memoryview(data)[stream.tell() :]
        if prod(shape) * dtype.itemsize != len(rest):  # looked at before memory is taken
            raise ValueError(f"{len(rest)} bytes for shape {shape}")
        flat = np.frombuffer(rest, dtype).astype(dtype.newbyteorder("="))
        return flat.reshape(shape, order="F" if fortran else "C")
    except (ValueError, OSError, EOFError, TypeError, OverflowError) as error:
        raise DataError("{name} is not a NumPy array of numbers: {error}.", name=name, error=str(error)) from error


def fitted(x: Array, form: Form, name: str) -> Array:
    """`x` as examples of this form: one example becomes a batch of one, flat rows take the examples' shape. Raises DataError."""
    if x.dtype.kind not in "biuf" or (x.dtype.kind == "f" and not np.isfinite(x).all()):
        raise DataError("{name} holds values that are not finite numbers.", name=name)
    shape = form.shape
    if x.shape == shape:
        x = x[None]
    if x.shape[1:] != shape and x.ndim == 2 and x.shape[1] == prod(shape):
        x = x.reshape(len(x), *shape)
    if x.shape[1:] != shape:
        raise DataError(
            "{name} has shape {shape}; the model wants one or more examples of shape {other_shape}.",
            name=name,
            shape=x.shape,
            other_shape=shape,
        )
    return as_type(x, form.dtype, name)


def as_type(x: Array, dtype: str, name: str) -> Array:
    """`x` as `dtype`, unchanged in value. Raises DataError."""
    with np.errstate(invalid="ignore", over="ignore"):
        converted = x.astype(dtype)
    kept = np.array_equal(converted, x) if np.issubdtype(converted.dtype, np.integer) else np.isfinite(converted).all()
    if not kept:
        raise DataError(
            "{name} holds values that the data's type {dtype} cannot hold.", hint="Give raw values, as in the data.", name=name, dtype=dtype
        )
    return converted
