"""Data sets from a data frame in memory: pandas, polars, or anything with columns that become numpy arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ciranda.core.errors import DataError
from ciranda.core.task import Array, FederatedData
from ciranda.tasks.datasets.csvfile import Wish, federated
from ciranda.tasks.datasets.dialect import Dialect
from ciranda.tasks.datasets.survey import Kind
from ciranda.tasks.datasets.table import Cells, Table, make_cells

NAME = "the data frame"


def from_frame(
    frame: Any,
    *,
    target: str,
    client_column: str | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    kind: Kind = "auto",
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    missing: Literal["fill", "drop", "error"] = "fill",
    min_count: int = 1,
    name: str = "frame",
) -> FederatedData:
    """The data set in a pandas or polars data frame, prepared as `from_csv` prepares a file; `ciranda.run(data)` trains on it.

    The arguments are those of `Wish`. Numbers are numbers; texts, truth values and categoricals are categories; None, NaN and NaT are
    missing. Rows are counted from 1 in messages.

    Raises:
        DataError: no such column, no rows, columns of the same name, cells that are lists; and as `from_csv`.
    """
    wish = Wish(target, client_column, test_fraction, seed, kind, tuple(drop), tuple(keep), missing, min_count)
    return federated(table_of(frame), wish, name=name, source="memory")[0]


def table_of(frame: Any) -> Table:
    """The frame's cells. Raises DataError."""
    if not hasattr(frame, "columns") or not hasattr(frame, "__getitem__"):
        raise DataError(
            "An object of class {kind} is not a data frame.",
            kind=type(frame).__name__,
            hint="Give a pandas or polars DataFrame; arrays go to ciranda.data.from_arrays.",
        )
    labels = list(frame.columns)
    names = [str(label).strip() for label in labels]
    for position, name in enumerate(names):
        if name in names[:position]:
            raise DataError("The data frame has two columns '{column}'.", column=name)
    if not labels or not len(frame):
        raise DataError("The data frame has {rows} rows and {columns} columns.", rows=len(frame), columns=len(labels))
    cells = {name: _cells(np.asarray(frame[label].to_numpy()), name) for name, label in zip(names, labels, strict=True)}
    rows = len(frame)
    return Table(NAME, cells, (), np.zeros(rows, np.int64), np.arange(1, rows + 1))


def _cells(values: Array, name: str) -> Cells:
    if values.dtype.kind in "iuf":
        numbers = values.astype(np.float64)
        numbers[~np.isfinite(numbers)] = np.nan
        return make_cells([_text(value) for value in values.tolist()], numbers)
    if values.ndim != 1:
        raise DataError(
            "The column '{column}' of the data frame has shape {shape}: a cell must hold one value.", column=name, shape=values.shape
        )
    texts = [_text(value) for value in values.tolist()] if values.dtype.kind != "M" else np.datetime_as_string(values).tolist()
    dialect = Dialect()
    for row, value in enumerate(values.tolist()):
        if isinstance(value, list | tuple | dict | set | np.ndarray):
            raise DataError("The data frame, row {row}, column '{column}': a cell must hold one value.", row=row + 1, column=name)
    return make_cells(texts, [dialect.number(text) for text in texts])


def _text(value: Any) -> str:
    """What a CSV file would say: nothing for a missing value, "3" for 3.0."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return ""
    if isinstance(value, float):
        if not math.isfinite(value):
            return "" if math.isnan(value) else str(value)
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value).strip()
