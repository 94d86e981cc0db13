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
            "{task}: data() returned {kind}, not a data set.",
            hint="Make one with ciranda.data.from_arrays(x, y).",
            task=task.name,
            kind=type(data).__name__,
        )
    report.train, report.test, report.classes = len(data.train), len(data.test), tuple(data.classes)
    if not report.train:
        raise DataError("{task}: data() holds no training examples.", task=task.name)
    x, y = data.train.x, data.train.y
    report.example = f"{x.shape[1:]} {x.dtype}"
    if len(x) != len(y):
        raise DataError("{task}: {count} inputs, but {y_count} targets.", task=task.name, count=len(x), y_count=len(y))
    if task.kind == "classification" and y.dtype.kind not in "iu":
        raise DataError(
            "{task}: classification needs integer labels; they are {dtype}.",
            hint='For real targets set kind = "regression".',
            task=task.name,
            dtype=y.dtype,
        )
    if task.kind == "regression" and y.dtype.kind != "f":
        raise DataError(
            "{task}: regression needs real targets; they are {dtype}.",
            hint="Turn them into floats: y.astype(float).",
            task=task.name,
            dtype=y.dtype,
        )
    return data


def _model(task: Task, report: Report) -> Arrays:
    model = task.initial(Draw(0))
    report.tensors = [TensorLine(name, array.shape, str(array.dtype), task.part_of(name)) for name, array in model.items()]
    report.parameters = sum(int(np.prod(line.shape)) for line in report.tensors if line.part == "model")
    again = task.initial(Draw(1))
    for name in sorted({*model, *again}):
        shapes = [one[name].shape if name in one else "none" for one in (model, again)]
        if shapes[0] != shapes[1]:
            raise SignatureError(
                "{task}: tensor '{name}' has shape {first} in one model and {second} in the next.",
                task=task.name,
                name=name,
                first=shapes[0],
                second=shapes[1],
            )
    if model_sha256(model) != model_sha256(task.initial(Draw(0))):
        raise TaskError(
            "{task}: two initial models under one seed differ.",
            hint="Draw the model's randomness from torch's generator only.",
            task=task.name,
        )
    return model


def _step(task: Task, model: Arrays, batch: Examples, settings: ClientSettings, report: Report) -> None:
    report.loss_before = summarise(task.evaluate(model, batch, BATCH)).get("loss")
    trained = task.train(model, batch, settings, Draw(2))
    for name, array in model.items():
        other = trained.arrays.get(name)
        if other is None or (other.shape, other.dtype) != (array.shape, array.dtype):
            raise SignatureError(
                "{task}: training changed tensor '{name}' from {dtype} {shape}, or lost it.",
                task=task.name,
                name=name,
                dtype=array.dtype,
                shape=array.shape,
            )
    report.loss_after = summarise(task.evaluate(trained.arrays, batch, BATCH)).get("loss")
    if model_sha256(trained.arrays) != model_sha256(task.train(model, batch, settings, Draw(2)).arrays):
        raise TaskError(
            "{task}: training twice on the same batch under one seed gave two models, so runs cannot be repeated.",
            hint="Keep nothing between calls in self, and draw from torch's generator only, not from random or numpy.random.",
            task=task.name,
        )


def _prediction(task: Task, model: Arrays, data: FederatedData) -> None:
    predicted = task.predict(model, data.train.x[:BATCH])
    count = min(BATCH, len(data.train))
    if task.kind == "classification":
        if predicted.shape != (count, len(data.classes)) and data.classes:
            raise TaskError(
                "{task}: predictions for {count} examples of {classes_count} classes have shape {shape}.",
                hint="The model's last layer must have one output for each class.",
                task=task.name,
                count=count,
                classes_count=len(data.classes),
                shape=predicted.shape,
            )
        if not np.allclose(predicted.sum(axis=1), 1.0, atol=1e-3):
            raise TaskError("{task}: predict() must give class probabilities; the rows do not add up to 1.", task=task.name)
    elif predicted.size != data.train.y[:BATCH].size:
        raise TaskError(
            "{task}: predictions have shape {shape}, the targets {targets}.",
            task=task.name,
            shape=predicted.shape,
            targets=data.train.y[:BATCH].shape,
        )
