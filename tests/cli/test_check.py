"""`ciranda check`: a task that breaks its contract is found on one batch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from ciranda.cli.check import BATCH, describe, one_batch, parameter_lines, try_batch
from ciranda.core.errors import DataError, TaskError
from ciranda.core.metrics import Sums
from ciranda.core.rng import Draw
from ciranda.core.task import Array, Arrays, ClientSettings, Examples, FederatedData, Part, Trained
from ciranda.testing.toys import MeanTask


def tried(task: MeanTask) -> list[str]:
    return try_batch(task, task.initial(Draw(1)), one_batch(task.data()), Draw(1))


def test_a_sound_task_passes() -> None:
    lines = tried(MeanTask())
    assert lines[0].startswith("trained on 12 examples")
    assert "mse" in lines[1]
    assert lines[2] == "predicted: float32 (12,)"


class WritesIntoTheModel(MeanTask):
    def train(self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw, correction: Arrays | None = None) -> Trained:
        model["w"][:] = 7
        return Trained(dict(model), {"n": 1, "loss": 0})


class Loses(MeanTask):
    def train(self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw, correction: Arrays | None = None) -> Trained:
        return Trained({}, {"n": 1, "loss": 0})


class Reshapes(MeanTask):
    def train(self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw, correction: Arrays | None = None) -> Trained:
        return Trained({"w": np.zeros(5, np.float32)}, {"n": 1, "loss": 0})


class PredictsTooFew(MeanTask):
    def predict(self, model: Arrays, x: Array) -> Array:
        return np.zeros(1, np.float32)

    def evaluate(self, model: Arrays, examples: Examples, batch_size: int) -> Sums:
        return {"n": 1, "loss": 0}


class PredictsNothing(MeanTask):
    def predict(self, model: Arrays, x: Array) -> Array:
        return np.full(len(x), np.nan, np.float32)

    def evaluate(self, model: Arrays, examples: Examples, batch_size: int) -> Sums:
        return {"n": 1, "loss": 0}


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (WritesIntoTheModel(), r"wrote into the model.*'w'"),
        (Loses(), r"'w' has shape \(2,\) before training and nothing after"),
        (Reshapes(), r"\(2,\) before training and \(5,\) after"),
        (PredictsTooFew(), "1 answers for 12 inputs"),
        (PredictsNothing(), "not finite"),
    ],
)
def test_a_broken_contract_is_named(task: MeanTask, words: str) -> None:
    with pytest.raises(TaskError, match=words):
        tried(task)


class Learns(MeanTask):
    def train(self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw, correction: Arrays | None = None) -> Trained:
        return Trained({name: array.copy() for name, array in model.items()}, {"n": 1, "loss": 0})


def test_training_that_changes_nothing_is_warned_about() -> None:
    assert any("changed nothing" in line for line in tried(Learns()))
    assert not any("changed nothing" in line for line in tried(MeanTask()))


def data(train: int, classes: tuple[str, ...] = (), groups: Array | None = None) -> FederatedData:
    examples = Examples(np.zeros((train, 3), np.float32), np.arange(train) % max(1, len(classes)))
    return FederatedData(examples, examples[:0], classes, groups)


def test_the_data_is_described() -> None:
    assert describe(data(4, ("a", "b"))) == [
        "train: 4  x float32 (3,)  y int64 ()",
        "test: 0  x float32 (3,)  y int64 ()",
        "2 classes, 2 to 2 examples each",
    ]
    assert describe(data(4, groups=np.array([1, 1, 5, 9])))[-1] == "3 owners"


def test_a_class_without_examples_shows() -> None:
    assert "3 classes, 0 to" in describe(FederatedData(data(2, ("a", "b")).train, data(1).train, ("a", "b", "c")))[2]


def test_a_task_without_data_is_refused() -> None:
    with pytest.raises(DataError, match="no training examples"):
        one_batch(data(0))


@pytest.mark.parametrize(("train", "expected"), [(1, 1), (BATCH, BATCH), (BATCH + 1, BATCH)])
def test_one_batch_is_no_more_than_that(train: int, expected: int) -> None:
    assert len(one_batch(data(train))) == expected


class Parts(MeanTask):
    def initial(self, draw: Draw) -> Mapping[str, Array]:
        return {"weight": np.zeros((3, 2), np.float32), "running_mean": np.zeros(2, np.float32), "seen": np.zeros((), np.int64)}

    def part_of(self, name: str) -> Part:
        parts: dict[str, Part] = {"running_mean": "buffers", "seen": "counters"}
        return parts.get(name, "model")


def test_parameters_are_listed_in_columns_with_their_part() -> None:
    task = Parts()
    assert parameter_lines(task, task.initial(Draw(1))) == [
        "weight        float32  (3, 2)",
        "running_mean  float32  (2,)  [buffers]",
        "seen          int64  ()  [counters]",
        "9 numbers in all",
    ]
