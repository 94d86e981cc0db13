"""Numpy networks: gradients against finite differences, optimizers against torch's, learning, and refusals."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ciranda.core.errors import DivergedError, ExperimentError, SignatureError
from ciranda.core.metrics import summarise
from ciranda.core.rng import Draw
from ciranda.core.task import Arrays, ClientSettings, Examples, FederatedData
from ciranda.tasks.numpy_models import NumpyTask
from ciranda.tasks.numpy_optim import make_step
from ciranda.tasks.preprocess import Affine
from ciranda.tasks.registry import TASKS, load

Floats = NDArray[np.float32]
Kind = Literal["classification", "regression"]


def nothing() -> FederatedData:
    empty = Examples(np.zeros((0, 1)), np.zeros(0))
    return FederatedData(empty, empty)


def problem(widths: tuple[int, ...], kind: Kind, n: int, seed: int) -> tuple[NumpyTask, Arrays, Examples]:
    """A task, a model with nonzero biases, and examples for it."""
    generator = np.random.default_rng(seed)
    task = NumpyTask("problem", nothing, widths, kind)
    model = {name: generator.normal(0, 0.5, array.shape).astype(np.float32) for name, array in task.initial(Draw(seed)).items()}
    x = generator.normal(size=(n, widths[0])).astype(np.float32)
    y = generator.normal(size=(n, widths[-1])).astype(np.float32) if kind == "regression" else generator.integers(0, widths[-1], n)
    return task, model, Examples(x, y)


def mean_loss(model: Arrays, examples: Examples, kind: Kind) -> float:
    """The loss written out again, in float64."""
    values = examples.x.astype(np.float64)
    layers = len(model) // 2
    for layer in range(1, layers + 1):
        values = values @ model[f"layer{layer}.weight"].astype(np.float64) + model[f"layer{layer}.bias"]
        if layer < layers:
            values = np.maximum(values, 0)
    if kind == "regression":
        return float(0.5 * np.square(values - examples.y).sum() / len(values))
    shifted = values - values.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -float(logs[np.arange(len(values)), examples.y].mean())


@settings(max_examples=20, deadline=None)
@given(
    widths=st.lists(st.integers(1, 6), min_size=2, max_size=4).map(tuple),
    kind=st.sampled_from(["classification", "regression"]),
    n=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_one_step_is_the_gradient_by_finite_differences(widths: tuple[int, ...], kind: Kind, n: int, seed: int) -> None:
    task, model, examples = problem(widths, kind, n, seed)
    rate = 2.0**-6
    stepped = task.train(model, examples, ClientSettings(batch_size=n, learning_rate=rate), Draw(0)).arrays
    step = 1e-5
    for name, array in model.items():
        gradient = (array.astype(np.float64) - stepped[name]) / rate
        for place in np.ndindex(array.shape):
            sides = []
            for sign in (1, -1):
                moved = {key: value.astype(np.float64) for key, value in model.items()}
                moved[name][place] += sign * step
                sides.append(mean_loss(moved, examples, kind))
            expected = (sides[0] - sides[1]) / (2 * step)
            assert gradient[place] == pytest.approx(expected, abs=2e-3 * max(1.0, abs(expected)))


def test_reported_loss_is_the_mean_over_the_epoch() -> None:
    task, model, examples = problem((4, 3), "classification", 12, 1)
    trained = task.train(model, examples, ClientSettings(batch_size=12, learning_rate=0.1), Draw(0))
    assert summarise(trained.metrics)["loss"] == pytest.approx(mean_loss(model, examples, "classification"), rel=1e-5)


def test_batches_follow_the_draw_and_the_last_may_be_smaller() -> None:
    task, model, examples = problem((3, 2), "regression", 7, 2)
    settings_ = ClientSettings(local_epochs=2, batch_size=3, learning_rate=0.05)
    trained = task.train(model, examples, settings_, Draw(5))
    by_hand = model
    for epoch in (1, 2):
        order = Draw(5).at("shuffle", epoch=epoch).generator().permutation(7)
        for start in (0, 3, 6):
            one_step = ClientSettings(batch_size=3, learning_rate=0.05)
            by_hand = task.train(by_hand, examples[order[start : start + 3]], one_step, Draw(0)).arrays
    for name, array in trained.arrays.items():
        assert np.allclose(array, by_hand[name], atol=1e-6)
    assert trained.metrics["n"] == 14


@pytest.mark.parametrize(
    "chosen",
    [
        ClientSettings(learning_rate=0.1),
        ClientSettings(learning_rate=0.1, momentum=0.9),
        ClientSettings(learning_rate=0.1, momentum=0.5, weight_decay=0.1),
        ClientSettings(optimizer="adam", learning_rate=0.1),
        ClientSettings(optimizer="adam", learning_rate=0.1, weight_decay=0.1, extra={"beta1": 0.5, "eps": 1e-3}),
        ClientSettings(optimizer="adamw", learning_rate=0.1, weight_decay=0.1, extra={"beta2": 0.9}),
    ],
)
def test_optimizers_do_what_torch_does(chosen: ClientSettings) -> None:
    torch = pytest.importorskip("torch")
    from ciranda.tasks.torch_task import make_optimizer

    generator = np.random.default_rng(3)
    flat = generator.normal(size=20).astype(np.float32)
    parameter = torch.nn.Parameter(torch.from_numpy(flat.copy()))
    gradient = np.empty_like(flat)
    step, reference = make_step(flat, gradient, chosen), make_optimizer([parameter], chosen)
    for _ in range(5):
        gradient[:] = generator.normal(size=20)
        parameter.grad = torch.from_numpy(gradient.copy())
        step()
        reference.step()
    assert np.allclose(flat, parameter.detach().numpy(), atol=1e-5)


def test_proximal_gradient_is_added() -> None:
    flat, gradient = np.ones(3, np.float32), np.empty(3, np.float32)
    step = make_step(flat, gradient, ClientSettings(learning_rate=0.5, proximal_mu=0.4))
    flat += 1.0
    gradient[:] = 1.0
    step()
    # 2 - 0.5 (1 + 0.4 (2 - 1))
    assert flat == pytest.approx(np.full(3, 1.3))


def test_unknown_optimizer_names_the_known() -> None:
    with pytest.raises(ExperimentError, match="sgd, adam, adamw"):
        make_step(np.zeros(1, np.float32), np.zeros(1, np.float32), ClientSettings(optimizer="lbfgs"))


def test_a_large_learning_rate_is_told_with_its_epoch_and_advice() -> None:
    task, model, examples = problem((4, 8, 1), "regression", 20, 3)
    with pytest.raises(DivergedError, match=r"epoch \d+.*learning rate 100") as caught:
        task.train(model, examples, ClientSettings(local_epochs=50, learning_rate=100.0), Draw(0))
    assert "Lower" in caught.value.hint


def test_missing_values_in_the_data_are_told() -> None:
    task, model, examples = problem((4, 3), "classification", 20, 3)
    x = examples.x.copy()
    x[3, 1] = np.nan
    with pytest.raises(DivergedError, match="epoch 1"):
        task.train(model, Examples(x, examples.y), ClientSettings(), Draw(0))


def test_inputs_of_another_size_are_refused_with_both_sizes() -> None:
    task, model, examples = problem((4, 3), "classification", 5, 3)
    with pytest.raises(SignatureError, match=r"expects 4 .* has 2"):
        task.train(model, Examples(examples.x[:, :2], examples.y), ClientSettings(), Draw(0))


def test_targets_are_scaled_inside_and_metrics_are_in_the_stored_unit() -> None:
    generator = np.random.default_rng(4)
    x = generator.normal(size=(200, 2)).astype(np.float32)
    y = (1000.0 + 50.0 * x[:, 0]).astype(np.float32)
    task = NumpyTask("scaled", nothing, (2, 1), "regression", scale_y=Affine(1000.0, 50.0))
    trained = task.train(task.initial(Draw(1)), Examples(x, y), ClientSettings(local_epochs=30, learning_rate=0.1), Draw(1)).arrays
    assert summarise(task.evaluate(trained, Examples(x, y), 64))["mae"] < 0.5
    assert task.predict(trained, x[:4]) == pytest.approx(y[:4], abs=1.0)


@pytest.mark.parametrize(
    ("name", "metric", "least", "chosen"),
    [
        ("digits-softmax", "accuracy", 0.93, ClientSettings(local_epochs=20, batch_size=20, learning_rate=0.1)),
        ("digits-mlp", "accuracy", 0.95, ClientSettings(local_epochs=20, batch_size=20, learning_rate=0.1)),
        ("iris-mlp", "accuracy", 0.9, ClientSettings(local_epochs=60, batch_size=10, learning_rate=0.1)),
        ("diabetes-mlp", "r2", 0.3, ClientSettings(local_epochs=40, batch_size=16, optimizer="adam", learning_rate=0.003)),
        ("diabetes-linear", "r2", 0.35, ClientSettings(local_epochs=40, batch_size=32, learning_rate=0.02)),
    ],
)
def test_built_in_tasks_learn_their_data(name: str, metric: str, least: float, chosen: ClientSettings) -> None:
    task = TASKS[name].make()
    data = task.data()
    trained = task.train(task.initial(Draw(1)), data.train, chosen, Draw(1)).arrays
    assert summarise(task.evaluate(trained, data.test, 64))[metric] >= least


def test_probabilities_do_not_overflow() -> None:
    task = NumpyTask("sharp", nothing, (1, 2))
    model: dict[str, Any] = {"layer1.weight": np.array([[1000.0, -1000.0]], np.float32), "layer1.bias": np.zeros(2, np.float32)}
    examples = Examples(np.array([[1.0], [1.0]], np.float32), np.array([0, 1]))
    assert task.predict(model, examples.x).tolist() == [[1.0, 0.0], [1.0, 0.0]]
    loss = summarise(task.evaluate(model, examples, 2))["loss"]
    assert np.isfinite(loss)
    assert loss > 10


def test_the_registry_loader_is_the_data_set() -> None:
    assert len(partial(load, "iris")().train) == len(TASKS["iris-mlp"].make().data().train)
