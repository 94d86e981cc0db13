"""Named arrays: their signature (names, shapes, dtypes) and the digest of their values."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ciranda.core.errors import SignatureError
from ciranda.core.texts import Text, joined

Array = NDArray[Any]
Arrays = Mapping[str, Array]

MASTER_WEIGHTS = "Keep the model's parameters in float32 (master weights) and use half precision inside training only."
DTYPES: Mapping[str, np.dtype[Any]] = {
    name: np.dtype(name)
    for name in (
        *("float64", "float32", "float16", "int64", "int32", "int16", "int8"),
        *("uint64", "uint32", "uint16", "uint8", "bool"),
    )
}
_MOST_FAULTS = 5


@dataclass(frozen=True, order=True)
class TensorSpec:
    """One tensor: its name, shape and dtype (a key of `DTYPES`). Raises SignatureError for any other dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise SignatureError(
                "Tensor '{name}' has dtype {dtype}, which is not one of {dtypes}.",
                hint=MASTER_WEIGHTS if "float" in self.dtype else "",
                name=self.name,
                dtype=self.dtype,
                dtypes=", ".join(DTYPES),
            )

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        return self.size * DTYPES[self.dtype].itemsize

    def __str__(self) -> str:
        return f"shape {list(self.shape)} {self.dtype}"


@dataclass(frozen=True)
class Signature:
    """The agreed tensors of a model or of a part of an update, in name order whatever order they were given in."""

    tensors: tuple[TensorSpec, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", tuple(sorted(self.tensors)))
        names = [spec.name for spec in self.tensors]
        for name, following in pairwise(names):
            if name == following:
                raise SignatureError("Tensor '{name}' is declared twice.", name=name)

    @classmethod
    def of(cls, arrays: Arrays) -> Signature:
        """The signature of `arrays`. Raises SignatureError for a dtype that cannot travel."""
        return cls(tuple(TensorSpec(name, array.shape, array.dtype.name) for name, array in arrays.items()))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.tensors)

    @property
    def num_parameters(self) -> int:
        """Number of elements of all tensors."""
        return sum(spec.size for spec in self.tensors)

    @property
    def num_bytes(self) -> int:
        return sum(spec.num_bytes for spec in self.tensors)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the names, dtypes and shapes, in hex."""
        rows = [[spec.name, spec.dtype, list(spec.shape)] for spec in self.tensors]
        return digest_of(json.dumps(rows, separators=(",", ":")).encode())

    @cached_property
    def _expected(self) -> tuple[tuple[str, tuple[int, ...], np.dtype[Any]], ...]:
        return tuple((spec.name, spec.shape, DTYPES[spec.dtype]) for spec in self.tensors)

    def matches(self, arrays: Arrays) -> bool:
        """Whether `arrays` has exactly these tensors; cheap enough for every small update."""
        if len(arrays) != len(self._expected):
            return False
        for name, shape, dtype in self._expected:
            array = arrays.get(name)
            if array is None or array.shape != shape or array.dtype != dtype:
                return False
        return True

    def check(self, arrays: Arrays, where: str | Text) -> None:
        """Raise SignatureError, naming `where`, each differing tensor with both shapes, and both digests."""
        if self.matches(arrays):
            return
        agreed = {spec.name: spec for spec in self.tensors}
        found = {name: TensorSpec(name, array.shape, array.dtype.name) for name, array in arrays.items()}
        faults = [Text("'{name}' is missing (agreed {agreed})", name=name, agreed=agreed[name]) for name in agreed if name not in found]
        faults += [
            Text("'{name}' was not agreed (it has {found})", name=name, found=found[name]) for name in sorted(found) if name not in agreed
        ]
        faults += [
            Text("'{name}' has {found}, agreed {agreed}", name=name, found=found[name], agreed=agreed[name])
            for name in agreed
            if name in found and found[name] != agreed[name]
        ]
        if not faults:  # the byte order alone differs
            return
        if len(faults) > _MOST_FAULTS:
            faults = [*faults[:_MOST_FAULTS], Text("and {count} more", count=len(faults) - _MOST_FAULTS)]
        digest = Signature(tuple(found.values())).digest
        raise SignatureError(
            "The tensors of {where} are not the agreed ones: {faults} (signature {digest}, agreed {agreed}).",
            hint="Every participant must build the same model: the same layers, sizes and dtypes, in every round.",
            where=where,
            faults=joined("; ", faults),
            digest=digest[:12],
            agreed=self.digest[:12],
        )


def digest_of(data: bytes | memoryview) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def raw_bytes(array: Array) -> memoryview:
    """The little-endian bytes of `array` in C order, without a copy where it already lies so."""
    flat = np.ascontiguousarray(array).reshape(-1)
    little = flat.astype(flat.dtype.newbyteorder("<"), copy=False)
    return little.view(np.uint8).data


def model_sha256(arrays: Arrays) -> str:
    """SHA-256, in hex, over (name, dtype, shape, little-endian bytes) in name order.

    It depends on the values alone, not on a file format, the byte order or the memory layout. Every tensor starts with
    one JSON line, which fixes the number of bytes after it: no two models are framed alike.
    """
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        total.update(json.dumps([name, array.dtype.name, list(array.shape)], separators=(",", ":")).encode() + b"\n")
        total.update(raw_bytes(array))
    return total.hexdigest()
