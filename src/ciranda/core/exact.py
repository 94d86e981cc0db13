"""The exact sum: weighted updates added as 64-bit integers, so that neither order nor grouping changes a bit.

A tensor has a power-of-two bound B on the magnitude of its coordinates; with at most n terms of weight at most w,
k = 62 - ceil(log2(B n w)), and a client's term is rint(u v 2^k) for coordinate u and weight v. A sum of n terms stays
within 2^62, hence inside int64; it is addition modulo 2^64, the group that secure aggregation masks in.

Error: float32 coordinates and weights below 2^29 make u v 2^k exact in float64, so a term is off by at most 1/2 and a
coordinate of the mean by at most n 2^-(k+1) / (total weight), before the result is rounded to float64 and then to its
dtype. For float64 coordinates the same holds with the factor 1 + 2^-13 (see `_split`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ciranda.core.errors import RefusedUpdate, RunError, SignatureError
from ciranda.core.params import MASTER_WEIGHTS, Array

Fixed = NDArray[np.int64]
Floats = NDArray[np.float64]

MAX_WEIGHT = 2**29 - 1  # 24 bits of a float32 times 29 bits fit the 53 of a float64
MIN_BOUND, MAX_BOUND = 2.0**-126, 2.0**127
BLOCK = 1 << 15  # elements worked on at a time: what a block touches stays in a core's second-level cache


@dataclass(frozen=True)
class Scale:
    """The fixed-point scale of one tensor, known before the first reply and never dependent on who replies.

    Attributes:
        bound: B, a power of two in [2^-126, 2^127]; coordinates satisfy |u| <= B.
        max_weight: w, the largest admitted weight, 1 to 2^29 - 1.
        cohort: n, the largest number of terms.
    """

    bound: float
    max_weight: int
    cohort: int

    def __post_init__(self) -> None:
        if not MIN_BOUND <= self.bound <= MAX_BOUND or math.frexp(self.bound)[0] != 0.5:
            raise ValueError(f"bound must be a power of two in [2^-126, 2^127], not {self.bound}")
        if not 1 <= self.max_weight <= MAX_WEIGHT:
            raise ValueError(f"max_weight must be in 1..{MAX_WEIGHT}, not {self.max_weight}")
        if not 1 <= self.cohort <= 2**32:
            raise ValueError(f"cohort must be in 1..2^32, not {self.cohort}")

    @cached_property
    def k(self) -> int:
        """Binary places of the fixed-point form: 62 - ceil(log2(B n w)), in integer arithmetic."""
        return 62 - (math.frexp(self.bound)[1] - 1) - (self.cohort * self.max_weight - 1).bit_length()


def power_of_two_above(value: float) -> float:
    """The smallest admissible bound strictly greater than `value` (finite, > 0), as far as there is one."""
    return min(max(math.ldexp(1.0, math.frexp(value)[1]), MIN_BOUND), MAX_BOUND)


def default_bound(values: Array) -> float:
    """A bound for updates of a tensor that now has `values`: 2^10 times its magnitude, and at least 2^10.

    Headroom is cheap: with n w = 30,000 a bound of 2^10 leaves the mean an error of 2e-15.
    """
    largest = float(np.abs(values).max(initial=0.0))
    if not math.isfinite(largest):
        raise ValueError("values must be finite")
    return min(power_of_two_above(max(largest, 0.5)) * 2.0**10, MAX_BOUND)


def zeros(size: int) -> Fixed:
    """The empty total of `size` coordinates."""
    return np.zeros(size, np.int64)


def merge(total: Fixed, other: Fixed) -> Fixed:
    """Add `other` to `total` in place, modulo 2^64."""
    return np.add(total, other, out=total)


class Layout:
    """Tensors laid end to end in one flat total, each with its own scale; all scales share max_weight and cohort.

    One total for a whole part keeps small models cheap: a part of at most `BLOCK` elements takes the same few calls
    into numpy however many tensors it has, plus one per tensor.
    """

    def __init__(self, sizes: Sequence[int], scales: Sequence[Scale], dtypes: Sequence[Any]) -> None:
        """Sizes in elements; dtypes float32 or float64, others raise SignatureError."""
        self.scales = tuple(scales)
        self.dtypes = tuple(np.dtype(dtype) for dtype in dtypes)
        for dtype in self.dtypes:
            if dtype not in (np.float32, np.float64):
                raise SignatureError("Updates of dtype {dtype} cannot be added exactly.", hint=MASTER_WEIGHTS, dtype=dtype)
        ends = np.cumsum([0, *sizes]).tolist()
        self.slices = tuple(slice(begin, end) for begin, end in pairwise(ends))
        self.size: int = ends[-1]
        self.max_weight = min((scale.max_weight for scale in self.scales), default=MAX_WEIGHT)
        self._packed = self.size <= BLOCK and np.dtype(np.float64) not in self.dtypes
        # |u| <= B is |u v 2^k| <= v B 2^k, and B 2^k is the same for all tensors.
        self._limit = math.ldexp(self.scales[0].bound, self.scales[0].k) if self.scales else 0.0

    def examine(self, tensors: Sequence[Array], weight: int) -> tuple[str, Floats | None]:
        """The reason to refuse ("" if none), and what `add` can go on from (the scaled values of a small part).

        Reasons: "non-finite", "out-of-range" (a coordinate beyond its bound, a weight outside 0..max_weight).
        """
        if not 0 <= weight <= self.max_weight:
            return "out-of-range", None
        if not self._packed or weight == 0:
            for values, scale in zip(tensors, self.scales, strict=True):
                if reason := _examine(values, scale.bound):
                    return reason, None
            return "", None
        scaled = np.empty(self.size)
        for values, scale, where in zip(tensors, self.scales, self.slices, strict=True):
            np.multiply(values.reshape(-1), np.float64(math.ldexp(weight, scale.k)), out=scaled[where])
        return _examine(scaled, weight * self._limit), scaled

    def add(self, total: Fixed, tensors: Sequence[Array], weight: int, scaled: Floats | None = None) -> None:
        """Add the terms of examined `tensors` (and the outcome of `examine`) to `total`, shape (size,), in place."""
        if scaled is not None:
            np.rint(scaled, out=scaled)
            total += scaled.astype(np.int64)
        elif weight:
            for values, scale, where in zip(tensors, self.scales, self.slices, strict=True):
                _add(total[where], values.reshape(-1), math.ldexp(weight, scale.k))

    def mean(self, total: Fixed, divisor: int) -> list[Array]:
        """Each tensor's total / (divisor 2^k), flat, in its dtype; `total` is used up: the results lie in its memory.

        Raises RunError if `divisor` is 0.
        """
        if divisor <= 0:
            raise RunError("The accepted updates have no weight: nothing to average.", hint="Every client needs at least one example.")
        means = []
        for dtype, scale, where in zip(self.dtypes, self.scales, self.slices, strict=True):
            means.append(_divide(total[where], math.ldexp(divisor, scale.k), dtype))
        return means


def fold(total: Fixed, values: Array, weight: int, scale: Scale) -> Fixed:
    """Add `weight` times `values` (any shape, float32 or float64, total.size elements) to `total` in place.

    Raises RefusedUpdate ("non-finite", "out-of-range") before `total` is touched.
    """
    layout = Layout((values.size,), (scale,), (values.dtype,))
    reason, scaled = layout.examine((values,), weight)
    if reason:
        raise RefusedUpdate(
            reason,
            "Values of weight {weight} under bound {bound:g} and weight {max_weight}: {reason}.",
            weight=weight,
            bound=scale.bound,
            max_weight=scale.max_weight,
            reason=reason,
        )
    layout.add(total, (values,), weight, scaled)
    return total


def to_fixed(values: Array, weight: int, scale: Scale) -> Fixed:
    """One client's terms, shape (values.size,): what is masked under secure aggregation. Raises RefusedUpdate."""
    return fold(zeros(values.size), values, weight, scale)


def mean(total: Fixed, weight: int, scale: Scale, dtype: Any) -> Array:
    """total / (weight 2^k) as `dtype` (float32 or float64), shape (total.size,); `total` is used up. Raises RunError if `weight` is 0."""
    return Layout((total.size,), (scale,), (dtype,)).mean(total, weight)[0]


def _examine(values: Array, bound: float) -> str:
    if not values.size:
        return ""
    # A NaN makes both extremes NaN, and every comparison with it false.
    low, high = values.min(), values.max()
    if -bound <= low and high <= bound:
        return ""
    return "out-of-range" if np.isfinite(low) and np.isfinite(high) else "non-finite"


def _add(total: Fixed, values: Array, factor: float) -> None:
    """total += rint(values * factor), block by block."""
    block = min(BLOCK, values.size)
    floats, fixed = np.empty(block), np.empty(block, np.int64)
    for begin in range(0, values.size, BLOCK):
        part, target = values[begin : begin + BLOCK], total[begin : begin + BLOCK]
        f, q = floats[: part.size], fixed[: part.size]
        if values.dtype == np.float64:
            f, low = _split(part, factor)
            np.copyto(q, low, casting="unsafe")
            np.add(target, q, out=target)
        else:
            np.copyto(f, part)
            np.multiply(f, factor, out=f)
            np.rint(f, out=f)
        np.copyto(q, f, casting="unsafe")
        np.add(target, q, out=target)


def _split(values: Floats, factor: float) -> tuple[Floats, Floats]:
    """Two arrays of whole numbers whose sum is values * factor within 1/2 + 2^-14.

    A float64 product of that size keeps only 53 bits, so the leading 24 bits of a value go first, exactly, and what
    is left after rounding them joins the other 29.
    """
    leading = values.astype(np.float32).astype(np.float64)
    high = leading * factor
    whole = np.rint(high)
    return whole, np.rint((high - whole) + (values - leading) * factor)


def _divide(total: Fixed, divisor: float, dtype: np.dtype[Any]) -> Array:
    """total / divisor, written over `total`: a block is read before anything is written at or beyond its place."""
    total = np.ascontiguousarray(total)  # a stage may have turned it into a view
    result: Array = total.view(dtype)[: total.size]
    floats = np.empty(min(BLOCK, total.size))
    for begin in range(0, total.size, BLOCK):
        part = total[begin : begin + BLOCK]
        f = floats[: part.size]
        np.copyto(f, part)
        np.divide(f, divisor, out=f)
        result[begin : begin + BLOCK] = f
    return result
