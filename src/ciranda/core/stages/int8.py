"""One byte for each number, with error feedback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ciranda.core.params import Array, Arrays
from ciranda.core.stages.base import Kind, Stage
from ciranda.core.stages.feedback import MODEL, demand, expected, owed, with_parts
from ciranda.core.update import Contract, Update

_SCALES = "int8-scales"
_LEVELS = 127


@dataclass(frozen=True)
class Int8(Stage):
    """Sends the part "model" in one byte for each number, and makes up for the rounding in the client's next rounds.

    With e what earlier messages lost (zeros at first), x = u + e and s = max |x| / 127 for each tensor: the message is
    q = rint(x / s) and s, it stands for s q, and the next e is x - s q, at most s / 2 in each coordinate. Rounding is to the nearest, ties
    to even, so equal updates give equal bytes. Other parts pass unchanged.

    Seide, Fu, Droppo, Li, Yu, "1-bit stochastic gradient descent", Interspeech 2014, section 3.2 (with 8 bits here); Karimireddy,
    Rebjock, Stich, Jaggi, "Error feedback fixes SignSGD", ICML 2019, Algorithm 2.
    """

    name: ClassVar[str] = "int8"
    summary: ClassVar[str] = "one byte a number; the next rounds make up for the rounding"
    kind: ClassVar[Kind] = "compress"
    feeds_back: ClassVar[bool] = True

    def encode(self, update: Update, state: Arrays) -> tuple[Update, Arrays]:
        coded: dict[str, Array] = {}
        scales: dict[str, Array] = {}
        lost: dict[str, Array] = {}
        for name, values in owed(update, state).items():
            coded[name], scales[name] = _quantised(values)
            lost[name] = values - _opened(coded[name], scales[name])
        return with_parts(update, {MODEL: coded, _SCALES: scales}), lost

    def decode(self, message: Update, contract: Contract) -> Update:
        opened: dict[str, Array] = {}
        for spec in expected(self.name, message, contract, _SCALES):
            coded, scale = message.parts[MODEL][spec.name], message.parts[_SCALES][spec.name]
            demand(coded.shape == spec.shape and coded.dtype == np.int8, self.name, spec.name)
            demand(scale.shape == () and scale.dtype.name == spec.dtype, self.name, spec.name)
            opened[spec.name] = _opened(coded, scale)
        return with_parts(message, {MODEL: opened}, without=_SCALES)


def _quantised(values: Array) -> tuple[Array, Array]:
    """The levels, -127 to 127, and the size of a step in the dtype of `values`: NaN, for levels of 0, where `values` are not all finite."""
    largest = np.abs(values).max(initial=0)
    if not np.isfinite(largest):
        return np.zeros(values.shape, np.int8), np.asarray(np.nan, values.dtype)
    scale = np.asarray(largest / values.dtype.type(_LEVELS))
    if not scale:
        return np.zeros(values.shape, np.int8), scale
    # Steps so small that they are no normal number may be rounded down, hence the bound.
    return np.asarray(np.rint(values / scale).clip(-_LEVELS, _LEVELS), np.int8), scale


def _opened(coded: Array, scale: Array) -> Array:
    return np.asarray(coded.astype(scale.dtype) * scale)
