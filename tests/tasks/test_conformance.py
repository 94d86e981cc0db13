"""Every kind of task passes the suite that users' own tasks can be put through."""

from __future__ import annotations

import numpy as np
import pytest

from ciranda.core.task import ClientSettings, Examples, FederatedData, Task
from ciranda.tasks.numpy_models import NumpyTask
from ciranda.tasks.registry import TASKS
from ciranda.testing.tasks import TaskConformance


class TestDigitsSoftmax(TaskConformance):
    def make(self) -> Task:
        return TASKS["digits-softmax"].make()


class TestDigitsMlp(TaskConformance):
    def make(self) -> Task:
        return TASKS["digits-mlp"].make()


class TestIris(TaskConformance):
    def make(self) -> Task:
        return TASKS["iris-mlp"].make()


class TestDiabetes(TaskConformance):
    learns_to = 0.95

    def make(self) -> Task:
        return TASKS["diabetes-linear"].make()


def two_targets() -> FederatedData:
    generator = np.random.default_rng(1)
    x = generator.normal(size=(60, 3)).astype(np.float32)
    y = (x @ generator.normal(size=(3, 2))).astype(np.float32)
    return FederatedData(Examples(x, y), Examples(x[:9], y[:9]))


class TestTwoOutputs(TaskConformance):
    def make(self) -> Task:
        return NumpyTask("two", two_targets, (3, 5, 2), "regression")


def striped(shape: tuple[int, ...]) -> FederatedData:
    """Small images whose class is the row that is bright: learnable in a few steps, and no file is needed."""
    generator = np.random.default_rng(2)
    y = generator.integers(0, 10, 60)
    x = generator.integers(0, 60, (60, *shape)).astype(np.uint8)
    for image, label in zip(x, y, strict=True):
        image[2 * label : 2 * label + 3] += 150
    return FederatedData(Examples(x, y), Examples(x[:20], y[:20]), tuple("0123456789"))


class TorchConformance(TaskConformance):
    task_name = ""
    shape: tuple[int, ...] = (28, 28)

    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        pytest.importorskip("torch")

    def make(self) -> Task:
        return TASKS[self.task_name].make(device="cpu")

    def data(self, task: Task) -> FederatedData:
        return striped(self.shape)


class TestMnistMlp(TorchConformance):
    task_name = "mnist-mlp"


class TestMnistCnn(TorchConformance):
    task_name = "mnist-cnn"
    learning_epochs = 15


class TestFashionCnn(TorchConformance):
    task_name = "fashion-cnn"
    learning_epochs = 15


class TestCifarCnn(TorchConformance):
    task_name = "cifar10-cnn"
    shape = (32, 32, 3)
    learning_epochs = 25
    settings = ClientSettings(local_epochs=2, batch_size=8, learning_rate=0.1)


@pytest.mark.slow
class TestMcMahanCnn(TorchConformance):
    task_name = "mnist-cnn-mcmahan"
