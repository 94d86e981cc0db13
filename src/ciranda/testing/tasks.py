"""The conformance suite of tasks: whoever writes a `ciranda.core.task.Task` inherits from it in a test and gives `make`.

class TestMine(TaskConformance):
    def make(self): return MyTask()
"""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import pytest

from ciranda.core.errors import CirandaError, DataError
from ciranda.core.metrics import Sums, add, summarise
from ciranda.core.params import model_sha256
from ciranda.core.rng import Draw
from ciranda.core.task import Array, Arrays, ClientSettings, Examples, FederatedData, Task

PARTS = {"model", "buffers", "counters", "private"}


class TaskConformance(ABC):
    """What the engine relies on."""

    settings = ClientSettings(local_epochs=2, batch_size=8, learning_rate=0.05)
    examples = 50
    # The loss on the training examples must fall to this share of the initial one in `learning_epochs`.
    learns_to = 0.9
    learning_epochs = 5
    # False for a task with an optimizer of its own, which SCAFFOLD and FedNova refuse.
    counts_steps = True
    # False for a task in which nothing is left to chance but the initial model.
    draws = True

    @abstractmethod
    def make(self) -> Task:
        """A new task."""

    def data(self, task: Task) -> FederatedData:
        """The data to test on; another one where the task's own is large or may be absent."""
        return task.data()

    @pytest.fixture(name="task")
    def _task(self) -> Task:
        return self.make()

    @pytest.fixture(name="few")
    def _few(self, task: Task) -> Examples:
        train = self.data(task).train
        assert len(train) >= self.examples
        return train[: self.examples]

    def test_initial_model_is_a_function_of_the_draw(self, task: Task) -> None:
        first, again, other = (task.initial(Draw(seed)) for seed in (1, 1, 2))
        assert first
        assert model_sha256(first) == model_sha256(again)
        assert shapes(first) == shapes(other)
        assert all(isinstance(array, np.ndarray) and np.isfinite(array).all() for array in first.values())
        assert model_sha256(first) != model_sha256(other)

    def test_every_tensor_belongs_to_a_part_and_parameters_are_single_or_double_precision(self, task: Task) -> None:
        model = task.initial(Draw(1))
        parts = {name: task.part_of(name) for name in model}
        assert set(parts.values()) <= PARTS
        assert "model" in parts.values()
        assert all(model[name].dtype in (np.float32, np.float64) for name, part in parts.items() if part == "model")

    def test_training_is_a_function_of_its_arguments_and_writes_into_none(self, task: Task, few: Examples) -> None:
        model = task.initial(Draw(1))
        before, seen = model_sha256(model), (few.x.copy(), few.y.copy())
        first = task.train(model, few, self.settings, Draw(3))
        # Something else in between must leave no trace.
        task.train(task.initial(Draw(9)), few[:7], self.settings, Draw(4))
        task.evaluate(first.arrays, few, 8)
        again = task.train(model, few, self.settings, Draw(3))
        assert model_sha256(first.arrays) == model_sha256(again.arrays)
        assert sums_equal(first.metrics, again.metrics)
        assert model_sha256(model) == before
        assert np.array_equal(few.x, seen[0])
        assert np.array_equal(few.y, seen[1])
        other = task.train(model, few, self.settings, Draw(5)).arrays
        assert (model_sha256(other) != model_sha256(first.arrays)) or not self.draws

    def test_results_do_not_depend_on_the_object_or_on_read_only_memory(self, task: Task, few: Examples) -> None:
        model = {name: frozen(array) for name, array in task.initial(Draw(1)).items()}
        read_only = Examples(frozen(few.x), frozen(few.y))
        first = task.train(model, read_only, self.settings, Draw(3)).arrays
        assert model_sha256(first) == model_sha256(self.make().train(model, few, self.settings, Draw(3)).arrays)
        assert sums_equal(task.evaluate(model, read_only, 8), self.make().evaluate(model, few, 8))
        assert np.array_equal(task.predict(model, read_only.x), task.predict(model, few.x))

    def test_training_returns_the_same_tensors_and_learns(self, task: Task, few: Examples) -> None:
        model = task.initial(Draw(1))
        longer = ClientSettings(local_epochs=self.learning_epochs, batch_size=8, learning_rate=self.settings.learning_rate)
        trained = task.train(model, few, longer, Draw(3))
        assert shapes(trained.arrays) == shapes(model)
        assert trained.metrics["n"] == self.learning_epochs * len(few)
        assert summarise(trained.metrics)["loss"] >= 0
        assert self.objective(task, trained.arrays, few) <= self.learns_to * self.objective(task, model, few)

    def test_results_are_independent_of_later_calls(self, task: Task, few: Examples) -> None:
        model = task.initial(Draw(1))
        trained = task.train(model, few, self.settings, Draw(3)).arrays
        digest = model_sha256(trained)
        task.train(model, few, self.settings, Draw(8))
        assert model_sha256(trained) == digest

    def test_proximal_term_keeps_the_model_near(self, task: Task, few: Examples) -> None:
        model = task.initial(Draw(1))
        settings = {mu: ClientSettings(local_epochs=3, batch_size=8, learning_rate=0.01, proximal_mu=mu) for mu in (0.0, 10.0)}
        moved = {mu: distance(task, model, task.train(model, few, one, Draw(3)).arrays) for mu, one in settings.items()}
        assert 0 < moved[10.0] < moved[0.0]

    def test_a_correction_is_added_to_every_gradient(self, task: Task, few: Examples) -> None:
        """One step of SGD goes off by the correction times the rate; a correction of nothing changes no bit."""
        model = task.initial(Draw(1))
        parameters = {name: array for name, array in model.items() if task.part_of(name) == "model"}
        settings = ClientSettings(batch_size=len(few), learning_rate=0.25)
        plain = task.train(model, few, settings, Draw(3)).arrays
        nothing = {name: np.zeros_like(array) for name, array in parameters.items()}
        assert model_sha256(task.train(model, few, settings, Draw(3), nothing).arrays) == model_sha256(plain)
        shift = {name: np.full_like(array, 0.125 * (number + 1)) for number, (name, array) in enumerate(parameters.items())}
        before = {name: array.copy() for name, array in shift.items()}
        moved = task.train(model, few, settings, Draw(3), shift).arrays
        for name in parameters:
            assert np.allclose(plain[name] - moved[name], 0.25 * shift[name], atol=1e-5), f"'{name}' is not corrected"
            assert np.array_equal(shift[name], before[name]), f"the correction of '{name}' was written into"
        first = next(iter(parameters))
        only = task.train(model, few, settings, Draw(3), {first: shift[first]}).arrays
        assert np.allclose(plain[first] - only[first], 0.25 * shift[first], atol=1e-5)
        assert all(np.allclose(plain[name], only[name], atol=1e-5) for name in parameters if name != first)

    @pytest.mark.parametrize("settings", [{}, {"momentum": 0.9}, {"proximal_mu": 0.1}, {"weight_decay": 0.01}, {"optimizer": "adam"}])
    def test_a_correction_reaches_every_optimizer(self, task: Task, few: Examples, settings: dict[str, Any]) -> None:
        model = task.initial(Draw(1))
        told = ClientSettings(batch_size=8, learning_rate=0.01, **settings)
        shift = {name: np.full_like(array, 0.5) for name, array in model.items() if task.part_of(name) == "model"}
        corrected = task.train(model, few, told, Draw(3), shift).arrays
        assert model_sha256(corrected) != model_sha256(task.train(model, few, told, Draw(3)).arrays)
        assert model_sha256(corrected) == model_sha256(task.train(model, few, told, Draw(3), shift).arrays)

    def test_steps_are_counted(self, task: Task, few: Examples) -> None:
        """7 batches of 8, the last of 2, in each of 3 epochs; or 0, if the task steps in its own way."""
        steps = task.train(task.initial(Draw(1)), few, ClientSettings(local_epochs=3, batch_size=8), Draw(3)).steps
        assert steps in (0, 3 * -(-len(few) // 8))
        assert steps or not self.counts_steps

    @pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
    def test_optimizers_by_name(self, task: Task, few: Examples, optimizer: str) -> None:
        model = task.initial(Draw(1))
        settings = ClientSettings(batch_size=8, optimizer=optimizer, learning_rate=0.001, weight_decay=0.01)
        first, again = (task.train(model, few, settings, Draw(3)).arrays for _ in range(2))
        assert model_sha256(first) == model_sha256(again) != model_sha256(model)

    def test_unknown_optimizer_is_refused(self, task: Task, few: Examples) -> None:
        with pytest.raises(CirandaError, match="sgd"):
            task.train(task.initial(Draw(1)), few, ClientSettings(optimizer="sdg"), Draw(3))

    def test_a_batch_larger_than_the_client_is_its_whole_data(self, task: Task, few: Examples) -> None:
        model = task.initial(Draw(1))
        large, exact = (ClientSettings(batch_size=size, learning_rate=0.01) for size in (1000, 5))
        assert model_sha256(task.train(model, few[:5], large, Draw(3)).arrays) == model_sha256(
            task.train(model, few[:5], exact, Draw(3)).arrays
        )

    def test_evaluation_adds_up_over_batches_of_one_size(self, task: Task, few: Examples) -> None:
        model = task.initial(Draw(1))
        whole = task.evaluate(model, few, 8)
        assert whole["n"] == len(few)
        assert sums_equal(whole, add(task.evaluate(model, few[:16], 8), task.evaluate(model, few[16:], 8)))
        assert summarise(whole)

    def test_prediction_agrees_with_evaluation(self, task: Task, few: Examples) -> None:
        model = task.train(task.initial(Draw(1)), few, self.settings, Draw(3)).arrays
        predicted, metrics = task.predict(model, few.x), summarise(task.evaluate(model, few, 16))
        assert len(predicted) == len(few)
        if task.kind == "classification":
            assert np.allclose(predicted.sum(axis=1), 1, atol=1e-5)
            assert predicted.min() >= 0
            assert metrics["accuracy"] == pytest.approx(float((predicted.argmax(axis=1) == few.y).mean()))
        else:
            assert predicted.shape == few.y.shape
            assert metrics["mse"] == pytest.approx(float(np.square(predicted - few.y).mean()), rel=1e-4)

    def test_nobody_trains_or_is_judged_on_nothing(self, task: Task, few: Examples) -> None:
        model = task.initial(Draw(1))
        with pytest.raises(DataError):
            task.train(model, few[:0], self.settings, Draw(3))
        with pytest.raises(DataError):
            task.evaluate(model, few[:0], 8)

    def test_a_model_of_other_shapes_is_refused_by_name(self, task: Task, few: Examples) -> None:
        model = dict(task.initial(Draw(1)))
        name = sorted(model)[0]
        wrong = {**model, name: np.zeros((*model[name].shape, 2), np.float32)}
        with pytest.raises(CirandaError, match=name):
            task.train(wrong, few, self.settings, Draw(3))
        del wrong[name]
        with pytest.raises(CirandaError, match=name):
            task.evaluate(wrong, few, 8)

    def test_survives_the_way_to_a_worker(self, task: Task, few: Examples) -> None:
        copy = pickle.loads(pickle.dumps(task))  # noqa: S301 - between our own processes
        model = task.initial(Draw(1))
        assert model_sha256(copy.initial(Draw(1))) == model_sha256(model)
        assert sums_equal(copy.evaluate(model, few, 8), task.evaluate(model, few, 8))

    def objective(self, task: Task, model: Arrays, examples: Examples) -> float:
        """What training lowers."""
        metrics = summarise(task.evaluate(model, examples, 16))
        return metrics["loss"] if "loss" in metrics else metrics["mse"]


def shapes(model: Arrays) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype by name."""
    return {name: (array.shape, str(array.dtype)) for name, array in model.items()}


def frozen(array: Array) -> Array:
    """A read-only copy."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def sums_equal(a: Sums, b: Sums) -> bool:
    """Whether two metric sums are the same integers."""
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def distance(task: Task, a: Arrays, b: Arrays) -> float:
    """The Euclidean distance between the trained parts of two models."""
    return float(np.sqrt(sum(np.square(a[name] - b[name]).sum() for name in a if task.part_of(name) == "model")))
