"""How a CSV file is written, found from the file: its characters, what separates the values, how numbers look."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ciranda.core.errors import DataError

DELIMITERS = (",", ";", "\t", "|")
_SAMPLED = 2000
_COMMA = re.compile(r"[+-]?\d*,\d+")
_GROUPED = re.compile(r"[+-]?\d{1,3}(\.\d{3})+,\d+")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d+)?")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


@dataclass(frozen=True)
class Dialect:
    """How one file is written.

    Attributes:
        encoding: "UTF-8", "UTF-16" or "Latin-1".
        delimiter: what separates the values.
        decimal_comma: whether numbers with a decimal comma were seen (never where a comma separates the values).
        thousands: whether they also have points between the thousands, as in 1.234,5; then 1.234 is a thousand and some.
    """

    encoding: str = "UTF-8"
    delimiter: str = ","
    decimal_comma: bool = False
    thousands: bool = False

    def number(self, text: str) -> float:
        """The finite number that a cell holds, else NaN."""
        if self.thousands and _THOUSANDS.fullmatch(text):
            text = text.replace(".", "")
        if self.delimiter != "," and "." not in text:
            text = text.replace(",", ".", 1)
        try:
            value = float(text)
        except ValueError:
            return math.nan
        # float() also takes "1_000" and "infinity", which no measurement is written as.
        return value if math.isfinite(value) and "_" not in text else math.nan


def read_rows(path: Path) -> tuple[Dialect, tuple[str, ...], list[list[str]], list[int]]:
    """The dialect, the header, the rows of a file as texts, and for each row the line at which it ends, counted from 1.

    Raises:
        DataError: missing, not text, not CSV, without rows, or with a row of the wrong length; with the line.
    """
    text, encoding = _decoded(path)
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
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
                raise DataError(
                    "{path}, line {line}: {found} values where the header has {columns} columns.",
                    path=path,
                    line=reader.line_num,
                    found=len(row),
                    columns=len(header),
                    hint='A value that contains "{delimiter}" must stand in double quotes.',
                    delimiter=delimiter,
                )
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError("{path}, line {line}: not valid CSV: {error}.", path=path, line=reader.line_num, error=str(error)) from error
    if not rows:
        raise DataError("{path} has a header and no rows.", path=path)
    commas, thousands = (False, False) if delimiter == "," else _decimals(cell for row in rows[:_SAMPLED] for cell in row)
    return Dialect(encoding, delimiter, commas, thousands), header, rows, lines


def _decoded(path: Path) -> tuple[str, str]:
    """The text of a file, and its encoding."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError("There is no file {path}.", path=path, hint="The current folder is {folder}.", folder=Path.cwd()) from error
    except OSError as error:
        raise DataError("{path} cannot be read: {error}.", path=path, error=error.strerror or str(error)) from error
    if raw.startswith(b"PK\x03\x04"):
        raise DataError(
            "{path} is a spreadsheet or an archive, not CSV text.", path=path, hint="In the spreadsheet program, save it as CSV."
        )
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        text, encoding = raw.decode("utf-16", "replace"), "UTF-16"
    else:
        try:
            text, encoding = raw.decode("utf-8-sig"), "UTF-8"
        except UnicodeDecodeError:
            # What Windows calls Latin-1 has letters where the standard has control characters; five bytes mean nothing in it.
            text, encoding = raw.decode("cp1252", "replace"), "Latin-1"
    if (found := _CONTROL.search(text)) or "\ufffd" in text:
        at = found.start() if found else text.index("\ufffd")
        line = text.count("\n", 0, at) + 1
        raise DataError("{path} is not text: line {line} holds a control character.", path=path, line=line, hint="Save it as CSV UTF-8.")
    return text, encoding


def _decimals(cells: Iterable[str]) -> tuple[bool, bool]:
    """Whether there are decimal commas, and points between thousands with them."""
    found = [cell.strip() for cell in cells if "," in cell]
    thousands = any(_GROUPED.fullmatch(cell) for cell in found)
    return thousands or any(_COMMA.fullmatch(cell) for cell in found), thousands


def _check_header(path: Path, header: Sequence[str]) -> None:
    if not any(header):
        raise DataError("{path} is empty.", path=path, hint="The first line must name the columns.")
    for position, name in enumerate(header):
        if not name:
            raise DataError("{path}, line 1: column {position} has no name.", path=path, position=position + 1)
        if name in header[:position]:
            raise DataError("{path}, line 1: the column name '{name}' is there twice.", path=path, name=name)
