"""CSV files: what they become, and what is said of those that cannot be used."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import DataError
from ciranda.tasks.datasets import from_csv, read_csv
from ciranda.tasks.datasets.csvfile import MOST_CATEGORIES, Column, Encoding

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
CLINIC = """\
hospital,age,smoker,pressure,ill
north,30,yes,120.5,0
south,41,no,118,1
north,52,no,131.25,0
west,63,yes,140,1
south,24,no,110,0
west,75,yes,150,1
"""


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    path = tmp_path / "clinic.csv"
    path.write_text(CLINIC)
    return path


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "data.csv"
    path.write_bytes(text.encode())
    return path


def refusal(path: Path, target: str = "y", **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        from_csv(path, target=target, **options)
    assert str(path) in str(caught.value)
    return caught.value


def test_numbers_stay_and_texts_become_one_hot_columns(clinic: Path) -> None:
    data, encoding = read_csv(clinic, target="ill", client_column="hospital", test_fraction=0)
    assert encoding.features == ("age", "smoker=no", "smoker=yes", "pressure")
    assert data.train.x.dtype == np.float32
    assert data.train.x.tolist()[:3] == [[30, 0, 1, 120.5], [41, 1, 0, 118], [52, 1, 0, 131.25]]
    assert data.train.y.tolist() == [0, 1, 0, 1, 0, 1]
    assert data.train.y.dtype == np.int64
    assert tuple(data.classes) == ("0", "1")
    assert data.name == "clinic"
    assert data.source == str(clinic)


def test_the_client_column_names_the_owners_and_is_no_feature(clinic: Path) -> None:
    data = from_csv(clinic, target="ill", client_column="hospital", test_fraction=0)
    assert data.groups is not None
    assert data.groups.tolist() == ["north", "south", "north", "west", "south", "west"]


def test_owners_go_with_their_rows_through_the_split(clinic: Path) -> None:
    data = from_csv(clinic, target="ill", client_column="hospital", test_fraction=0.34)
    owners = {30: "north", 41: "south", 52: "north", 63: "west", 24: "south", 75: "west"}
    assert data.groups is not None
    assert (len(data.train), len(data.test)) == (4, 2)
    assert data.groups.tolist() == [owners[age] for age in data.train.x[:, 0]]


@pytest.mark.parametrize(
    ("owners", "expected"), [(["10", "9", "10"], [10, 9, 10]), (["07", "7", "7"], ["07", "7", "7"]), (["a", "9", "b"], ["a", "9", "b"])]
)
def test_owners_that_are_all_whole_numbers_are_numbers(tmp_path: Path, owners: list[str], expected: list[Any]) -> None:
    path = write(tmp_path, "who,a,y\n" + "".join(f"{owner},1,{i}.5\n" for i, owner in enumerate(owners)))
    data = from_csv(path, target="y", client_column="who", test_fraction=0)
    assert data.groups is not None
    assert data.groups.tolist() == expected


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["a", "b", "a", "b"], ("a", "b")),
        (["10", "9", "10", "9"], ("9", "10")),
        (["1", "1.0", "2", "2.0"], ("1", "2")),
        (["true", "false", "true", "true"], ("false", "true")),
        (["0.5", "1", "2", "3"], ()),
        ([str(i) for i in range(21)], ()),
        (["-1.5e3", "2", "+3", ".5"], ()),
    ],
)
def test_the_kind_of_task_is_found_from_the_target(tmp_path: Path, values: list[str], classes: tuple[str, ...]) -> None:
    path = write(tmp_path, "x,y\n" + "".join(f"{i},{value}\n" for i, value in enumerate(values)))
    data = from_csv(path, target="y", test_fraction=0)
    assert tuple(data.classes) == classes
    if classes:
        assert [float(classes[label]) if classes[0].isdigit() else classes[label] for label in data.train.y] == [
            float(value) if classes[0].isdigit() else value for value in values
        ]
    else:
        assert data.train.y.dtype == np.float32
        assert data.train.y.tolist() == [float(value) for value in values]


def test_the_kind_can_be_said(tmp_path: Path) -> None:
    path = write(tmp_path, "x,y\n" + "".join(f"{i},{i % 30}\n" for i in range(90)))
    assert tuple(from_csv(path, target="y").classes) == ()
    assert len(from_csv(path, target="y", kind="classification").classes) == 30
    path = write(tmp_path, "x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(90)))
    assert len(from_csv(path, target="y").classes) == 2
    assert tuple(from_csv(path, target="y", kind="regression").classes) == ()


def test_loading_is_deterministic_and_the_seed_chooses_the_test(tmp_path: Path) -> None:
    path = write(tmp_path, "x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(100)))
    one, same, other = (from_csv(path, target="y", seed=seed).test.x.ravel().tolist() for seed in (0, 0, 1))
    assert one == same
    assert one != other
    assert len(one) == 20


@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=20))
def test_numbers_are_read_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, float]]) -> None:
    path = write(tmp_path_factory.mktemp("csv"), "a,b,y\n" + "".join(f"{a!r},{b!r},0.5\n" for a, b in rows))
    data = from_csv(path, target="y", test_fraction=0)
    assert data.train.x.tolist() == [list(row) for row in rows]


@given(st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=12))
def test_texts_come_back_from_their_one_hot_columns(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    # What is a number, a missing value or cannot be written in UTF-8 is not a category.
    texts = [f"t {text.encode('utf-8', 'ignore').decode()} t" for text in texts]
    path = tmp_path_factory.mktemp("csv") / "texts.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["a", "y"], *([text, 0.5] for text in texts)])
    data, encoding = read_csv(path, target="y", test_fraction=0)
    categories = encoding.columns[0].categories
    assert (data.train.x.sum(1) == 1).all()
    assert [categories[i] for i in data.train.x.argmax(1)] == texts


@pytest.mark.parametrize(
    "text",
    [
        "a;b;y\n1,5;x;0\n-2,25;z;1\n",
        "a\tb\ty\n1.5\tx\t0\n-2.25\tz\t1\n",
        "\ufeffa,b,y\r\n1.5,x,0\r\n-2.25,z,1\r\n",
        'a,b,y\n"1.5","x","0"\n\n"-2.25",z,1\n\n',
        " a , b , y \n 1.5 , x , 0 \n -2.25 , z , 1 \n",
        "a;b;y\n1.5;x;0\n-2.25;z;1",
    ],
)
def test_the_usual_dialects_are_read(tmp_path: Path, text: str) -> None:
    data, encoding = read_csv(write(tmp_path, text), target="y", kind="regression", test_fraction=0)
    assert encoding.features == ("a", "b=x", "b=z")
    assert data.train.x.tolist() == [[1.5, 1, 0], [-2.25, 0, 1]]
    assert data.train.y.tolist() == [0, 1]


def test_a_quoted_line_break_keeps_the_line_numbers_true(tmp_path: Path) -> None:
    path = write(tmp_path, 'a,b,y\n1,"two\nlines",1.5\n2,x,2.5\n3,x,3.5\nbad,x,4.5\n')
    assert "line 6, column 'a': 'bad'" in str(refusal(path))


def test_dropped_columns_are_no_features(clinic: Path) -> None:
    _, encoding = read_csv(clinic, target="ill", drop=["hospital", "pressure"])
    assert encoding.features == ("age", "smoker=no", "smoker=yes")


def test_rows_with_missing_values_are_named_or_dropped(tmp_path: Path) -> None:
    path = write(tmp_path, "id,a,b,y\n,1,x,0.5\n2,,x,1.5\n3,3,?,2.5\n4,NaN,z,3.5\n5,5,z,N/A\n6,6,z,5.5\n")
    error = refusal(path, drop=["id"])
    assert "'a' (2: line 3, 5)" in str(error)
    assert "'b' (1: line 4)" in str(error)
    assert "'y' (1: line 6)" in str(error)
    assert "'id'" not in str(error)
    assert "missing='drop'" in error.hint
    data = from_csv(path, target="y", drop=["id"], missing="drop", test_fraction=0)
    assert data.train.x.tolist() == [[1, 1, 0], [6, 0, 1]]
    assert data.train.y.tolist() == [0.5, 5.5]


def test_many_missing_values_are_counted_and_not_all_listed(tmp_path: Path) -> None:
    path = write(tmp_path, "a,y\n" + ",1.5\n" * 40 + "1,1.5\n")
    assert "'a' (40: line 2, 3, 4, 5, 6 and 35 more)" in str(refusal(path))


def test_a_file_with_a_missing_value_in_every_row_is_refused(tmp_path: Path) -> None:
    assert "every row" in str(refusal(write(tmp_path, "a,b,y\n,1,1\n1,,1\n"), missing="drop"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        ("a,y\n", "a header and no rows"),
        ("a,y\n\n\n", "a header and no rows"),
        ("a,,y\n1,2,3\n", "line 1: column 2 has no name"),
        ("a,y,a\n1,2,3\n", "line 1: the column name 'a' is there twice"),
        ("a,y\n1,2\n1,2,3\n", "line 3: 3 values where the header has 2 columns"),
        ("a,y\n1,2\n\n1\n", "line 4: 1 values where the header has 2 columns"),
        ("a,y\n1,0.5\n2,1.5\nthree,2.5\n", "line 4, column 'a': 'three' is not a number"),
        ("a,y\n1,0.5\n2,1.5\n3,2.5x\n", "line 4, column 'y': '2.5x' is not a number"),
        ("a,y\n1,0.5\n2,1.5\ninf,2.5\n", "line 4, column 'a': 'inf'"),
        ("a,y\n1,0.5\n2,1.5\n1_000,2.5\n", "line 4, column 'a': '1_000'"),
        ("a,y\n1,0.5\n2,1.5\n1e39,2.5\n", "line 4, column 'a': '1e39'"),
        ("y\n1\n2\n", "no column left to be a feature"),
        ('a,y\n1,"2\n', "not valid CSV"),
        ("a,y\n1,same\n2,same\n", "one value only, 'same'"),
        ("a,y\n1,p\n2,q\n3,r\n", "3 different texts in 3 rows"),
    ],
)
def test_a_file_that_cannot_be_used_says_where_and_why(tmp_path: Path, text: str, words: str) -> None:
    assert words in str(refusal(write(tmp_path, text)))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path / "none.csv")
    assert "There is no file" in str(error)
    assert str(Path.cwd()) in error.hint
    assert "cannot be read" in str(refusal(tmp_path))


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes("a,y\nção,1\n".encode("latin-1"))
    error = refusal(tmp_path / "data.csv")
    assert "not UTF-8 text (byte 4)" in str(error)
    assert "UTF-8" in error.hint


@pytest.mark.parametrize(
    ("asked", "hint"),
    [("Ill", "Did you mean 'ill'?"), ("presure", "Did you mean 'pressure'?"), ("xyz", "Columns: hospital, age, smoker, pressure, ill.")],
)
def test_an_unknown_column_brings_the_near_ones(clinic: Path, asked: str, hint: str) -> None:
    error = refusal(clinic, asked)
    assert f"no column '{asked}'" in str(error)
    assert error.hint == hint


@pytest.mark.parametrize("option", [{"client_column": "hospitl"}, {"drop": ["hospitl"]}])
def test_an_unknown_column_in_an_option_is_refused_too(clinic: Path, option: dict[str, Any]) -> None:
    assert refusal(clinic, "ill", **option).hint == "Did you mean 'hospital'?"


@pytest.mark.parametrize("option", [{"client_column": "ill"}, {"drop": ["ill"]}])
def test_the_target_cannot_be_something_else_as_well(clinic: Path, option: dict[str, Any]) -> None:
    assert "the target 'ill' is also" in str(refusal(clinic, "ill", **option))


def test_a_column_of_identifiers_is_refused_by_name(tmp_path: Path) -> None:
    rows = "".join(f"person {i},{i},{i}.5\n" for i in range(MOST_CATEGORIES + 1))
    error = refusal(write(tmp_path, "name,a,y\n" + rows))
    assert f"column 'name' has {MOST_CATEGORIES + 1} different texts" in str(error)
    assert "drop=['name']" in error.hint


def test_an_impossible_test_fraction_is_refused(clinic: Path) -> None:
    with pytest.raises(DataError, match="test fraction"):
        from_csv(clinic, target="ill", test_fraction=2)


def test_later_rows_get_the_same_features(clinic: Path, tmp_path: Path) -> None:
    data, encoding = read_csv(clinic, target="ill", client_column="hospital", test_fraction=0)
    assert np.array_equal(encoding.read(clinic), data.train.x)
    # Other columns, in another order, and no target.
    later = write(tmp_path, "pressure,nurse,smoker,age\n100,ana,yes,20\n")
    assert encoding.read(later).tolist() == [[20, 0, 1, 100]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("age,smoker\n1,yes\n", "no column 'pressure'"),
        ("age,smoker,pressure\n1,maybe,2\n", "line 2, column 'smoker': 'maybe' is none of 'no', 'yes'"),
        ("age,smoker,pressure\nold,yes,2\n", "line 2, column 'age': 'old'"),
        ("age,smoker,pressure\n,yes,2\n", "missing values in 'age'"),
    ],
)
def test_later_rows_that_do_not_fit_are_refused(clinic: Path, tmp_path: Path, text: str, words: str) -> None:
    _, encoding = read_csv(clinic, target="ill", client_column="hospital")
    with pytest.raises(DataError) as caught:
        encoding.read(write(tmp_path, text))
    assert words in str(caught.value)


def test_an_encoding_survives_json(clinic: Path) -> None:
    _, encoding = read_csv(clinic, target="ill")
    assert Encoding.from_json(json.loads(json.dumps(encoding.to_json()))) == encoding


def test_a_column_knows_how_many_features_it_makes() -> None:
    assert Column("a").width == 1
    assert Column("a", ("x",)).width == 1
    assert Column("a", ("x", "y", "z")).width == 3


def test_a_real_file_of_buildings_is_read(data_root: Path) -> None:
    path = data_root / "electricity" / "buildings.csv"
    if not path.is_file():
        pytest.skip(f"no electricity data in {data_root}")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if all(row.values())]
    target = "mean_kwh_2019"
    data, encoding = read_csv(path, target=target, client_column="building", drop=["years"], missing="drop", test_fraction=0)
    assert "max_kwh_2019" in encoding.features
    assert data.train.y.tolist() == [float(np.float32(row[target])) for row in rows]
    assert data.groups is not None
    assert data.groups.tolist() == [row["building"] for row in rows]
