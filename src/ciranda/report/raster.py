"""Small pictures as PNG data URIs: a cell a pixel, colours from a palette. What would be a million SVG rectangles weighs some kilobytes."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int, int]  # red, green, blue, alpha


def png(cells: NDArray[np.uint8], palette: Sequence[Colour]) -> bytes:
    """A palette PNG.

    Args:
        cells: places in the palette, uint8, shape (height, width).
        palette: at most 256 colours.
    """
    height, width = cells.shape
    bits = next(bits for bits in (1, 2, 4, 8) if len(palette) <= 1 << bits)
    rows = _packed(cells, bits)
    filtered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 3, 0, 0, 0)),
            _chunk(b"PLTE", bytes(value for colour in palette for value in colour[:3])),
            _chunk(b"tRNS", bytes(colour[3] for colour in palette)),
            _chunk(b"IDAT", zlib.compress(filtered.tobytes(), 9)),
            _chunk(b"IEND", b""),
        )
    )


def data_uri(cells: NDArray[np.uint8], palette: Sequence[Colour]) -> str:
    """The picture as an address that holds it."""
    return "data:image/png;base64," + b64encode(png(cells, palette)).decode("ascii")


def shades(colour: tuple[int, int, int], levels: int, *, least: int = 24) -> list[Colour]:
    """A palette of one colour: first nothing, then ever more of it, from alpha `least` to 255."""
    alphas = np.linspace(least, 255, levels - 1).round().astype(int).tolist()
    return [(*colour, 0), *((*colour, alpha) for alpha in alphas)]


def shrunk(cells: NDArray[np.float64], most: tuple[int, int]) -> NDArray[np.float64]:
    """The means of blocks of cells, so that no side is longer than `most` (height, width)."""
    for axis, limit in enumerate(most):
        length = cells.shape[axis]
        if length > limit:
            edges = np.linspace(0, length, limit + 1).astype(np.int64)
            sums = np.add.reduceat(cells, edges[:-1], axis=axis)
            counts = np.diff(edges).reshape((-1, 1) if axis == 0 else (1, -1))
            cells = sums / counts
    return cells


def _packed(cells: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Several cells in a byte, the first in the highest bits, rows padded with zeros."""
    if bits == 8:
        return cells
    each = 8 // bits
    height, width = cells.shape
    padded = np.zeros((height, -(-width // each) * each), np.uint8)
    padded[:, :width] = cells
    shifts = np.arange(each - 1, -1, -1, dtype=np.uint8) * bits
    packed: NDArray[np.uint8] = np.bitwise_or.reduce(padded.reshape(height, -1, each) << shifts, axis=2).astype(np.uint8)
    return packed


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
