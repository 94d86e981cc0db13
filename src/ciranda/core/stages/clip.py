"""Clipping an update's norm."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ciranda.core.errors import DivergedError, ExperimentError
from ciranda.core.params import Array, Arrays
from ciranda.core.stages.base import Kind, Stage
from ciranda.core.update import Update

_BLOCK = 1 << 15


@dataclass(frozen=True)
class Clip(Stage):
    """Scales the part "model" so that its L2 norm, over all of its tensors together, is at most `norm`.

    The norm that holds is that of the values as sent, after their rounding to float32. Updates within `norm` pass unchanged. Other
    parts pass unchanged: buffers bypass clipping. Abadi et al., "Deep Learning with Differential Privacy", CCS 2016, Algorithm 1;
    McMahan et al., "Learning Differentially Private Recurrent Language Models", ICLR 2018 (flat clipping).
    """

    norm: float

    name: ClassVar[str] = "clip"
    summary: ClassVar[str] = "scales an update whose L2 norm is larger than the clipping norm down to it"
    kind: ClassVar[Kind] = "transform"

    def __post_init__(self) -> None:
        # Far below, rounding to float32 is no longer relative and could lead beyond the norm.
        if not 2.0**-100 <= self.norm < math.inf:
            raise ExperimentError("The clipping norm must be a positive number (2^-100 or more), not {norm}.", norm=self.norm)

    def encode(self, update: Update, state: Arrays) -> tuple[Update, Arrays]:
        """Raises DivergedError for an update that is not finite: there is no norm to bound."""
        model = update.parts.get("model", {})
        size = l2_norm(model.values())
        if not math.isfinite(size):
            raise DivergedError("The update holds a value that is not a finite number.", hint="Lower client.learning-rate.")
        if size <= self.norm:
            return update, state
        # A little less than norm / size, so that rounding each value to float32 (2^-24) cannot lead beyond the norm.
        factor = self.norm / size * (1 - 2.0**-22)
        clipped = {name: (values * np.float64(factor)).astype(values.dtype) for name, values in model.items()}
        return Update({**update.parts, "model": clipped}, update.weight, update.metrics), state


def l2_norm(arrays: Iterable[Array]) -> float:
    """The Euclidean norm of all `arrays` (floats) as one vector, in float64; NaN or infinite if they are.

    Blocks are added with one rounding, so the tensors' order does not matter.
    """
    flats = [array.reshape(-1) for array in arrays]
    blocks = [flat[begin : begin + _BLOCK] for flat in flats for begin in range(0, flat.size, _BLOCK)]
    extremes = [float(np.abs(block).max()) for block in blocks]
    largest = max(extremes, default=0.0)
    if largest == 0.0 or not all(map(math.isfinite, extremes)):
        return math.fsum(extremes)
    # A power of two scales without rounding, and keeps squares from overflowing or vanishing.
    scale = math.ldexp(1.0, -math.frexp(largest)[1])
    squares = math.fsum(float(np.square(block * np.float64(scale)).sum()) for block in blocks)
    return math.sqrt(squares) / scale
