"""Where things stand on an axis: round ticks, curves with few enough points, labels that do not touch. numpy and arithmetic only."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ciranda.report.records import Floats

MOST_POINTS = 400


def ticks(low: float, high: float, about: int = 5, *, whole: bool = False) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart, at least 1 apart if `whole`) within low..high, around `about` of them."""
    if not high > low:
        return [low]
    step = nice((high - low) / max(1, about))
    if whole:
        step = max(1.0, step)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def nice(step: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least `step`."""
    step = max(step, 1e-300)
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def padded(low: float, high: float, share: float = 0.06) -> tuple[float, float]:
    """The interval with room at both ends, and of some length."""
    length = high - low
    room = (length if length > 1e-9 * abs(high) else abs(high)) * share or 1.0
    return low - room, high + room


def thin(values: Floats, most: int = MOST_POINTS) -> NDArray[np.int64]:
    """Places of at most `most` values that keep the curve's look: the first, the last, and each stretch's least and greatest."""
    n = len(values)
    if n <= most:
        return np.arange(n)
    stretches = np.array_split(np.arange(n), max(1, most // 2 - 1))
    kept = {0, n - 1}
    for places in stretches:
        kept.update((int(places[values[places].argmin()]), int(places[values[places].argmax()])))
    return np.array(sorted(kept), np.int64)


def spaced(values: Sequence[float], gap: float) -> list[float]:
    """Ascending `values` moved as little as keeps neighbours at least `gap` apart: those that touch spread around their mean."""
    groups: list[list[float]] = []
    for value in values:
        groups.append([value])
        while len(groups) > 1 and _bottom(groups[-1], gap) - _top(groups[-2], gap) < gap:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_bottom(group, gap) + place * gap for group in groups for place in range(len(group))]


def _bottom(group: Sequence[float], gap: float) -> float:
    return sum(group) / len(group) - gap * (len(group) - 1) / 2


def _top(group: Sequence[float], gap: float) -> float:
    return sum(group) / len(group) + gap * (len(group) - 1) / 2
