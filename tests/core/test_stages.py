"""Stages: their laws, the order of a chain, and what excludes one another."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from ciranda.core.errors import DivergedError, ExperimentError, RefusedUpdate
from ciranda.core.params import Arrays, Signature
from ciranda.core.stages import INCOMPATIBLE, Chain, Clip, Float16, Kind, Stage, incompatible, l2_norm
from ciranda.core.strategies import Scaffold
from ciranda.core.texts import Text
from ciranda.core.update import Contract, Total, Update, accept, finish, fold, zero

finite = st.floats(-1e4, 1e4, width=16)
tensors = arrays_of.arrays(np.float32, arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4), elements=finite)


def update(**model: Any) -> Update:
    return Update({"model": model}, 3, {"n": 3})


def contract_of(model: Arrays) -> Contract:
    return Contract.for_model(model, lambda name: "model", max_weight=3, cohort=5)


X = contract_of({"x": np.zeros(5, np.float32)})


def norm_squared(arrays: Arrays) -> Fraction:
    return sum((Fraction(float(value)) ** 2 for array in arrays.values() for value in array.reshape(-1)), Fraction(0))


class Recorder(Stage):
    """Does nothing but write its name down in the metrics, on the way out and on the way back."""

    name: ClassVar[str] = "recorder"
    kind: ClassVar[Kind] = "transform"

    def __init__(self, name: str, kind: Kind, linear: bool = False) -> None:
        vars(self).update(name=name, kind=kind, linear=linear)

    def encode(self, update: Update, state: Arrays) -> tuple[Update, Arrays]:
        times = int(state.get("times", np.array(0))) + 1
        seen = {**update.metrics, f"encode {self.name}": len(update.metrics) * 100 + times}
        return Update(update.parts, update.weight, seen), {"times": np.array(times)}

    def decode(self, message: Update, contract: Contract) -> Update:
        return Update(message.parts, message.weight, {**message.metrics, f"decode {self.name}": len(message.metrics)})


class Turned(Stage):
    """Reverses the coordinates: a linear map, undone once on the total."""

    name: ClassVar[str] = "turned"
    kind: ClassVar[Kind] = "compress"
    linear: ClassVar[bool] = True

    def encode(self, update: Update, state: Arrays) -> tuple[Update, Arrays]:
        turned = {name: array[::-1] for name, array in update.parts["model"].items()}
        return Update({"model": turned}, update.weight, update.metrics), state

    def finish(self, total: Total) -> Total:
        return Total(total.contract, {"model": total.parts["model"][::-1]}, total.weight, total.count, total.metrics)


# --- clipping


@given(st.dictionaries(st.sampled_from("abc"), tensors, min_size=1), st.floats(1e-3, 1e5))
def test_the_clipped_update_is_within_the_norm_exactly(model: dict[str, Any], norm: float) -> None:
    clipped, _ = Clip(norm).encode(update(**model), {})
    assert norm_squared(clipped.parts["model"]) <= Fraction(norm) ** 2 * (1 + Fraction(1, 2**50))
    assert Signature.of(clipped.parts["model"]) == Signature.of(model)
    assert (clipped.weight, clipped.metrics) == (3, {"n": 3})


@given(st.dictionaries(st.sampled_from("abc"), tensors, min_size=1), st.floats(1e-3, 1e5))
def test_clipping_keeps_the_direction_and_loses_next_to_nothing(model: dict[str, Any], norm: float) -> None:
    clipped = Clip(norm).encode(update(**model), {})[0].parts["model"]
    size = float(norm_squared(model)) ** 0.5
    if size <= norm:
        assert clipped is model or all(clipped[name] is model[name] for name in model)
        return
    for name, values in model.items():
        np.testing.assert_allclose(clipped[name], values.astype(np.float64) * (norm / size), rtol=2.0**-21, atol=1e-44)


def test_the_norm_is_that_of_all_tensors_together() -> None:
    clipped = Clip(1.0).encode(update(a=np.array([3.0], np.float32), b=np.array([[4.0]], np.float32)), {})[0].parts["model"]
    np.testing.assert_allclose([clipped["a"][0], clipped["b"][0, 0]], [0.6, 0.8], rtol=1e-6)


def test_an_update_at_the_norm_passes_unchanged() -> None:
    whole = update(a=np.array([3.0, 4.0], np.float32))
    assert Clip(5.0).encode(whole, {})[0] is whole


def test_buffers_counters_and_the_given_arrays_are_left_alone() -> None:
    model, buffers = {"a": np.full(4, 9, np.float32)}, {"r": np.full(4, 9, np.float32)}
    clipped, state = Clip(1.0).encode(Update({"model": model, "buffers": buffers}, 1, {}), {"mine": np.array(1)})
    assert clipped.parts["buffers"] is buffers
    assert model["a"].tolist() == [9, 9, 9, 9]
    assert state == {"mine": np.array(1)}
    assert Clip(1.0).encode(Update({"buffers": buffers}, 1, {}), {})[0].parts == {"buffers": buffers}


@pytest.mark.parametrize("norm", [0.25, 1.0, 3.0, 1e3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_clipped_is_within_the_contracts_bound(norm: float, dtype: Any) -> None:
    model = {"x": np.zeros(3, dtype)}
    contract = Contract.for_model(model, lambda name: "model", max_weight=3, cohort=2, clipping_norm=norm)
    clipped = Clip(norm).encode(update(x=np.array([0, 1e5, 0], dtype)), {})[0]
    assert accept(contract, clipped) == ""
    assert accept(contract, update(x=np.array([0, 1e5, 0], dtype))) == "out-of-range"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_there_is_no_norm_of_what_is_not_finite(bad: float) -> None:
    with pytest.raises(DivergedError, match="not a finite number"):
        Clip(1.0).encode(update(x=np.array([1.0, bad], np.float32)), {})


@pytest.mark.parametrize("norm", [0.0, -1.0, float("nan"), float("inf"), 2.0**-101])
def test_impossible_norms_are_refused(norm: float) -> None:
    with pytest.raises(ExperimentError, match="clipping norm"):
        Clip(norm)


@pytest.mark.parametrize(
    ("values", "norm"), [([3e200, 4e200], 5e200), ([3e-200, 4e-200], 5e-200), ([], 0.0), ([0.0], 0.0), ([3.0, -4.0], 5.0)]
)
def test_the_norm_neither_overflows_nor_vanishes(values: list[float], norm: float) -> None:
    assert l2_norm([np.array(values)]) == pytest.approx(norm, rel=1e-15)


@pytest.mark.parametrize("values", [[np.nan, 1.0], [np.inf, 0.0], [np.nan, np.inf]])
def test_the_norm_of_what_is_not_finite_is_not_finite(values: list[float]) -> None:
    assert not np.isfinite(l2_norm([np.zeros(2), np.array(values)]))


def test_the_order_of_tensors_does_not_change_a_bit_of_the_norm() -> None:
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal(1000 + rank).astype(np.float32) * np.float32(10.0 ** (rank % 7)) for rank in range(40)]
    arrays.append(generator.standard_normal(70_000).astype(np.float32))
    orders = [generator.permutation(len(arrays)) for _ in range(10)]
    assert {l2_norm([arrays[rank] for rank in order]) for order in orders} == {l2_norm(arrays)}
    assert l2_norm(arrays) == pytest.approx(float(np.linalg.norm(np.concatenate(arrays).astype(np.float64))), rel=1e-14)


# --- float16


@given(arrays_of.arrays(np.float32, 5, elements=st.floats(-65504, 65504, width=32)))
def test_float16_keeps_the_stated_error(values: Any) -> None:
    stage = Float16()
    message, _ = stage.encode(update(x=values), {})
    assert message.parts["model"]["x"].dtype == np.float16
    back = stage.decode(message, X)
    assert back.parts["model"]["x"].dtype == np.float32
    assert (back.weight, back.metrics) == (3, {"n": 3})
    error = np.abs(back.parts["model"]["x"].astype(np.float64) - values)
    assert (error <= np.maximum(2.0**-11 * np.abs(values.astype(np.float64)), 2.0**-25)).all()


@given(arrays_of.arrays(np.float16, 5, elements=finite))
def test_what_float16_holds_comes_back_to_the_bit(values: Any) -> None:
    sent = update(x=values.astype(np.float32))
    assert Float16().decode(Float16().encode(sent, {})[0], X).parts["model"]["x"].tobytes() == sent.parts["model"]["x"].tobytes()


def test_float64_and_counters_pass_unchanged() -> None:
    sent = Update({"model": {"d": np.array([1 / 3])}, "counters": {"n": np.array(2**40)}}, 1, {})
    message, _ = Float16().encode(sent, {})
    assert message.parts["model"]["d"] is sent.parts["model"]["d"]
    assert Float16().decode(message, X).parts["counters"]["n"] == 2**40


@pytest.mark.parametrize("bad", [65520.0, -65520.0, 1e30, np.inf, np.nan])
def test_what_float16_cannot_hold_is_refused(bad: float) -> None:
    with pytest.raises(RefusedUpdate, match=r"'x'.*65,520") as caught:
        Float16().encode(update(x=np.array([1.0, bad], np.float32)), {})
    assert caught.value.reason == "out-of-range"
    Float16().encode(update(x=np.array([65519.0, -65519.0], np.float32), y=np.zeros((0, 2), np.float32)), {})


# --- chains


def test_an_empty_chain_changes_nothing() -> None:
    one = update(x=np.ones(2, np.float32))
    assert Chain().encode(one) is one
    assert Chain().decode(one, X) is one


def test_stages_are_undone_in_reverse() -> None:
    chain = Chain([Recorder("a", "transform"), Recorder("b", "compress")])
    message = chain.encode(Update({}, 1, {}))
    assert list(chain.decode(message, X).metrics) == ["encode a", "encode b", "decode b", "decode a"]


def test_each_stage_keeps_its_own_state() -> None:
    chain = Chain([Recorder("a", "transform"), Clip(1.0), Recorder("b", "compress")])
    states: Any = {"a": {"times": np.array(4)}}
    message, states = chain.step(Update({}, 1, {}), states)
    assert {name: int(state["times"]) for name, state in states.items()} == {"a": 5, "b": 1}
    assert message.metrics["encode a"] == 5
    assert {name: int(state["times"]) for name, state in chain.step(Update({}, 1, {}), states)[1].items()} == {"a": 6, "b": 2}


def test_a_chain_decodes_to_what_the_contract_admits() -> None:
    model = {"x": np.zeros((2, 3), np.float32)}
    contract = Contract.for_model(model, lambda name: "model", max_weight=3, cohort=2, clipping_norm=2.0)
    chain = Chain([Clip(2.0), Float16()])
    message = chain.encode(update(x=np.full((2, 3), 7, np.float32)))
    assert accept(contract, message) == "wrong-shape"
    assert accept(contract, chain.decode(message, contract)) == ""


def test_a_linear_stage_is_undone_on_the_total() -> None:
    model = {"x": np.zeros(3, np.float32)}
    contract = Contract.for_model(model, lambda name: "model", max_weight=3, cohort=5)
    chain = Chain([Turned()])
    plain, coded = zero(contract), zero(contract)
    for rank in range(5):
        one = update(x=np.random.default_rng(rank).standard_normal(3).astype(np.float32))
        plain = fold(contract, plain, str(rank), one)
        coded = fold(contract, coded, str(rank), chain.decode(chain.encode(one), contract))
    undone = finish(contract, chain.finish(coded)).parts["model"]["x"]
    assert undone.tobytes() == finish(contract, plain).parts["model"]["x"].tobytes()
    assert undone.tobytes() != finish(contract, coded).parts["model"]["x"].tobytes()


@pytest.mark.parametrize("first", range(4))
@pytest.mark.parametrize("second", range(4))
def test_kinds_come_in_their_order(first: int, second: int) -> None:
    kinds: list[Kind] = ["transform", "privatise", "compress", "mask"]
    stages = [Recorder("one", kinds[first]), Recorder("two", kinds[second])]
    if first <= second:
        assert Chain(stages).stages == tuple(stages)
    else:
        with pytest.raises(ExperimentError, match=f"'two' \\({kinds[second]}\\) cannot come after 'one' \\({kinds[first]}\\)"):
            Chain(stages)


def test_a_stage_twice_is_refused() -> None:
    with pytest.raises(ExperimentError, match="'clip' occurs twice"):
        Chain([Clip(1.0), Clip(2.0)])


def test_what_needs_decoding_cannot_precede_what_only_the_sum_opens() -> None:
    mask = Recorder("masks", "mask", linear=True)
    with pytest.raises(ExperimentError, match="'float16' has to be decoded message by message, but after 'masks'"):
        Chain([Clip(1.0), Float16(), mask])
    Chain([Clip(1.0), Turned(), mask])


def test_stages_that_exclude_one_another_are_refused() -> None:
    with pytest.raises(ExperimentError, match="'secure-aggregation' and 'float16' cannot work together"):
        Chain([Float16(), Recorder("secure-aggregation", "mask")])


@pytest.mark.parametrize("name", ["strategy", "private"])
def test_a_stage_cannot_take_the_place_of_another_state(name: str) -> None:
    with pytest.raises(ExperimentError, match=f"cannot be called '{name}'"):
        Chain([Recorder(name, "transform")])


def test_stages_are_checked_against_what_stands_beside_them() -> None:
    Chain([Clip(1.0)]).check(["parts-beside-the-model"])
    with pytest.raises(ExperimentError, match="'clip' and 'scaled-updates' cannot work together"):
        Chain([Clip(1.0)]).check(["parts-beside-the-model", "scaled-updates"])
    with pytest.raises(ExperimentError, match="'differential-privacy' and 'parts-beside-the-model'"):
        Chain([Recorder("noise", "privatise")]).check(Scaffold.features)


# --- what excludes one another


@pytest.mark.parametrize(("pair", "reason"), INCOMPATIBLE.items(), ids=map(" and ".join, INCOMPATIBLE))
def test_each_pair_is_refused_with_its_reason_in_either_order(pair: tuple[str, str], reason: Text) -> None:
    for features in (pair, pair[::-1], {*pair, "something-else"}):
        (said,) = incompatible(features)
        assert all(name in str(said) for name in pair)
        assert str(said).endswith(str(reason))
    assert incompatible([pair[0]]) == incompatible([pair[1]]) == []


@pytest.mark.parametrize(
    "pair",
    [
        ("secure-aggregation", "whole-cohort-rule"),
        ("differential-privacy", "running-statistics"),
        ("differential-privacy", "loss-based-selection"),
    ],
)
def test_the_table_holds_what_the_design_names(pair: tuple[str, str]) -> None:
    assert incompatible(pair)


def test_what_works_together_has_no_reason_against_it() -> None:
    assert incompatible([]) == incompatible(["differential-privacy", "secure-aggregation", "clip"]) == []
    assert len(incompatible({"differential-privacy", "secure-aggregation", "counters", "running-statistics"})) == 3
