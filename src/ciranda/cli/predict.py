"""`ciranda predict`: the final model's answer for new inputs, with the preprocessing of training and in evaluation mode."""

from __future__ import annotations

import csv
import io
import json as jsonlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ciranda.cli import compose
from ciranda.cli.errors import tell
from ciranda.cli.find import find_run
from ciranda.cli.folder import RunFolder
from ciranda.cli.inputs import Inputs, read_inputs
from ciranda.cli.tables import recorded_task
from ciranda.core.task import Array, Task
from ciranda.experiment.load import load
from ciranda.i18n import _
from ciranda.store.files import write_whole
from ciranda.tasks.datasets.dialect import Dialect
from ciranda.tasks.datasets.encoding import Encoding
from ciranda.tasks.datasets.table import Table, read_table, some

SHOWN = 3


def predict(name: str, what: str, *, json: bool = False, out: Path | None = None) -> None:
    """Print one line for each input: the class with its probability and the runners-up, or the value.

    Args:
        out: a CSV file to write instead: the rows of the input, if it is a table, and what is predicted of each.

    Raises:
        Missing: no such run, or no model in it yet. DataError: the input does not fit.
    """
    folder = RunFolder.existing(find_run(name))
    record = folder.data_record()
    table = read_table(Path(what)) if record is not None and Path(what).suffix.lower() == ".csv" else None
    experiment = load(folder.experiment)
    task: Task
    if record is not None and table is not None:
        encoding = Encoding.from_json(record["encoding"])
        task = recorded_task(experiment, encoding) if experiment.experiment.task == "csv" else compose.task_of(experiment)
        inputs, classes = Inputs(encoding.encode(table), [str(row) for row in range(len(table))]), encoding.classes
        _tell_unknown(encoding.unknown(table))
    else:
        task = compose.task_of(experiment)
        data = task.data()
        inputs, classes = read_inputs(what, data), tuple(data.classes)
    found = answers(inputs, compose.predict(folder.path, inputs.x, task), classes)
    if out is not None:
        write_whole(out, [as_csv(found, table).encode()])
        print(out)
    elif json:
        print(jsonlib.dumps(found, ensure_ascii=False))
    else:
        for answer in found:
            print(line(answer))


def _tell_unknown(unknown: Mapping[str, Mapping[str, int]]) -> None:
    for column, counts in unknown.items():
        message = _(
            "Column '{column}': {values} did not occur in training (rows: {rows}); no category is favoured for them.",
            column=column,
            values=some([repr(text) for text in counts]),
            rows=sum(counts.values()),
        )
        tell(message)


def answers(inputs: Inputs, predicted: Array, classes: Sequence[str], top: int | None = None) -> list[dict[str, Any]]:
    """What is told of each input: its class and its probabilities, or its value; the true target where it is known.

    Args:
        top: tell only so many probabilities, the greatest first; None tells all in the order of the labels.
    """
    found: list[dict[str, Any]] = []
    for row, name in enumerate(inputs.names):
        if classes:
            order = range(len(classes)) if top is None else np.argsort(-predicted[row], kind="stable")[:top]
            probabilities = {classes[label]: round(float(predicted[row, label]), 6) for label in order}
            answer: dict[str, Any] = {"input": name, "class": classes[int(np.argmax(predicted[row]))], "probabilities": probabilities}
        else:
            answer = {"input": name, "value": np.asarray(predicted[row], np.float64).tolist()}
        if inputs.truth is not None:
            truth = inputs.truth[row]
            answer["true"] = classes[int(truth)] if classes else np.asarray(truth, np.float64).tolist()
        found.append(answer)
    return found


def as_csv(found: Sequence[Mapping[str, Any]], table: Table | None) -> str:
    """The answers as CSV, after the input's own columns, and in its dialect, so that whatever opens one opens the other."""
    dialect = table.dialects[0] if table is not None and table.dialects else Dialect()
    columns: dict[str, Sequence[Any]] = {"input": [answer["input"] for answer in found]}
    if table is not None:
        columns = {name: table.cells[name].texts.tolist() for name in table.header}
    own = set(columns)
    if "class" in found[0]:
        columns["prediction"] = [answer["class"] for answer in found]
        for label in found[0]["probabilities"]:
            columns[f"p({label})"] = [f"{answer['probabilities'][label]:.6f}" for answer in found]
    else:
        values = np.array([np.ravel(answer["value"]) for answer in found])
        names = ["prediction"] if values.shape[1] == 1 else [f"prediction {number}" for number in range(1, values.shape[1] + 1)]
        columns.update({name: [f"{value:.6g}" for value in column] for name, column in zip(names, values.T, strict=True)})
    if dialect.decimal_comma:
        numbers = [name for name in columns if name not in own and not (name == "prediction" and "class" in found[0])]
        columns.update({name: [text.replace(".", ",") for text in columns[name]] for name in numbers})
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=dialect.delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return stream.getvalue()


def line(answer: dict[str, Any]) -> str:
    """One answer for a reader: the likeliest class first, or the value."""
    parts = [f"{answer['input']}:"]
    if "class" in answer:
        ranked = sorted(answer["probabilities"].items(), key=lambda item: -item[1])[:SHOWN]
        parts.append(f"{_('class')} {answer['class']}")
        parts.append("(" + ", ".join(f"{label} {probability:.4f}" for label, probability in ranked) + ")")
    else:
        parts.append(f"{_('value')} {_number(answer['value'])}")
    if "true" in answer:
        truth = answer["true"] if "class" in answer else _number(answer["true"])
        parts.append(f"{_('true')} {truth}")
    return "  ".join(parts)


def _number(value: Any) -> str:
    return ", ".join(f"{float(part):.6g}" for part in np.ravel(value))
