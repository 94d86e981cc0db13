"""The reducers of single parts: what each combines, and which parts it cannot serve."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from ciranda.core.errors import RunError, SignatureError
from ciranda.core.exact import Scale
from ciranda.core.params import Signature, TensorSpec
from ciranda.core.reducers import REDUCERS, PartContract

F32, I64 = np.float32, np.int64


def part(reducer: str, *, population: int = 0, weight: int = 1, **arrays: Any) -> PartContract:
    signature = Signature.of(arrays)
    scales = () if reducer in ("max", "concatenate") else tuple(Scale(2.0**10, weight, 4) for _ in arrays)
    return PartContract(reducer, signature, scales, population)


def reduce(contract: PartContract, replies: dict[str, tuple[dict[str, Any], int]]) -> dict[str, Any]:
    reducer = REDUCERS[contract.reducer]
    total = reducer.zero(contract)
    for name, (arrays, weight) in replies.items():
        reason, ready = reducer.examine(contract, arrays, weight)
        assert reason == ""
        reducer.add(contract, total, name, arrays, weight, ready)
    return reducer.finish(contract, total, sum(weight for _, weight in replies.values()), len(replies))


def examine(contract: PartContract, **arrays: Any) -> str:
    return REDUCERS[contract.reducer].examine(contract, arrays, 1)[0]


REPLIES: dict[str, tuple[dict[str, Any], int]] = {
    "b": ({"x": np.array([1.0, 2.0], F32)}, 1),
    "a": ({"x": np.array([5.0, -2.0], F32)}, 3),
}


def test_the_weighted_mean_weighs_by_examples() -> None:
    result = reduce(part("weighted-mean", weight=3, x=np.zeros(2, F32)), REPLIES)
    assert result["x"].dtype == F32
    assert result["x"].tolist() == [4.0, -1.0]


def test_the_mean_of_n_counts_every_client_once_over_the_population() -> None:
    assert reduce(part("mean-of-n", population=8, x=np.zeros(2, F32)), REPLIES)["x"].tolist() == [0.75, 0.0]


def test_the_sum_counts_every_client_once() -> None:
    assert reduce(part("sum", x=np.zeros(2, F32)), REPLIES)["x"].tolist() == [6.0, 0.0]


def test_sums_of_counts_are_exact() -> None:
    contract = PartContract("sum", Signature.of({"n": np.zeros(1)}), (Scale(2.0**40, 1, 4),))
    replies: dict[str, tuple[dict[str, Any], int]] = {str(rank): ({"n": np.array([2.0**40 - rank])}, 1) for rank in range(3)}
    assert reduce(contract, replies)["n"][0] == 3 * 2.0**40 - 3


@pytest.mark.parametrize(
    ("dtype", "values", "largest"),
    [(I64, [3, -(2**62)], 3), (np.uint8, [3, 255], 255), (np.int8, [-3, -128], -3), (np.bool_, [False, True], True)],
)
def test_the_maximum_keeps_the_dtype(dtype: Any, values: list[int], largest: int) -> None:
    contract = part("max", n=np.array(0, dtype))
    result = reduce(contract, {str(value): ({"n": np.array(value, dtype)}, 1) for value in values})
    assert result["n"].dtype == dtype
    assert result["n"].shape == ()
    assert result["n"] == largest


def test_several_counters_lie_side_by_side() -> None:
    contract = part("max", a=np.zeros((2, 1), I64), b=np.array(0, np.int32))
    first = {"a": np.array([[1], [9]]), "b": np.array(4, np.int32)}
    second = {"a": np.array([[2], [3]]), "b": np.array(-4, np.int32)}
    result = reduce(contract, {"x": (first, 1), "y": (second, 1)})
    assert result["a"].tolist() == [[2], [9]]
    assert result["b"] == 4


def test_concatenation_is_by_name_whatever_the_order() -> None:
    contract = part("concatenate", trees=np.zeros((3, 2), F32))
    b, a, empty = np.full((1, 2), 2, F32), np.full((3, 2), 1, F32), np.zeros((0, 2), F32)
    result = reduce(contract, {"b": ({"trees": b}, 1), "c": ({"trees": empty}, 1), "a": ({"trees": a}, 1)})
    assert result["trees"].tolist() == [[1, 1], [1, 1], [1, 1], [2, 2]]
    assert reduce(contract, {})["trees"].shape == (0, 2)
    assert reduce(contract, {})["trees"].dtype == F32


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (np.zeros((3, 2), F32), ""),
        (np.zeros((4, 2), F32), "oversized"),
        (np.zeros((2, 3), F32), "wrong-shape"),
        (np.zeros((2, 2), np.float64), "wrong-shape"),
        (np.zeros((), F32), "wrong-shape"),
        (np.full((1, 2), np.nan, F32), "non-finite"),
    ],
)
def test_rows_to_concatenate_are_examined(sent: Any, reason: str) -> None:
    assert examine(part("concatenate", trees=np.zeros((3, 2), F32)), trees=sent) == reason


def test_rows_under_another_name_are_refused() -> None:
    assert examine(part("concatenate", trees=np.zeros((3, 2), F32)), roots=np.zeros((3, 2), F32)) == "wrong-shape"
    assert examine(part("concatenate", trees=np.zeros(3, F32)), trees=np.array(1, F32)) == "wrong-shape"


@pytest.mark.parametrize("reducer", ["weighted-mean", "mean-of-n", "sum", "max"])
def test_other_tensors_are_the_wrong_shape(reducer: str) -> None:
    dtype = I64 if reducer == "max" else F32
    contract = part(reducer, population=5, x=np.zeros(2, dtype))
    assert examine(contract, x=np.zeros(2, dtype)) == ""
    for wrong in ({}, {"y": np.zeros(2, dtype)}, {"x": np.zeros((2, 1), dtype)}, {"x": np.zeros(2, np.float16)}):
        assert examine(contract, **wrong) == "wrong-shape"


def test_a_mean_over_no_weight_is_refused() -> None:
    contract = part("weighted-mean", x=np.zeros(2, F32))
    with pytest.raises(RunError, match="no weight"):
        reduce(contract, {"a": ({"x": np.ones(2, F32)}, 0)})


def test_impossible_parts_are_refused() -> None:
    signature = Signature.of({"x": np.zeros(2, F32)})
    scale = Scale(1.0, 3, 4)
    with pytest.raises(ValueError, match="no reducer 'median'"):
        PartContract("median", signature)
    with pytest.raises(ValueError, match="as many scales"):
        PartContract("weighted-mean", signature)
    with pytest.raises(ValueError, match="max_weight 1"):
        PartContract("sum", signature, (scale,))
    with pytest.raises(ValueError, match="population"):
        PartContract("mean-of-n", signature, (Scale(1.0, 1, 4),))
    with pytest.raises(ValueError, match="share max_weight"):
        PartContract("weighted-mean", Signature.of({"x": np.zeros(2, F32), "y": np.zeros(1, F32)}), (scale, Scale(1.0, 2, 4)))


@pytest.mark.parametrize(
    ("reducer", "spec"),
    [
        ("sum", TensorSpec("x", (2,), "int64")),
        ("sum", TensorSpec("x", (2,), "float16")),
        ("max", TensorSpec("x", (2,), "float32")),
        ("max", TensorSpec("x", (2,), "uint64")),
        ("concatenate", TensorSpec("x", (), "float32")),
    ],
)
def test_dtypes_and_shapes_that_a_reducer_cannot_serve_are_refused(reducer: str, spec: TensorSpec) -> None:
    scales = (Scale(1.0, 1, 4),) if reducer == "sum" else ()
    with pytest.raises(SignatureError):
        PartContract(reducer, Signature((spec,)), scales)


def test_a_part_survives_the_way_to_another_process() -> None:
    contract = part("weighted-mean", weight=3, x=np.zeros(2, F32))
    copy = pickle.loads(pickle.dumps(contract))  # noqa: S301 - our own bytes
    assert copy == contract
    assert reduce(copy, REPLIES)["x"].tolist() == [4.0, -1.0]
