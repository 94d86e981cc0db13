"""A table of cells by column, from files or a data frame, with the place of each row, so that every complaint can say where."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ciranda.core.errors import DataError
from ciranda.core.texts import Text
from ciranda.tasks.datasets.dialect import Dialect, read_rows

MISSING = frozenset({"", "na", "n/a", "nan", "null", "nat", "?", "-"})
FILE_COLUMN = "(file)"

Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Cells:
    """One column.

    Attributes:
        texts: what stands there, without spaces around it, shape (rows,).
        numbers: the finite number that each cell holds, NaN where it holds none, float64, shape (rows,).
        missing: whether a cell holds nothing, or a word that says so (`MISSING`, in any case), shape (rows,).
    """

    texts: NDArray[np.object_]
    numbers: NDArray[np.float64]
    missing: NDArray[np.bool_]

    def __getitem__(self, index: Index | NDArray[np.bool_]) -> Cells:
        return Cells(self.texts[index], self.numbers[index], self.missing[index])


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of one or several files, or of a data frame.

    Attributes:
        name: what it is called in messages: a path, or "the data frame".
        cells: the columns by name, in order.
        files: where the rows come from; none for a data frame.
        file: for each row its place in `files`, shape (rows,).
        lines: for each row the line in its file at which it ends, or the row's number in a data frame, both from 1, shape (rows,).
        dialects: how each of `files` is written.
    """

    name: str
    cells: Mapping[str, Cells]
    files: tuple[Path, ...]
    file: Index
    lines: Index
    dialects: tuple[Dialect, ...] = ()

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: Index | NDArray[np.bool_]) -> Table:
        """The rows of an index array or a mask."""
        cells = {name: one[index] for name, one in self.cells.items()}
        return Table(self.name, cells, self.files, self.file[index], self.lines[index], self.dialects)

    @property
    def header(self) -> tuple[str, ...]:
        """The columns' names; without the one that says which file a row is from."""
        return tuple(name for name in self.cells if name != FILE_COLUMN)

    def where(self, row: int) -> Text:
        """The place of a row, for a message."""
        if not self.files:
            return Text("row {row}", row=int(self.lines[row]))
        return Text("{path}, line {line}", path=str(self.files[self.file[row]]), line=int(self.lines[row]))

    def column(self, name: str) -> Cells:
        """The cells of a column. Raises DataError, with the names that come near, if there is none."""
        if name in self.cells:
            return self.cells[name]
        folded = [one for one in self.header if one.casefold() == name.casefold()]
        near = folded or difflib.get_close_matches(name, self.header, n=3, cutoff=0.5)
        names = ", ".join(repr(one) for one in near) if near else some(self.header, 20)
        raise DataError(
            "{table} has no column '{column}'.",
            table=self.name,
            column=name,
            hint="Did you mean {names}?" if near else "Columns: {names}.",
            names=names,
        )

    def lines_of(self, mask: NDArray[np.bool_]) -> str:
        """The first lines of the rows of a mask, and how many more there are."""
        return some(self.lines[mask].tolist())


def read_table(path: Path) -> Table:
    """The table in a CSV file; or in a folder of them, one for each client, with the column `FILE_COLUMN` for the file's name.

    Raises:
        DataError: what cannot be read, with file and line; files of a folder that do not have the same columns.
    """
    if not path.is_dir():
        return _one(path)
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".csv" and not file.name.startswith("."))
    if not files:
        raise DataError("The folder {path} holds no .csv file.", path=path, hint="It must have one for each client.")
    tables = [_one(file) for file in files]
    header = tables[0].header
    for table in tables[1:]:
        for one, other in ((table, tables[0]), (tables[0], table)):
            if lost := sorted(set(other.header) - set(one.header)):
                raise DataError(
                    "{table} has no column '{column}', which {other} has.",
                    table=one.name,
                    column=lost[0],
                    other=other.name,
                    hint="All files of a folder must have the same columns.",
                )
    file = np.repeat(np.arange(len(files)), [len(table) for table in tables])
    cells = {name: _joined([table.cells[name] for table in tables]) for name in header}
    names = np.array([one.stem for one in files], object)[file]
    cells[FILE_COLUMN] = Cells(names, np.full(len(file), np.nan), np.zeros(len(file), bool))
    lines = np.concatenate([table.lines for table in tables])
    return Table(str(path), cells, tuple(files), file, lines, tuple(table.dialects[0] for table in tables))


def _one(path: Path) -> Table:
    dialect, header, rows, lines = read_rows(path)
    cells = {name: _cells(column, dialect) for name, column in zip(header, zip(*rows, strict=True), strict=True)}
    return Table(str(path), cells, (path,), np.zeros(len(rows), np.int64), np.asarray(lines, np.int64), (dialect,))


def _cells(column: Sequence[str], dialect: Dialect) -> Cells:
    texts = [text.strip() for text in column]
    return make_cells(texts, [dialect.number(text) for text in texts])


def make_cells(texts: Sequence[str], numbers: Sequence[float] | NDArray[np.float64]) -> Cells:
    """A column of stripped texts and the numbers that they hold, NaN for none."""
    missing = np.fromiter((text.casefold() in MISSING for text in texts), bool, len(texts))
    array = np.empty(len(texts), object)
    array[:] = texts
    return Cells(array, np.asarray(numbers, np.float64), missing)


def _joined(parts: Sequence[Cells]) -> Cells:
    return Cells(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("texts", "numbers", "missing")))


def some(items: Sequence[object], shown: int = 5) -> str:
    """The first items, and how many more there are."""
    return ", ".join(str(item) for item in items[:shown]) + (f" (+{len(items) - shown})" if len(items) > shown else "")
