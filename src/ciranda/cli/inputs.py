"""What a user gives to `ciranda predict`, as arrays like those that the model was trained on."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ciranda.core.errors import DataError
from ciranda.core.task import Array, FederatedData
from ciranda.tasks.inputs import Form, fitted, npy, picture

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
KINDS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")


@dataclass(frozen=True)
class Inputs:
    """`x` of shape (n, ...) as in the data; a name for each row; the true target of each row where it is known."""

    x: Array
    names: list[str]
    truth: Array | None = None


def read_inputs(text: str, data: FederatedData) -> Inputs:
    """Read test:INDEX (or test:FROM-TO), an image, a .npy array or a .csv file.

    Raises:
        DataError: no such input, or one that does not fit the data, with both shapes.
    """
    if text.startswith("test:"):
        return _from_test(text, data)
    path, form = Path(text), Form.of(data)
    if not path.is_file():
        raise DataError("There is no file {text}.", hint="INPUT is test:0, an image, a .npy array or a .csv file.", text=text)
    suffix = path.suffix.lower()
    if suffix in IMAGES:
        return Inputs(picture(path.read_bytes(), text, form, KINDS), [path.name])
    if suffix == ".npy":
        x = npy(path.read_bytes(), text)
    elif suffix == ".csv":
        x = _numbers(path)
    else:
        raise DataError("{text} is not an image ({images}), a .npy array or a .csv file.", text=text, images=", ".join(IMAGES))
    x = fitted(x, form, text)
    return Inputs(x, [str(number) for number in range(len(x))])


def _from_test(text: str, data: FederatedData) -> Inputs:
    first, _, last = text.removeprefix("test:").partition("-")
    if not first.isdecimal() or (last and not last.isdecimal()):
        raise DataError("'{text}' is not test:INDEX or test:FROM-TO.", hint="For example test:0, or test:0-9.", text=text)
    start, stop = int(first), int(last or first)
    if not start <= stop < len(data.test):
        raise DataError("'{text}' is out of range: there are {count} test examples, counted from 0.", text=text, count=len(data.test))
    index = np.arange(start, stop + 1)
    return Inputs(data.test.x[index], [f"test:{number}" for number in index], data.test.y[index])


def _numbers(path: Path) -> Array:
    """Rows of numbers; a first line of names is passed over."""
    with path.open(newline="", encoding="utf-8-sig") as stream:
        lines = [(number, row) for number, row in enumerate(csv.reader(stream), start=1) if row]
    table = []
    for place, (number, row) in enumerate(lines):
        try:
            table.append([float(value) for value in row])
        except ValueError as error:
            if place > 0:
                raise DataError("{path}, line {number}: {error}.", path=path, number=number, error=error) from error
    if not table or len({len(row) for row in table}) > 1:
        raise DataError("{path} has no rows of numbers of one length.", path=path)
    return np.array(table)
