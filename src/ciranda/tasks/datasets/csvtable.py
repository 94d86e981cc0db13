"""A CSV file as columns of text, with the line of each row, so that every complaint can say where."""

from __future__ import annotations

import csv
import difflib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ciranda.core.errors import DataError

MISSING = frozenset({"", "na", "n/a", "nan", "null", "?"})


@dataclass(frozen=True)
class Table:
    """The file's texts by column.

    Attributes:
        header: column names.
        cells: for each column the texts of all rows.
        lines: the line in the file at which each row ends, counted from 1.
        decimal_comma: whether a number may be written with a decimal comma.
    """

    path: Path
    header: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    decimal_comma: bool

    @classmethod
    def open(cls, path: Path) -> Table:
        """Read a file. Raises DataError: missing, not text, not CSV, without rows, or with a row of the wrong length."""
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except FileNotFoundError as error:
            raise DataError(f"There is no file {path}.", hint=f"The current folder is {Path.cwd()}.") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not UTF-8 text (byte {error.start}).", hint="Save it as CSV UTF-8.") from error
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
        first = text.partition("\n")[0]
        delimiter = max((",", ";", "\t"), key=first.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows: list[list[str]] = []
        lines: list[int] = []
        try:
            header = tuple(name.strip() for name in next(reader, []))
            _check_header(path, header)
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise DataError(f"{path}, line {reader.line_num}: {len(row)} values where the header has {len(header)} columns.")
                rows.append(row)
                lines.append(reader.line_num)
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: not valid CSV: {error}.") from error
        if not rows:
            raise DataError(f"{path} has a header and no rows.")
        return cls(path, header, tuple(zip(*rows, strict=True)), tuple(lines), delimiter == ";")

    def index(self, name: str) -> int:
        """The position of a column. Raises DataError, with the names that come near, if there is none."""
        if name in self.header:
            return self.header.index(name)
        near = difflib.get_close_matches(name, self.header, n=3, cutoff=0.5)
        folded = [one for one in self.header if one.casefold() == name.casefold()]
        hint = (
            f"Did you mean {' or '.join(repr(one) for one in folded or near)}?" if folded or near else f"Columns: {some(self.header, 20)}."
        )
        raise DataError(f"{self.path} has no column '{name}'.", hint=hint)

    def column(self, name: str) -> tuple[str, ...]:
        """The texts of a column. Raises DataError if there is none."""
        return self.cells[self.index(name)]

    def number(self, text: str) -> float | None:
        """The finite number that a cell holds, else None."""
        if self.decimal_comma and "." not in text:
            text = text.replace(",", ".", 1)
        try:
            value = float(text)
        except ValueError:
            return None
        # float() also takes "1_000" and "infinity", which no measurement is written as.
        return value if math.isfinite(value) and "_" not in text else None

    def missing(self, names: Sequence[str]) -> dict[str, list[int]]:
        """Rows (positions) with a missing value, by column."""
        found = {name: [row for row, cell in enumerate(self.column(name)) if cell.strip().casefold() in MISSING] for name in names}
        return {name: rows for name, rows in found.items() if rows}

    def check_missing(self, names: Sequence[str]) -> None:
        """Raise DataError, with the columns and lines, if a value is missing in one of these columns."""
        found = self.missing(names)
        if found:
            told = "; ".join(f"'{name}' ({len(rows)}: line {some([self.lines[row] for row in rows])})" for name, rows in found.items())
            raise DataError(f"{self.path} has missing values in {told}.", hint="Fill them in, or drop the rows with missing='drop'.")

    def without_missing(self, names: Sequence[str]) -> Table:
        """The rows that have a value in all of these columns. Raises DataError if there are none."""
        gone = {row for rows in self.missing(names).values() for row in rows}
        keep = [row for row in range(len(self.lines)) if row not in gone]
        if not keep:
            raise DataError(f"{self.path} has a missing value in every row.")
        cells = tuple(tuple(column[row] for row in keep) for column in self.cells)
        return Table(self.path, self.header, cells, tuple(self.lines[row] for row in keep), self.decimal_comma)


def _check_header(path: Path, header: Sequence[str]) -> None:
    if not header:
        raise DataError(f"{path} is empty.", hint="The first line must name the columns.")
    for position, name in enumerate(header):
        if not name:
            raise DataError(f"{path}, line 1: column {position + 1} has no name.")
        if name in header[:position]:
            raise DataError(f"{path}, line 1: the column name '{name}' is there twice.")


def some(items: Sequence[object], shown: int = 5) -> str:
    """The first items, and how many more there are."""
    return ", ".join(str(item) for item in items[:shown]) + (f" and {len(items) - shown} more" if len(items) > shown else "")
