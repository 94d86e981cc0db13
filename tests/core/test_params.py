"""Signatures say what differs, and digests depend on values alone."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import SignatureError
from ciranda.core.params import Signature, TensorSpec, digest_of, model_sha256, raw_bytes


def model() -> dict[str, Any]:
    return {
        "fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "fc.bias": np.array([0.5, -0.5], np.float32),
        "steps": np.array(7, np.int64),
    }


def test_a_signature_is_in_name_order_whatever_the_order_given() -> None:
    forwards = Signature.of(model())
    backwards = Signature.of(dict(reversed(model().items())))
    assert forwards.names == ("fc.bias", "fc.weight", "steps")
    assert forwards == backwards
    assert forwards.digest == backwards.digest


def test_sizes() -> None:
    signature = Signature.of(model())
    assert signature.num_parameters == 9
    assert signature.num_bytes == 8 * 4 + 8
    assert TensorSpec("x", (), "float64").num_bytes == 8
    assert Signature(()).num_bytes == 0


def test_a_name_declared_twice_is_refused() -> None:
    with pytest.raises(SignatureError, match="'a' is declared twice"):
        Signature((TensorSpec("a", (1,), "float32"), TensorSpec("a", (2,), "float32")))


@pytest.mark.parametrize("array", [np.zeros(2, np.complex64), np.array(["text"]), np.zeros(2, np.longdouble)])
def test_dtypes_that_cannot_travel_are_refused(array: Any) -> None:
    with pytest.raises(SignatureError, match=r"Tensor 'x' has dtype .* not one of"):
        Signature.of({"x": array})


def test_bfloat16_is_refused_with_the_advice_to_keep_master_weights() -> None:
    with pytest.raises(SignatureError) as caught:
        TensorSpec("x", (2,), "bfloat16")
    assert "float32 (master weights)" in caught.value.hint


def test_the_agreed_tensors_pass() -> None:
    Signature.of(model()).check(model(), "client 3's model")
    assert Signature.of(model()).matches(model())


def test_a_big_endian_copy_is_the_same_model() -> None:
    swapped = {name: array.astype(array.dtype.newbyteorder(">")) for name, array in model().items()}
    Signature.of(model()).check(swapped, "a copy")
    assert Signature.of(swapped) == Signature.of(model())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fc.weight": np.zeros((2, 4), np.float32)}, ["'fc.weight'", "[2, 4] float32", "[2, 3] float32"]),
        ({"fc.bias": np.zeros(2, np.float64)}, ["'fc.bias'", "[2] float64", "[2] float32"]),
        ({"extra": np.zeros(1, np.float32)}, ["'extra' was not agreed"]),
        ({"fc.weight": None}, ["'fc.weight' is missing", "[2, 3] float32"]),
    ],
)
def test_each_fault_is_named_with_both_sides(change: dict[str, Any], said: list[str]) -> None:
    signature = Signature.of(model())
    other = {name: array for name, array in {**model(), **change}.items() if array is not None}
    assert not signature.matches(other)
    with pytest.raises(SignatureError) as caught:
        signature.check(other, "client 3's model")
    text = str(caught.value)
    for piece in [*said, "client 3's model", signature.digest[:12], Signature.of(other).digest[:12]]:
        assert piece in text
    assert caught.value.hint


def test_a_long_list_of_faults_is_cut() -> None:
    agreed = {f"layer{rank:02}": np.zeros(1, np.float32) for rank in range(20)}
    with pytest.raises(SignatureError, match="and 15 more"):
        Signature.of(agreed).check({}, "a model")


def test_equal_counts_of_different_names_do_not_match() -> None:
    assert not Signature.of({"a": np.zeros(1)}).matches({"b": np.zeros(1)})


def test_the_digest_of_a_model_has_a_fixed_definition() -> None:
    expected = hashlib.sha256()
    expected.update(b'["a","float32",[2]]\n' + np.array([1, 2], "<f4").tobytes())
    expected.update(b'["b","int64",[]]\n' + np.array(3, "<i8").tobytes())
    arrays = {"b": np.array(3), "a": np.array([1, 2], np.float32)}
    assert model_sha256(arrays) == expected.hexdigest()


def test_the_digest_ignores_order_layout_and_byte_order() -> None:
    arrays = model()
    wide = np.zeros((2, 6), np.float32)
    wide[:, ::2] = arrays["fc.weight"]
    same = {
        "steps": arrays["steps"].astype(">i8"),
        "fc.bias": arrays["fc.bias"][::-1][::-1],
        "fc.weight": wide[:, ::2],
    }
    assert model_sha256(same) == model_sha256(arrays)
    assert model_sha256({**arrays, "fc.weight": np.asfortranarray(arrays["fc.weight"])}) == model_sha256(arrays)


@pytest.mark.parametrize(
    "change",
    [
        {"fc.bias": np.array([0.5, -0.50000006], np.float32)},
        {"fc.bias": np.array([[0.5, -0.5]], np.float32)},
        {"fc.bias": np.array([0.5, -0.5], np.float32).view(np.int32)},
        {"fc.bias2": np.zeros(0, np.float32)},
        {"steps": np.array([7], np.int64)},
    ],
)
def test_the_digest_tells_models_apart(change: dict[str, Any]) -> None:
    assert model_sha256({**model(), **change}) != model_sha256(model())


def test_minus_zero_is_another_value() -> None:
    assert model_sha256({"x": np.array([0.0])}) != model_sha256({"x": np.array([-0.0])})


@given(st.binary(max_size=64))
def test_digest_of_is_sha256(data: bytes) -> None:
    assert digest_of(data) == digest_of(memoryview(data)) == hashlib.sha256(data).hexdigest()


def test_raw_bytes_does_not_copy_what_lies_right() -> None:
    array = np.arange(4, dtype=np.float32)
    view = raw_bytes(array)
    array[0] = 9
    assert bytes(view) == array.tobytes()
    assert bytes(raw_bytes(np.zeros((0, 3)))) == b""
