"""Updates as values that add: named parts, each with its reducer, and the rules of admitting and combining them.

Under one contract, folding updates in any order, or over any sub-totals that are then merged, gives the same Aggregate to
the bit. The first total handed to `fold` or `merge`, and the one handed to `finish`, is used up: its memory becomes the result's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ciranda.core.errors import DivergedError, RefusedUpdate, RunError, SignatureError, TaskError
from ciranda.core.exact import Scale, default_bound, power_of_two_above
from ciranda.core.metrics import Sums, add
from ciranda.core.params import MASTER_WEIGHTS, Array, Arrays, Signature
from ciranda.core.reducers import REDUCERS, PartContract, PartTotal
from ciranda.core.task import Part
from ciranda.core.texts import Text

REASONS: Mapping[str, Text] = {
    "late": Text("it came after the phase had closed"),
    "duplicate": Text("the same reply was stored before"),
    "conflicting": Text("another reply of this client to the same phase was stored before"),
    "wrong-round": Text("it answers another round or attempt"),
    "not-selected": Text("the client was not asked in this phase"),
    "malformed": Text("it cannot be read, or holds something that is no tensor, whole weight or integer metric"),
    "oversized": Text("it is larger than the contract admits"),
    "wrong-shape": Text("its parts, tensors, shapes or dtypes are not the agreed ones"),
    "non-finite": Text("it holds NaN or an infinity"),
    "out-of-range": Text("a coordinate, the weight or a metric is beyond its bound"),
}
"""Why an update is refused: what is recorded and counted -> what it means."""

MAX_METRICS = 64
MAX_METRIC_CELLS = 2**20
MAX_METRIC_BITS = 192  # of a scalar: sums of squares at 2^-48 fit many times over

_REDUCER: Mapping[str, str] = {"model": "weighted-mean", "buffers": "weighted-mean", "counters": "max"}


@dataclass(frozen=True)
class Update:
    """What one client sends: part -> name -> array, the weight v (its number of examples) and its metric sums."""

    parts: Mapping[str, Arrays]
    weight: int
    metrics: Sums

    @property
    def num_bytes(self) -> int:
        """Bytes of the arrays of all parts."""
        return sum(array.nbytes for arrays in self.parts.values() for array in arrays.values())


class HasParts(Protocol):
    """Whoever adds parts to an update: see `ciranda.core.strategies.base.ClientRule.parts`."""

    def parts(self, model: Arrays, max_weight: int, cohort: int, population: int) -> Mapping[str, PartContract]: ...


@dataclass(frozen=True)
class Contract:
    """What every update of a round must satisfy, known before the first reply.

    Attributes:
        local: all tensors of the model, those that never leave included.
        parts: part -> what it looks like and how it is reduced.
        max_weight, cohort: the largest weight of an update and the largest number of updates.
    """

    local: Signature
    parts: Mapping[str, PartContract]
    max_weight: int
    cohort: int

    @classmethod
    def for_model(
        cls,
        model: Arrays,
        part_of: Callable[[str], Part],
        *,
        max_weight: int,
        cohort: int,
        clipping_norm: float | None = None,
        rule: HasParts | None = None,
        population: int = 0,
    ) -> Contract:
        """The contract of differences from `model`, and of the parts that a strategy's `rule` adds among `population` clients.

        Bounds of the part "model" come from `clipping_norm` (L2, over the whole part) if given, else from the model's
        magnitudes. Raises SignatureError for tensors that cannot be averaged, DivergedError for a model that is not finite.
        """
        parts: dict[str, PartContract] = {}
        by_part = _by_part(model, part_of)
        for part, arrays in by_part.items():
            reducer = _REDUCER[part]
            signature = Signature.of(arrays)
            scales: tuple[Scale, ...] = ()
            if reducer != "max":
                norm = clipping_norm if part == "model" else None
                bounds = [_bound(part, name, arrays[name], norm) for name in signature.names]
                scales = tuple(Scale(bound, max_weight, cohort) for bound in bounds)
            parts[part] = PartContract(reducer, signature, scales)
        if rule is not None:
            parts.update(rule.parts(by_part.get("model", {}), max_weight, cohort, population))
        return cls(Signature.of(model), dict(sorted(parts.items())), max_weight, cohort)

    @property
    def num_bytes(self) -> int:
        """Bytes of the arrays of one update."""
        return sum(part.signature.num_bytes for part in self.parts.values())

    def trained(self, model: Arrays) -> dict[str, Array]:
        """The tensors of `model` that are trained and averaged: its part "model"."""
        return {name: model[name] for name in self.parts["model"].signature.names} if "model" in self.parts else {}

    def check_local(self, arrays: Arrays) -> None:
        """Raise SignatureError unless training gave back the round's tensors."""
        self.local.check(arrays, Text("the trained model"))


@dataclass(frozen=True)
class Total:
    """The exact sum of some updates under `contract`: O(model) memory, however many updates."""

    contract: Contract
    parts: Mapping[str, PartTotal]
    weight: int = 0
    count: int = 0
    metrics: Sums = field(default_factory=dict)


@dataclass(frozen=True)
class Aggregate:
    """What a round's updates amount to: part -> name -> array, over `count` updates of `weight` in all."""

    parts: Mapping[str, Arrays]
    weight: int
    count: int
    metrics: Sums


def accept(contract: Contract, update: Update) -> str:
    """Why `update` cannot be admitted: a key of REASONS, or "" if it can. A function of the two alone."""
    return _examine(contract, update)[0]


def zero(contract: Contract) -> Total:
    """The total of no updates."""
    return Total(contract, {name: REDUCERS[part.reducer].zero(part) for name, part in contract.parts.items()})


def fold(contract: Contract, total: Total, name: str, update: Update) -> Total:
    """`total` with the update of client `name` in it; `total` is used up.

    Raises:
        RefusedUpdate: `accept` has a reason against the update; `total` is untouched.
        RunError: `total` is of another contract, or holds as many updates as the cohort has.
    """
    _check_same(contract, total)
    _check_count(contract, total.count + 1)
    reason, ready = _examine(contract, update)
    if reason:
        raise RefusedUpdate(reason, "The update of client {name} is refused: {reason}.", name=name, reason=REASONS[reason])
    try:
        metrics = add(total.metrics, update.metrics)
    except TaskError as error:
        raise RefusedUpdate("wrong-shape", "The update of client {name} is refused: {error}", name=name, error=error) from error
    for part_name, part in contract.parts.items():
        REDUCERS[part.reducer].add(part, total.parts[part_name], name, update.parts[part_name], update.weight, ready[part_name])
    return Total(contract, total.parts, total.weight + update.weight, total.count + 1, metrics)


def merge(contract: Contract, a: Total, b: Total) -> Total:
    """The total of all that `a` and `b` hold; `a` is used up. Raises RunError as `fold` does."""
    _check_same(contract, a)
    _check_same(contract, b)
    _check_count(contract, a.count + b.count)
    metrics = add(a.metrics, b.metrics)
    for name, part in contract.parts.items():
        REDUCERS[part.reducer].merge(a.parts[name], b.parts[name])
    return Total(contract, a.parts, a.weight + b.weight, a.count + b.count, metrics)


def finish(contract: Contract, total: Total) -> Aggregate:
    """Close a total, which is used up: means lie in its memory. Raises RunError if it holds no update, or only updates of weight 0."""
    _check_same(contract, total)
    if not total.count:
        raise RunError("No update was accepted: there is nothing to average.")
    parts = {
        name: REDUCERS[part.reducer].finish(part, total.parts[name], total.weight, total.count) for name, part in contract.parts.items()
    }
    return Aggregate(parts, total.weight, total.count, total.metrics)


def difference(model: Arrays, local: Arrays, part_of: Callable[[str], Part]) -> dict[str, dict[str, Array]]:
    """The parts of an update from the round's `model` and the client's trained `local` arrays, of the same names.

    Tensors of "model" and "buffers" are differences in their own dtype, counters are values, private tensors stay out. What
    overflows comes out infinite, and is refused as such.
    """
    parts: dict[str, dict[str, Array]] = {}
    with np.errstate(over="ignore", invalid="ignore"):
        for part, arrays in _by_part(local, part_of).items():
            parts[part] = arrays if part == "counters" else {name: array - model[name] for name, array in arrays.items()}
    return parts


def apply_buffers(model: Arrays, aggregate: Aggregate) -> dict[str, Array]:
    """`model` with the cohort's mean change of its running statistics and the largest of each counter.

    They bypass the server's optimizer, clipping and noise. Arrays that do not change are shared with `model`.
    """
    buffers = {name: model[name] + change for name, change in aggregate.parts.get("buffers", {}).items()}
    return {**model, **buffers, **aggregate.parts.get("counters", {})}


def _by_part(arrays: Arrays, part_of: Callable[[str], Part]) -> dict[str, dict[str, Array]]:
    """Part -> its arrays, in name order; private ones left out, parts without tensors absent."""
    parts: dict[str, dict[str, Array]] = {}
    for name in sorted(arrays):
        part = part_of(name)
        if part != "private":
            parts.setdefault(part, {})[name] = arrays[name]
    return dict(sorted(parts.items()))


def _bound(part: str, name: str, values: Array, clipping_norm: float | None) -> float:
    if values.dtype not in (np.float32, np.float64):
        hint = MASTER_WEIGHTS if "float" in values.dtype.name else "Declare integer tensors as counters, or as private."
        raise SignatureError(
            "Tensor '{name}' ({part}) is {dtype}; only float32 and float64 can be averaged.",
            hint=hint,
            name=name,
            part=part,
            dtype=values.dtype,
        )
    if clipping_norm is not None:
        # Rounding to float32 may leave a clipped coordinate a little above the norm, hence strictly above.
        return power_of_two_above(clipping_norm)
    try:
        return default_bound(values)
    except ValueError as error:
        raise DivergedError("Tensor '{name}' of the round's model holds a value that is not finite.", name=name) from error


def _examine(contract: Contract, update: Update) -> tuple[str, dict[str, Any]]:
    """The reason to refuse, and what the reducers can go on from, by part."""
    weight = update.weight
    if type(weight) is not int:
        return "malformed", {}
    if not 0 <= weight <= contract.max_weight:
        return "out-of-range", {}
    if update.parts.keys() != contract.parts.keys():
        return "wrong-shape", {}
    ready: dict[str, Any] = {}
    for name, part in contract.parts.items():
        reason, ready[name] = REDUCERS[part.reducer].examine(part, update.parts[name], weight)
        if reason:
            return reason, {}
    return _examine_metrics(contract, update.metrics), ready


def _examine_metrics(contract: Contract, metrics: Sums) -> str:
    if len(metrics) > MAX_METRICS:
        return "oversized"
    for value in metrics.values():
        if type(value) is int:
            if value.bit_length() > MAX_METRIC_BITS:
                return "out-of-range"
        elif not isinstance(value, np.ndarray) or value.dtype != np.int64:
            return "malformed"
        elif value.size > MAX_METRIC_CELLS:
            return "oversized"
        elif value.size:
            # The sum over a whole cohort must not leave int64.
            limit = (2**63 - 1) // contract.cohort
            if value.max() > limit or value.min() < -limit:
                return "out-of-range"
    return ""


def _check_same(contract: Contract, total: Total) -> None:
    if total.contract is not contract and total.contract != contract:
        raise RunError("Totals of different rounds or contracts cannot be combined.")


def _check_count(contract: Contract, count: int) -> None:
    if count > contract.cohort:
        raise RunError(
            "{count} updates were to be added; the contract admits {cohort}, beyond which the sum could overflow.",
            count=count,
            cohort=contract.cohort,
        )
