"""Replies as bytes: canonical, exact, and strict about what comes from a wire."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ciranda.core.codec import decode, encode
from ciranda.core.errors import CodecError
from ciranda.core.message import decode_sums, decode_update, encode_sums, encode_update, max_reply_bytes
from ciranda.core.metrics import Sums
from ciranda.core.update import Contract, Update

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
FLOATS = arrays.arrays(np.float32, arrays.array_shapes(max_dims=2, max_side=4), elements=st.floats(width=32, allow_nan=False))
COUNTS = arrays.arrays(np.int64, arrays.array_shapes(max_dims=2, max_side=3))
SUMS = st.dictionaries(NAMES, st.integers(-(2**190), 2**190) | COUNTS, max_size=4)


def same(a: Sums, b: Sums) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert type(value) is type(b[name])
        np.testing.assert_array_equal(value, b[name])


@given(st.dictionaries(NAMES, FLOATS, max_size=3), st.integers(0, 2**53), SUMS)
def test_an_update_comes_back_as_it_was(model: dict[str, np.ndarray], weight: int, metrics: Sums) -> None:
    update = Update({"model": model} if model else {}, weight, metrics)
    found = decode_update(encode_update(update))
    assert found.weight == weight
    assert found.parts.keys() == update.parts.keys()
    for part, values in update.parts.items():
        assert found.parts[part].keys() == values.keys()
        for name, array in values.items():
            np.testing.assert_array_equal(found.parts[part][name], array)
    same(found.metrics, metrics)
    assert encode_update(found) == encode_update(update)


@given(SUMS)
def test_sums_come_back_as_they_were(metrics: Sums) -> None:
    same(decode_sums(encode_sums(metrics)), metrics)


def test_the_order_of_metrics_and_tensors_does_not_matter() -> None:
    one = Update({"b": {"y": np.ones(2), "x": np.ones(1)}, "a": {"z": np.ones(3)}}, 3, {"n": 1, "loss": 2})
    other = Update({"a": {"z": np.ones(3)}, "b": {"x": np.ones(1), "y": np.ones(2)}}, 3, {"loss": 2, "n": 1})
    assert encode_update(one) == encode_update(other)


def test_one_kind_of_reply_is_not_taken_for_the_other() -> None:
    with pytest.raises(CodecError, match="kind 'sums'"):
        decode_sums(encode_update(Update({}, 1, {})))
    with pytest.raises(CodecError, match="kind 'update'"):
        decode_update(encode_sums({}))


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"kind": "update", "weight": "1"},
        {"kind": "update", "weight": "-1", "metrics": "{}"},
        {"kind": "update", "weight": "1.0", "metrics": "{}"},
        {"kind": "update", "weight": "1" * 30, "metrics": "{}"},
        {"kind": "update", "weight": "٣", "metrics": "{}"},
        {"kind": "update", "weight": "1", "metrics": "{}", "more": ""},
        {"kind": "update", "weight": "1", "metrics": "["},
        {"kind": "update", "weight": "1", "metrics": "[]"},
        {"kind": "update", "weight": "1", "metrics": '{"n": 1}'},
        {"kind": "update", "weight": "1", "metrics": '{"n": "01"}'},
        {"kind": "update", "weight": "1", "metrics": '{"n": "1e3"}'},
        {"kind": "update", "weight": "1", "metrics": '{"n": "' + "9" * 80 + '"}'},
        {"kind": "update", "weight": "1", "metrics": "[" * 100_000},
    ],
)
def test_metadata_of_another_form_is_refused(metadata: dict[str, str]) -> None:
    with pytest.raises(CodecError):
        decode_update(encode({}, metadata))


@pytest.mark.parametrize(
    "tensors", [{"w": np.ones(1)}, {"metrics/n": np.ones(1)}, {"metrics/twice": np.ones(1, np.int64)}], ids=["no part", "floats", "twice"]
)
def test_tensors_that_do_not_belong_are_refused(tensors: dict[str, np.ndarray]) -> None:
    with pytest.raises(CodecError):
        decode_update(encode(tensors, {"kind": "update", "weight": "1", "metrics": '{"twice": "1"}'}))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        decode_update(data)


@pytest.mark.parametrize("width", [1, 1000, 300_000])
def test_the_limit_admits_what_the_contract_admits_and_little_more(width: int) -> None:
    model = {f"layer-{number}": np.zeros(width, np.float32) for number in range(3)}
    contract = Contract.for_model(model, lambda name: "model", max_weight=10, cohort=3)
    reply = encode_update(Update({"model": model}, 10, {"n": 10, "confusion": np.zeros((100, 100), np.int64)}))
    limit = max_reply_bytes(contract)
    assert len(reply) <= limit <= 2 * contract.num_bytes + 2**21
    assert decode(reply)[1]["weight"] == "10"
