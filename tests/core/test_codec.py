"""The codec keeps every bit, agrees with the safetensors package, and refuses whatever is not wholly valid."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from safetensors.numpy import load, save

from ciranda.core.codec import MAX_DIMENSIONS, MAX_HEADER_BYTES, decode, encode
from ciranda.core.errors import CodecError
from ciranda.core.params import DTYPES, model_sha256

tensors = st.sampled_from(list(DTYPES.values())).flatmap(
    lambda dtype: arrays_of.arrays(dtype, arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(lambda name: name != "__metadata__")
models = st.dictionaries(names, tensors, max_size=5)
texts = st.dictionaries(names, names, max_size=3)


def same(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert set(a) == set(b)
    assert model_sha256(a) == model_sha256(b)


def craft(header: Any, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8), **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


@given(models, texts)
def test_decode_undoes_encode(model: dict[str, Any], metadata: dict[str, str]) -> None:
    arrays, text = decode(encode(model, metadata))
    same(arrays, model)
    assert text == metadata
    assert list(arrays) == sorted(model)


@given(models)
def test_encoding_is_canonical(model: dict[str, Any]) -> None:
    turned = {name: array.T.copy().T for name, array in reversed(model.items())}
    assert encode(turned, {"b": "1", "a": "2"}) == encode(model, {"a": "2", "b": "1"})
    assert encode(decode(encode(model))[0]) == encode(model)


@given(models, texts)
def test_the_safetensors_package_reads_ours(model: dict[str, Any], metadata: dict[str, str]) -> None:
    same(load(encode(model, metadata)), model)


@given(models, texts)
def test_we_read_the_safetensors_package(model: dict[str, Any], metadata: dict[str, str]) -> None:
    # The package writes a broken header for no tensors with metadata that is empty but not None.
    arrays, text = decode(save(model, metadata or None))
    same(arrays, model)
    assert text == metadata


def test_big_endian_arrays_are_written_little_endian() -> None:
    assert encode({"x": np.array([1.0, 2.0], ">f4")}) == encode({"x": np.array([1.0, 2.0], "<f4")})


def test_the_arrays_are_read_only_views() -> None:
    data = bytearray(encode({"x": np.arange(4, dtype=np.float32)}))
    array = decode(memoryview(data))[0]["x"]
    assert not array.flags.writeable
    data[-4:] = np.float32(9).tobytes()
    assert array[3] == 9


def test_every_tensor_is_aligned() -> None:
    model: dict[str, Any] = {
        "a": np.zeros(3, np.uint8),
        "b": np.zeros(2, np.float64),
        "c": np.zeros(1, np.float16),
        "d": np.zeros(5, np.float32),
    }
    data = encode(model, {"odd": "x"})
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    assert start % 8 == 0
    assert all(header[name]["data_offsets"][0] % model[name].itemsize == 0 for name in model)


@pytest.mark.parametrize("model", [{"x": np.zeros(1, np.complex64)}, {"__metadata__": np.zeros(1)}, {"\ud800": np.zeros(1)}])
def test_what_the_format_cannot_hold_is_refused(model: dict[str, Any]) -> None:
    with pytest.raises(CodecError):
        encode(model)


def test_a_header_over_the_limit_is_refused() -> None:
    with pytest.raises(CodecError, match="header would take"):
        encode({}, {"x": "y" * MAX_HEADER_BYTES})


def test_a_message_over_the_limit_is_refused() -> None:
    data = encode({"x": np.zeros(4)})
    decode(data, max_bytes=len(data))
    with pytest.raises(CodecError, match=f"takes {len(data)} bytes; at most {len(data) - 1}"):
        decode(data, max_bytes=len(data) - 1)


BODY = b"\0" * 8
FAULTS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "too few"),
    "seven bytes": (b"\0" * 7, "too few"),
    "a header beyond the end": (craft({}, length=3), "claims 3 bytes"),
    "a header of 2^63 bytes": (craft({}, length=2**63), "claims"),
    "a header over the limit": ((MAX_HEADER_BYTES + 1).to_bytes(8, "little") + b" " * (MAX_HEADER_BYTES + 1), "claims"),
    "no JSON": (craft(b"{nonsense"), "not valid JSON"),
    "no UTF-8": (craft(b'{"\xff": 1}'), "not valid JSON"),
    "a lone surrogate": (craft(b'{"\\ud800": {}}'), "not valid JSON"),
    "a list": (craft([]), "must be a JSON object"),
    "deep nesting": (craft(b"[" * 100_000), "not valid JSON"),
    "a huge number": (craft(b'{"x": ' + b"9" * 5000 + b"}"), "not valid JSON"),
    "a name twice": (craft(b'{"x": 1, "x": 2}'), "occurs twice"),
    "metadata of numbers": (craft({"__metadata__": {"a": 1}}), "metadata"),
    "metadata as a list": (craft({"__metadata__": []}), "metadata"),
    "an entry that is no object": (craft({"x": 1}), "must have exactly"),
    "a key too many": (craft({"x": entry(more=1)}, BODY), "must have exactly"),
    "a key missing": (craft({"x": {"dtype": "F32", "shape": [2]}}, BODY), "must have exactly"),
    "an unknown dtype": (craft({"x": entry("F13")}, BODY), "dtype 'F13'"),
    "a dtype that is no text": (craft({"x": entry(["F32"])}, BODY), "dtype"),
    "a negative size": (craft({"x": entry(shape=[-2])}, BODY), "natural numbers"),
    "a fractional size": (craft({"x": entry(shape=[2.0])}, BODY), "natural numbers"),
    "a truth value as size": (craft({"x": entry(shape=[True, 2])}, BODY), "natural numbers"),
    "a shape that is no list": (craft({"x": entry(shape=2)}, BODY), "natural numbers"),
    "too many dimensions": (craft({"x": entry(shape=[2, *[1] * MAX_DIMENSIONS])}, BODY), "natural numbers"),
    "one offset": (craft({"x": entry(offsets=[8])}, BODY), "natural numbers"),
    "negative offsets": (craft({"x": entry(offsets=[-8, 0])}, BODY), "natural numbers"),
    "a shape that overflows": (craft({"x": entry(shape=[2**32, 2**32], offsets=[0, 0])}), "impossible shape"),
    "an empty shape that overflows": (craft({"x": entry(shape=[0, 2**62, 2**62], offsets=[0, 0])}), "impossible shape"),
    "a shape of other bytes": (craft({"x": entry(shape=[3])}, BODY), "cannot take 8 bytes"),
    "offsets in reverse": (craft({"x": entry(offsets=[8, 0])}, BODY), "cannot take -8 bytes"),
    "data beyond the end": (craft({"x": entry()}, BODY[:4]), "take 8 bytes of data; there are 4"),
    "data left over": (craft({"x": entry()}, BODY + b"\0"), "take 8 bytes of data; there are 9"),
    "an overlap": (craft({"x": entry(), "y": entry(offsets=[4, 12])}, b"\0" * 12), "gap or an overlap"),
    "the same bytes twice": (craft({"x": entry(), "y": entry()}, BODY), "gap or an overlap"),
    "a gap": (craft({"x": entry(), "y": entry(offsets=[9, 17])}, b"\0" * 17), "gap or an overlap"),
    "a truth value of 2": (craft({"x": entry("BOOL", [2], [0, 2])}, b"\1\2"), "not truth values"),
}


@pytest.mark.parametrize(("data", "said"), FAULTS.values(), ids=FAULTS.keys())
def test_what_is_not_wholly_valid_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(CodecError, match=said):
        decode(data)


def test_bfloat16_is_refused_with_the_advice_to_keep_master_weights() -> None:
    with pytest.raises(CodecError, match="BF16") as caught:
        decode(craft({"x": entry("BF16", [4])}, BODY))
    assert "master weights" in caught.value.hint


@given(st.binary(max_size=200))
def test_noise_is_refused_or_read_but_never_crashes(noise: bytes) -> None:
    for data in (noise, len(noise).to_bytes(8, "little") + noise, craft(b'{"x":' + noise + b"}")):
        with contextlib.suppress(CodecError):
            decode(data)


@given(models, st.data())
def test_damaged_messages_are_refused_or_read_but_never_crash(model: dict[str, Any], data: st.DataObject) -> None:
    damaged = bytearray(encode(model))
    where = data.draw(st.integers(0, len(damaged) - 1))
    damaged[where] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    for candidate in (bytes(damaged), bytes(damaged[:cut])):
        try:
            arrays, _ = decode(candidate)
        except CodecError:
            continue
        assert sum(array.nbytes for array in arrays.values()) <= len(candidate)
