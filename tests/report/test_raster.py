"""Pictures as PNG, read back by an independent reader."""

from __future__ import annotations

import io
from base64 import b64decode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from ciranda.report.raster import Colour, data_uri, png, shades, shrunk


def palette(size: int) -> list[Colour]:
    rng = np.random.default_rng(size)
    return [(int(r), int(g), int(b), int(a)) for r, g, b, a in rng.integers(0, 256, (size, 4))]


def pixels(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return np.asarray(image.convert("RGBA"))


@pytest.mark.parametrize("colours", [2, 3, 16, 17, 256])
@given(seed=st.integers(0, 1000), height=st.integers(1, 9), width=st.integers(1, 21))
def test_every_cell_has_its_colour(colours: int, seed: int, height: int, width: int) -> None:
    cells = np.random.default_rng(seed).integers(0, colours, (height, width)).astype(np.uint8)
    wanted = palette(colours)
    assert np.array_equal(pixels(png(cells, wanted)), np.array(wanted, np.uint8)[cells])


def test_the_address_holds_the_picture() -> None:
    cells = np.eye(3, dtype=np.uint8)
    head, _, body = data_uri(cells, palette(2)).partition(",")
    assert head == "data:image/png;base64"
    assert b64decode(body) == png(cells, palette(2))


def test_shades_begin_with_nothing_and_grow() -> None:
    found = shades((1, 2, 3), 5, least=40)
    assert [colour[:3] for colour in found] == [(1, 2, 3)] * 5
    alphas = [colour[3] for colour in found]
    assert alphas[:2] == [0, 40]
    assert alphas[-1] == 255
    assert alphas == sorted(alphas)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 10), st.integers(1, 10))
def test_shrinking_keeps_within_bounds_and_between_extremes(height: int, width: int, most_high: int, most_wide: int) -> None:
    cells = np.arange(height * width, dtype=np.float64).reshape(height, width)
    small = shrunk(cells, (most_high, most_wide))
    assert small.shape == (min(height, most_high), min(width, most_wide))
    assert cells.min() <= small.min() <= small.max() <= cells.max()


def test_shrinking_means_blocks() -> None:
    assert shrunk(np.array([[0.0, 1.0, 1.0, 1.0]]), (1, 2)).tolist() == [[0.5, 1.0]]
    assert shrunk(np.array([[1.0], [3.0]]), (1, 1)).tolist() == [[2.0]]
