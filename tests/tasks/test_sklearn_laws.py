"""Estimators under the hand of FedAvg: numbers that scikit-learn's own mathematics give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciranda.core import metrics
from ciranda.core.errors import CirandaError, DataError, DivergedError, SignatureError, TaskError
from ciranda.core.rng import Draw
from ciranda.core.task import ClientSettings, Examples, FederatedData
from ciranda.tasks.sklearn_task import SklearnTask

pytest.importorskip("sklearn")
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier, SGDRegressor


def classes(count: int, rows: int = 60, seed: int = 1) -> FederatedData:
    generator = np.random.default_rng(seed)
    y = np.arange(rows) % count
    x = (generator.normal(size=(rows, 3)) + np.eye(3)[y % 3]).astype(np.float32)
    return FederatedData(Examples(x, y), Examples(x[:9], y[:9]), tuple("abcd"[:count]))


def values(targets: int, rows: int = 60) -> FederatedData:
    generator = np.random.default_rng(2)
    x = generator.normal(size=(rows, 3)).astype(np.float32)
    y = (x @ generator.normal(size=(3, targets)) + 1.0).astype(np.float32)
    y = y[:, 0] if targets == 1 else y
    return FederatedData(Examples(x, y), Examples(x[:9], y[:9]))


TASKS: dict[str, SklearnTask] = {
    "sgd classes": SklearnTask(SGDClassifier(loss="log_loss"), classes(3)),
    "sgd two": SklearnTask(SGDClassifier(loss="log_loss"), classes(2)),
    "logistic": SklearnTask(LogisticRegression(), classes(3)),
    "logistic two": SklearnTask(LogisticRegression(), classes(2)),
    "sgd values": SklearnTask(SGDRegressor(), values(1)),
    "ridge": SklearnTask(Ridge(), values(1)),
    "two targets": SklearnTask(LinearRegression(), values(2)),
}
STEP = ClientSettings(batch_size=16, learning_rate=0.05)


def some_model(task: SklearnTask, seed: int, scale: float = 1.0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {name: (scale * generator.normal(size=array.shape)).astype(np.float32) for name, array in task.initial(Draw(1)).items()}


@pytest.mark.parametrize("name", TASKS)
@given(seed=st.integers(0, 99), size=st.integers(1, 80))
def test_an_evaluation_does_not_depend_on_the_batches(name: str, seed: int, size: int) -> None:
    task = TASKS[name]
    model, examples = some_model(task, seed), task.data().train
    one, other = task.evaluate(model, examples, size), task.evaluate(model, examples, len(examples))
    ours, theirs = metrics.summarise(one), metrics.summarise(other)
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        assert ours[key] == pytest.approx(value, rel=1e-4, abs=1e-6), key


@pytest.mark.parametrize("name", [name for name in TASKS if "values" not in name and "ridge" not in name and "targets" not in name])
@given(seed=st.integers(0, 99), scale=st.sampled_from([0.01, 1.0, 1e3]))
def test_probabilities_add_up_and_follow_the_decision(name: str, seed: int, scale: float) -> None:
    task = TASKS[name]
    model, x = some_model(task, seed, scale), task.data().train.x
    predicted = task.predict(model, x)
    assert predicted.dtype == np.float32
    assert np.isfinite(predicted).all()
    np.testing.assert_allclose(predicted.sum(axis=1), 1, atol=1e-5)
    scores = x.astype(float) @ model["coef"].T.astype(float) + model["intercept"]
    if scores.shape[1] == 1:
        clear = np.abs(scores[:, 0]) > 1e-3
        assert ((predicted[:, 1] > 0.5) == (scores[:, 0] > 0))[clear].all()
    else:
        np.testing.assert_array_equal(np.take_along_axis(predicted, scores.argmax(1)[:, None], 1)[:, 0], predicted.max(axis=1))


@pytest.mark.parametrize("name", ["sgd values", "ridge", "two targets"])
@given(seed=st.integers(0, 99))
def test_values_are_the_linear_form_in_the_shape_of_the_targets(name: str, seed: int) -> None:
    task = TASKS[name]
    model, examples = some_model(task, seed), task.data().train
    predicted = task.predict(model, examples.x)
    assert predicted.shape == examples.y.shape
    expected = examples.x.astype(float) @ model["coef"].T.astype(float) + model["intercept"]
    np.testing.assert_allclose(predicted.reshape(len(predicted), -1), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["sgd classes", "sgd two", "sgd values"])
@settings(max_examples=15)
@given(epochs=st.integers(1, 3), size=st.integers(1, 70), seed=st.integers(0, 9))
def test_steps_and_examples_are_counted(name: str, epochs: int, size: int, seed: int) -> None:
    task = TASKS[name]
    examples = task.data().train
    model = task.initial(Draw(1))
    before = {key: array.copy() for key, array in model.items()}
    trained = task.train(model, examples, ClientSettings(local_epochs=epochs, batch_size=size, learning_rate=0.01), Draw(seed))
    assert trained.steps == epochs * -(-len(examples) // size)
    assert trained.metrics["n"] == epochs * len(examples)
    assert trained.arrays.keys() == before.keys()
    for key, array in before.items():
        np.testing.assert_array_equal(model[key], array)  # the round's model is not written into
        assert trained.arrays[key].dtype == np.float32


@pytest.mark.parametrize("name", ["sgd classes", "sgd two", "sgd values"])
@given(seed=st.integers(0, 50))
def test_a_correction_moves_one_step_by_the_rate_times_itself(name: str, seed: int) -> None:
    """SCAFFOLD adds c - c_i to every gradient: one full-batch step of plain SGD ends rate x (c - c_i) lower."""
    task = TASKS[name]
    examples = task.data().train
    model, correction = some_model(task, seed, 0.1), some_model(task, seed + 1)
    one = ClientSettings(local_epochs=1, batch_size=len(examples), learning_rate=0.01)
    plain, corrected = (task.train(model, examples, one, Draw(2), given).arrays for given in (None, correction))
    for key in model:
        np.testing.assert_allclose(plain[key] - corrected[key], 0.01 * correction[key], atol=2e-6)


@pytest.mark.parametrize("name", ["logistic", "logistic two", "ridge", "two targets"])
def test_a_whole_fit_does_not_depend_on_the_draw_or_the_rate(name: str) -> None:
    task = TASKS[name]
    model, examples = task.initial(Draw(1)), task.data().train
    one = task.train(model, examples, ClientSettings(learning_rate=0.1), Draw(1)).arrays
    other = task.train(model, examples, ClientSettings(learning_rate=0.5), Draw(9)).arrays
    for key in one:
        np.testing.assert_allclose(one[key], other[key], atol=1e-4)


def test_the_mean_of_least_squares_on_orthogonal_halves_is_that_of_all() -> None:
    """With the same design at each client, averaging coefficients is least squares on everybody's targets."""
    generator = np.random.default_rng(5)
    x = generator.normal(size=(40, 3)).astype(np.float32)
    targets = [generator.normal(size=40).astype(np.float32) for _ in range(4)]
    whole = FederatedData(Examples(np.tile(x, (4, 1)), np.concatenate(targets)), Examples(x, targets[0]))
    task = SklearnTask(LinearRegression(), whole)
    model, rate = task.initial(Draw(1)), ClientSettings(learning_rate=0.1)
    each = [task.train(model, Examples(x, y), rate, Draw(1)).arrays for y in targets]
    together = task.train(model, whole.train, rate, Draw(1)).arrays
    for key in model:
        np.testing.assert_allclose(np.mean([one[key] for one in each], axis=0), together[key], atol=1e-5)


@pytest.mark.parametrize("name", ["logistic", "logistic two"])
def test_a_client_of_one_class_learns_nothing_and_breaks_nothing(name: str) -> None:
    task = TASKS[name]
    examples = task.data().train
    own = Examples(examples.x[examples.y == 1], examples.y[examples.y == 1])
    model = some_model(task, 4)
    trained = task.train(model, own, STEP, Draw(1)).arrays
    for key in model:
        np.testing.assert_allclose(trained[key], model[key], atol=1e-6)


EMPTY = Examples(np.zeros((0, 3), np.float32), np.zeros(0, np.int64))


@pytest.mark.parametrize("name", TASKS)
def test_nothing_to_train_or_evaluate_on_is_told(name: str) -> None:
    task = TASKS[name]
    with pytest.raises(DataError, match="no examples to train on"):
        task.train(task.initial(Draw(1)), EMPTY, STEP, Draw(1))
    with pytest.raises(DataError, match="no examples to evaluate on"):
        task.evaluate(task.initial(Draw(1)), EMPTY, 8)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"coef": np.zeros((3, 3), np.float32)}, "'intercept' has shape none, expected"),
        ({"coef": np.zeros((3, 2), np.float32), "intercept": np.zeros(3, np.float32)}, r"'coef' has shape \(3, 2\), expected \(3, 3\)"),
        ({"coef": np.zeros((3, 3)), "intercept": np.zeros(3), "more": np.zeros(1)}, r"'more' has shape \(1,\), expected none"),
    ],
)
def test_a_model_of_another_shape_is_named(model: dict[str, np.ndarray], words: str) -> None:
    task = TASKS["sgd classes"]
    for ask in (lambda: task.predict(model, task.data().train.x), lambda: task.train(model, task.data().train, STEP, Draw(1))):
        with pytest.raises(SignatureError, match=words):
            ask()


def test_inputs_of_another_width_are_named() -> None:
    task = TASKS["ridge"]
    with pytest.raises(SignatureError, match="expects 3 numbers for each example; the data has 5"):
        task.predict(task.initial(Draw(1)), np.zeros((2, 5), np.float32))


class Fails(Ridge):  # type: ignore[misc]
    def fit(self, x: Any, y: Any, sample_weight: Any = None) -> Any:
        if len(x) == 60:
            raise ValueError("no such luck\nmore lines")
        return super().fit(x, y)


@pytest.mark.parametrize(
    ("task", "kind", "words"),
    [
        (lambda: SklearnTask(Fails(), values(1)), TaskError, "the estimator fails: ValueError: no such luck "),
        (lambda: SklearnTask(SGDRegressor(), values(1)), DivergedError, "epoch 1"),
    ],
)
def test_what_goes_wrong_while_training_is_told(task: Any, kind: type[CirandaError], words: str) -> None:
    made = task()
    rate = ClientSettings(local_epochs=3, batch_size=8, learning_rate=1e30)
    with pytest.raises(kind, match=words):
        made.train(made.initial(Draw(1)), made.data().train, rate, Draw(1))
