"""What happens to an update between training and the sum: a chain of stages, and which choices cannot work together.

Stages come in the order of their kinds: transform (leaves an update of the same signature, such as clipping), privatise (adds
noise to it), compress (fewer bytes), mask (hides it inside the sum). Transform and privatise stages need no undoing; a compress or
mask stage either decodes each message, or is linear, so that messages add up as they are and `finish` opens the total.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Literal, Protocol, get_args

import numpy as np

from ciranda.core.errors import DivergedError, ExperimentError, RefusedUpdate
from ciranda.core.params import Array, Arrays
from ciranda.core.update import Total, Update

Kind = Literal["transform", "privatise", "compress", "mask"]
States = Mapping[str, Arrays]
"""A client's state, by stage name: kept by the client between rounds, {} at first."""

_ORDER: tuple[str, ...] = get_args(Kind)
_BLOCK = 1 << 15
_FLOAT16_LIMIT = 65520.0  # from here on float16 rounds to infinity


class Stage(Protocol):
    """One stage. Subclass it: a stage that changes nothing on the way back inherits `decode` and `finish`.

    Laws, checked for every stage: a transform or privatise stage keeps the parts' signatures, the weight and the metrics. If
    `linear`, finish(sum of encode(u_i)) is the sum of the updates; else decode(encode(u)) is u within the stage's stated error.
    """

    name: str
    kind: Kind
    linear: bool = False

    def encode(self, update: Update, state: Arrays) -> tuple[Update, Arrays]:
        """The message for `update`, and the client's next state. Writes into neither argument."""

    def decode(self, message: Update) -> Update:
        """The update that one message stands for."""
        return message

    def finish(self, total: Total) -> Total:
        """The total of the updates from the total of their messages; its `count` and `weight` tell how many they are."""
        return total


class Clip(Stage):
    """Scales the part "model" so that its L2 norm, over all of its tensors together, is at most `norm`.

    The norm that holds is that of the values as sent, after their rounding to float32. Updates within `norm` pass unchanged. Other
    parts pass unchanged: buffers bypass clipping. Abadi et al., "Deep Learning with Differential Privacy", CCS 2016, Algorithm 1;
    McMahan et al., "Learning Differentially Private Recurrent Language Models", ICLR 2018 (flat clipping).
    """

    name = "clip"
    kind = "transform"

    def __init__(self, norm: float) -> None:
        # Far below, rounding to float32 is no longer relative and could lead beyond the norm.
        if not 2.0**-100 <= norm < math.inf:
            raise ExperimentError(f"The clipping norm must be a positive number (2^-100 or more), not {norm}.")
        self.norm = norm

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


class Float16(Stage):
    """Sends float32 tensors as float16, in half the bytes; `decode` gives float32 again. Float64 and counters pass unchanged.

    Error of a value x: at most 2^-11 |x|, and 2^-25 where |x| < 2^-14.
    """

    name = "float16"
    kind = "compress"

    def encode(self, update: Update, state: Arrays) -> tuple[Update, Arrays]:
        """Raises RefusedUpdate ("out-of-range") for a value that float16 cannot hold (65,520 and more)."""
        for arrays in update.parts.values():
            for name, values in arrays.items():
                if values.dtype == np.float32 and values.size and not _fits(values):
                    raise RefusedUpdate("out-of-range", f"Tensor '{name}' holds a value that float16 cannot (65,520 or more, or NaN).")
        return _cast(update, np.float32, np.float16), state

    def decode(self, message: Update) -> Update:
        return _cast(message, np.float16, np.float32)


class Chain:
    """Stages one after another.

    Raises ExperimentError for stages out of order, twice the same, one that must be decoded before a linear one, and pairs of
    `INCOMPATIBLE`.
    """

    def __init__(self, stages: Sequence[Stage] = ()) -> None:
        self.stages = tuple(stages)
        names = [stage.name for stage in self.stages]
        for name in names:
            if names.count(name) > 1:
                raise ExperimentError(f"The stage '{name}' occurs twice.")
        for first, second in pairwise(self.stages):
            if _ORDER.index(first.kind) > _ORDER.index(second.kind):
                raise ExperimentError(
                    f"The stage '{second.name}' ({second.kind}) cannot come after '{first.name}' ({first.kind}).",
                    hint=f"Stages go in the order {', '.join(_ORDER)}.",
                )
        for first, second in combinations(self.stages, 2):
            if second.linear and first.kind in ("compress", "mask") and not first.linear:
                raise ExperimentError(
                    f"'{first.name}' has to be decoded message by message, but after '{second.name}' only their sum can be opened."
                )
        if reasons := incompatible(names):
            raise ExperimentError(" ".join(reasons))

    def encode(self, update: Update) -> Update:
        """The message of a client that keeps no state between rounds."""
        return self.step(update, {})[0]

    def step(self, update: Update, states: States) -> tuple[Update, States]:
        """The message for `update`, and the client's next states."""
        following: dict[str, Arrays] = {}
        for stage in self.stages:
            update, following[stage.name] = stage.encode(update, states.get(stage.name, {}))
        return update, {name: state for name, state in following.items() if state}

    def decode(self, message: Update) -> Update:
        """What is folded: the message without the stages that are undone one by one."""
        for stage in reversed(self.stages):
            if not stage.linear:
                message = stage.decode(message)
        return message

    def finish(self, total: Total) -> Total:
        """The total of the updates, from the total of what `decode` gave."""
        for stage in reversed(self.stages):
            if stage.linear:
                total = stage.finish(total)
        return total


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


_SUM_ONLY = "under secure aggregation nobody sees a single update, only their sum"
_SUM_NOISE = "the noise is calibrated for a sum of clipped updates"

INCOMPATIBLE: Mapping[tuple[str, str], str] = {
    ("secure-aggregation", "whole-cohort-rule"): f"{_SUM_ONLY}; medians, Krum and the like compare the updates one by one.",
    ("secure-aggregation", "float16"): f"{_SUM_ONLY}; float16 messages would have to be decoded one by one.",
    ("secure-aggregation", "concatenated-parts"): f"{_SUM_ONLY}; trees are kept one by one.",
    ("secure-aggregation", "counters"): f"{_SUM_ONLY}; the largest of the clients' counters is no sum. Use GroupNorm for BatchNorm.",
    ("secure-aggregation", "loss-based-selection"): "the clients' single losses, which selection needs, are part of what is hidden.",
    ("secure-aggregation", "asynchronous"): "masks cancel within one cohort only, and asynchronous rounds have none.",
    ("differential-privacy", "running-statistics"): "running statistics leave the client unclipped and without noise. "
    "Use GroupNorm for BatchNorm.",
    ("differential-privacy", "counters"): "counters leave the client without noise and tell how many examples it has.",
    ("differential-privacy", "loss-based-selection"): "a client's loss tells about its data, and selecting by it spends privacy that the "
    "accountant does not count.",
    ("differential-privacy", "whole-cohort-rule"): f"{_SUM_NOISE}; the sensitivity of a median or of Krum is another.",
    ("differential-privacy", "concatenated-parts"): f"{_SUM_NOISE}; trees are neither.",
}
"""Features that exclude one another -> why. The one table: whoever adds a feature adds its rows here."""


def incompatible(features: Collection[str]) -> list[str]:
    """Why `features` cannot be chosen together: one sentence for each pair of `INCOMPATIBLE`, none if they can."""
    return [f"'{a}' and '{b}' cannot work together: {reason}" for (a, b), reason in INCOMPATIBLE.items() if a in features and b in features]


def _fits(values: Array) -> bool:
    return bool(values.min() > -_FLOAT16_LIMIT and values.max() < _FLOAT16_LIMIT)


def _cast(update: Update, old: type, new: type) -> Update:
    parts = {
        part: {name: values.astype(new) if values.dtype == old else values for name, values in arrays.items()}
        for part, arrays in update.parts.items()
    }
    return Update(parts, update.weight, update.metrics)
