"""The laws of a strategy, as tests. Subclass in a test file and name the strategy:

    class TestMine(StrategyLaws):
        strategy = Mine(parameter=0.5)

Needs no pytest; every `test_` method can be called by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import FrozenInstanceError, fields, is_dataclass

import numpy as np

from ciranda.core.codec import decode, encode
from ciranda.core.params import Signature, model_sha256
from ciranda.core.rng import Draw
from ciranda.core.strategies.base import Strategy, StrategyState
from ciranda.core.task import Array, Arrays, ClientSettings
from ciranda.core.update import Aggregate

ROUNDS = 4
# A parameter of each shape that models have, one in double precision; a buffer and a counter that are not the strategy's business.
_LAYERS: Mapping[str, tuple[tuple[int, ...], str]] = {
    "conv.weight": ((4, 3, 2, 2), "float32"),
    "linear.bias": ((5,), "float32"),
    "temperature": ((), "float32"),
    "no.outputs": ((0, 5), "float32"),
    "exact.weight": ((3, 2), "float64"),
}


def example_model() -> dict[str, Array]:
    """A small model with every kind of tensor, read-only."""
    generator = Draw(1).at("model").generator()
    model: dict[str, Array] = {name: np.asarray(generator.normal(size=shape), dtype) for name, (shape, dtype) in _LAYERS.items()}
    model["norm.running_mean"] = np.ones(4, np.float32)
    model["norm.num_batches_tracked"] = np.asarray(7, np.int64)
    return _locked(model)


def example_aggregate(round: int) -> Aggregate:
    """The aggregate of a made-up round: mean differences of the parameters, read-only."""
    generator = Draw(1).at("round", round=round).generator()
    step = {name: np.asarray(generator.normal(scale=0.1, size=shape), dtype) for name, (shape, dtype) in _LAYERS.items()}
    return Aggregate({"model": _locked(step)}, weight=120, count=4, metrics={"n": 120, "loss": 1 << 24})


class StrategyLaws:
    """What every strategy must hold to."""

    strategy: Strategy

    def test_it_is_a_named_value(self) -> None:
        strategy = self.strategy
        assert strategy.name, "a strategy needs a name"
        assert strategy.summary, "a strategy needs a summary"
        assert isinstance(strategy.needs_cohort, bool), "needs_cohort is True or False"
        assert is_dataclass(strategy), "a strategy is a frozen dataclass of its parameters"
        assert deepcopy(strategy) == strategy, "two strategies with the same parameters must be equal"
        try:
            for each in fields(strategy):
                setattr(strategy, each.name, getattr(strategy, each.name))
                raise AssertionError(f"'{each.name}' can be assigned to: freeze the dataclass")
        except FrozenInstanceError:
            pass

    def test_client_settings_is_a_function_of_its_argument(self) -> None:
        given = ClientSettings(local_epochs=3, learning_rate=0.5, extra={"x": 1.0})
        before = deepcopy(given)
        first, second = self.strategy.client_settings(given), self.strategy.client_settings(given)
        assert isinstance(first, ClientSettings), "client_settings returns ClientSettings"
        assert first == second, "equal settings must give equal settings"
        assert given == before, "client_settings must not change its argument"
        assert first.local_epochs == 3, "the experiment decides on the epochs"

    def test_the_state_is_named_numeric_arrays(self) -> None:
        for round, (state, _) in enumerate(self._history()):
            for name, array in state.items():
                assert isinstance(name, str), f"round {round}: the state's names are strings, not {name!r}"
                assert isinstance(array, np.ndarray), f"round {round}: the state's '{name}' is not an array"
                assert array.dtype.kind in "iufb", f"round {round}: the state's '{name}' has dtype {array.dtype}"

    def test_the_state_keeps_its_signature(self) -> None:
        states = [state for state, _ in self._history()]
        for round, state in enumerate(states):
            assert Signature.of(state) == Signature.of(states[0]), f"round {round} changes the state's names, shapes or dtypes"

    def test_the_model_keeps_its_signature(self) -> None:
        for round, (_, model) in enumerate(self._history()):
            Signature.of(example_model()).check(model, f"the model after round {round}")
            for name, tensor in model.items():
                assert isinstance(tensor, np.ndarray), f"'{name}' is a {type(tensor).__name__} after round {round}, not an array"

    def test_equal_inputs_give_equal_bits(self) -> None:
        assert _digests(self._history()) == _digests(self._history()), "a second run differs: something is hidden in the strategy"

    def test_it_goes_on_from_a_stored_state(self) -> None:
        """Every round by a new object, from the bytes of the state and model before: as after a crash, or on a serverless wire."""
        state, model = self.strategy.init(example_model()), dict(example_model())
        stored = [(state, model)]
        for round in range(1, ROUNDS + 1):
            fresh = deepcopy(self.strategy)
            state, model = decode(encode(state))[0], decode(encode(model))[0]
            state, model = _plain(fresh.apply(state, model, example_aggregate(round)))
            stored.append((state, model))
        assert _digests(stored) == _digests(self._history()), "the state does not hold all that the strategy remembers"

    def test_names_may_come_in_any_order(self) -> None:
        model, aggregate = example_model(), example_aggregate(1)
        backwards = Aggregate({"model": _reversed(aggregate.parts["model"])}, aggregate.weight, aggregate.count, aggregate.metrics)
        state = self.strategy.init(model)
        straight = _plain(self.strategy.apply(state, model, aggregate))
        turned = _plain(self.strategy.apply(dict(_reversed(state)), _reversed(model), backwards))
        assert _digests([straight]) == _digests([turned]), "the result depends on the order of the names"

    def test_it_does_not_write_into_its_inputs(self) -> None:
        """Inputs are locked, so that writing raises; and compared, in case the lock was taken off."""
        model, aggregate = example_model(), example_aggregate(1)
        state = _locked(self.strategy.init(model))
        before = deepcopy((state, model, aggregate))
        self.strategy.apply(state, model, aggregate)
        for name, then, now in (
            ("state", before[0], state),
            ("model", before[1], model),
            ("aggregate", before[2].parts["model"], aggregate.parts["model"]),
        ):
            assert model_sha256(then) == model_sha256(now), f"apply writes into the {name}"

    def test_tensors_outside_the_part_stay(self) -> None:
        """Buffers, counters and private tensors have their own reducers."""
        for round, (_, model) in enumerate(self._history()):
            for name in set(example_model()) - set(_LAYERS):
                assert np.array_equal(model[name], example_model()[name]), f"round {round} changes '{name}', which has no mean difference"

    def test_it_stays_finite(self) -> None:
        for round, (state, model) in enumerate(self._history()):
            for name, array in {**state, **model}.items():
                assert np.isfinite(array).all(), f"'{name}' is not finite after round {round}"

    def _history(self) -> list[tuple[StrategyState, dict[str, Array]]]:
        """(state, model) before round 1 and after each round."""
        model: dict[str, Array] = example_model()
        history = [(self.strategy.init(model), model)]
        for round in range(1, ROUNDS + 1):
            state, model = history[-1]
            history.append(_plain(self.strategy.apply(_locked(state), _locked(model), example_aggregate(round))))
        return history


def _plain(result: tuple[StrategyState, Arrays]) -> tuple[StrategyState, dict[str, Array]]:
    return result[0], dict(result[1])


def _locked(arrays: Arrays) -> dict[str, Array]:
    for array in arrays.values():
        array.setflags(write=False)
    return dict(arrays)


def _reversed(arrays: Arrays) -> Arrays:
    return dict(reversed(list(arrays.items())))


def _digests(history: list[tuple[StrategyState, dict[str, Array]]]) -> list[tuple[str, str]]:
    return [(model_sha256(state), model_sha256(model)) for state, model in history]
