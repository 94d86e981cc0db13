"""`check_task`: the report of a good task, and the first thing that is wrong with a bad one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ciranda.core.errors import DataError, DivergedError, SignatureError, TaskError
from ciranda.core.rng import Draw
from ciranda.core.task import Array, Arrays, ClientSettings, Examples, FederatedData, Trained
from ciranda.tasks.check import check_task
from ciranda.tasks.numpy_models import NumpyTask
from ciranda.tasks.registry import TASKS
from ciranda.tasks.user import load_task


def test_a_good_task() -> None:
    report = check_task(TASKS["digits-mlp"].make())
    assert report.error is None
    assert (report.name, report.kind, report.parameters) == ("digits-mlp", "classification", 4_810)
    assert report.train + report.test == 1_797
    assert report.classes == tuple("0123456789")
    assert report.example == "(8, 8) uint8"
    first = report.tensors[0]
    assert (first.name, first.shape, first.dtype, first.part) == ("layer1.weight", (64, 64), "float32", "model")
    assert report.loss_before is not None
    assert report.loss_after is not None
    assert report.loss_after < report.loss_before


def test_a_good_regression() -> None:
    report = check_task(TASKS["diabetes-linear"].make())
    assert report.error is None
    assert report.kind == "regression"


def examples(y: Array) -> FederatedData:
    generator = np.random.default_rng(1)
    return FederatedData(
        Examples(generator.normal(size=(len(y), 4)).astype(np.float32), y), Examples(np.zeros((0, 4)), y[:0]), ("a", "b", "c")
    )


@dataclass
class Odd(NumpyTask):
    """A task that goes wrong in one way."""

    how: str = ""
    count: int = 0

    def initial(self, draw: Draw) -> Arrays:
        self.count += 1
        if self.how == "random initial":
            draw = Draw(self.count)
        model = dict(super().initial(draw))
        if self.how == "changing":
            model["layer1.weight"] = np.zeros((4, 2 + self.count), np.float32)
        return model

    def train(self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw, correction: Arrays | None = None) -> Trained:
        self.count += 1
        trained = super().train(model, examples, settings, Draw(self.count) if self.how == "random training" else draw, correction)
        if self.how == "lost":
            return Trained({"layer1.bias": trained.arrays["layer1.bias"]}, trained.metrics)
        return trained

    def predict(self, model: Arrays, x: Array) -> Array:
        predicted = super().predict(model, x)
        return predicted * 2 if self.how == "not probabilities" else predicted


LABELS = np.arange(40) % 3


@pytest.mark.parametrize(
    ("how", "data", "kind", "text"),
    [
        ("", lambda: [1, 2], DataError, r"data\(\) returned list"),
        ("", lambda: examples(LABELS[:0]), DataError, "no training examples"),
        ("", lambda: examples(LABELS.astype(float)), DataError, "integer labels; they are float64"),
        ("changing", lambda: examples(LABELS), SignatureError, r"'layer1.weight' has shape \(4, 3\) .* \(4, 4\)"),
        ("random initial", lambda: examples(LABELS), TaskError, "two initial models"),
        ("random training", lambda: examples(LABELS), TaskError, "training twice"),
        ("lost", lambda: examples(LABELS), SignatureError, "layer1.weight"),
        ("not probabilities", lambda: examples(LABELS), TaskError, "add up to 1"),
    ],
)
def test_the_first_thing_wrong(how: str, data: Any, kind: type[Exception], text: str) -> None:
    error = check_task(Odd("odd", data, (4, 3), how=how)).error
    assert isinstance(error, kind)
    with pytest.raises(kind, match=text):
        raise error


def test_whole_targets_of_a_regression() -> None:
    error = check_task(NumpyTask("whole", lambda: examples(LABELS), (4, 1), "regression")).error
    assert error is not None
    assert "real targets; they are int64" in str(error)


def test_too_few_outputs_for_the_classes() -> None:
    task = NumpyTask("wide", lambda: examples(LABELS), (4, 5))
    error = check_task(task).error
    assert error is not None
    assert "one output for each class" in error.hint


def test_divergence_is_told() -> None:
    task = NumpyTask("steep", lambda: examples(LABELS), (4, 8, 3))
    error = check_task(task, ClientSettings(local_epochs=30, learning_rate=1e30)).error
    assert isinstance(error, DivergedError)


TORCH = """import ciranda, numpy as np
import torch.nn.functional as F
from torch import nn

class Mine(ciranda.TorchTask):
    def model(self):
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    def loss(self, model, batch):
        return F.cross_entropy(model(batch.x), batch.y)
    def data(self):
        return ciranda.data.from_arrays(np.random.default_rng(0).normal(size=(90, 4)), np.arange(90) % 3)
"""


@pytest.mark.parametrize(
    ("old", "new", "texts"),
    [
        ("", "", []),
        ("nn.Linear(8, 3)", "nn.Linear(9, 3)", ["layer '2'", "(32, 8)", "(..., 9)", "line 9"]),
        ("batch.y)", "batch.z)", ["AttributeError", "line 9"]),
        ("nn.ReLU()", "nn.Relu()", ["model() failed", "Relu", "line 7"]),
        ("size=(90, 4)", "size=(80, 4)", ["80", "90"]),
        ("np.arange(90) % 3", "np.arange(90) % 3 / 2", ["integer labels"]),
        ("nn.Linear(8, 3))", "nn.Linear(8, 3)).half()", ["float16", "float32"]),
        ("nn.Linear(8, 3))", "nn.Linear(8, 2))", ["line 9", "out of bounds"]),
    ],
)
def test_a_users_file(tmp_path: Path, old: str, new: str, texts: list[str]) -> None:
    pytest.importorskip("torch")
    text = TORCH.replace(old, new) if old else TORCH
    assert old == "" or text != TORCH
    (tmp_path / "mine.py").write_text(text)
    error = check_task(load_task("mine.py", device="cpu", folder=tmp_path)).error
    assert (error is None) == (not texts)
    for part in texts:
        assert part in str(error)
