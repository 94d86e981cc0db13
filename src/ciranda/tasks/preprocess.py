"""Scaling of stored examples to the numbers a model is fed, the same in training, evaluation and prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = float | tuple[float, ...]


@dataclass(frozen=True)
class Affine:
    """value -> (value - mean) / deviation, elementwise; tuples hold one number for each entry of the last axis.

    The two constants are folded in float64 into `value * scale + shift`, so that bytes become floats in one pass.
    """

    mean: Numbers = 0.0
    deviation: Numbers = 1.0

    @property
    def scale(self) -> NDArray[np.float32]:
        """1 / deviation, shape () or (k,)."""
        return np.asarray(1.0 / np.asarray(self.deviation, dtype=np.float64), dtype=np.float32)

    @property
    def shift(self) -> NDArray[np.float32]:
        """-mean / deviation, shape () or (k,)."""
        return np.asarray(-np.asarray(self.mean, np.float64) / np.asarray(self.deviation, np.float64), dtype=np.float32)

    def apply(self, values: NDArray[Any], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Scaled float32 values of the same shape, written to `out` where it is given."""
        scaled: NDArray[np.float32] = np.multiply(values, self.scale, out=out, dtype=np.float32, casting="unsafe")
        scaled += self.shift
        return scaled

    def invert(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """The stored numbers that `apply` would turn into `values`."""
        result: NDArray[np.float32] = (values - self.shift) / self.scale
        return result


def image_bytes(mean: float, deviation: float) -> Affine:
    """For bytes 0..255 with mean and deviation stated on the scale 0..1, as the field does."""
    return Affine(255.0 * mean, 255.0 * deviation)


NONE = Affine()
MNIST = image_bytes(0.1307, 0.3081)
FASHION_MNIST = image_bytes(0.2860, 0.3530)
CIFAR10 = image_bytes(0.5, 0.5)
DIGITS = Affine(0.0, 16.0)
# Means and deviations of the whole published table (Fisher 1936).
IRIS = Affine((5.8433, 3.0573, 3.758, 1.1993), (0.8281, 0.4359, 1.7653, 0.7622))
# Means and deviations of the 442 patients of Efron et al. 2004, in original units.
DIABETES = Affine(
    (48.518, 1.468, 26.376, 94.647, 189.14, 115.439, 49.788, 4.07, 4.641, 91.26),
    (13.094, 0.499, 4.413, 13.816, 34.569, 30.379, 12.92, 1.289, 0.522, 11.483),
)
PROGRESSION = Affine(152.13, 77.006)
