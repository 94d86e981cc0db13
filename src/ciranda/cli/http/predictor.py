"""What a run's task makes of inputs that come over HTTP, and of other people's data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ciranda.cli.inputs import Inputs
from ciranda.cli.predict import answers
from ciranda.core.codec import decode
from ciranda.core.errors import CodecError, DataError
from ciranda.core.task import Array, Arrays, Task
from ciranda.runtimes.http.run import Part, Predictor
from ciranda.tasks.datasets.encoding import Encoding
from ciranda.tasks.datasets.table import Table, make_cells
from ciranda.tasks.inputs import Form, fitted, npy, picture

MAX_EXAMPLES = 10_000
_NPY, _PNG, _JPEG = b"\x93NUMPY", b"\x89PNG\r\n", b"\xff\xd8\xff"


class ExperimentPredictor(Predictor):
    """Inputs for `task`, whose data have this form. record: of the data, where a table was encoded."""

    def __init__(self, task: Task, form: Form, record: Mapping[str, Any] | None = None) -> None:
        self._task, self._form = task, form
        self._encoding = Encoding.from_json(record["encoding"]) if record is not None else None

    def predict(self, model: Arrays, parts: Sequence[Part], top: int) -> list[dict[str, Any]]:
        pieces = [self.read(name, data) for name, data in parts]
        names = [
            name if len(piece) == 1 else f"{name}:{row}"
            for (name, _), piece in zip(parts, pieces, strict=True)
            for row in range(len(piece))
        ]
        x = np.concatenate(pieces)
        if not 0 < len(x) <= MAX_EXAMPLES:
            raise DataError("There are {count} examples; from 1 to {most} are answered at a time.", count=len(x), most=MAX_EXAMPLES)
        return answers(Inputs(x, names), self._task.predict(model, x), self._form.classes, top)

    def read(self, name: str, data: bytes) -> Array:
        """The examples in one part, as the task takes them. Raises DataError."""
        if data.startswith((_PNG, _JPEG)):
            return picture(data, name, self._form)
        if data.startswith(_NPY):
            return fitted(npy(data, name), self._form, name)
        if data[8:9] == b"{" and data[4:8] == bytes(4):  # the length of a safetensors header, which JSON cannot begin with
            return fitted(_tensor(data, name), self._form, name)
        if data.lstrip()[:1] == b"{":
            return self._json(data, name)
        raise DataError(
            "{name} is no PNG or JPEG image, .npy array, safetensors or JSON object.",
            hint='JSON is an object with the examples under "x".',
            name=name,
        )

    def _json(self, data: bytes, name: str) -> Array:
        try:
            told = json.loads(data)
            if "rows" in told:
                return self._rows(told["rows"], name)
            x = np.array(told["x"])
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            raise DataError('{name} is not JSON with examples in "x": {error}.', name=name, error=repr(error)) from error
        return fitted(x, self._form, name)

    def _rows(self, rows: Any, name: str) -> Array:
        """Rows of a table, each an object with its columns."""
        if self._encoding is None:
            raise DataError("The model was not trained on a table with named columns.", hint='Send the values in "x".')
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            raise DataError("{name} has no rows: a list of objects, each with its columns.", name=name)
        cells = {}
        for column in rows[0]:
            texts = ["" if row.get(column) is None else str(row[column]).strip() for row in rows]
            cells[column] = make_cells(texts, [_number(text) for text in texts])
        count = np.arange(1, len(rows) + 1)
        return self._encoding.encode(Table(name, cells, (), np.zeros(len(rows), np.int64), count))


def check_schema(schema: Mapping[str, Any], form: Form) -> None:
    """Raises DataError unless a client's data, as it tells of them, fit those of the run."""
    own = form.to_json()
    for key in ("x", "y", "classes"):
        told = schema.get(key)
        if told is not None and told != own[key]:
            raise DataError(
                "The data do not fit the run's: {key} is {told}, and must be {own}.",
                key=key,
                told=json.dumps(told)[:200],
                own=json.dumps(own[key])[:200],
            )


def _tensor(data: bytes, name: str) -> Array:
    try:
        arrays, _ = decode(data)
    except CodecError as error:
        raise DataError("{name} is not safetensors: {error}", name=name, error=error) from error
    if set(arrays) != {"x"}:
        raise DataError("{name} must have one tensor, x; it has {names}.", name=name, names=", ".join(sorted(arrays)[:9]) or "-")
    return np.asarray(arrays["x"])


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return np.nan
    return value if np.isfinite(value) and "_" not in text else np.nan
