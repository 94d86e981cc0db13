"""Curves in a terminal: braille characters, two columns and four rows of dots in each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# The bits of a braille character's dots, by row and column.
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint8)
_EMPTY = 0x2800


def curve(x: Sequence[float], y: Sequence[float], width: int, height: int, span: tuple[float, float] | None = None) -> list[str]:
    """`height` lines of `width` characters with the curve through the points, `x` ascending; the axes run from least to greatest.

    Args:
        span: where the horizontal axis begins and ends; by default with the points.
    """
    dots = np.zeros((4 * height, 2 * width), np.bool_)
    if len(x):
        left, right = span or (x[0], x[-1])
        low, high = min(y), max(y)
        columns = np.arange(dots.shape[1])
        across = (np.asarray(x, np.float64) - left) / max(right - left, 1e-300) * (dots.shape[1] - 1)
        shown = columns[(columns >= np.floor(across[0])) & (columns <= np.ceil(across[-1]))]
        share = (np.interp(shown, across, y) - low) / (high - low) if high > low else np.full(len(shown), 0.5)
        rows = np.rint((1 - share) * (dots.shape[0] - 1)).astype(np.int64)
        dots[rows, shown] = True
        # Steep stretches: the dots between two neighbours' heights, so that the line does not break.
        for at in range(1, len(shown)):
            first, last = sorted((rows[at - 1], rows[at]))
            dots[first + 1 : last, shown[at]] = True
    cells = dots.reshape(height, 4, width, 2).transpose(0, 2, 1, 3)
    codes = (cells * _DOTS).sum(axis=(2, 3)) + _EMPTY
    return ["".join(map(chr, line)) for line in codes.tolist()]
