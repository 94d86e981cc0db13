"""Inputs from outside: pictures and arrays from bytes, refused before they cost anything."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from ciranda.core.errors import DataError
from ciranda.core.task import Array, Examples, FederatedData
from ciranda.tasks import inputs
from ciranda.tasks.inputs import Form, fitted, npy, picture

DIGITS = Form((8, 8), "uint8", 16.0, classes=("0", "1"))


def saved(array: Array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=array.dtype.hasobject)
    return stream.getvalue()


def drawn(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A picture that says it is large and has next to nothing in it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def test_a_form_says_what_examples_look_like_and_comes_back() -> None:
    data = FederatedData(Examples(np.full((3, 4, 5), 7, np.uint8), np.zeros((3, 2), np.float32)), Examples(np.zeros(0), np.zeros(0)))
    form = Form.of(data)
    assert form == Form((4, 5), "uint8", 7.0, (2,), "float32")
    assert Form.from_json(form.to_json()) == form
    assert Form.from_json(DIGITS.to_json()) == DIGITS


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"x": ["uint8", 8], "y": ["int64"], "greatest": 1},
        {"x": ["object", 8], "y": ["int64"], "greatest": 1, "classes": []},
        {"x": ["uint8", -8], "y": ["int64"], "greatest": 1, "classes": []},
        {"x": ["nonsense", 8], "y": ["int64"], "greatest": 1, "classes": []},
        {"x": ["uint8", *[1] * 20], "y": ["int64"], "greatest": 1, "classes": []},
        {"x": 3, "y": ["int64"], "greatest": 1, "classes": []},
    ],
)
def test_what_is_no_form_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(DataError, match="what examples look like"):
        Form.from_json(value)


@given(hnp.arrays(hnp.integer_dtypes() | hnp.floating_dtypes(), hnp.array_shapes(max_dims=3, min_side=0, max_side=4)))
def test_arrays_come_back_as_they_were_saved(array: Array) -> None:
    for order in (array, np.asfortranarray(array)):
        read = npy(saved(order), "x")
        np.testing.assert_array_equal(read, array)
        assert read.dtype == array.dtype.newbyteorder("=")


@given(st.binary(max_size=200), st.booleans())
def test_junk_is_refused_as_array_and_as_picture(junk: bytes, headed: bool) -> None:
    with pytest.raises(DataError, match="not a NumPy array"):
        npy((b"\x93NUMPY" if headed else b"") + junk, "x")
    with pytest.raises(DataError, match="not an image"):
        picture((b"\x89PNG\r\n\x1a\n" if headed else b"") + junk, "x", DIGITS)


def test_an_array_that_says_it_is_larger_than_it_is_takes_no_memory() -> None:
    lying = saved(np.zeros(4, np.uint8)).replace(b"(4,), }" + b" " * 13, b"(99999999999999,), }", 1)
    with pytest.raises(DataError, match="4 bytes for shape"):
        npy(lying, "x")
    with pytest.raises(DataError, match="bytes for shape"):
        npy(saved(np.zeros(4))[:-1], "x")
    with pytest.raises(DataError, match="unpickled"):
        npy(saved(np.array([{}], object)), "x")


def test_a_picture_of_too_many_pixels_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="10000 x 6000 pixels"):
        picture(png_header(10_000, 6_000), "bomb.png", DIGITS)
    with pytest.raises(DataError, match="not an image"):  # Pillow's own limit
        picture(png_header(60_000, 60_000), "bomb.png", DIGITS)
    monkeypatch.setattr(inputs, "MAX_PIXELS", 99)
    with pytest.raises(DataError, match="10 x 10 pixels; at most 99"):
        picture(drawn(Image.new("L", (10, 10))), "x", DIGITS)


def test_a_picture_cut_short_is_refused() -> None:
    with pytest.raises(DataError, match="not an image"):
        picture(png_header(100, 100), "x", DIGITS)
    whole = drawn(Image.effect_noise((64, 64), 50), "JPEG")
    with pytest.raises(DataError, match="not an image"):
        picture(whole[: len(whole) // 2], "x", DIGITS)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize(("shape", "mode"), [((8, 8), "RGB"), ((8, 8, 3), "L"), ((4, 8, 1), "RGB")])
def test_a_picture_takes_the_size_the_colours_and_the_white_of_the_examples(kind: str, shape: tuple[int, ...], mode: str) -> None:
    x = picture(drawn(Image.new(mode, (300, 200), "white"), kind), "x", Form(shape, "uint8", 16.0))
    assert x.shape == (1, *shape)
    assert x.dtype == np.uint8
    assert (x == 16).all()


def test_a_picture_on_its_side_is_set_upright() -> None:
    image = Image.new("L", (8, 8))
    image.paste(255, (0, 0, 8, 4))  # the upper half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its right side: turn by a quarter, clockwise
    x = picture(drawn(image, exif=exif), "x", DIGITS)[0]
    assert (x[:, 4:] == 16).all()
    assert (x[:, :4] == 0).all()


def test_other_kinds_of_picture_only_when_they_are_asked_for() -> None:
    data = drawn(Image.new("L", (8, 8)), "BMP")
    with pytest.raises(DataError, match="not an image"):
        picture(data, "x", DIGITS)
    assert picture(data, "x", DIGITS, ("BMP",)).shape == (1, 8, 8)
    with pytest.raises(DataError, match="not trained on images"):
        picture(data, "x", Form((4,), "float32", 1.0))


def test_values_that_the_type_cannot_hold_are_refused() -> None:
    assert fitted(np.full((8, 8), 3.0), DIGITS, "x").dtype == np.uint8
    for value in (0.5, 300.0, -1.0):
        with pytest.raises(DataError, match="cannot hold"):
            fitted(np.full((8, 8), value), DIGITS, "x")
    with pytest.raises(DataError, match="cannot hold"):
        fitted(np.array([1e300]), Form((1,), "float32", 1.0), "x")
    for array in (np.array(["a"]), np.array([np.nan]), np.array([None])):
        with pytest.raises(DataError, match="finite numbers"):
            fitted(array, DIGITS, "x")
