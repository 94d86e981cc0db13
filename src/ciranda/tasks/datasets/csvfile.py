"""Data sets from a CSV file: numbers as they are, texts as one-hot columns, the kind of task found from the target.

`read_csv` also gives the `Encoding`, a small value that turns later rows into the same features, so that a model predicts from a file with
the columns it was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ciranda.core.errors import DataError
from ciranda.core.rng import Draw
from ciranda.core.task import Array, Examples, FederatedData
from ciranda.tasks.datasets.arrays import divided
from ciranda.tasks.datasets.csvtable import Table, some

MOST_CATEGORIES = 100
MOST_INTEGER_CLASSES = 20
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Column:
    """A column that is a feature: numeric if `categories` is empty, else one-hot over them, in that order."""

    name: str
    categories: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many features it makes."""
        return len(self.categories) or 1


@dataclass(frozen=True)
class Encoding:
    """How rows of a CSV file become features and targets.

    Attributes:
        columns: the feature columns, in the order of the features.
        target: name of the target column.
        classes: class names in label order; empty for a regression.
    """

    columns: tuple[Column, ...]
    target: str
    classes: tuple[str, ...]

    @property
    def features(self) -> tuple[str, ...]:
        """A name for each feature: the column's, or "column=category"."""
        return tuple(f"{c.name}={category}" if category else c.name for c in self.columns for category in c.categories or ("",))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Encoding:
        columns = tuple(Column(one["name"], tuple(one["categories"])) for one in value["columns"])
        return cls(columns, value["target"], tuple(value["classes"]))

    def read(self, path: str | Path) -> NDArray[np.float32]:
        """The features of a CSV file's rows, float32 (n, features); it may have other columns or lack the target. Raises DataError."""
        table = Table.open(Path(path))
        for column in self.columns:
            table.index(column.name)
        table.check_missing([column.name for column in self.columns])
        return _features(table, self.columns)


def from_csv(
    path: str | Path,
    *,
    target: str,
    client_column: str | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    kind: Literal["auto", "classification", "regression"] = "auto",
    drop: Sequence[str] = (),
    missing: Literal["error", "drop"] = "error",
) -> FederatedData:
    """The data set in a CSV file with a header line, UTF-8, separated by commas, semicolons or tabs.

    A feature column in which most values are numbers is numeric; any other becomes one feature per distinct text, at most
    `MOST_CATEGORIES`. In a file separated by semicolons a number may have a decimal comma.

    Args:
        target: the column to predict. Texts, or at most `MOST_INTEGER_CLASSES` different whole numbers, make a classification, other
            numbers a regression, unless `kind` says which.
        client_column: the column that names each row's owner; it becomes `groups` and is not a feature.
        test_fraction: share of rows kept for the test, as in `from_arrays`; `seed` chooses which.
        drop: columns that are not features.
        missing: what to do about rows with a missing value (`csvtable.MISSING`, in any case): refuse the file, or drop them.

    Returns:
        x float32 (n, features); y int64 labels (n,) or float32 targets (n,).

    Raises:
        DataError: no such file or column, no rows, a ragged row, a value that is not a finite number; with line and column.
    """
    return read_csv(
        path,
        target=target,
        client_column=client_column,
        test_fraction=test_fraction,
        seed=seed,
        kind=kind,
        drop=drop,
        missing=missing,
    )[0]


def read_csv(
    path: str | Path,
    *,
    target: str,
    client_column: str | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    kind: Literal["auto", "classification", "regression"] = "auto",
    drop: Sequence[str] = (),
    missing: Literal["error", "drop"] = "error",
) -> tuple[FederatedData, Encoding]:
    """As `from_csv`, with the encoding. Raises DataError."""
    table = Table.open(Path(path))
    others = [*drop, *([client_column] if client_column else [])]
    for name in (target, *others):
        table.index(name)
    if target in others:
        raise DataError(f"{path}: the target '{target}' is also the client column or among the dropped ones.")
    names = [name for name in table.header if name != target and name not in others]
    if not names:
        raise DataError(f"{path} has no column left to be a feature beside the target '{target}'.")
    used = [*names, target, *([client_column] if client_column else [])]
    if missing == "drop":
        table = table.without_missing(used)
    else:
        table.check_missing(used)
    columns = tuple(_column(table, name) for name in names)
    y, classes = _target(table, target, kind)
    data = divided(
        Examples(_features(table, columns), y),
        classes,
        _owners(table, client_column) if client_column else None,
        test_fraction=test_fraction,
        draw=Draw(seed),
        name=Path(path).stem,
        source=str(path),
    )
    return data, Encoding(columns, target, classes)


def _column(table: Table, name: str) -> Column:
    texts = table.column(name)
    if 2 * sum(table.number(text) is not None for text in texts) > len(texts):
        return Column(name)
    categories = tuple(sorted({text.strip() for text in texts}))
    if len(categories) > MOST_CATEGORIES:
        raise DataError(
            f"{table.path}: column '{name}' has {len(categories)} different texts; at most {MOST_CATEGORIES} can be a category.",
            hint=f"Is it an identifier? Leave it out with drop=['{name}'].",
        )
    return Column(name, categories)


def _features(table: Table, columns: Sequence[Column]) -> NDArray[np.float32]:
    x = np.zeros((len(table.lines), sum(column.width for column in columns)), np.float32)
    at = 0
    for column in columns:
        if column.categories:
            x[np.arange(len(x)), at + _positions(table, column.name, column.categories)] = 1
        else:
            x[:, at] = _numbers(table, column.name)
        at += column.width
    return x


def _numbers(table: Table, name: str) -> NDArray[np.float32]:
    values = []
    for row, text in enumerate(table.column(name)):
        value = table.number(text)
        if value is None or abs(value) > _LARGEST:
            raise DataError(f"{table.path}, line {table.lines[row]}, column '{name}': {text!r} is not a number that can be used.")
        values.append(value)
    return np.asarray(values, np.float32)


def _positions(table: Table, name: str, known: Sequence[str]) -> NDArray[np.int64]:
    place = {text: position for position, text in enumerate(known)}
    positions = np.empty(len(table.lines), np.int64)
    for row, text in enumerate(table.column(name)):
        position = place.get(text.strip())
        if position is None:
            raise DataError(
                f"{table.path}, line {table.lines[row]}, column '{name}': {text!r} is none of {some([repr(k) for k in known])}."
            )
        positions[row] = position
    return positions


def _target(table: Table, name: str, kind: Literal["auto", "classification", "regression"]) -> tuple[Array, tuple[str, ...]]:
    texts = [text.strip() for text in table.column(name)]
    values = [table.number(text) for text in texts]
    numeric = 2 * sum(value is not None for value in values) > len(values)
    whole = all(value is not None and value.is_integer() for value in values)
    if kind == "auto":
        kind = "regression" if numeric and not (whole and len(set(values)) <= MOST_INTEGER_CLASSES) else "classification"
    if kind == "regression":
        return _numbers(table, name), ()
    # Numbers in the order of numbers ("10" after "9"), and "1" and "1.0" one class; anything else in the order of texts.
    names = [str(int(value)) for value in values if value is not None] if whole else texts
    classes = tuple(sorted(set(names), key=int if whole else str))
    if len(classes) < 2:
        raise DataError(f"{table.path}: the target '{name}' has one value only, {classes[0]!r}: there is nothing to learn.")
    if len(classes) > max(MOST_CATEGORIES, len(texts) // 2) or len(classes) == len(texts):
        raise DataError(f"{table.path}: the target '{name}' has {len(classes)} different texts in {len(texts)} rows: too many for classes.")
    place = {text: position for position, text in enumerate(classes)}
    return np.asarray([place[text] for text in names], np.int64), classes


def _owners(table: Table, name: str) -> Array:
    """The owners as whole numbers if all are, so that client 10 comes after client 9, else as texts."""
    texts = [text.strip() for text in table.column(name)]
    if all(text.isascii() and text.isdigit() and len(text) < 19 and str(int(text)) == text for text in texts):
        return np.asarray([int(text) for text in texts], np.int64)
    return np.asarray(texts)
