"""What holds for every encoding that a survey leads to, and for every way of writing the same table."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import DataError
from ciranda.tasks.datasets.dialect import DELIMITERS, Dialect, read_rows
from ciranda.tasks.datasets.encoding import CategoryColumn, Encoding, NumberColumn, make_encoding, rare_below
from ciranda.tasks.datasets.survey import MOST_CATEGORIES, Survey, hold
from ciranda.tasks.datasets.table import FILE_COLUMN, MISSING, Table, make_cells, read_table, some


def table(**columns: list[str]) -> Table:
    cells = {name: make_cells(texts, [Dialect().number(text) for text in texts]) for name, texts in columns.items()}
    rows = len(next(iter(columns.values())))
    return Table("t", cells, (), np.zeros(rows, np.int64), np.arange(1, rows + 1))


def learned(rows: Table, *names: str) -> Encoding:
    return make_encoding(hold(Survey(names, "y"), [(rows, rows)])[0], "y")


ROWS = st.tuples(st.sampled_from(["", "-3", "0.5", "7", "1e3", "NA"]), st.sampled_from(["", "red", "blue", "green", "?"]))
CELLS = st.lists(ROWS, min_size=3, max_size=40).filter(
    lambda rows: any(number not in ("", "NA") for number, _ in rows) and any(colour not in ("", "?") for _, colour in rows)
)


def columns_of(rows: list[tuple[str, str]]) -> Table:
    return table(n=[n for n, _ in rows], c=[c for _, c in rows], y=[f"{row}.5" for row in range(len(rows))])


# --- features


@given(CELLS)
def test_there_is_a_name_for_every_feature_and_no_name_twice(rows: list[tuple[str, str]]) -> None:
    whole = columns_of(rows)
    encoding = learned(whole, "n", "c")
    x = encoding.encode(whole)
    assert x.shape == (len(rows), len(encoding.features))
    assert x.dtype == np.float32
    assert np.isfinite(x).all()
    assert len(set(encoding.features)) == len(encoding.features)


@given(CELLS)
def test_a_missing_value_is_said_by_one_feature_and_filled_in_the_others(rows: list[tuple[str, str]]) -> None:
    whole = columns_of(rows)
    encoding = learned(whole, "n", "c")
    x = encoding.encode(whole)
    for name, texts in (("n", [n for n, _ in rows]), ("c", [c for _, c in rows])):
        missing = np.array([text.casefold() in MISSING for text in texts])
        feature = f"{name} (missing)"
        assert (feature in encoding.features) == bool(missing.any())
        if missing.any():
            assert x[:, encoding.features.index(feature)].tolist() == missing.astype(float).tolist()


@given(CELLS)
def test_a_row_is_in_exactly_one_category(rows: list[tuple[str, str]]) -> None:
    whole = columns_of(rows)
    column = next(column for column in learned(whole, "n", "c").columns if isinstance(column, CategoryColumn))
    x = column.encode(whole)
    assert set(np.unique(x).tolist()) <= {0.0, 1.0}
    assert (x[:, : len(column.categories) + column.other].sum(axis=1) == 1).all()


@given(CELLS)
def test_numbers_that_are_there_have_mean_zero_and_deviation_one(rows: list[tuple[str, str]]) -> None:
    whole = columns_of(rows)
    column = next(column for column in learned(whole, "n", "c").columns if isinstance(column, NumberColumn))
    there = ~whole.column("n").missing
    x = column.encode(whole)[there, 0].astype(float)
    assert abs(x.mean()) < 1e-4
    assert x.std() == pytest.approx(1.0 if len(set(whole.column("n").numbers[there])) > 1 else 0.0, abs=1e-4)


@given(CELLS)
def test_a_learned_encoding_survives_json_and_gives_the_same_features(rows: list[tuple[str, str]]) -> None:
    whole = columns_of(rows)
    encoding = learned(whole, "n", "c")
    other = Encoding.from_json(json.loads(json.dumps(encoding.to_json())))
    assert other == encoding
    np.testing.assert_array_equal(other.encode(whole), encoding.encode(whole))


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.integers(1, 60), min_size=2, max_size=12))
def test_categories_come_by_frequency_and_their_shares_add_up(counts: dict[str, int]) -> None:
    texts = [text for text, count in counts.items() for _ in range(count)]
    [column] = learned(table(c=texts, y=[f"{row}.5" for row in range(len(texts))]), "c").columns
    assert isinstance(column, CategoryColumn)
    frequent = [text for text in counts if counts[text] >= rare_below(len(texts))]
    assert list(column.categories) == sorted(frequent, key=lambda text: (-counts[text], text))
    assert column.other == (len(frequent) < len(counts))
    assert sum(column.shares) == pytest.approx(1.0)
    assert list(column.shares) == sorted(column.shares, reverse=True)


def test_no_more_than_a_hundred_categories_have_a_feature_of_their_own() -> None:
    texts = [f"kind {number % (MOST_CATEGORIES + 20):03}" for number in range(2 * (MOST_CATEGORIES + 20))]
    [column] = learned(table(c=texts, y=[f"{row}.5" for row in range(len(texts))]), "c").columns
    assert isinstance(column, CategoryColumn)
    assert (len(column.categories), column.other) == (MOST_CATEGORIES, True)
    assert "kind 100" not in column.categories


def test_with_nothing_left_the_left_out_columns_are_named() -> None:
    rows = table(a=[f"p{row}" for row in range(30)], b=[""] * 30, y=[f"{row}.5" for row in range(30)])
    with pytest.raises(DataError, match="No column is left") as caught:
        learned(rows, "a", "b")
    assert "Left out: a, b" in caught.value.hint


# --- targets

WHOLE = Encoding((), "y", "classification", ("1", "2"), whole=True)
TEXTS = Encoding((), "y", "classification", ("no", "yes"))
VALUE = Encoding((), "y", "regression")


@pytest.mark.parametrize(
    ("encoding", "texts", "words"),
    [
        (WHOLE, ["1", "3"], "row 2, column 'y': '3' is none of the classes 1, 2"),
        (WHOLE, ["1.5"], "'1.5' is none of the classes"),
        (WHOLE, ["2", "many"], "row 2, column 'y': 'many' is none"),
        (WHOLE, ["2", "1", ""], "row 3: the target 'y' is missing"),
        (TEXTS, ["No"], "'No' is none of the classes no, yes"),
        (TEXTS, ["yes", "?"], "row 2: the target 'y' is missing"),
        (VALUE, ["2.5", "n/a"], "row 2: the target 'y' is missing"),
        (VALUE, ["2.5", "1e99"], "row 2, column 'y': '1e99' is not a number"),
    ],
)
def test_a_target_that_does_not_fit_is_named_with_its_row(encoding: Encoding, texts: list[str], words: str) -> None:
    with pytest.raises(DataError, match=words):
        encoding.targets(table(y=texts))


@given(st.lists(st.sampled_from(["ash", "elm", "oak"]), min_size=2, max_size=30).filter(lambda texts: 1 < len(set(texts)) < len(texts)))
def test_a_label_is_the_place_of_its_class(texts: list[str]) -> None:
    rows = table(a=["1", "2"] * (len(texts) // 2) + ["1"] * (len(texts) % 2), y=texts)
    encoding = learned(rows, "a")
    assert [encoding.classes[label] for label in encoding.targets(rows)] == texts


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"columns": 3},
        {"columns": [3], "classes": []},
        {"columns": [], "classes": None, "target": "y", "kind": "regression"},
        {"columns": [], "classes": [], "kind": "regression"},
        {"columns": [], "classes": [], "target": "y", "kind": "regression", "more": 1},
        {"columns": [{"name": "a"}], "classes": [], "target": "y", "kind": "regression"},
        {"columns": [{"name": "a", "categories": ["u"]}], "classes": [], "target": "y", "kind": "regression"},
        {"columns": [{"name": "a", "mean": 0, "deviation": 1, "fill": 0, "code": "x"}], "classes": [], "target": "y", "kind": "regression"},
    ],
)
def test_what_is_no_encoding_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="not the encoding of a table"):
        Encoding.from_json(value)


# --- the same table, however it is written

TEXT = st.text(st.characters(exclude_categories=["C"], max_codepoint=0x17F), max_size=8)
NUMBERS = st.decimals(-99_999, 99_999, places=3, allow_nan=False)


def written(rows: list[list[str]], delimiter: str, encoding: str) -> bytes:
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerows([["name", "size"], *rows])
    return stream.getvalue().encode(encoding)


@pytest.mark.parametrize("delimiter", DELIMITERS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@given(rows=st.lists(st.tuples(TEXT, NUMBERS), min_size=1, max_size=6))
def test_texts_and_numbers_come_back_from_every_dialect(
    tmp_path_factory: pytest.TempPathFactory, delimiter: str, encoding: str, rows: list[tuple[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_bytes(written([[text, str(number)] for text, number in rows], delimiter, encoding))
    found = read_table(path)
    assert found.column("name").texts.tolist() == [text.strip() for text, _ in rows]
    assert found.column("size").numbers.tolist() == [float(number) for _, number in rows]
    assert found.dialects[0].delimiter == delimiter


@given(st.lists(NUMBERS, min_size=1, max_size=8))
def test_decimal_commas_and_points_between_thousands_mean_the_same_numbers(numbers: list[Any]) -> None:
    grouped = Dialect("UTF-8", ";", decimal_comma=True, thousands=True)
    plain = Dialect("UTF-8", ";", decimal_comma=True)
    for number in numbers:
        swapped = f"{number:,.3f}".translate(str.maketrans(",.", ".,"))
        assert grouped.number(swapped) == float(number)
        assert plain.number(str(number).replace(".", ",")) == float(number)


@pytest.mark.parametrize("text", ["1_000", "inf", "-Infinity", "nan", "1e999", "", "1,2,3", "0x10", "1 000", "--1", "½"])
@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_what_no_measurement_is_written_as_is_no_number(delimiter: str, text: str) -> None:
    assert math.isnan(Dialect("UTF-8", delimiter).number(text))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"a,b\n1,2\n1,2,3\n", r"line 3: 3 values where the header has 2"),
        (b'a,b\n"x\ny",2\n1\n', r"line 4: 1 values where the header has 2"),
        (b"a,,c\n1,2,3\n", r"line 1: column 2 has no name"),
        (b"a,b, a \n1,2,3\n", r"line 1: the column name 'a' is there twice"),
        (b"\n\n", r"is empty"),
        (b"", r"is empty"),
        (b"a,b\n\n\n", r"a header and no rows"),
        (b'a,b\n"x,2\n', r"not valid CSV"),
        (b'a,b\n"x"y,2\n', r"line 2: not valid CSV"),
        (b"a,b\n1,\x00\n", r"line 2 holds a control character"),
        (b"a,b\n1,2\n3,\x81\xff\n", r"line 3 holds a control character"),
        (b"PK\x03\x04rest", r"a spreadsheet or an archive"),
    ],
)
def test_what_is_no_table_says_where(tmp_path: Path, raw: bytes, words: str) -> None:
    (tmp_path / "t.csv").write_bytes(raw)
    with pytest.raises(DataError, match=words):
        read_rows(tmp_path / "t.csv")


@given(st.lists(st.lists(st.sampled_from(["1", "x", "multi\nline", "", 'quo"ted', "a,b"]), min_size=2, max_size=2), min_size=1, max_size=8))
def test_every_row_knows_the_line_at_which_it_ends(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_bytes(written(rows, ",", "utf-8"))
    found, line = read_table(path), 1
    for row, number in zip(rows, found.lines.tolist(), strict=True):
        line += 1 + sum(cell.count("\n") for cell in row)
        assert number == line
    assert str(found.where(len(rows) - 1)) == f"{path}, line {line}"


# --- folders of tables


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_a_folders_rows_keep_their_file_and_their_order(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    folder = tmp_path_factory.mktemp("owners")
    for place, rows in enumerate(sizes):
        order = ["a", "b"] if place % 2 else ["b", "a"]
        cells = {"a": [f"{place}-{row}" for row in range(rows)], "b": [str(row) for row in range(rows)]}
        lines = [";".join(order), *(";".join(cells[name][row] for name in order) for row in range(rows))]
        (folder / f"owner{place}.csv").write_text("\n".join(lines) + "\n")
    whole = read_table(folder)
    assert whole.column("a").texts.tolist() == [f"{place}-{row}" for place, rows in enumerate(sizes) for row in range(rows)]
    assert whole.column(FILE_COLUMN).texts.tolist() == [f"owner{place}" for place, rows in enumerate(sizes) for _ in range(rows)]
    assert whole.lines.tolist() == [row + 2 for rows in sizes for row in range(rows)]
    last = whole[np.array([len(whole) - 1])]
    assert str(last.where(0)) == f"{folder / f'owner{len(sizes) - 1}.csv'}, line {sizes[-1] + 1}"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "holds no .csv file"),
        ({"one.txt": "a\n1\n"}, "holds no .csv file"),
        ({"one.csv": "a;b\n1;2\n", "two.csv": "a;c\n1;2\n"}, "two.csv has no column 'b', which .*one.csv has"),
        ({"one.csv": "a;b\n1;2\n", "two.csv": "a;b;c\n1;2;3\n"}, "one.csv has no column 'c', which .*two.csv has"),
        ({"one.csv": "a;b\n1;2\n", "two.csv": "a;b\n1\n"}, "two.csv, line 2: 1 values"),
    ],
)
def test_a_folder_that_does_not_fit_together_names_the_file(tmp_path: Path, files: dict[str, str], words: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=words):
        read_table(tmp_path)


@given(st.lists(st.integers(), max_size=12), st.integers(1, 6))
def test_what_is_not_shown_is_counted(items: list[int], shown: int) -> None:
    text = some(items, shown)
    names, _, more = text.partition(" (+")
    assert names.split(", ") == [str(item) for item in items[:shown]] or not items
    assert int(more.removesuffix(")") or 0) == max(0, len(items) - shown)
