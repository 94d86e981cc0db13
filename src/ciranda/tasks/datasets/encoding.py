"""How rows of a table become features and targets: a small value that does it for training, tests and any later row alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ciranda.core.errors import DataError
from ciranda.core.task import Array
from ciranda.tasks.datasets.survey import MOST_CATEGORIES, Findings, class_names, numbers_of
from ciranda.tasks.datasets.table import Table, read_table, some
from ciranda.tasks.preprocess import NONE, Affine

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers: one feature, (value - mean) / deviation, and with `indicator` another that is 1 where the value is missing.

    `fill` stands for a missing value: the median. A constant column becomes zeros.
    """

    name: str
    mean: float
    deviation: float
    fill: float
    indicator: bool = False

    @property
    def features(self) -> tuple[str, ...]:
        return (self.name, f"{self.name} (missing)") if self.indicator else (self.name,)

    def encode(self, table: Table) -> Floats:
        """Features of shape (rows, 1 or 2). Raises DataError for what is not a number, with its line."""
        cells = numbers_of(table, self.name)
        values = np.where(cells.missing, self.fill, cells.numbers)
        scaled = ((values - self.mean) / (self.deviation or 1.0)).astype(np.float32)
        return np.column_stack([scaled, cells.missing.astype(np.float32)]) if self.indicator else scaled[:, None]


@dataclass(frozen=True)
class CategoryColumn:
    """A column of texts: a feature for each category, 1 where the row has it, in order of frequency.

    With `other`, one more for all that are rare; with `indicator`, one more for missing values, which besides count as the most frequent
    category. A category that was never met goes to `other`, and where that was never met either, it is every category by its share:
    a weight that nothing trained has no say.
    """

    name: str
    categories: tuple[str, ...]
    shares: tuple[float, ...]
    other: bool = False
    indicator: bool = False

    @property
    def features(self) -> tuple[str, ...]:
        more = (("(other)",) if self.other else ()) + (("(missing)",) if self.indicator else ())
        return (*(f"{self.name}={one}" for one in self.categories), *(f"{self.name} {one}" for one in more))

    def encode(self, table: Table) -> Floats:
        """Features of shape (rows, len(features))."""
        cells = table.column(self.name)
        place = {text: position for position, text in enumerate(self.categories)}
        unknown = len(place)
        position = np.fromiter((place.get(text, unknown) for text in cells.texts), np.int64, len(cells.texts))
        position[cells.missing] = 0
        # The last row of the stencil is what a category looks like that is none of them.
        stencil = np.zeros((unknown + 1, len(self.features)), np.float32)
        stencil[:unknown, :unknown] = np.eye(unknown, dtype=np.float32)
        if self.other:
            stencil[unknown, unknown] = 1.0
        else:
            stencil[unknown, :unknown] = self.shares
        x = stencil[position]
        if self.indicator:
            x[:, -1] = cells.missing
        return x

    def unknown(self, table: Table) -> dict[str, int]:
        """Categories of the table that are not among these, and how many rows have each."""
        cells = table.column(self.name)
        return dict(Counter(text for text in cells.texts[~cells.missing] if text not in self.categories))


Column = NumberColumn | CategoryColumn


@dataclass(frozen=True)
class Encoding:
    """Rows to features and targets.

    Attributes:
        columns: what becomes features, in their order.
        target: the column to predict. kind: what the task is.
        classes: class names in label order; whole: whether these are whole numbers, so that 1.0 is the class "1".
        mean, deviation: of the target of a regression, for the model's scale; targets themselves stay in their unit.
    """

    columns: tuple[Column, ...]
    target: str
    kind: Literal["classification", "regression"]
    classes: tuple[str, ...] = ()
    whole: bool = False
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def features(self) -> tuple[str, ...]:
        """A name for each feature."""
        return tuple(name for column in self.columns for name in column.features)

    @property
    def scale_y(self) -> Affine:
        """The scale on which a regression learns its target."""
        return Affine((self.mean,), (self.deviation or 1.0,)) if self.kind == "regression" else NONE

    def encode(self, table: Table) -> Floats:
        """The features of all rows, float32 (rows, features); the table may have other columns. Raises DataError."""
        return np.concatenate([column.encode(table) for column in self.columns], axis=1)

    def read(self, path: str | Path) -> Floats:
        """The features of a CSV file's rows. Raises DataError."""
        return self.encode(read_table(Path(path)))

    def unknown(self, table: Table) -> dict[str, dict[str, int]]:
        """By column the categories that were not met before, and how many rows have each."""
        found = {column.name: column.unknown(table) for column in self.columns if isinstance(column, CategoryColumn)}
        return {name: counts for name, counts in found.items() if counts and not self._has_other(name)}

    def _has_other(self, name: str) -> bool:
        return any(column.name == name and isinstance(column, CategoryColumn) and column.other for column in self.columns)

    def targets(self, table: Table) -> Array:
        """int64 labels or float32 targets, shape (rows,). Raises DataError for a missing one or an unknown class, with its line."""
        if (missing := table.column(self.target).missing).any():
            raise DataError(
                "{where}: the target '{column}' is missing.",
                where=table.where(int(missing.argmax())),
                column=self.target,
                hint="Fill it in, or leave the row out.",
            )
        if self.kind == "regression":
            return numbers_of(table, self.target).numbers.astype(np.float32)
        place = {text: position for position, text in enumerate(self.classes)}
        labels = np.empty(len(table), np.int64)
        for row, text in enumerate(class_names(table.column(self.target), self.whole)):
            if text not in place:
                raise DataError(
                    "{where}, column '{column}': {value!r} is none of the classes {classes}.",
                    where=table.where(row),
                    column=self.target,
                    value=text,
                    classes=some(self.classes),
                )
            labels[row] = place[text]
        return labels

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Encoding:
        """The encoding that `to_json` wrote. Raises DataError."""
        try:
            columns = tuple(_column(one) for one in value["columns"])
            return cls(**{**value, "columns": columns, "classes": tuple(value["classes"])})
        except (KeyError, TypeError) as error:
            raise DataError("This is not the encoding of a table: {error}.", error=repr(error)) from error


def make_encoding(found: Findings, target: str) -> Encoding:
    """The encoding that a survey's findings lead to. Raises DataError if no column is left to be a feature."""
    columns: list[Column] = []
    for name, profile in found.profiles.items():
        indicator = profile["missing"] > 0
        if name in found.numbers and name != target:
            one = found.numbers[name]
            columns.append(NumberColumn(name, one.mean, one.deviation, one.median, indicator))
        elif name in found.categories:
            columns.append(_categories(name, found.categories[name], found.withheld[name], indicator))
    if not columns:
        raise DataError(
            "No column is left to be a feature beside the target '{target}'.",
            target=target,
            hint="Left out: {names}. Name those to use all the same in data.keep." if found.left_out else "",
            names=", ".join(found.left_out),
        )
    profile = found.profiles[target]
    whole = profile["whole"] == profile["numbers"] == profile["rows"] - profile["missing"]
    if found.kind == "classification":
        return Encoding(tuple(columns), target, "classification", found.classes, whole)
    goal = found.numbers[target]
    return Encoding(tuple(columns), target, "regression", (), whole, goal.mean, goal.deviation or 1.0)


def rare_below(rows: int) -> int:
    """A category counts as rare with fewer rows than this: a hundredth of them, at least 1 and at most 10."""
    return min(10, max(1, rows // 100))


def _categories(name: str, counts: Mapping[str, int], withheld: int, indicator: bool) -> CategoryColumn:
    rows = sum(counts.values()) + withheld
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kept = [(text, count) for text, count in ranked if count >= rare_below(rows)][:MOST_CATEGORIES]
    total = sum(count for _, count in kept)
    return CategoryColumn(
        name, tuple(text for text, _ in kept), tuple(count / total for _, count in kept), other=total < rows, indicator=indicator
    )


def _column(value: Mapping[str, Any]) -> Column:
    if "categories" in value:
        return CategoryColumn(**{**value, "categories": tuple(value["categories"]), "shares": tuple(value["shares"])})
    return NumberColumn(**value)
