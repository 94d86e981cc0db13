"""`ciranda check my_task.py`: everything that a run asks of a task, once and small, so that the first error shows at once."""

from __future__ import annotations

import numpy as np

from ciranda.cli import compose
from ciranda.cli.laws import check_laws
from ciranda.core.errors import DataError, TaskError
from ciranda.core.metrics import summarise
from ciranda.core.rng import Draw
from ciranda.core.task import Arrays, ClientSettings, Examples, FederatedData, Task
from ciranda.core.texts import Text
from ciranda.experiment.load import resolve
from ciranda.experiment.schema import Experiment, ExperimentSection
from ciranda.i18n import _, number
from ciranda.plugins.files import is_file
from ciranda.tasks.user import has_task

SEED = 1
BATCH = 32


def check(spec: str) -> None:
    """Load the data, build the model, train and evaluate it on one batch, predict; print what was found.

    A file with strategies, stages or selection rules in it has these checked by their laws, and its task if it has one.

    Raises:
        CirandaError: the first thing that is wrong, with the line in the user's file.
    """
    if is_file(spec) and check_laws(spec) and not has_task(spec):
        return
    task = compose.task_of(resolve(spec) if ".py" in spec else Experiment(experiment=ExperimentSection(task=spec)))
    data = task.data()
    _report(_("Data"), *describe(data))
    batch = one_batch(data)
    draw = Draw(SEED)
    model = task.initial(draw.at("initial"))
    _report(_("Parameters"), *parameter_lines(task, model))
    _report(_("One batch"), *try_batch(task, model, batch, draw))
    print(f"{_('The task works')}: {task.name}")


def describe(data: FederatedData) -> list[str]:
    """Sizes, shapes and dtypes of the data."""
    lines = [
        f"{split}: {number(len(part), ',')}  x {part.x.dtype} {part.x.shape[1:]}  y {part.y.dtype} {part.y.shape[1:]}"
        for split, part in ((_("train"), data.train), (_("test"), data.test))
    ]
    if data.classes:
        counts = np.bincount(data.train.y, minlength=len(data.classes))
        least, most = int(counts.min()), int(counts.max())
        lines.append(_("{count} classes, {least:,} to {most:,} examples each", count=len(data.classes), least=least, most=most))
    if data.groups is not None:
        lines.append(_("{count:,} owners", count=len(np.unique(data.groups))))
    return lines


def one_batch(data: FederatedData) -> Examples:
    """The first examples. Raises DataError if there are none."""
    if not len(data.train):
        raise DataError("data() holds no training examples.")
    return data.train[np.arange(min(BATCH, len(data.train)))]


def parameter_lines(task: Task, model: Arrays) -> list[str]:
    """One line for each tensor: name, shape, dtype, and its part if it is not an ordinary parameter."""
    width = max(len(name) for name in model) if model else 0
    lines = []
    for name, array in model.items():
        part = task.part_of(name)
        lines.append(f"{name:<{width}}  {array.dtype}  {tuple(array.shape)}" + ("" if part == "model" else f"  [{part}]"))
    return [*lines, _("{count:,} numbers in all", count=sum(array.size for array in model.values()))]


def try_batch(task: Task, model: Arrays, batch: Examples, draw: Draw) -> list[str]:
    """Train, evaluate and predict on one batch; the lines say what came of it. Raises TaskError."""
    before = {name: array.copy() for name, array in model.items()}
    trained = task.train(model, batch, ClientSettings(batch_size=BATCH), draw.at("train"))
    for name, array in before.items():
        if not np.array_equal(array, model[name], equal_nan=True):
            raise TaskError(
                "{task}: train() wrote into the model it was given (tensor '{name}').", hint="Train on a copy.", task=task.name, name=name
            )
        if name not in trained.arrays or trained.arrays[name].shape != array.shape:
            found = trained.arrays[name].shape if name in trained.arrays else Text("nothing")
            raise TaskError(
                "{task}: tensor '{name}' has shape {shape} before training and {found} after it.",
                task=task.name,
                name=name,
                shape=array.shape,
                found=found,
            )
    loss = summarise(trained.metrics).get("loss", float("nan"))
    lines = [_("trained on {count} examples, loss {loss:.4f}", count=len(batch), loss=loss)]
    if all(np.array_equal(array, trained.arrays[name]) for name, array in before.items()):
        lines.append(_("warning: training changed nothing; does the loss depend on the parameters?"))
    metrics = summarise(task.evaluate(trained.arrays, batch, BATCH))
    lines.append(_("evaluated: {metrics}", metrics="  ".join(f"{name} {number(value, '.4f')}" for name, value in metrics.items())))
    predicted = task.predict(trained.arrays, batch.x)
    if len(predicted) != len(batch):
        raise TaskError(
            "{task}: predict() gave {count} answers for {batch_count} inputs.", task=task.name, count=len(predicted), batch_count=len(batch)
        )
    if not np.isfinite(predicted).all():
        raise TaskError("{task}: predict() gave values that are not finite numbers.", task=task.name)
    lines.append(_("predicted: {dtype} {shape}", dtype=predicted.dtype, shape=predicted.shape))
    return lines


def _report(title: str, *lines: str) -> None:
    print(title)
    for line in lines:
        print(f"  {line}")
