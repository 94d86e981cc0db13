"""A client's reply as bytes: the arrays of an update in the safetensors format, weight and integer metrics in its metadata.

Canonical, like the codec below it: equal replies are equal bytes, so that their SHA-256 names them. What comes from a wire is
read strictly; anything that is not exactly of this form is a CodecError.
"""

from __future__ import annotations

import json
import re

import numpy as np

from ciranda.core.codec import decode, encode
from ciranda.core.errors import CodecError
from ciranda.core.metrics import Sums
from ciranda.core.params import Array
from ciranda.core.update import MAX_METRIC_CELLS, MAX_METRICS, Contract, Update

METRICS = "metrics"
"""The part name under which metric arrays travel; tensors are named PART/NAME."""

_KEYS = {"kind", "metrics", "weight"}
_NATURAL = re.compile(r"0|[1-9][0-9]{0,17}")
_INTEGER = re.compile(r"-?[0-9]{1,64}")
_OVERHEAD = 64 * 1024
_PER_TENSOR = 512


def encode_update(update: Update) -> bytes:
    """The bytes of a training reply."""
    return _encode("update", update)


def encode_sums(sums: Sums) -> bytes:
    """The bytes of an evaluation reply."""
    return _encode("sums", Update({}, 0, sums))


def decode_update(data: bytes | memoryview) -> Update:
    """The training reply in `data`; its arrays are read-only views of it. Raises CodecError."""
    return _decode("update", data)


def decode_sums(data: bytes | memoryview) -> Sums:
    """The evaluation reply in `data`. Raises CodecError."""
    return _decode("sums", data).metrics


def max_reply_bytes(contract: Contract) -> int:
    """The longest reply that `contract` can have a use for: its tensors, their names, and metrics as large as one part of them or 1 MiB."""
    tensors = [spec for part in contract.parts.values() for spec in part.signature.tensors]
    header = _OVERHEAD + sum(_PER_TENSOR + 6 * len(spec.name) for spec in tensors)
    return contract.num_bytes + header + min(MAX_METRIC_CELLS * 8, max(2**20, contract.num_bytes))


def _encode(kind: str, update: Update) -> bytes:
    arrays: dict[str, Array] = {f"{part}/{name}": array for part, values in update.parts.items() for name, array in values.items()}
    integers: dict[str, str] = {}
    for name, value in sorted(update.metrics.items()):
        if isinstance(value, np.ndarray):
            arrays[f"{METRICS}/{name}"] = value
        else:
            integers[name] = str(value)
    text = json.dumps(integers, separators=(",", ":"), ensure_ascii=False)
    return encode(arrays, {"kind": kind, "metrics": text, "weight": str(update.weight)})


def _decode(kind: str, data: bytes | memoryview) -> Update:
    arrays, metadata = decode(data)
    if set(metadata) != _KEYS or metadata["kind"] != kind or not _NATURAL.fullmatch(metadata["weight"]):
        raise CodecError("This is not a reply of the kind '{kind}': its metadata are not the ones of such a reply.", kind=kind)
    metrics: dict[str, int | Array] = dict(_integers(metadata["metrics"]))
    parts: dict[str, dict[str, Array]] = {}
    for name, array in arrays.items():
        part, slash, rest = name.partition("/")
        if not slash:
            raise CodecError("The tensor '{name}' of a reply names no part.", name=name)
        if part != METRICS:
            parts.setdefault(part, {})[rest] = array
        elif array.dtype != np.int64 or rest in metrics:
            raise CodecError("The metric '{name}' of a reply is not made of 64-bit integers, or is there twice.", name=rest)
        else:
            metrics[rest] = array
    return Update(parts, int(metadata["weight"]), metrics)


def _integers(text: str) -> dict[str, int]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CodecError("The metrics of a reply are not JSON: {error}.", error=str(error)) from error
    if not isinstance(values, dict) or len(values) > MAX_METRICS:
        raise CodecError("The metrics of a reply are not an object of at most {most} integers.", most=MAX_METRICS)
    for name, value in values.items():
        if not isinstance(value, str) or not _INTEGER.fullmatch(value) or str(int(value)) != value:
            raise CodecError("The metric '{name}' of a reply is not an integer.", name=name)
    return {name: int(value) for name, value in values.items()}
