"""What `ciranda check` does with a task: load its data, take one step, predict; stop at the first thing that is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ciranda.core.errors import CirandaError, DataError, SignatureError, TaskError
from ciranda.core.metrics import summarise
from ciranda.core.params import model_sha256
from ciranda.core.rng import Draw
from ciranda.core.task import Arrays, ClientSettings, Examples, FederatedData, Part, Task

BATCH = 32


@dataclass(frozen=True)
class TensorLine:
    """One tensor of the model."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    part: Part


@dataclass
class Report:
    """What was found until the first error.

    Attributes:
        train, test: numbers of examples. example: the shape and dtype of one stored input, as text.
        tensors: the model's, in its order; `parameters` counts the numbers in those that are trained.
        loss_before, loss_after: on one batch, before and after one epoch on it; None if it did not come to that.
        error: the first thing that is wrong, None if nothing is.
    """

    name: str
    kind: str
    train: int = 0
    test: int = 0
    classes: tuple[str, ...] = ()
    example: str = ""
    tensors: list[TensorLine] = field(default_factory=list)
    parameters: int = 0
    loss_before: float | None = None
    loss_after: float | None = None
    error: CirandaError | None = None


def check_task(task: Task, settings: ClientSettings | None = None) -> Report:
    """Try everything that the engine will ask of `task`, on one batch. Errors are told in the report, not raised."""
    report = Report(task.name, task.kind)
    try:
        data = _data(task, report)
        model = _model(task, report)
        _step(task, model, data.train[:BATCH], settings or ClientSettings(batch_size=BATCH), report)
        _prediction(task, model, data)
    except CirandaError as error:
        report.error = error
    return report


def _data(task: Task, report: Report) -> FederatedData:
    data = task.data()
    if not isinstance(data, FederatedData):
        raise DataError(
            f"{task.name}: data() returned {type(data).__name__}, not a data set.", hint="Make one with ciranda.data.from_arrays(x, y)."
        )
    report.train, report.test, report.classes = len(data.train), len(data.test), tuple(data.classes)
    if not report.train:
        raise DataError(f"{task.name}: data() holds no training examples.")
    x, y = data.train.x, data.train.y
    report.example = f"{x.shape[1:]} {x.dtype}"
    if len(x) != len(y):
        raise DataError(f"{task.name}: {len(x)} inputs, but {len(y)} targets.")
    if task.kind == "classification" and y.dtype.kind not in "iu":
        raise DataError(
            f"{task.name}: classification needs integer labels; they are {y.dtype}.", hint='For real targets set kind = "regression".'
        )
    if task.kind == "regression" and y.dtype.kind != "f":
        raise DataError(f"{task.name}: regression needs real targets; they are {y.dtype}.", hint="Turn them into floats: y.astype(float).")
    return data


def _model(task: Task, report: Report) -> Arrays:
    model = task.initial(Draw(0))
    report.tensors = [TensorLine(name, array.shape, str(array.dtype), task.part_of(name)) for name, array in model.items()]
    report.parameters = sum(int(np.prod(line.shape)) for line in report.tensors if line.part == "model")
    again = task.initial(Draw(1))
    for name in sorted({*model, *again}):
        shapes = [one[name].shape if name in one else "none" for one in (model, again)]
        if shapes[0] != shapes[1]:
            raise SignatureError(f"{task.name}: tensor '{name}' has shape {shapes[0]} in one model and {shapes[1]} in the next.")
    if model_sha256(model) != model_sha256(task.initial(Draw(0))):
        raise TaskError(
            f"{task.name}: two initial models under one seed differ.", hint="Draw the model's randomness from torch's generator only."
        )
    return model


def _step(task: Task, model: Arrays, batch: Examples, settings: ClientSettings, report: Report) -> None:
    report.loss_before = summarise(task.evaluate(model, batch, BATCH)).get("loss")
    trained = task.train(model, batch, settings, Draw(2))
    for name, array in model.items():
        other = trained.arrays.get(name)
        if other is None or (other.shape, other.dtype) != (array.shape, array.dtype):
            raise SignatureError(f"{task.name}: training changed tensor '{name}' from {array.dtype} {array.shape}, or lost it.")
    report.loss_after = summarise(task.evaluate(trained.arrays, batch, BATCH)).get("loss")
    if model_sha256(trained.arrays) != model_sha256(task.train(model, batch, settings, Draw(2)).arrays):
        raise TaskError(
            f"{task.name}: training twice on the same batch under one seed gave two models, so runs cannot be repeated.",
            hint="Keep nothing between calls in self, and draw from torch's generator only, not from random or numpy.random.",
        )


def _prediction(task: Task, model: Arrays, data: FederatedData) -> None:
    predicted = task.predict(model, data.train.x[:BATCH])
    count = min(BATCH, len(data.train))
    if task.kind == "classification":
        if predicted.shape != (count, len(data.classes)) and data.classes:
            raise TaskError(
                f"{task.name}: predictions for {count} examples of {len(data.classes)} classes have shape {predicted.shape}.",
                hint="The model's last layer must have one output for each class.",
            )
        if not np.allclose(predicted.sum(axis=1), 1.0, atol=1e-3):
            raise TaskError(f"{task.name}: predict() must give class probabilities; the rows do not add up to 1.")
    elif predicted.size != data.train.y[:BATCH].size:
        raise TaskError(f"{task.name}: predictions have shape {predicted.shape}, the targets {data.train.y[:BATCH].shape}.")
