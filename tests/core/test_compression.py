"""The built-in stages: their laws, and what each promises beyond them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from ciranda.core.errors import ExperimentError, RefusedUpdate
from ciranda.core.params import Array, Arrays
from ciranda.core.stages import STAGES, Chain, Clip, Float16, Int8, Kind, Stage, States, TopK
from ciranda.core.update import Contract, Update, accept
from ciranda.testing.stages import StageLaws, example_update


class TestClip(StageLaws):
    stage = Clip(0.5)


class TestFloat16(StageLaws):
    stage = Float16()


class TestInt8(StageLaws):
    stage = Int8()


class TestTopK(StageLaws):
    stage = TopK(0.1)


class TestTopKOfVeryFew(StageLaws):
    stage = TopK(1e-6)


def test_every_stage_is_listed_under_its_own_name() -> None:
    assert {name: kind.name for name, kind in STAGES.items()} == {name: name for name in STAGES}
    assert set(STAGES) == {"float16", "int8", "top-k"}


def sent(**model: Any) -> Update:
    return Update({"model": {name: np.asarray(values) for name, values in model.items()}}, 3, {})


def contract_of(update: Update) -> Contract:
    return Contract.for_model(update.parts["model"], lambda name: "model", max_weight=3, cohort=5)


def opened(stage: Stage, update: Update, state: Arrays | None = None) -> dict[str, Array]:
    return dict(stage.decode(stage.encode(update, state or {})[0], contract_of(update)).parts["model"])


floats = st.floats(-1e6, 1e6, width=32)


# --- int8


@given(arrays_of.arrays(np.float32, st.integers(0, 20), elements=floats))
def test_int8_is_within_half_a_step(values: Any) -> None:
    step = np.abs(values).max(initial=0) / 127
    assert np.abs(opened(Int8(), sent(x=values))["x"].astype(np.float64) - values).max(initial=0) <= step * 0.50001 + 1e-38


def test_int8_takes_a_byte_for_each_number_and_a_scale_for_each_tensor() -> None:
    message, _ = Int8().encode(sent(x=np.ones(1000, np.float32), y=np.ones(10)), {})
    assert message.num_bytes == 1010 + 4 + 8


@pytest.mark.parametrize("values", [[0.0, 0.0], [1e-45, -1e-45], [1e-40, 3e-39], [3e38, -3e38], []])
def test_int8_at_the_ends_of_the_range(values: list[float]) -> None:
    given = np.array(values, np.float32)
    found = opened(Int8(), sent(x=given))["x"]
    assert np.isfinite(found).all()
    assert np.abs(found - given).max(initial=0) <= np.abs(given).max(initial=0)


def test_error_feedback_makes_up_for_what_rounding_takes_away() -> None:
    """A coordinate far below half a step is never sent without feedback, and on average is with it."""
    update, total = sent(x=np.array([1.0, 0.001], np.float32)), 0.0
    state: Arrays = {}
    contract = contract_of(update)
    for _ in range(200):
        message, state = Int8().encode(update, state)
        total += float(Int8().decode(message, contract).parts["model"]["x"][1])
    assert total == pytest.approx(0.2, abs=0.01)
    assert opened(Int8(), update)["x"][1] == 0.0


# --- top-k


@given(arrays_of.arrays(np.float32, st.integers(1, 30), elements=floats), st.floats(0.01, 1.0))
def test_the_largest_are_sent_exactly_and_the_others_not(values: Any, fraction: float) -> None:
    found = opened(TopK(fraction), sent(x=values))["x"]
    kept = np.flatnonzero(found)
    assert np.array_equal(found[kept], values[kept])
    assert len(kept) <= -int(-len(values) * fraction // 1)
    left = np.delete(np.abs(values), kept)
    assert left.max(initial=0) <= np.abs(values[kept]).min(initial=np.inf) or not left.any()


def test_top_k_is_of_all_tensors_together() -> None:
    update = sent(b=np.array([[5.0, -6.0], [1.0, 0.0]], np.float32), a=np.array([2.0, 0.1], np.float32))
    found = opened(TopK(0.34), update)
    assert found["b"].tolist() == [[5.0, -6.0], [0.0, 0.0]]
    assert found["a"].tolist() == [2.0, 0.0]


def test_of_equal_ones_the_first_are_sent() -> None:
    found = opened(TopK(0.5), sent(b=np.ones(3, np.float32), a=-np.ones(3, np.float32)))
    assert found["a"].tolist() == [-1.0, -1.0, -1.0]
    assert found["b"].tolist() == [0.0, 0.0, 0.0]


def test_what_was_not_sent_is_sent_later() -> None:
    update, total = sent(x=np.array([10.0, 3.0], np.float32)), np.zeros(2)
    state: Arrays = {}
    contract = contract_of(update)
    for _ in range(20):
        message, state = TopK(0.5).encode(update, state)
        total += TopK(0.5).decode(message, contract).parts["model"]["x"]
    np.testing.assert_allclose(total + state["x"], np.array([200.0, 60.0]))
    assert total[1] > 40


@pytest.mark.parametrize(("size", "dtype"), [(200, np.uint8), (257, np.uint16), (70_000, np.uint32)])
def test_places_are_as_small_as_can_be(size: int, dtype: Any) -> None:
    message, _ = TopK(0.01).encode(sent(x=np.arange(size, dtype=np.float32)), {})
    assert message.parts["top-k-places"]["x"].dtype == dtype
    assert opened(TopK(0.01), sent(x=np.arange(size, dtype=np.float32)))["x"][-1] == size - 1


def test_a_message_cannot_claim_more_than_was_agreed() -> None:
    update = sent(x=np.arange(10, dtype=np.float32))
    message, _ = TopK(0.3).encode(update, {})
    for places in ([1, 1, 2], [2, 1, 3], [7, 8, 10], [0, 1]):
        forged = Update({**message.parts, "top-k-places": {"x": np.array(places, np.uint8)}}, 3, {})
        with pytest.raises(RefusedUpdate, match="'x'") as caught:
            TopK(0.3).decode(forged, contract_of(update))
        assert caught.value.reason == "wrong-shape"


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.5, float("nan")])
def test_impossible_fractions_are_refused(fraction: float) -> None:
    with pytest.raises(ExperimentError, match="fraction"):
        TopK(fraction)


# --- in a chain


@pytest.mark.parametrize("stage", [Int8(), TopK(0.1)])
def test_a_stage_that_feeds_back_outgrows_the_clipping_norm(stage: Stage) -> None:
    """Which is why the contract's bounds then come from the model, and differential privacy refuses it."""
    chain = Chain([Clip(0.05), stage])
    assert chain.feeds_back
    assert not Chain([Clip(0.05), Float16()]).feeds_back
    with pytest.raises(ExperimentError, match="'differential-privacy' and 'error-feedback'"):
        chain.check(["differential-privacy"])
    with pytest.raises(ExperimentError, match=f"'secure-aggregation' and '{stage.name}'"):
        chain.check(["secure-aggregation"])


def test_compression_after_clipping() -> None:
    chain = Chain([Clip(1.0), TopK(0.2)])
    state: States = {}
    update = example_update(1)
    contract = Contract.for_model(update.parts["model"], lambda name: "model", max_weight=3, cohort=5)
    for _ in range(3):
        message, state = chain.step(Update({"model": update.parts["model"]}, 3, {}), state)
        assert accept(contract, chain.decode(message, contract)) == ""
    assert set(state) == {"top-k"}


# --- the laws can see


@dataclass(frozen=True)
class Honest(Stage):
    """Halves on the way out and doubles on the way back."""

    name: ClassVar[str] = "honest"
    kind: ClassVar[Kind] = "compress"

    def encode(self, update: Update, state: Arrays) -> tuple[Update, Arrays]:
        return Float16().encode(update, state)

    def decode(self, message: Update, contract: Contract) -> Update:
        return Float16().decode(message, contract)


class TestHonest(StageLaws):
    stage = Honest()


@dataclass(frozen=True)
class Forgetful(Honest):
    def decode(self, message: Update, contract: Contract) -> Update:
        return Update({**message.parts, "model": {name: np.zeros_like(array) for name, array in message.parts["model"].items()}}, 3, {})


@dataclass(frozen=True)
class InPlace(Honest):
    def encode(self, update: Update, state: Arrays) -> tuple[Update, Arrays]:
        update.parts["model"]["linear.bias"].setflags(write=True)
        update.parts["model"]["linear.bias"][:] = 0
        return super().encode(update, state)


@dataclass(frozen=True)
class Hidden(Honest):
    calls: list[int] = field(default_factory=list)

    def encode(self, update: Update, state: Arrays) -> tuple[Update, Arrays]:
        self.calls.append(1)
        model = {name: array * array.dtype.type(len(self.calls)) for name, array in update.parts["model"].items()}
        return super().encode(Update({**update.parts, "model": model}, update.weight, update.metrics), state)


@dataclass(frozen=True)
class Wider(Honest):
    def encode(self, update: Update, state: Arrays) -> tuple[Update, Arrays]:
        return update, state

    def decode(self, message: Update, contract: Contract) -> Update:
        return message


@dataclass(frozen=True)
class Trusting(Int8):
    def decode(self, message: Update, contract: Contract) -> Update:
        scales = message.parts["int8-scales"]
        model = {name: np.asarray(array * scales[name]) for name, array in message.parts["model"].items()}
        return Update({**{part: kept for part, kept in message.parts.items() if part != "int8-scales"}, "model": model}, 3, message.metrics)


@dataclass(frozen=True)
class NoFeedback(Int8):
    def encode(self, update: Update, state: Arrays) -> tuple[Update, Arrays]:
        message, lost = super().encode(update, {})
        return message, lost


@dataclass(frozen=True)
class NotATransform(Honest):
    kind: ClassVar[Kind] = "transform"


@pytest.mark.parametrize(
    ("stage", "law"),
    [
        (Forgetful(), StageLaws.test_little_is_lost),
        (Forgetful(), StageLaws.test_weight_and_metrics_pass_unchanged),
        (InPlace(), StageLaws.test_it_does_not_write_into_its_inputs),
        (Hidden(), StageLaws.test_equal_inputs_give_equal_bits),
        (Wider(), StageLaws.test_compression_makes_messages_smaller),
        (Trusting(), StageLaws.test_a_message_that_does_not_fit_is_refused),
        (NoFeedback(), StageLaws.test_little_is_lost),
        (NotATransform(), StageLaws.test_what_does_not_compress_keeps_the_signature),
    ],
)
def test_a_broken_law_is_found(stage: Stage, law: Callable[[Any], None]) -> None:
    suite = StageLaws()
    suite.stage = stage
    with pytest.raises((AssertionError, KeyError, TypeError, ValueError)):
        law(suite)
