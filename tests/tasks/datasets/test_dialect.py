"""How a file is written: characters, separators, numbers; and what is no text at all."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import DataError
from ciranda.tasks.datasets.dialect import Dialect, read_rows


def dialect(tmp_path: Path, raw: bytes) -> Dialect:
    (tmp_path / "t.csv").write_bytes(raw)
    return read_rows(tmp_path / "t.csv")[0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a,b\n1,2\n", Dialect("UTF-8", ",")),
        ("a;b\n1;2\n", Dialect("UTF-8", ";")),
        ("a;b\n1,5;2\n", Dialect("UTF-8", ";", decimal_comma=True)),
        ("a;b\n1.5;2\n", Dialect("UTF-8", ";")),
        ("a;b\n1.234,5;2\n", Dialect("UTF-8", ";", decimal_comma=True, thousands=True)),
        ("a;b\n1.234.567,5;2\n", Dialect("UTF-8", ";", decimal_comma=True, thousands=True)),
        ("a\tb\n,5\t2\n", Dialect("UTF-8", "\t", decimal_comma=True)),
        ("a|b\n1|2\n", Dialect("UTF-8", "|")),
        ('a,b\n"1,5",2\n', Dialect("UTF-8", ",")),
        ("a;b\nsim, talvez;2\n", Dialect("UTF-8", ";")),
    ],
)
def test_separators_and_numbers(tmp_path: Path, text: str, found: Dialect) -> None:
    assert dialect(tmp_path, text.encode()) == found


@pytest.mark.parametrize(
    ("encoding", "name"), [("utf-8", "UTF-8"), ("utf-8-sig", "UTF-8"), ("latin-1", "Latin-1"), ("cp1252", "Latin-1"), ("utf-16", "UTF-16")]
)
def test_characters(tmp_path: Path, encoding: str, name: str) -> None:
    (tmp_path / "t.csv").write_bytes("região,ação\nSão Luís,não\n".encode(encoding))
    found, header, rows, lines = read_rows(tmp_path / "t.csv")
    assert found.encoding == name
    assert header == ("região", "ação")
    assert rows == [["São Luís", "não"]]
    assert lines == [2]


def test_windows_own_letters_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("preço\n5 €\n".encode("cp1252"))
    assert read_rows(tmp_path / "t.csv")[2] == [["5 €"]]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"a,b\n1,\x01\n", "line 2 holds a control character"),
        (b"a,b\n1,\x81\xff\n", "line 2 holds a control character"),
        (b"\xff\xfea", "is not text"),
        (b"PK\x03\x04more", "spreadsheet or an archive"),
        (b'a,b\n"1,2\n', "not valid CSV"),
        (b",\n1,2\n", "is empty"),
    ],
)
def test_what_is_no_table_is_told(tmp_path: Path, raw: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        dialect(tmp_path, raw)


def test_a_ragged_row_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 3: 3 values where the header has 2 columns") as caught:
        dialect(tmp_path, b"a;b\n1;2\n1;2;3\n")
    assert '";"' in caught.value.hint


@pytest.mark.parametrize(
    ("written", "text", "value"),
    [
        (Dialect(), "1.5", 1.5),
        (Dialect(), "1,5", math.nan),
        (Dialect(), "-2e3", -2000.0),
        (Dialect(), "inf", math.nan),
        (Dialect(), "1_000", math.nan),
        (Dialect(), "", math.nan),
        (Dialect(delimiter=";"), "1,5", 1.5),
        (Dialect(delimiter=";"), "1.5", 1.5),
        (Dialect(delimiter=";"), "1,5,5", math.nan),
        (Dialect(delimiter=";"), "1.234", 1.234),
        (Dialect(delimiter=";", thousands=True), "1.234", 1234.0),
        (Dialect(delimiter=";", thousands=True), "-1.234.567,25", -1234567.25),
        (Dialect(delimiter=";", thousands=True), "12.34", 12.34),
    ],
)
def test_numbers_are_read_as_the_file_writes_them(written: Dialect, text: str, value: float) -> None:
    assert written.number(text) == pytest.approx(value, nan_ok=True)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_survives_either_decimal_mark(value: float) -> None:
    assert Dialect().number(repr(value)) == value
    assert Dialect(delimiter=";").number(repr(value).replace(".", ",")) == value
