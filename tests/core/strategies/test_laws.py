"""The laws can be broken: for each, a strategy that breaks just that one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from ciranda.core.errors import SignatureError
from ciranda.core.strategies import StrategyState
from ciranda.core.strategies.base import BaseStrategy, moved
from ciranda.core.task import Arrays, ClientSettings
from ciranda.core.update import Aggregate
from ciranda.testing.strategies import StrategyLaws


@dataclass(frozen=True)
class Honest(BaseStrategy):
    """Server momentum: the smallest strategy with a state."""

    beta: float = 0.5

    name: ClassVar[str] = "honest"
    summary: ClassVar[str] = "momentum on the server"

    def init(self, model: Arrays) -> StrategyState:
        return {name: np.zeros_like(tensor) for name, tensor in model.items() if "norm." not in name}

    def apply(self, state: StrategyState, model: Arrays, aggregate: Aggregate) -> tuple[StrategyState, Arrays]:
        step = aggregate.parts["model"]
        speed = {name: np.asarray(self.beta * state[name] + step[name], step[name].dtype) for name in step}
        return speed, moved(model, speed)


class TestHonest(StrategyLaws):
    strategy = Honest()


@dataclass(frozen=True)
class Hidden(Honest):
    memory: dict[str, int] = field(default_factory=dict)

    def apply(self, state: StrategyState, model: Arrays, aggregate: Aggregate) -> tuple[StrategyState, Arrays]:
        self.memory["rounds"] = self.memory.get("rounds", 0) + 1
        state, model = super().apply(state, model, aggregate)
        return state, {**model, "linear.bias": model["linear.bias"] * np.float32(self.memory["rounds"])}


@dataclass(frozen=True)
class InPlace(Honest):
    def apply(self, state: StrategyState, model: Arrays, aggregate: Aggregate) -> tuple[StrategyState, Arrays]:
        for name, step in aggregate.parts["model"].items():
            model[name].setflags(write=True)
            model[name][...] += step
        return state, model


@dataclass(frozen=True)
class Doubles(Honest):
    def apply(self, state: StrategyState, model: Arrays, aggregate: Aggregate) -> tuple[StrategyState, Arrays]:
        state, model = super().apply(state, model, aggregate)
        return state, {**model, "linear.bias": model["linear.bias"].astype(np.float64)}


@dataclass(frozen=True)
class Objects(Honest):
    def init(self, model: Arrays) -> StrategyState:
        return {**super().init(model), "note": np.asarray(["text"], dtype=object)}


@dataclass(frozen=True)
class GrowingState(Honest):
    def apply(self, state: StrategyState, model: Arrays, aggregate: Aggregate) -> tuple[StrategyState, Arrays]:
        speed, model = super().apply(state, model, aggregate)
        return {**speed, f"history.{len(state)}": np.zeros(1)}, model


@dataclass(frozen=True)
class Meddler(Honest):
    def apply(self, state: StrategyState, model: Arrays, aggregate: Aggregate) -> tuple[StrategyState, Arrays]:
        state, model = super().apply(state, model, aggregate)
        return state, {**model, "norm.num_batches_tracked": np.asarray(0, np.int64)}


@dataclass(frozen=True)
class FirstName(Honest):
    def apply(self, state: StrategyState, model: Arrays, aggregate: Aggregate) -> tuple[StrategyState, Arrays]:
        state, after = super().apply(state, model, aggregate)
        return state, {**after, "temperature": np.asarray(len(next(iter(model))), np.float32)}


@dataclass(frozen=True)
class Blown(Honest):
    def apply(self, state: StrategyState, model: Arrays, aggregate: Aggregate) -> tuple[StrategyState, Arrays]:
        state, model = super().apply(state, model, aggregate)
        return state, {**model, "linear.bias": np.full(5, np.inf, np.float32)}


@dataclass(eq=True)
class Thawed:
    """Not frozen, and nothing else is looked at before that."""

    rate: float = 1.0

    name: ClassVar[str] = "thawed"
    summary: ClassVar[str] = "can be assigned to"
    needs_cohort: ClassVar[bool] = False


@dataclass(frozen=True)
class OwnEpochs(Honest):
    def client_settings(self, settings: ClientSettings) -> ClientSettings:
        return replace(settings, local_epochs=1)


@pytest.mark.parametrize(
    ("strategy", "law"),
    [
        (Thawed(), StrategyLaws.test_it_is_a_named_value),
        (Doubles(), StrategyLaws.test_the_model_keeps_its_signature),
        (Hidden(), StrategyLaws.test_equal_inputs_give_equal_bits),
        (InPlace(), StrategyLaws.test_it_does_not_write_into_its_inputs),
        (Objects(), StrategyLaws.test_the_state_is_named_numeric_arrays),
        (GrowingState(), StrategyLaws.test_the_state_keeps_its_signature),
        (Meddler(), StrategyLaws.test_tensors_outside_the_part_stay),
        (FirstName(), StrategyLaws.test_names_may_come_in_any_order),
        (Blown(), StrategyLaws.test_it_stays_finite),
        (OwnEpochs(), StrategyLaws.test_client_settings_is_a_function_of_its_argument),
    ],
)
def test_a_broken_law_is_found(strategy: Any, law: Callable[[Any], None]) -> None:
    suite = StrategyLaws()
    suite.strategy = strategy
    with pytest.raises((AssertionError, SignatureError)):
        law(suite)
