"""The laws of a stage, as tests. Subclass in a test file and name the stage:

    class TestMine(StageLaws):
        stage = Mine(parameter=0.5)

Needs no pytest; every `test_` method can be called by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import get_args

import numpy as np

from ciranda.core.codec import decode, encode
from ciranda.core.errors import DivergedError, RefusedUpdate
from ciranda.core.params import Array, Arrays, Signature, model_sha256
from ciranda.core.rng import Draw
from ciranda.core.stages import Kind, Stage
from ciranda.core.task import Part
from ciranda.core.update import Contract, Update, accept, finish, fold, zero
from ciranda.testing._values import check_value

ROUNDS = 6
_LAYERS: Mapping[str, tuple[tuple[int, ...], str]] = {
    "conv.weight": ((4, 3, 5, 5), "float32"),
    "linear.bias": ((70,), "float32"),
    "temperature": ((), "float32"),
    "no.outputs": ((0, 5), "float32"),
    "exact.weight": ((6, 7), "float64"),
}


def example_model() -> dict[str, Array]:
    """A small model with every kind of tensor, read-only."""
    model: dict[str, Array] = {name: np.ones(shape, dtype) for name, (shape, dtype) in _LAYERS.items()}
    return _locked({**model, "norm.running_mean": np.ones(4, np.float32), "norm.num_batches_tracked": np.asarray(7, np.int64)})


def part_of(name: str) -> Part:
    """The part of each tensor of `example_model`."""
    return "counters" if name.endswith("tracked") else "buffers" if "running" in name else "model"


def example_update(round: int) -> Update:
    """What a made-up client sends in a round, read-only. Some coordinates are zero, some tensors small and some large."""
    generator = Draw(1).at("update", round=round).generator()
    model: dict[str, Array] = {}
    for place, (name, (shape, dtype)) in enumerate(_LAYERS.items()):
        values = generator.normal(scale=0.1 ** (place % 3), size=shape) * (generator.random(shape) < 0.9)
        model[name] = np.asarray(values, dtype)
    buffers = {"norm.running_mean": np.asarray(generator.normal(size=4), np.float32)}
    counters = {"norm.num_batches_tracked": np.asarray(7 + round, np.int64)}
    return Update({"model": _locked(model), "buffers": _locked(buffers), "counters": _locked(counters)}, 3, {"n": 3, "loss": 1 << 24})


class StageLaws:
    """What every stage must hold to. `tolerance`: how far decode(encode(u)) may be from u, as a share of a tensor's largest value."""

    stage: Stage
    tolerance: float = 2.0**-10

    @property
    def contract(self) -> Contract:
        return Contract.for_model(example_model(), part_of, max_weight=3, cohort=ROUNDS)

    def test_it_is_a_named_value(self) -> None:
        check_value(self.stage, "stage")
        assert self.stage.kind in get_args(Kind), f"kind is {self.stage.kind!r}, not one of {get_args(Kind)}"
        assert isinstance(self.stage.linear, bool), "linear is True or False"
        assert isinstance(self.stage.feeds_back, bool), "feeds_back is True or False"

    def test_weight_and_metrics_pass_unchanged(self) -> None:
        for sent, message, _ in self._history():
            assert (message.weight, message.metrics) == (sent.weight, sent.metrics), "encode() changes the weight or the metrics"
            if not self.stage.linear:
                opened = self.stage.decode(message, self.contract)
                assert (opened.weight, opened.metrics) == (sent.weight, sent.metrics), "decode() changes the weight or the metrics"

    def test_what_does_not_compress_keeps_the_signature(self) -> None:
        for sent, message, _ in self._history():
            if self.stage.kind in ("transform", "privatise"):
                assert _signatures(message) == _signatures(sent), f"a {self.stage.kind} stage must keep names, shapes and dtypes"

    def test_the_contract_admits_what_is_decoded(self) -> None:
        for _, message, _ in self._history():
            assert accept(self.contract, self._opened(message)) == "", "the decoded update is not what the round's contract asks for"

    def test_a_message_can_travel(self) -> None:
        for _, message, _ in self._history():
            arrived = Update({part: decode(encode(arrays))[0] for part, arrays in message.parts.items()}, message.weight, message.metrics)
            assert _bits(self._opened(arrived)) == _bits(self._opened(message)), "a message that travelled is decoded to something else"

    def test_little_is_lost(self) -> None:
        """Of each update; or, for a stage that feeds its error back, of the sum of all updates, what it still owes included."""
        if self.stage.kind not in ("compress", "mask"):
            return
        sums: dict[str, Array] = {}
        for sent, message, state in self._history():
            opened = self._opened(message)
            for name, values in sent.parts["model"].items():
                if not self.stage.feeds_back:
                    self._near(name, opened.parts["model"][name], values)
                sums[name] = sums.get(name, np.zeros(values.shape)) + values - opened.parts["model"][name]
            if self.stage.feeds_back:
                for name, owed in sums.items():
                    assert name in state, f"the state does not hold what is owed to '{name}'"
                    largest = max(1e-3, float(np.abs(state[name]).max(initial=0)))
                    assert np.allclose(state[name], owed, atol=1e-4 * largest), f"what is owed to '{name}' is not what was lost"

    def test_compression_makes_messages_smaller(self) -> None:
        for sent, message, _ in self._history():
            if self.stage.kind == "compress":
                assert message.num_bytes < sent.num_bytes, f"{message.num_bytes} bytes instead of {sent.num_bytes}"

    def test_equal_inputs_give_equal_bits(self) -> None:
        for (_, message, state), (_, again, same) in zip(self._history(), self._history(fresh=True), strict=True):
            assert _bits(message) == _bits(again), "a second message differs: something is hidden in the stage"
            assert model_sha256(state) == model_sha256(same), "a second state differs"

    def test_it_goes_on_from_a_stored_state(self) -> None:
        state: Arrays = {}
        for _, message, _ in self._history():
            sent = example_update(int(message.parts["counters"]["norm.num_batches_tracked"]) - 7)
            found, state = deepcopy(self.stage).encode(sent, decode(encode(state))[0] if state else {})
            assert _bits(found) == _bits(message), "the state does not hold all that the stage remembers"

    def test_it_does_not_write_into_its_inputs(self) -> None:
        """Inputs are locked, so that writing raises; and compared, in case the lock was taken off."""
        state: Arrays = {}
        for round in range(1, ROUNDS + 1):
            sent = example_update(round)
            before, owed = _bits(sent), model_sha256(state)
            message, following = self.stage.encode(sent, state)
            assert (_bits(sent), model_sha256(state)) == (before, owed), "encode() writes into its arguments"
            message = Update({part: _locked(arrays) for part, arrays in message.parts.items()}, message.weight, message.metrics)
            packed = _bits(message)
            self._opened(message)
            assert _bits(message) == packed, "decode() writes into the message"
            state = _locked(following)

    def test_what_is_not_finite_does_not_pass(self) -> None:
        for bad in (np.nan, np.inf):
            sent = example_update(1)
            model = dict(sent.parts["model"])
            model["linear.bias"] = np.where(np.arange(70) == 3, np.float32(bad), model["linear.bias"])
            try:
                message, _ = self.stage.encode(Update({**sent.parts, "model": model}, 3, sent.metrics), {})
                reason = accept(self.contract, self._opened(message))
            except (DivergedError, RefusedUpdate):
                continue
            assert reason, f"an update with {bad} in it was admitted"

    def test_a_message_that_does_not_fit_is_refused(self) -> None:
        """Whatever a message holds: it is refused by decode(), or by the contract; nothing else is raised."""
        (_, message, _), *_ = self._history()
        for what, changed in _mangled(message):
            try:
                reason = accept(self.contract, self._opened(changed))
            except RefusedUpdate:
                continue
            assert reason, f"a message with {what} was admitted"

    def test_messages_of_a_linear_stage_add_up(self) -> None:
        if not self.stage.linear:
            return
        contract = self.contract
        plain, coded = zero(contract), zero(contract)
        for number, (sent, message, _) in enumerate(self._history()):
            plain, coded = fold(contract, plain, str(number), sent), fold(contract, coded, str(number), message)
        expected, found = finish(contract, plain), finish(contract, self.stage.finish(coded))
        for name, values in expected.parts["model"].items():
            self._near(name, found.parts["model"][name], values)

    def _opened(self, message: Update) -> Update:
        return message if self.stage.linear else self.stage.decode(message, self.contract)

    def _history(self, fresh: bool = False) -> Iterator[tuple[Update, Update, Arrays]]:
        """(update, message, state after it) of each round."""
        state: Arrays = {}
        for round in range(1, ROUNDS + 1):
            sent = example_update(round)
            message, state = (deepcopy(self.stage) if fresh else self.stage).encode(sent, _locked(state))
            yield sent, message, state

    def _near(self, name: str, found: Array, values: Array) -> None:
        allowed = self.tolerance * float(np.abs(values).max(initial=0))
        assert found.shape == values.shape, f"'{name}' comes out with shape {found.shape}, not {values.shape}"
        worst = float(np.abs(found.astype(np.float64) - values).max(initial=0))
        assert worst <= allowed, f"'{name}' comes out {worst:.3g} away; {allowed:.3g} is allowed"


def _mangled(message: Update) -> Iterator[tuple[str, Update]]:
    """Messages that are not what they should be."""
    for part, arrays in message.parts.items():
        without = {other: kept for other, kept in message.parts.items() if other != part}
        yield f"no part '{part}'", Update(without, message.weight, message.metrics)
        for name, array in arrays.items():
            for what, changed in (
                ("no tensor", None),
                ("one dimension more in", array[None]),
                ("texts instead of numbers in", array.astype("U8")),
                ("other numbers in", array.astype(np.complex64)),
            ):
                kept = {other: values for other, values in arrays.items() if other != name}
                mangled = kept if changed is None else {**kept, name: changed}
                yield f"{what} '{name}' of '{part}'", Update({**message.parts, part: mangled}, message.weight, message.metrics)
        yield (
            f"a stranger in '{part}'",
            Update({**message.parts, part: {**arrays, "stranger": np.zeros(3)}}, message.weight, message.metrics),
        )


def _signatures(update: Update) -> dict[str, Signature]:
    return {part: Signature.of(arrays) for part, arrays in update.parts.items()}


def _bits(update: Update) -> dict[str, str]:
    return {part: model_sha256(arrays) for part, arrays in update.parts.items()}


def _locked(arrays: Arrays) -> dict[str, Array]:
    for array in arrays.values():
        array.setflags(write=False)
    return dict(arrays)
