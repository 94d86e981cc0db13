"""Arrays as bytes, in the safetensors format: a JSON header and raw little-endian data; nothing executable.

`encode` is canonical: equal arrays and metadata give equal bytes. Tensors lie by falling item size, then by name, so
that each is aligned; the header's keys are in name order. `decode` trusts nothing: it checks the header, dtypes,
shapes and offsets before it makes any array, and the arrays are read-only views of the bytes given.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ciranda.core.errors import CodecError
from ciranda.core.params import DTYPES, MASTER_WEIGHTS, Array, Arrays, raw_bytes

MAX_HEADER_BYTES = 16 * 1024 * 1024
MAX_DIMENSIONS = 32

_TO_CODE = {
    "float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
_FROM_CODE = {code: DTYPES[name].newbyteorder("<") for name, code in _TO_CODE.items()}
_METADATA = "__metadata__"


def encode(arrays: Arrays, metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes of `arrays` (any shapes, dtypes of `params.DTYPES`) and `metadata` (text to text).

    Raises CodecError for a dtype or a name that the format cannot hold.
    """
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    entries: dict[str, Any] = {}
    begin = 0
    for name in order:
        array = arrays[name]
        code = _TO_CODE.get(array.dtype.name)
        if code is None or name == _METADATA or array.ndim > MAX_DIMENSIONS:
            raise CodecError(
                "Tensor '{name}' ({dtype}, {ndim} dimensions) cannot be encoded.", name=name, dtype=array.dtype, ndim=array.ndim
            )
        entries[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [begin, begin + array.nbytes]}
        begin += array.nbytes
    header: dict[str, Any] = {_METADATA: dict(sorted(metadata.items()))} if metadata else {}
    header.update(sorted(entries.items()))
    try:
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise CodecError("A name or a metadata entry is not valid text: {error}.", error=error) from error
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER_BYTES:
        raise CodecError(
            "The header would take {count} bytes; at most {max_header_bytes} are admitted.",
            count=len(text),
            max_header_bytes=MAX_HEADER_BYTES,
        )
    return b"".join([len(text).to_bytes(8, "little"), text, *(raw_bytes(arrays[name]) for name in order)])


def decode(data: bytes | memoryview, *, max_bytes: int | None = None) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays, in name order, and the metadata of `encode`'s or any safetensors writer's bytes.

    The arrays are read-only views of `data`: nothing is copied. Raises CodecError for anything not wholly valid, or
    longer than `max_bytes`.
    """
    view = memoryview(data).toreadonly().cast("B")
    if max_bytes is not None and len(view) > max_bytes:
        raise CodecError("The message takes {count} bytes; at most {max_bytes} are admitted.", count=len(view), max_bytes=max_bytes)
    header, body = _split(view)
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise CodecError("The metadata must be an object of texts.")
    specs = {name: _spec(name, entry) for name, entry in header.items()}
    _check_layout(specs, len(body))
    arrays = {name: _view(name, body[begin:end], dtype, shape) for name, (dtype, shape, begin, end) in sorted(specs.items())}
    return arrays, metadata


_Spec = tuple[np.dtype[Any], tuple[int, ...], int, int]


def _split(view: memoryview) -> tuple[dict[str, Any], memoryview]:
    """The parsed header and the data after it."""
    if len(view) < 8:
        raise CodecError("{count} bytes are too few for a header.", count=len(view))
    length = int.from_bytes(view[:8], "little")
    if length > min(len(view) - 8, MAX_HEADER_BYTES):
        raise CodecError(
            "The header claims {length} bytes; there are {there}, and at most {max_header_bytes} are admitted.",
            length=length,
            there=len(view) - 8,
            max_header_bytes=MAX_HEADER_BYTES,
        )
    try:
        header = json.loads(str(view[8 : 8 + length], "utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise CodecError("The header is not valid JSON: {error}.", error=error) from error
    if not isinstance(header, dict):
        raise CodecError("The header must be a JSON object.")
    return header, view[8 + length :]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are different and can be written again as UTF-8 (JSON admits lone surrogates)."""
    result: dict[str, Any] = {}
    for key, value in pairs:
        key.encode()
        if key in result:
            raise ValueError(f"the key '{key}' occurs twice")
        result[key] = value
    return result


def _spec(name: str, entry: Any) -> _Spec:
    """The dtype, shape, begin and end of one tensor, each of the right type and agreeing with one another."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise CodecError("Tensor '{name}' must have exactly dtype, shape and data_offsets.", name=name)
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    dtype = _FROM_CODE.get(code) if isinstance(code, str) else None
    if dtype is None:
        hint = MASTER_WEIGHTS if code == "BF16" else ""
        raise CodecError(
            "Tensor '{name}' has dtype {code!r}, which is not one of {from_code}.",
            hint=hint,
            name=name,
            code=code,
            from_code=", ".join(_FROM_CODE),
        )
    if not _naturals(shape) or len(shape) > MAX_DIMENSIONS or not _naturals(offsets) or len(offsets) != 2:
        raise CodecError("Tensor '{name}' has a shape or offsets that are not lists of natural numbers.", name=name)
    # numpy refuses a shape such as (0, 2**62, 2**62) although it has no elements.
    if math.prod(size for size in shape if size) * dtype.itemsize >= 2**63:
        raise CodecError("Tensor '{name}' has an impossible shape {shape}.", name=name, shape=shape)
    begin, end = offsets
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise CodecError(
            "Tensor '{name}' of shape {shape} and dtype {code} cannot take {size} bytes.",
            name=name,
            shape=shape,
            code=code,
            size=end - begin,
        )
    return dtype, tuple(shape), begin, end


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _check_layout(specs: Mapping[str, _Spec], size: int) -> None:
    """The tensors cover the data exactly: no gap, no overlap, nothing left."""
    reached = 0
    for name, (_, _, begin, end) in sorted(specs.items(), key=lambda item: item[1][2:]):
        if begin != reached:
            raise CodecError(
                "Tensor '{name}' begins at byte {begin} of the data, expected {reached}: a gap or an overlap.",
                name=name,
                begin=begin,
                reached=reached,
            )
        reached = end
    if reached != size:
        raise CodecError("The tensors take {reached} bytes of data; there are {size}.", reached=reached, size=size)


def _view(name: str, data: memoryview, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    if dtype == np.bool_ and len(data) and np.frombuffer(data, np.uint8).max() > 1:
        raise CodecError("Tensor '{name}' holds bytes that are not truth values.", name=name)
    return np.frombuffer(data, dtype).reshape(shape)
