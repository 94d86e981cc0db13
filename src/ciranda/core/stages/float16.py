"""Half-precision messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ciranda.core.errors import RefusedUpdate
from ciranda.core.params import Array, Arrays
from ciranda.core.stages.base import Kind, Stage
from ciranda.core.update import Contract, Update

_LIMIT = 65520.0  # from here on float16 rounds to infinity


@dataclass(frozen=True)
class Float16(Stage):
    """Sends float32 tensors as float16, in half the bytes; `decode` gives float32 again. Float64 and counters pass unchanged.

    Error of a value x: at most 2^-11 |x|, and 2^-25 where |x| < 2^-14.
    """

    name: ClassVar[str] = "float16"
    summary: ClassVar[str] = "float32 tensors as float16, in half the bytes"
    kind: ClassVar[Kind] = "compress"

    def encode(self, update: Update, state: Arrays) -> tuple[Update, Arrays]:
        """Raises RefusedUpdate ("out-of-range") for a value that float16 cannot hold (65,520 and more)."""
        for arrays in update.parts.values():
            for name, values in arrays.items():
                if values.dtype == np.float32 and values.size and not _fits(values):
                    raise RefusedUpdate(
                        "out-of-range", "Tensor '{name}' holds a value that float16 cannot (65,520 or more, or NaN).", name=name
                    )
        return _cast(update, np.float32, np.float16), state

    def decode(self, message: Update, contract: Contract) -> Update:
        return _cast(message, np.float16, np.float32)


def _fits(values: Array) -> bool:
    return bool(values.min() > -_LIMIT and values.max() < _LIMIT)


def _cast(update: Update, old: type, new: type) -> Update:
    parts = {
        part: {name: values.astype(new) if values.dtype == old else values for name, values in arrays.items()}
        for part, arrays in update.parts.items()
    }
    return Update(parts, update.weight, update.metrics)
