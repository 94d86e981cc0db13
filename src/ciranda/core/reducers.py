"""How the parts of updates are combined: each part of an update names one of these reducers.

A reducer starts a total (`zero`), says why a contribution cannot be admitted (`examine`), takes it in (`add`, in place),
combines two totals (`merge`, in place) and closes (`finish`). All are commutative and associative to the bit, so totals
may be built in any order and from any sub-totals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from ciranda.core import exact
from ciranda.core.errors import SignatureError
from ciranda.core.exact import Layout, Scale
from ciranda.core.params import DTYPES, Array, Arrays, Signature

PartTotal = Any
"""What a reducer adds up in: int64 of shape (num_parameters,), or client name -> arrays for "concatenate"."""


@dataclass(frozen=True)
class PartContract:
    """What one part of every update must look like, and how it is reduced.

    Attributes:
        reducer: a key of `REDUCERS`.
        signature: the part's tensors; for "concatenate" the first size of each shape is the most rows admitted.
        scales: one for each tensor in name order; empty for "max" and "concatenate".
        population: N of "mean-of-n".
    """

    reducer: str
    signature: Signature
    scales: tuple[Scale, ...] = ()
    population: int = 0

    def __post_init__(self) -> None:
        if self.reducer not in REDUCERS:
            raise ValueError(f"there is no reducer {self.reducer!r}; there are {', '.join(REDUCERS)}")
        REDUCERS[self.reducer].validate(self)

    @cached_property
    def layout(self) -> Layout:
        specs = self.signature.tensors
        return Layout([spec.size for spec in specs], self.scales, [DTYPES[spec.dtype] for spec in specs])

    def __getstate__(self) -> dict[str, Any]:
        # The layout is quicker built again than sent.
        return {name: value for name, value in self.__dict__.items() if name != "layout"}


class Reducer(Protocol):
    """One way of combining a part."""

    def validate(self, part: PartContract) -> None:
        """Raise ValueError or SignatureError for a part that this reducer cannot serve."""

    def zero(self, part: PartContract) -> PartTotal:
        """The total of nothing."""

    def examine(self, part: PartContract, arrays: Arrays, weight: int) -> tuple[str, Any]:
        """(reason to refuse or "", work done that `add` can use). Touches nothing."""

    def add(self, part: PartContract, total: PartTotal, name: str, arrays: Arrays, weight: int, ready: Any) -> None:
        """Take the examined contribution of client `name` into `total`."""

    def merge(self, total: PartTotal, other: PartTotal) -> None:
        """Take `other` into `total`."""

    def finish(self, part: PartContract, total: PartTotal, weight: int, count: int) -> dict[str, Array]:
        """The result over `count` contributions of `weight` in all; `total` is used up."""


class ExactSum:
    """Exact fixed-point sums (`core.exact`) divided by `divisor`: "weight", "population" or "one"."""

    def __init__(self, divisor: str) -> None:
        self._divisor = divisor

    def validate(self, part: PartContract) -> None:
        if len(part.scales) != len(part.signature.tensors):
            raise ValueError(f"{len(part.signature.tensors)} tensors need as many scales, not {len(part.scales)}")
        if len({(scale.max_weight, scale.cohort) for scale in part.scales}) > 1:
            raise ValueError("the scales of one part must share max_weight and cohort")
        if self._divisor != "weight" and any(scale.max_weight != 1 for scale in part.scales):
            raise ValueError(f"'{part.reducer}' counts every client once: its scales need max_weight 1")
        if self._divisor == "population" and part.population < 1:
            raise ValueError("'mean-of-n' needs a population")
        _ = part.layout  # raises for dtypes that cannot be added exactly

    def zero(self, part: PartContract) -> PartTotal:
        return exact.zeros(part.layout.size)

    def examine(self, part: PartContract, arrays: Arrays, weight: int) -> tuple[str, Any]:
        if not part.signature.matches(arrays):
            return "wrong-shape", None
        return part.layout.examine(self._tensors(part, arrays), self._weight(weight))

    def add(self, part: PartContract, total: PartTotal, name: str, arrays: Arrays, weight: int, ready: Any) -> None:
        part.layout.add(total, self._tensors(part, arrays), self._weight(weight), ready)

    def merge(self, total: PartTotal, other: PartTotal) -> None:
        exact.merge(total, other)

    def finish(self, part: PartContract, total: PartTotal, weight: int, count: int) -> dict[str, Array]:
        divisor = {"weight": weight, "population": part.population, "one": 1}[self._divisor]
        tensors = zip(part.signature.tensors, part.layout.mean(total, divisor), strict=True)
        return {spec.name: values.reshape(spec.shape) for spec, values in tensors}

    def _weight(self, weight: int) -> int:
        return weight if self._divisor == "weight" else 1

    @staticmethod
    def _tensors(part: PartContract, arrays: Arrays) -> list[Array]:
        return [arrays[spec.name] for spec in part.signature.tensors]


class Maximum:
    """The largest value of each coordinate: for counters, which every client advances from the same start."""

    def validate(self, part: PartContract) -> None:
        for spec in part.signature.tensors:
            if DTYPES[spec.dtype].kind not in "iub" or spec.dtype == "uint64":
                raise SignatureError(
                    "Counter '{spec}' has dtype {dtype}; counters are integers up to int64.", spec=spec.name, dtype=spec.dtype
                )

    def zero(self, part: PartContract) -> PartTotal:
        return np.full(part.signature.num_parameters, np.iinfo(np.int64).min, np.int64)

    def examine(self, part: PartContract, arrays: Arrays, weight: int) -> tuple[str, Any]:
        return ("", None) if part.signature.matches(arrays) else ("wrong-shape", None)

    def add(self, part: PartContract, total: PartTotal, name: str, arrays: Arrays, weight: int, ready: Any) -> None:
        for spec, where in _spans(part):
            np.maximum(total[where], arrays[spec.name].reshape(-1), out=total[where])

    def merge(self, total: PartTotal, other: PartTotal) -> None:
        np.maximum(total, other, out=total)

    def finish(self, part: PartContract, total: PartTotal, weight: int, count: int) -> dict[str, Array]:
        return {spec.name: total[where].astype(DTYPES[spec.dtype]).reshape(spec.shape) for spec, where in _spans(part)}


class Concatenate:
    """Every client's rows one after another, by client name: for trees and other things that are kept, not averaged."""

    def validate(self, part: PartContract) -> None:
        for spec in part.signature.tensors:
            if not spec.shape:
                raise SignatureError("Tensor '{spec}' has no rows to concatenate.", spec=spec.name)

    def zero(self, part: PartContract) -> PartTotal:
        return {}

    def examine(self, part: PartContract, arrays: Arrays, weight: int) -> tuple[str, Any]:
        specs = part.signature.tensors
        if arrays.keys() != set(part.signature.names):
            return "wrong-shape", None
        if any(arrays[spec.name].shape[1:] != spec.shape[1:] or arrays[spec.name].dtype != spec.dtype for spec in specs):
            return "wrong-shape", None
        if any(not arrays[spec.name].ndim for spec in specs):
            return "wrong-shape", None
        if any(len(arrays[spec.name]) > spec.shape[0] for spec in specs):
            return "oversized", None
        if not all(np.isfinite(array).all() for array in arrays.values() if array.dtype.kind == "f"):
            return "non-finite", None
        return "", None

    def add(self, part: PartContract, total: PartTotal, name: str, arrays: Arrays, weight: int, ready: Any) -> None:
        total[name] = dict(arrays)

    def merge(self, total: PartTotal, other: PartTotal) -> None:
        total.update(other)

    def finish(self, part: PartContract, total: PartTotal, weight: int, count: int) -> dict[str, Array]:
        names = sorted(total)
        return {
            spec.name: np.concatenate([np.empty((0, *spec.shape[1:]), spec.dtype), *(total[name][spec.name] for name in names)])
            for spec in part.signature.tensors
        }


def _spans(part: PartContract) -> list[tuple[Any, slice]]:
    spans, begin = [], 0
    for spec in part.signature.tensors:
        spans.append((spec, slice(begin, begin + spec.size)))
        begin += spec.size
    return spans


REDUCERS: Mapping[str, Reducer] = {
    "weighted-mean": ExactSum("weight"),
    "mean-of-n": ExactSum("population"),
    "sum": ExactSum("one"),
    "concatenate": Concatenate(),
    "max": Maximum(),
}
