"""Arrays in memory that worker processes share, for any start method.

`multiprocessing.RawArray` maps an unlinked file: it survives neither the last process nor a `kill -9`, so nothing is left behind.
"""

from __future__ import annotations

from ctypes import c_byte
from dataclasses import replace
from multiprocessing.context import BaseContext
from typing import Any

import numpy as np

from ciranda.core.params import Signature
from ciranda.core.partition import Partition
from ciranda.core.population import Population
from ciranda.core.task import Array, Arrays, Examples

_ALIGN = 64


class SharedArray:
    """One array in shared memory; `view()` is it, in whichever process."""

    def __init__(self, context: BaseContext, source: Array) -> None:
        self._raw: Any = context.RawArray(c_byte, max(1, source.nbytes))
        self._shape, self._dtype = source.shape, source.dtype
        np.copyto(self.view(), source)

    def view(self) -> Array:
        count = int(np.prod(self._shape, dtype=np.int64))
        return np.frombuffer(self._raw, dtype=self._dtype, count=count).reshape(self._shape)


class SharedModels:
    """Two slots for models of one signature, written in turn: the round's model and the one that may follow it."""

    def __init__(self, context: BaseContext, signature: Signature) -> None:
        self._signature = signature
        self._offsets: list[int] = []
        end = 0
        for tensor in signature.tensors:
            self._offsets.append(end)
            end += -(-tensor.num_bytes // _ALIGN) * _ALIGN
        self._slots: list[Any] = [context.RawArray(c_byte, max(1, end)) for _ in range(2)]
        self._next = 0

    def write(self, arrays: Arrays) -> int:
        """Copy `arrays` into the slot written longest ago; returns its number."""
        slot, self._next = self._next, 1 - self._next
        for name, view in self.view(slot).items():
            np.copyto(view, arrays[name])
        return slot

    def view(self, slot: int) -> dict[str, Array]:
        """The arrays in a slot, not copied."""
        raw = memoryview(self._slots[slot]).cast("B")
        return {
            tensor.name: np.frombuffer(raw[offset : offset + tensor.num_bytes], dtype=tensor.dtype).reshape(tensor.shape)
            for tensor, offset in zip(self._signature.tensors, self._offsets, strict=True)
        }


class SharedPopulation:
    """A population whose arrays are shared, for start methods that would otherwise copy them to every worker."""

    def __init__(self, context: BaseContext, population: Population) -> None:
        data, partition = population.data, population.partition
        self._arrays = [
            SharedArray(context, array)
            for array in (data.train.x, data.train.y, data.test.x, data.test.y, partition.indices, partition.offsets)
        ]
        empty = Examples(np.empty(0), np.empty(0))
        nothing = np.zeros(1, np.int64)
        self._rest = replace(
            population, data=replace(data, train=empty, test=empty, groups=None), partition=Partition(nothing[:0], nothing)
        )

    def view(self) -> Population:
        train_x, train_y, test_x, test_y, indices, offsets = (array.view() for array in self._arrays)
        data = replace(self._rest.data, train=Examples(train_x, train_y), test=Examples(test_x, test_y))
        return replace(self._rest, data=data, partition=Partition(indices, offsets))
