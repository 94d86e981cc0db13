"""Tables: cells by column, rows with their places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ciranda.core.errors import DataError
from ciranda.tasks.datasets.table import FILE_COLUMN, Table, make_cells, read_table, some


@pytest.fixture
def table(tmp_path: Path) -> Table:
    (tmp_path / "t.csv").write_text("Age,town\n 1 ,north\n\nNA,south\nx, ?\n")
    return read_table(tmp_path / "t.csv")


def test_cells_know_texts_numbers_and_what_is_missing(table: Table) -> None:
    age, town = table.column("Age"), table.column("town")
    assert age.texts.tolist() == ["1", "NA", "x"]
    assert np.isnan(age.numbers).tolist() == [False, True, True]
    assert age.missing.tolist() == [False, True, False]
    assert town.missing.tolist() == [False, False, True]
    assert len(table) == 3


def test_rows_keep_their_places(table: Table) -> None:
    last = table[np.array([2, 0])]
    assert str(last.where(0)).endswith("t.csv, line 5")
    assert str(last.where(1)).endswith("t.csv, line 2")
    assert last.column("town").texts.tolist() == ["?", "north"]
    assert table[table.column("Age").missing].lines.tolist() == [4]
    assert table.lines_of(np.array([True, False, True])) == "2, 5"


@pytest.mark.parametrize(
    ("asked", "hint"), [("age", "Did you mean 'Age'?"), ("towns", "Did you mean 'town'?"), ("zzz", "Columns: Age, town.")]
)
def test_an_unknown_column_brings_the_near_ones(table: Table, asked: str, hint: str) -> None:
    with pytest.raises(DataError, match=f"no column '{asked}'") as caught:
        table.column(asked)
    assert caught.value.hint == hint


def test_a_folders_files_are_one_table(tmp_path: Path) -> None:
    (tmp_path / "b.CSV").write_text("y;a\n1;2,5\n")
    (tmp_path / "a.csv").write_text("a,y\n1.5,x\n2,z\n")
    (tmp_path / ".hidden.csv").write_text("nothing\n")
    table = read_table(tmp_path)
    assert table.header == ("a", "y")
    assert table.column(FILE_COLUMN).texts.tolist() == ["a", "a", "b"]
    assert table.column("a").numbers.tolist() == [1.5, 2, 2.5]
    assert [one.delimiter for one in table.dialects] == [",", ";"]
    assert str(table.where(2)).endswith("b.CSV, line 2")
    assert len(table[np.array([2])].files) == 2


def test_words_for_missing_in_any_case() -> None:
    texts = ["", "NaN", "n/a", "NULL", "?", "-", "none", "0", "no"]
    assert make_cells(texts, [np.nan] * len(texts)).missing.tolist() == [True] * 6 + [False] * 3


def test_many_items_are_counted() -> None:
    assert some([1, 2]) == "1, 2"
    assert some(list(range(9)), 3) == "0, 1, 2 (+6)"
