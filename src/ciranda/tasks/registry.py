"""Tasks by name. Importing this imports neither torch nor any data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

from ciranda.core.errors import MissingExtra
from ciranda.core.task import FederatedData, Task
from ciranda.core.texts import Text
from ciranda.tasks import preprocess
from ciranda.tasks.datasets import DATASETS
from ciranda.tasks.datasets.plays import ALPHABET
from ciranda.tasks.numpy_models import NumpyTask


@dataclass(frozen=True)
class TaskEntry:
    """`make(device="auto")` builds the task; `extra` is the optional dependency it needs, "" for none."""

    name: str
    description: str
    make: Callable[..., Task]
    extra: str = ""


def load(name: str) -> FederatedData:
    """The data set of this name; a picklable loader is `functools.partial(load, name)`."""
    return DATASETS[name].load()


def _numpy(name: str, device: str = "auto", *, data: str, **options: Any) -> Task:
    return NumpyTask(name, partial(load, data), **options)


def _torch(name: str, device: str = "auto", *, data: str, network: str, scale: preprocess.Affine) -> Task:
    _need_torch(name)
    from ciranda.tasks.torch_builtin import Images
    from ciranda.tasks.torch_engine import TorchEngine

    return TorchEngine(Images(name, partial(load, data), network, scale), device)


def _text(name: str, device: str = "auto", *, data: str, network: str) -> Task:
    _need_torch(name)
    from ciranda.tasks.torch_engine import TorchEngine
    from ciranda.tasks.torch_text import Characters

    return TorchEngine(Characters(name, partial(load, data), network, len(ALPHABET)), device)


def _need_torch(name: str) -> None:
    if find_spec("torch") is None:
        raise MissingExtra("torch", "torch", Text("The task '{name}'", name=name))


def _entry(name: str, description: str, build: Callable[..., Task], **options: Any) -> TaskEntry:
    return TaskEntry(name, description, partial(build, name, **options), "torch" if build in (_torch, _text) else "")


_ENTRIES = (
    _entry(
        "digits-softmax",
        "softmax regression on 8x8 digits, 650 parameters",
        _numpy,
        data="digits",
        widths=(64, 10),
        scale_x=preprocess.DIGITS,
    ),
    _entry(
        "digits-mlp",
        "64-64-10 perceptron on 8x8 digits, 4,810 parameters",
        _numpy,
        data="digits",
        widths=(64, 64, 10),
        scale_x=preprocess.DIGITS,
    ),
    _entry("iris-mlp", "4-10-3 perceptron on iris flowers", _numpy, data="iris", widths=(4, 10, 3), scale_x=preprocess.IRIS),
    _entry(
        "diabetes-linear",
        "linear regression on diabetes progression",
        _numpy,
        data="diabetes",
        widths=(10, 1),
        kind="regression",
        scale_x=preprocess.DIABETES,
        scale_y=preprocess.PROGRESSION,
    ),
    _entry(
        "diabetes-mlp",
        "10-10-5-1 perceptron on diabetes progression",
        _numpy,
        data="diabetes",
        widths=(10, 10, 5, 1),
        kind="regression",
        scale_x=preprocess.DIABETES,
        scale_y=preprocess.PROGRESSION,
    ),
    _entry(
        "mnist-softmax", "softmax regression on MNIST, 7,850 parameters", _numpy, data="mnist", widths=(784, 10), scale_x=preprocess.MNIST
    ),
    _entry(
        "mnist-mlp",
        "784-200-200-10 perceptron on MNIST (McMahan et al. 2017), 199,210 parameters",
        _torch,
        data="mnist",
        network="mlp",
        scale=preprocess.MNIST,
    ),
    _entry(
        "mnist-cnn",
        "two convolutions with dropout on MNIST, 21,840 parameters",
        _torch,
        data="mnist",
        network="cnn-mnist",
        scale=preprocess.MNIST,
    ),
    _entry(
        "mnist-cnn-mcmahan",
        "the CNN of McMahan et al. 2017 on MNIST, 1,663,370 parameters",
        _torch,
        data="mnist",
        network="cnn-mcmahan",
        scale=preprocess.MNIST,
    ),
    _entry(
        "fashion-cnn",
        "two convolutions with dropout on Fashion-MNIST, 21,840 parameters",
        _torch,
        data="fashion-mnist",
        network="cnn-mnist",
        scale=preprocess.FASHION_MNIST,
    ),
    _entry(
        "fashion-lenet",
        "LeNet-like network on Fashion-MNIST, 61,706 parameters",
        _torch,
        data="fashion-mnist",
        network="lenet",
        scale=preprocess.FASHION_MNIST,
    ),
    _entry(
        "fashion-mlp",
        "784-256-128-10 perceptron on Fashion-MNIST, 235,146 parameters",
        _torch,
        data="fashion-mnist",
        network="mlp-256-128",
        scale=preprocess.FASHION_MNIST,
    ),
    _entry(
        "cifar10-cnn",
        "two convolutions on CIFAR-10, 62,006 parameters",
        _torch,
        data="cifar10",
        network="cnn-cifar",
        scale=preprocess.CIFAR10,
    ),
    _entry(
        "hamlet-gru",
        "next character of Hamlet, a role a client: 128 gated recurrent units, 62,171 parameters",
        _text,
        data="hamlet",
        network="gru",
    ),
    _entry(
        "hamlet-lstm-mcmahan",
        "next character of Hamlet with the LSTM of McMahan et al. 2017, 2 x 256 units, 816,475 parameters",
        _text,
        data="hamlet",
        network="lstm-mcmahan",
    ),
)
TASKS: Mapping[str, TaskEntry] = {entry.name: entry for entry in _ENTRIES}
