"""Columns become features: the same for any row, whatever it holds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import DataError
from ciranda.tasks.datasets.encoding import CategoryColumn, Encoding, NumberColumn
from ciranda.tasks.datasets.table import Table, make_cells
from ciranda.tasks.preprocess import NONE


def table(**columns: list[str]) -> Table:
    def number(text: str) -> float:
        try:
            return float(text)
        except ValueError:
            return float("nan")

    cells = {name: make_cells(texts, [number(text) for text in texts]) for name, texts in columns.items()}
    rows = len(next(iter(columns.values())))
    return Table("t", cells, (), np.zeros(rows, np.int64), np.arange(1, rows + 1))


AGE = NumberColumn("age", 40.0, 10.0, 35.0, indicator=True)
TOWN = CategoryColumn("town", ("north", "south"), (0.75, 0.25))
ENCODING = Encoding((AGE, TOWN), "ill", "classification", ("no", "yes"))


def test_numbers_are_scaled_and_filled() -> None:
    assert AGE.encode(table(age=["50", "", "40"])).tolist() == [[1, 0], [-0.5, 1], [0, 0]]
    assert NumberColumn("age", 40.0, 10.0, 35.0).encode(table(age=["?"])).tolist() == [[-0.5]]
    assert AGE.features == ("age", "age (missing)")


def test_a_constant_column_is_zeros_and_large_numbers_keep_their_differences() -> None:
    assert NumberColumn("a", 3.0, 0.0, 3.0).encode(table(a=["3", "3"])).tolist() == [[0], [0]]
    seconds = NumberColumn("t", 1.7e9, 1.0, 1.7e9).encode(table(t=["1700000001", "1700000002"]))
    assert seconds.tolist() == [[1], [2]]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (TOWN, [[1, 0], [0.75, 0.25], [1, 0]]),
        (CategoryColumn("town", ("north", "south"), (0.75, 0.25), other=True), [[1, 0, 0], [0, 0, 1], [1, 0, 0]]),
        (CategoryColumn("town", ("north", "south"), (0.75, 0.25), indicator=True), [[1, 0, 0], [0.75, 0.25, 0], [1, 0, 1]]),
        (CategoryColumn("town", (), (), other=True), [[1], [1], [1]]),
    ],
)
def test_categories_known_unknown_and_missing(column: CategoryColumn, expected: list[list[float]]) -> None:
    x = column.encode(table(town=["north", "west", ""]))
    assert x.tolist() == expected
    assert x.shape[1] == len(column.features)


def test_a_table_is_its_columns_side_by_side() -> None:
    x = ENCODING.encode(table(town=["south"], extra=["1"], age=["30"]))
    assert x.tolist() == [[-1, 0, 0, 1]]
    assert x.dtype == np.float32
    assert ENCODING.features == ("age", "age (missing)", "town=north", "town=south")
    assert ENCODING.scale_y == NONE


def test_unknown_categories_are_counted_where_no_bucket_takes_them() -> None:
    rows = table(town=["west", "west", "east", "north", ""], age=["1"] * 5)
    assert ENCODING.unknown(rows) == {"town": {"west": 2, "east": 1}}
    bucket = Encoding((CategoryColumn("town", ("north",), (1.0,), other=True),), "y", "regression")
    assert bucket.unknown(rows) == {}


def test_targets_are_labels_or_numbers() -> None:
    assert ENCODING.targets(table(ill=["yes", "no"])).tolist() == [1, 0]
    whole = Encoding((), "ill", "classification", ("1", "2"), whole=True)
    assert whole.targets(table(ill=["2.0", "01"])).tolist() == [1, 0]
    price = Encoding((), "price", "regression", mean=3.0, deviation=2.0)
    assert price.targets(table(price=["7.5"])).tolist() == [7.5]
    assert price.scale_y.apply(np.array([7.0])).tolist() == [2.0]
    with pytest.raises(DataError, match="row 2, column 'ill': 'maybe' is none of the classes no, yes"):
        ENCODING.targets(table(ill=["yes", "maybe"]))
    with pytest.raises(DataError, match="row 1, column 'price': 'x' is not a number"):
        price.targets(table(price=["x"]))


@given(st.lists(st.sampled_from(["north", "south", "west", ""]), min_size=1, max_size=20))
def test_a_rows_features_do_not_depend_on_its_neighbours(towns: list[str]) -> None:
    rows = table(town=towns, age=[str(i) for i in range(len(towns))])
    whole = ENCODING.encode(rows)
    for row in range(len(towns)):
        assert ENCODING.encode(rows[np.array([row])]).tolist() == [whole[row].tolist()]


def test_an_encoding_survives_json() -> None:
    for encoding in (ENCODING, Encoding((AGE,), "price", "regression", mean=3.5, deviation=0.25)):
        assert Encoding.from_json(json.loads(json.dumps(encoding.to_json()))) == encoding
