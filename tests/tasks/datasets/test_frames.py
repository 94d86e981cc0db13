"""Data frames: the same data set as from the file they would be written to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ciranda.core.errors import DataError
from ciranda.tasks.datasets import from_csv, from_frame
from ciranda.tasks.datasets.frames import table_of


def frame() -> pd.DataFrame:
    generator = np.random.default_rng(5)
    rows = 80
    return pd.DataFrame(
        {
            "town": generator.choice(["a", "b", "c"], rows),
            "size": np.where(generator.random(rows) < 0.1, np.nan, generator.normal(50, 9, rows).round(3)),
            "rooms": generator.integers(1, 9, rows),
            "colour": pd.Categorical(generator.choice(["red", "blue"], rows)),
            "garden": generator.random(rows) < 0.5,
            "built": pd.to_datetime("2001-02-03") + pd.to_timedelta(np.arange(rows), "D"),
            "floor": pd.array([None if i % 7 == 0 else i % 3 for i in range(rows)], dtype="Int64"),
            "price": generator.normal(size=rows).round(4),
        }
    )


class Column:
    """A column as polars gives it: nulls of text are None."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def to_numpy(self) -> np.ndarray:
        return self.values


class Polars:
    def __init__(self, columns: dict[str, np.ndarray]) -> None:
        self._columns, self.columns = columns, list(columns)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def __getitem__(self, name: str) -> Column:
        return Column(self._columns[name])


@pytest.mark.parametrize(("target", "kind"), [("price", "regression"), ("rooms", "classification"), ("garden", "classification")])
def test_a_frame_is_what_its_file_would_be(tmp_path: Path, target: str, kind: str) -> None:
    table = frame()
    table.to_csv(tmp_path / "t.csv", index=False)
    written = from_csv(tmp_path / "t.csv", target=target, client_column="town")
    held = from_frame(table, target=target, client_column="town")
    assert held.record is not None
    assert written.record is not None
    assert held.record["encoding"] == written.record["encoding"]
    assert held.record["encoding"]["kind"] == kind
    assert held.record["found"]["left_out"] == {"built": "date"}
    for one, other in ((held.train, written.train), (held.test, written.test)):
        np.testing.assert_array_equal(one.x, other.x)
        np.testing.assert_array_equal(one.y, other.y)
    assert held.groups is not None
    assert written.groups is not None
    assert held.groups.tolist() == written.groups.tolist()


def test_whole_floats_are_the_classes_that_they_would_be_as_integers() -> None:
    data = from_frame(pd.DataFrame({"a": range(6), "y": [1.0, 2.0, np.nan, 1.0, 2.0, 1.0]}), target="y", test_fraction=0)
    assert tuple(data.classes) == ("1", "2")
    assert data.train.y.tolist() == [0, 1, 0, 1, 0]


def test_polars_nulls_are_missing() -> None:
    columns = {"a": np.array([1.0, np.nan, 3.0]), "b": np.array(["x", None, "z"], object), "y": np.array([0.5, 1.5, 2.5])}
    data = from_frame(Polars(columns), target="y", test_fraction=0)
    assert data.record is not None
    assert data.record["found"]["missing"] == {"a": 1, "b": 1}


def test_infinity_counts_as_missing_and_names_of_columns_are_texts() -> None:
    table = table_of(pd.DataFrame({0: [1.0, np.inf], " y ": ["p", "q"]}))
    assert table.header == ("0", "y")
    assert np.isnan(table.column("0").numbers).tolist() == [False, True]


def test_a_bad_value_is_named_by_its_row() -> None:
    with pytest.raises(DataError, match="row 3, column 'a': 'x' is not a number"):
        from_frame(pd.DataFrame({"a": [1, 2, "x", 4], "y": [0.5, 1.5, 2.5, 3.5]}), target="y", test_fraction=0)
    with pytest.raises(DataError, match="line 2: the client column 'who' is empty"):
        from_frame(pd.DataFrame({"a": [1, 2], "who": ["x", None], "y": [0.5, 1.5]}), target="y", client_column="who")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([[1, 2]], "list is not a data frame"),
        (pd.DataFrame({"a": [], "y": []}), "0 rows and 2 columns"),
        (pd.DataFrame([[1, 2]], columns=["y", "y"]), "two columns 'y'"),
        (pd.DataFrame({"a": [[1], [2]], "y": [1, 2]}), "row 1, column 'a': a cell must hold one value"),
        (pd.DataFrame({"a": [1, 2], "z": [1, 2]}), "no column 'y'"),
    ],
)
def test_what_cannot_be_used_is_refused(given: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        from_frame(given, target="y")
