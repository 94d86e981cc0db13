"""One client's round: what it sends, what it keeps, and what never leaves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from ciranda.core.client import PRIVATE, STRATEGY, personal, train_update, update_digest
from ciranda.core.errors import DataError, RefusedUpdate, SignatureError, TaskError
from ciranda.core.metrics import Sums
from ciranda.core.reducers import PartContract
from ciranda.core.rng import Draw
from ciranda.core.stages import Chain, Clip, Float16, Stage
from ciranda.core.strategies.base import Work
from ciranda.core.task import Arrays, ClientSettings, Examples, Part, Trained
from ciranda.core.update import Contract, Update, accept
from ciranda.testing.toys import MeanTask

X = np.arange(6, dtype=np.float32).reshape(3, 2)
EXAMPLES = Examples(X, X[:, 0])


class Headed(MeanTask):
    """`MeanTask` with a head of the client's own, which goes up by one in every training."""

    def initial(self, draw: Draw) -> Arrays:
        return {"w": np.zeros(2, np.float32), "head": np.full(2, 10, np.float32)}

    def part_of(self, name: str) -> Part:
        return "private" if name == "head" else "model"

    def train(self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw, correction: Arrays | None = None) -> Trained:
        trained = super().train(model, examples, settings, draw, correction)
        return replace(trained, arrays={**trained.arrays, "head": model["head"] + 1})


class Counting:
    """A rule that sends how often the client was trained, and keeps count."""

    def parts(self, model: Arrays, max_weight: int, cohort: int, population: int) -> Mapping[str, PartContract]:
        return {}

    def train(self, work: Work, state: Arrays) -> tuple[Update, Arrays]:
        return work.update(work.fit()), {"times": state.get("times", np.asarray(0)) + np.asarray([1])}


class Owing(Stage):
    """Keeps what it was given last, and adds it to the next."""

    name = "owing"
    kind = "compress"

    def encode(self, update: Update, state: Arrays) -> tuple[Update, Arrays]:
        w = update.parts["model"]["w"]
        return Update({"model": {"w": w + state.get("last", np.float32(0))}}, update.weight, update.metrics), {"last": w}


def work_of(task: MeanTask, examples: Examples = EXAMPLES) -> Work:
    model = task.initial(Draw(0))
    return Work(task, model, examples, ClientSettings(), Contract.for_model(model, task.part_of, max_weight=3, cohort=2), Draw(0))


def test_plain_training_sends_the_difference_and_keeps_nothing() -> None:
    update, states = train_update(work_of(MeanTask()), Chain())
    np.testing.assert_allclose(update.parts["model"]["w"], X.mean(axis=0) / 2)
    assert (update.weight, update.metrics["n"]) == (3, 3)
    assert states == {}


def test_a_private_tensor_stays_and_is_trained_on() -> None:
    work = work_of(Headed())
    first, kept = train_update(work, Chain())
    second, again = train_update(work, Chain(), states=kept)
    assert first.parts.keys() == second.parts.keys() == {"model"}
    np.testing.assert_array_equal(kept[PRIVATE]["head"], [11, 11])
    np.testing.assert_array_equal(again[PRIVATE]["head"], [12, 12])
    assert accept(work.contract, first) == ""


def test_the_model_of_a_client_has_its_own_private_tensors() -> None:
    model = Headed().initial(Draw(0))
    own = personal(model, {PRIVATE: {"head": np.zeros(2)}})
    assert own["head"].sum() == 0
    assert own["w"] is model["w"]
    assert personal(model, {}) == model


def test_an_update_with_a_private_part_would_be_refused() -> None:
    work = work_of(Headed())
    assert accept(work.contract, work.update(work.fit())) == "wrong-shape"


def test_a_rule_finds_the_state_that_it_left() -> None:
    work, rule = work_of(MeanTask()), Counting()
    states: Mapping[str, Arrays] = {}
    for times in (1, 2, 3):
        _, states = train_update(work, Chain(), rule, states)
        assert states[STRATEGY]["times"].item() == times


def test_each_owner_of_a_state_gets_its_own() -> None:
    work = work_of(Headed())
    first, states = train_update(work, Chain((Owing(),)), Counting())
    assert states.keys() == {"owing", STRATEGY, PRIVATE}
    second, after = train_update(work, Chain((Owing(),)), Counting(), states)
    np.testing.assert_allclose(second.parts["model"]["w"], 2 * first.parts["model"]["w"])
    assert after[STRATEGY]["times"].item() == 2
    np.testing.assert_array_equal(states["owing"]["last"], first.parts["model"]["w"])


def test_neither_arguments_nor_states_are_written_into() -> None:
    work = work_of(Headed())
    _, states = train_update(work, Chain((Owing(),)), Counting())
    for arrays in (work.model, *states.values()):
        for array in arrays.values():
            array.flags.writeable = False
    train_update(work, Chain((Owing(),)), Counting(), states)


def test_errors() -> None:
    with pytest.raises(DataError, match="no examples"):
        train_update(work_of(MeanTask(), EXAMPLES[:0]), Chain())
    with pytest.raises(RefusedUpdate) as refused:
        train_update(work_of(MeanTask(), Examples(X * np.float32(1e6), X[:, 0])), Chain((Float16(),)))
    assert refused.value.reason == "out-of-range"


def test_a_model_of_other_shapes_is_told_to_rules_too() -> None:
    class Growing(MeanTask):
        def train(
            self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw, correction: Arrays | None = None
        ) -> Trained:
            return Trained({"w": np.zeros(3, np.float32)}, {"n": 1, "loss": 0})

    for rule in (None, Counting()):
        with pytest.raises(SignatureError, match="'w' has shape"):
            train_update(work_of(Growing()), Chain(), rule)


def test_the_chain_is_applied_to_what_a_rule_sends() -> None:
    update, _ = train_update(work_of(MeanTask()), Chain((Clip(0.01),)), Counting())
    assert float(np.linalg.norm(update.parts["model"]["w"])) <= 0.01


def test_every_part_is_in_the_digest() -> None:
    update, _ = train_update(work_of(MeanTask()), Chain())
    more = Update({**update.parts, "control": {"w": np.zeros(2, np.float32)}}, update.weight, update.metrics)
    other = Update({**update.parts, "control": {"w": np.ones(2, np.float32)}}, update.weight, update.metrics)
    assert len({update_digest(each) for each in (update, more, other)}) == 3


def test_work_knows_its_loss_and_its_steps() -> None:
    work = work_of(MeanTask())
    assert work.loss() == pytest.approx(float(np.square(EXAMPLES.y).mean()))  # MeanTask has no loss: the mean squared error
    assert work.steps(work.fit()) == 1
    with pytest.raises(TaskError, match="'mean' does not tell how many steps"):
        work.steps(Trained({}, {}))


def test_a_loss_is_preferred_to_the_squared_error() -> None:
    class Losing(MeanTask):
        def evaluate(self, model: Arrays, examples: Examples, batch_size: int) -> Sums:
            return {**super().evaluate(model, examples, batch_size), "loss": 3 * (7 << 24)}

    assert work_of(Losing()).loss() == 7.0


def test_a_correction_reaches_the_task() -> None:
    work = work_of(MeanTask())
    moved = work.fit({"w": np.ones(2, np.float32)}).arrays["w"] - work.fit().arrays["w"]
    np.testing.assert_allclose(moved, -0.01, rtol=1e-5)
