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
from ciranda.core.task import FederatedData
from ciranda.tasks.datasets import from_csv
from ciranda.tasks.datasets.csvfile import Wish, federated
from ciranda.tasks.datasets.encoding import Encoding, NumberColumn
from ciranda.tasks.datasets.table import read_table

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


def encoding_of(data: FederatedData) -> Encoding:
    assert data.record is not None
    return Encoding.from_json(data.record["encoding"])


def raw(data: FederatedData, column: str) -> list[float]:
    """A column of numbers in its own unit again."""
    encoding = encoding_of(data)
    one = next(one for one in encoding.columns if one.name == column)
    assert isinstance(one, NumberColumn)
    scaled = data.train.x[:, encoding.features.index(column)].astype(np.float64)
    return [round(float(value), 3) for value in scaled * (one.deviation or 1.0) + one.mean]


def refusal(path: Path, target: str = "y", **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        from_csv(path, target=target, **options)
    return caught.value


def test_numbers_are_standardised_and_texts_become_one_hot_columns(clinic: Path) -> None:
    data = from_csv(clinic, target="ill", client_column="hospital", test_fraction=0)
    assert encoding_of(data).features == ("age", "smoker=no", "smoker=yes", "pressure")
    assert data.train.x.dtype == np.float32
    ages, pressures = np.array([30, 41, 52, 63, 24, 75]), np.array([120.5, 118, 131.25, 140, 110, 150])
    np.testing.assert_allclose(data.train.x[:, 0], (ages - ages.mean()) / ages.std(), atol=1e-6)
    np.testing.assert_allclose(data.train.x[:, 3], (pressures - pressures.mean()) / pressures.std(), atol=1e-6)
    assert data.train.x[:, 1:3].tolist() == [[0, 1], [1, 0], [1, 0], [0, 1], [1, 0], [0, 1]]
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
    assert data.groups.tolist() == [owners[round(age)] for age in raw(data, "age")]


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
        (["01", "1", "2", "2"], ("1", "2")),
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
def test_a_regressions_targets_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, float]]
) -> None:
    path = write(tmp_path_factory.mktemp("csv"), "a,y\n" + "".join(f"{a!r},{b!r}\n" for a, b in rows))
    data = from_csv(path, target="y", kind="regression", test_fraction=0)
    assert data.train.y.tolist() == [b for _, b in rows]
    assert np.isfinite(data.train.x).all()


@given(st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=12))
def test_texts_come_back_from_their_one_hot_columns(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    # What is a number, a missing value, a control character or cannot be written in UTF-8 is not a category.
    texts = [f"t {''.join(one for one in text if one.isprintable()).encode('utf-8', 'ignore').decode()} t" for text in texts]
    path = tmp_path_factory.mktemp("csv") / "texts.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["a", "y"], *([text, 0.5] for text in texts)])
    data = from_csv(path, target="y", test_fraction=0)
    names = encoding_of(data).features
    assert (data.train.x.sum(1) == 1).all()
    assert [names[i] for i in data.train.x.argmax(1)] == [f"a={text}" for text in texts]


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
    data = from_csv(write(tmp_path, text), target="y", kind="regression", test_fraction=0)
    assert encoding_of(data).features == ("a", "b=x", "b=z")
    assert raw(data, "a") == [1.5, -2.25]
    assert data.train.x[:, 1:].tolist() == [[1, 0], [0, 1]]
    assert data.train.y.tolist() == [0, 1]


def test_a_quoted_line_break_keeps_the_line_numbers_true(tmp_path: Path) -> None:
    path = write(tmp_path, 'a,b,y\n1,"two\nlines",1.5\n2,x,2.5\n3,x,3.5\nbad,x,4.5\n')
    assert "line 6, column 'a': 'bad'" in str(refusal(path))


def test_dropped_columns_are_no_features(clinic: Path) -> None:
    assert encoding_of(from_csv(clinic, target="ill", drop=["hospital", "pressure"], test_fraction=0)).features == (
        "age",
        "smoker=no",
        "smoker=yes",
    )


HOLES = "id,a,b,y\n,1,x,0.5\n2,,x,1.5\n3,3,?,2.5\n4,NaN,z,3.5\n5,5,z,N/A\n6,6,z,5.5\n"


def test_missing_values_get_the_median_or_the_most_frequent_and_a_feature_that_says_so(tmp_path: Path) -> None:
    data = from_csv(write(tmp_path, HOLES), target="y", drop=["id"], test_fraction=0)
    assert encoding_of(data).features == ("a", "a (missing)", "b=x", "b=z", "b (missing)")
    assert data.train.x[:, 1:].tolist() == [[0, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 0, 1, 0]]
    assert raw(data, "a") == [1, 3, 3, 3, 6]
    assert data.train.y.tolist() == [0.5, 1.5, 2.5, 3.5, 5.5]
    assert data.record is not None
    assert data.record["found"]["without_target"] == 1
    assert data.record["found"]["missing"] == {"a": 2, "b": 1}


def test_rows_with_missing_values_are_named_or_dropped(tmp_path: Path) -> None:
    path = write(tmp_path, HOLES)
    error = refusal(path, drop=["id"], missing="error")
    assert "'a' (2: line 3, 5)" in str(error)
    assert "'b' (1: line 4)" in str(error)
    assert "'id'" not in str(error)
    data = from_csv(path, target="y", drop=["id"], missing="drop", test_fraction=0)
    assert raw(data, "a") == [1, 6]
    assert data.train.y.tolist() == [0.5, 5.5]
    assert data.record is not None
    assert data.record["found"]["dropped"] == 3


def test_many_missing_values_are_counted_and_not_all_listed(tmp_path: Path) -> None:
    path = write(tmp_path, "a,y\n" + ",1.5\n" * 40 + "1,1.5\n")
    assert "'a' (40: line 2, 3, 4, 5, 6 (+35))" in str(refusal(path, missing="error"))


def test_a_row_without_an_owner_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "who,a,y\nx,1,0.5\n,2,1.5\nNA,3,2.5\n")
    error = refusal(path, client_column="who")
    assert "line 3, 4: the client column 'who' is empty: whose are these rows?" in str(error)


def test_a_file_with_a_missing_value_in_every_row_is_refused(tmp_path: Path) -> None:
    assert "every row" in str(refusal(write(tmp_path, "a,b,y\n,1,1\n1,,1\n"), missing="drop"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("a,y\n1,\n2,\n", "the target 'y' is missing in every row"),
        ("a,y\n1,0.5\n2,1.5\n\x00,2.5\n", "line 4 holds a control character"),
        ("a,y\n1,x\n2,y\nz,y\n", "line 4, column 'a': 'z' is not a number"),
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
    assert words in str(refusal(write(tmp_path, text), test_fraction=0))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path / "none.csv")
    assert "There is no file" in str(error)
    assert str(Path.cwd()) in error.hint


def test_latin_1_and_decimal_commas_are_read_and_told(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes("peso;região;y\n1.234,5;São Luís;1\n0,25;Pará;0\n1.000;São Luís;0\n".encode("latin-1"))
    data = from_csv(tmp_path / "data.csv", target="y", test_fraction=0)
    assert raw(data, "peso") == [1234.5, 0.25, 1000]
    assert encoding_of(data).features == ("peso", "região=São Luís", "região=Pará")
    assert data.record is not None
    assert data.record["found"]["dialects"] == [{"encoding": "Latin-1", "delimiter": ";", "decimal_comma": True, "thousands": True}]


def test_utf_16_is_read_and_a_spreadsheet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes("a\tç\n1\t0.5\n2\t1.5\n".encode("utf-16"))
    assert len(from_csv(tmp_path / "data.csv", target="ç").train) == 2
    (tmp_path / "data.csv").write_bytes(b"PK\x03\x04 and so on")
    assert "save it as CSV" in refusal(tmp_path / "data.csv").hint


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


def test_columns_that_say_nothing_about_other_rows_are_left_out_by_name(tmp_path: Path) -> None:
    rows = "".join(f"person {i},{i * 7},2020-01-{i % 28 + 1:02d},{i * 3},{i}.5,\n" for i in range(60))
    data = from_csv(write(tmp_path, "name,record_id,day,price,y,nothing\n" + rows), target="y")
    assert encoding_of(data).features == ("price",)
    assert data.record is not None
    assert data.record["found"]["left_out"] == {"name": "identifier", "record_id": "identifier", "day": "date", "nothing": "empty"}
    kept = from_csv(write(tmp_path, "name,record_id,day,price,y,nothing\n" + rows), target="y", keep=["record_id"])
    assert encoding_of(kept).features == ("record_id", "price")


def test_with_only_identifiers_there_is_nothing_to_learn_from(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, "name,y\n" + "".join(f"person {i},{i}.5\n" for i in range(60))))
    assert "No column is left" in str(error)
    assert "Left out: name" in error.hint


def test_an_impossible_test_fraction_is_refused(clinic: Path) -> None:
    with pytest.raises(DataError, match="test fraction"):
        from_csv(clinic, target="ill", test_fraction=2)


def test_later_rows_get_the_same_features(clinic: Path, tmp_path: Path) -> None:
    data = from_csv(clinic, target="ill", client_column="hospital", test_fraction=0)
    encoding = encoding_of(data)
    assert np.array_equal(encoding.read(clinic), data.train.x)
    # Other columns, in another order, and no target.
    later = write(tmp_path, "pressure,nurse,smoker,age\n131.25,ana,no,52\n")
    assert encoding.read(later).tolist() == data.train.x[2:3].tolist()


def test_an_unknown_category_is_every_category_by_its_share(clinic: Path, tmp_path: Path) -> None:
    encoding = encoding_of(from_csv(clinic, target="ill", client_column="hospital", test_fraction=0))
    later = write(tmp_path, "age,smoker,pressure\n47.5,sometimes,128.2916667\n,,\n")
    np.testing.assert_allclose(encoding.read(later)[0], [0, 0.5, 0.5, 0], atol=1e-6)
    assert encoding.unknown(read_table(later)) == {"smoker": {"sometimes": 1}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("age,smoker\n1,yes\n", "no column 'pressure'"),
        ("age,smoker,pressure\nold,yes,2\n", "line 2, column 'age': 'old'"),
    ],
)
def test_later_rows_that_do_not_fit_are_refused(clinic: Path, tmp_path: Path, text: str, words: str) -> None:
    encoding = encoding_of(from_csv(clinic, target="ill", client_column="hospital"))
    with pytest.raises(DataError) as caught:
        encoding.read(write(tmp_path, text))
    assert words in str(caught.value)


def folder(tmp_path: Path, **files: str) -> Path:
    (tmp_path / "clients").mkdir()
    for name, text in files.items():
        (tmp_path / "clients" / f"{name}.csv").write_text(text)
    (tmp_path / "clients" / "notes.txt").write_text("not a table")
    return tmp_path / "clients"


def test_a_folder_has_a_file_for_each_client_in_its_own_dialect(tmp_path: Path) -> None:
    path = folder(tmp_path, north="a,b,y\n1.5,x,0.5\n2,z,1.5\n", south="b;a;y\nx;2,5;2,5\n")
    data = from_csv(path, target="y", test_fraction=0)
    assert data.groups is not None
    assert data.groups.tolist() == ["north", "north", "south"]
    assert raw(data, "a") == [1.5, 2, 2.5]
    assert data.train.y.tolist() == [0.5, 1.5, 2.5]
    assert data.record is not None
    assert data.record["owners"] == ["north", "south"]
    assert data.record["found"]["files"] == 2
    assert len(data.record["found"]["dialects"]) == 2


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "holds no .csv file"),
        ({"a": "x,y\n1,2\n", "b": "x,z\n1,2\n"}, "b.csv has no column 'y', which"),
        ({"a": "x,y\n1,2\n", "b": "x,y,z\n1,2,3\n"}, "a.csv has no column 'z', which"),
        ({"a": "x,y\n1,2\n", "b": "x,y\n"}, "b.csv has a header and no rows"),
        ({"a": "x,y\n1,2.5\n2,2.5\n", "b": "x,y\n1,2\n3,4.5x\n"}, "b.csv, line 3, column 'y': '4.5x'"),
    ],
)
def test_a_folder_that_cannot_be_used_says_which_file(tmp_path: Path, files: dict[str, str], words: str) -> None:
    assert words in str(refusal(folder(tmp_path, **files), kind="regression"))


def table_text(rows: int) -> str:
    generator = np.random.default_rng(3)
    lines = ["owner,size,colour,y"]
    for _ in range(rows):
        colour = generator.choice(["red", "blue", "green", ""])
        lines.append(f"{generator.integers(5)},{generator.lognormal():.4f},{colour},{generator.normal():.3f}")
    return "\n".join(lines) + "\n"


@given(st.lists(st.integers(0, 6), min_size=60, max_size=60))
def test_who_owns_which_row_changes_no_bit(tmp_path_factory: pytest.TempPathFactory, owners: list[int]) -> None:
    table = read_table(write(tmp_path_factory.mktemp("csv"), table_text(60)))
    wish = Wish("y", test_fraction=0, drop=("owner",))
    alone, encoding = federated(table, wish, name="t", source="t")
    parts = [np.flatnonzero(np.array(owners) == owner) for owner in sorted(set(owners))]
    spread, other = federated(table, wish, name="t", source="t", deal=lambda data: [(part, part) for part in parts])
    assert encoding == other
    assert alone.train.x.tobytes() == spread.train.x.tobytes()


def test_kept_back_rows_shape_no_feature(tmp_path: Path) -> None:
    rows = [f"{i},{'rare' if i > 90 else 'common'},{i}.5" for i in range(100)]
    table = read_table(write(tmp_path, "a,b,y\n" + "\n".join(rows) + "\n"))
    mine, everything = np.arange(91), np.arange(100)
    _, encoding = federated(table, Wish("y", test_fraction=0), name="t", source="t", deal=lambda data: [(mine, everything)])
    number = encoding.columns[0]
    assert isinstance(number, NumberColumn)
    assert number.mean == pytest.approx(45)
    assert encoding.features == ("a", "b=common")


def test_the_servers_test_rows_shape_no_feature(tmp_path: Path) -> None:
    rows = "".join(f"{i}.25,{i}.5\n" for i in range(50))
    data = from_csv(write(tmp_path, "a,y\n" + rows), target="y", test_fraction=0.4)
    assert data.train.x.mean() == pytest.approx(0, abs=1e-6)
    assert data.train.x.std() == pytest.approx(1, abs=1e-6)
    assert encoding_of(data).mean == pytest.approx(float(data.train.y.mean()))


def test_an_owner_may_withhold_its_rare_categories(tmp_path: Path) -> None:
    rows = "".join(f"{'a' if i % 2 else 'b'},{'plague' if i == 7 else 'cold'},{i}.5\n" for i in range(40))
    data = from_csv(write(tmp_path, "who,illness,y\n" + rows), target="y", client_column="who", min_count=2, test_fraction=0)
    assert encoding_of(data).features == ("illness=cold", "illness (other)")
    assert data.train.x[7].tolist() == [0, 1]
    assert "plague" not in json.dumps(data.record)


def test_an_encoding_survives_json(clinic: Path) -> None:
    encoding = encoding_of(from_csv(clinic, target="ill"))
    assert Encoding.from_json(json.loads(json.dumps(encoding.to_json()))) == encoding


@pytest.mark.parametrize("value", [{}, {"columns": [{"name": "a"}], "classes": []}, {"columns": 3}])
def test_what_is_no_encoding_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="not the encoding"):
        Encoding.from_json(value)


def test_a_real_file_of_buildings_is_read(data_root: Path) -> None:
    path = data_root / "electricity" / "buildings.csv"
    if not path.is_file():
        pytest.skip(f"no electricity data in {data_root}")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if all(row.values())]
    target = "mean_kwh_2019"
    data = from_csv(path, target=target, client_column="building", drop=["years"], missing="drop", test_fraction=0)
    assert "max_kwh_2019" in encoding_of(data).features
    assert data.train.y.tolist() == [float(np.float32(row[target])) for row in rows]
    assert data.groups is not None
    assert data.groups.tolist() == [row["building"] for row in rows]
