"""The laws can be broken: for each, a strategy that breaks just that one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from ciranda.core.errors import SignatureError
from ciranda.core.exact import Scale
from ciranda.core.params import Signature
from ciranda.core.reducers import PartContract
from ciranda.core.stages import l2_norm
from ciranda.core.strategies import StrategyState
from ciranda.core.strategies.base import BaseStrategy, ClientRule, Work, moved
from ciranda.core.task import Arrays, ClientSettings
from ciranda.core.update import Aggregate, Update
from ciranda.testing.strategies import ClientRuleLaws, StrategyLaws


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


# --- the client side


@dataclass(frozen=True)
class Led(Honest):
    """Honest, with clients that send the norm of their step and remember it."""

    @property
    def client(self) -> ClientRule:
        return self

    def parts(self, model: Arrays, max_weight: int, cohort: int, population: int) -> Mapping[str, PartContract]:
        return {"norm": PartContract("sum", Signature.of({"n": np.zeros(())}), (Scale(2.0**10, 1, cohort),))}

    def train(self, work: Work, state: Arrays) -> tuple[Update, Arrays]:
        update = work.update(work.fit())
        norm = np.asarray(l2_norm(update.parts["model"].values()))
        return Update({**update.parts, "norm": {"n": norm}}, update.weight, update.metrics), {"last": norm}


class TestLed(ClientRuleLaws):
    strategy = Led()


@dataclass(frozen=True)
class Remembering(Led):
    memory: dict[str, int] = field(default_factory=dict)

    def train(self, work: Work, state: Arrays) -> tuple[Update, Arrays]:
        update, state = super().train(work, state)
        self.memory["times"] = self.memory.get("times", 0) + 1
        return replace(update, weight=self.memory["times"] % 5), state


@dataclass(frozen=True)
class Scribbling(Led):
    def train(self, work: Work, state: Arrays) -> tuple[Update, Arrays]:
        if "last" in state:
            state["last"][...] = 0
        return super().train(work, state)


@dataclass(frozen=True)
class Patching(Led):
    def train(self, work: Work, state: Arrays) -> tuple[Update, Arrays]:
        update, state = super().train(work, state)
        parts = {part: {name: np.nan_to_num(array) * 0 for name, array in arrays.items()} for part, arrays in update.parts.items()}
        return replace(update, parts=parts), state


@dataclass(frozen=True)
class Hoarding(Led):
    def train(self, work: Work, state: Arrays) -> tuple[Update, Arrays]:
        update, after = super().train(work, state)
        return update, {**after, f"round.{len(state)}": np.zeros(1)}


@dataclass(frozen=True)
class Scalar(Led):
    def train(self, work: Work, state: Arrays) -> tuple[Update, Arrays]:
        update, _ = super().train(work, state)
        return update, {"last": 1.0}  # type: ignore[dict-item]


@dataclass(frozen=True)
class Unannounced(Led):
    def parts(self, model: Arrays, max_weight: int, cohort: int, population: int) -> Mapping[str, PartContract]:
        return {}


@dataclass(frozen=True)
class Leaking(Led):
    def parts(self, model: Arrays, max_weight: int, cohort: int, population: int) -> Mapping[str, PartContract]:
        return {**super().parts(model, max_weight, cohort, population), "private": PartContract("max", Signature(()))}


@dataclass(frozen=True)
class Lonely(Led):
    def apply(self, state: StrategyState, model: Arrays, aggregate: Aggregate) -> tuple[StrategyState, Arrays]:
        with np.errstate(all="ignore"):
            spread = np.float32(1) / np.float32(aggregate.count - 1)
        return state, moved(model, {name: step * spread for name, step in aggregate.parts["model"].items()})


@dataclass(frozen=True)
class Chatty(Led):
    def broadcast(self, state: StrategyState) -> Arrays:
        return {"so far": np.zeros(int(abs(state["linear.bias"]).sum() > 0))}


@pytest.mark.parametrize(
    ("strategy", "law"),
    [
        (Remembering(), ClientRuleLaws.test_training_is_a_function_of_its_arguments),
        (Scribbling(), ClientRuleLaws.test_training_does_not_write_into_its_inputs),
        (Patching(), ClientRuleLaws.test_training_that_diverged_is_refused_and_not_hidden),
        (Hoarding(), ClientRuleLaws.test_the_client_state_keeps_its_signature),
        (Scalar(), ClientRuleLaws.test_the_client_state_is_named_numeric_arrays_that_can_be_stored),
        (Unannounced(), ClientRuleLaws.test_updates_are_admitted),
        (Leaking(), ClientRuleLaws.test_its_parts_are_agreed_before_anyone_trains),
        (Lonely(), ClientRuleLaws.test_one_client_alone_makes_a_round),
        (Chatty(), ClientRuleLaws.test_what_it_broadcasts_keeps_its_signature),
        (Honest(), ClientRuleLaws.test_updates_are_admitted),
    ],
)
def test_a_broken_law_of_clients_is_found(strategy: Any, law: Callable[[Any], None]) -> None:
    suite = ClientRuleLaws()
    suite.strategy = strategy
    with pytest.raises((AssertionError, ValueError)):
        law(suite)
