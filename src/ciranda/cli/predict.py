"""`ciranda predict`: the final model's answer for new inputs, with the preprocessing of training and in evaluation mode."""

from __future__ import annotations

import json as jsonlib
from typing import Any

import numpy as np

from ciranda.cli import compose
from ciranda.cli.find import find_run
from ciranda.cli.folder import RunFolder
from ciranda.cli.i18n import say
from ciranda.cli.inputs import Inputs, read_inputs
from ciranda.cli.tables import read_table
from ciranda.core.task import Array, FederatedData
from ciranda.experiment.load import load

SHOWN = 3


def predict(name: str, what: str, *, json: bool = False) -> None:
    """Print one line for each input: the class with its probability and the runners-up, or the value.

    Raises:
        Missing: no such run, or no model in it yet. DataError: the input does not fit.
    """
    folder = find_run(name)
    experiment = load(RunFolder.existing(folder).experiment)
    task = compose.task_of(experiment)
    data = task.data()
    rows = read_table(experiment.data)[1].read if experiment.data.csv is not None else None
    inputs = read_inputs(what, data, rows)
    found = answers(inputs, compose.predict(folder, inputs.x, task), data)
    if json:
        print(jsonlib.dumps(found, ensure_ascii=False))
        return
    for answer in found:
        print(line(answer))


def answers(inputs: Inputs, predicted: Array, data: FederatedData) -> list[dict[str, Any]]:
    """What is told of each input: its class and all probabilities, or its value; the true target where it is known."""
    found: list[dict[str, Any]] = []
    for row, name in enumerate(inputs.names):
        if data.classes:
            probabilities = {label: round(float(p), 6) for label, p in zip(data.classes, predicted[row], strict=True)}
            answer: dict[str, Any] = {"input": name, "class": data.classes[int(np.argmax(predicted[row]))], "probabilities": probabilities}
        else:
            answer = {"input": name, "value": np.asarray(predicted[row], np.float64).tolist()}
        if inputs.truth is not None:
            truth = inputs.truth[row]
            answer["true"] = data.classes[int(truth)] if data.classes else np.asarray(truth, np.float64).tolist()
        found.append(answer)
    return found


def line(answer: dict[str, Any]) -> str:
    """One answer for a reader: the likeliest class first, or the value."""
    parts = [f"{answer['input']}:"]
    if "class" in answer:
        ranked = sorted(answer["probabilities"].items(), key=lambda item: -item[1])[:SHOWN]
        parts.append(f"{say('predict.class')} {answer['class']}")
        parts.append("(" + ", ".join(f"{label} {probability:.4f}" for label, probability in ranked) + ")")
    else:
        parts.append(f"{say('predict.value')} {_number(answer['value'])}")
    if "true" in answer:
        truth = answer["true"] if "class" in answer else _number(answer["true"])
        parts.append(f"{say('predict.truth')} {truth}")
    return "  ".join(parts)


def _number(value: Any) -> str:
    return ", ".join(f"{float(part):.6g}" for part in np.ravel(value))
