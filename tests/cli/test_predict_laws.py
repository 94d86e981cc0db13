"""Predictions as text, as JSON and as a table: the same numbers, in any dialect and of any kind of model."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.cli.inputs import Inputs
from ciranda.cli.predict import answers, as_csv, line
from ciranda.tasks.datasets.dialect import DELIMITERS
from ciranda.tasks.datasets.table import read_table

CLASSES = ("cat", "dog", "owl")


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "en")


def inputs(rows: int, truth: Any = None) -> Inputs:
    return Inputs(np.zeros((rows, 1)), [f"in{row}" for row in range(rows)], None if truth is None else np.asarray(truth))


@st.composite
def probabilities(draw: st.DrawFn, classes: int = 3) -> np.ndarray:
    weights = draw(st.lists(st.lists(st.integers(0, 99), min_size=classes, max_size=classes).filter(any), min_size=1, max_size=6))
    table = np.array(weights, float)
    normal: np.ndarray = table / table.sum(axis=1, keepdims=True)
    return normal


@given(probabilities())
def test_the_class_is_the_likeliest_and_of_equals_the_first(predicted: np.ndarray) -> None:
    for row, answer in enumerate(answers(inputs(len(predicted)), predicted, CLASSES)):
        assert answer["class"] == CLASSES[predicted[row].tolist().index(predicted[row].max())]
        assert list(answer["probabilities"]) == list(CLASSES)
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=2e-6)


@given(probabilities(), st.integers(1, 3))
def test_the_top_are_the_first_of_all_in_falling_order(predicted: np.ndarray, top: int) -> None:
    whole, short = (answers(inputs(len(predicted)), predicted, CLASSES, top=count) for count in (None, top))
    for everything, some in zip(whole, short, strict=True):
        told = list(some["probabilities"].items())
        assert len(told) == top
        assert all(everything["probabilities"][name] == value for name, value in told)
        assert [value for _, value in told] == sorted(everything["probabilities"].values(), reverse=True)[:top]


@given(probabilities())
def test_an_answer_is_json_and_its_line_begins_with_the_input_and_the_class(predicted: np.ndarray) -> None:
    for row, answer in enumerate(answers(inputs(len(predicted)), predicted, CLASSES)):
        assert json.loads(json.dumps(answer)) == answer
        assert line(answer).startswith(f"in{row}:  class {answer['class']}  (")
        assert f"{max(answer['probabilities'].values()):.4f}" in line(answer)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=5))
def test_the_true_class_is_told_by_name(truth: list[int]) -> None:
    predicted = np.full((len(truth), 3), 1 / 3)
    found = answers(inputs(len(truth), truth), predicted, CLASSES)
    assert [answer["true"] for answer in found] == [CLASSES[label] for label in truth]
    assert all(line(answer).endswith(f"true {answer['true']}") for answer in found)


@pytest.mark.parametrize(
    ("predicted", "names"),
    [
        (np.array([1.5, -2.0]), ["prediction"]),
        (np.array([[1.5], [-2.0]]), ["prediction"]),
        (np.array([[1.5, 3.0], [-2.0, 4.0]]), ["prediction 1", "prediction 2"]),
        (np.zeros((2, 2, 2)), [f"prediction {number}" for number in (1, 2, 3, 4)]),
    ],
)
def test_every_value_of_a_regression_has_its_column(predicted: np.ndarray, names: list[str]) -> None:
    found = answers(inputs(2), predicted, ())
    rows = list(csv.DictReader(io.StringIO(as_csv(found, None))))
    assert list(rows[0]) == ["input", *names]
    assert [[float(row[name]) for name in names] for row in rows] == predicted.reshape(2, -1).tolist()
    assert [row["input"] for row in rows] == ["in0", "in1"]


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=6))
def test_values_are_written_to_six_digits(values: list[float]) -> None:
    found = answers(inputs(len(values)), np.array(values), ())
    written = [float(row["prediction"]) for row in csv.DictReader(io.StringIO(as_csv(found, None)))]
    assert written == pytest.approx(values, rel=1e-5)


@pytest.mark.parametrize(
    ("delimiter", "comma"), [(each, comma) for each in DELIMITERS for comma in (False, True) if not comma or each != ","]
)
@pytest.mark.parametrize("classes", [CLASSES, ()])
def test_a_table_comes_back_with_its_own_columns_untouched(tmp_path: Path, delimiter: str, comma: bool, classes: tuple[str, ...]) -> None:
    number = "2,75" if comma else "2.75"
    cells = [["size", "note", "p(cat)?"], [number, f'with{delimiter} and "quotes"', "x.y"], [number, "plain", ""]]
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerows(cells)
    (tmp_path / "in.csv").write_text(stream.getvalue())
    table = read_table(tmp_path / "in.csv")
    predicted = np.array([[0.125, 0.5, 0.375], [1.0, 0.0, 0.0]]) if classes else np.array([[1.25], [-3.5]])
    (tmp_path / "out.csv").write_text(as_csv(answers(inputs(2), predicted, classes), table))
    back = read_table(tmp_path / "out.csv")
    assert back.dialects == table.dialects
    for name in table.header:
        assert back.column(name).texts.tolist() == table.column(name).texts.tolist()
    if classes:
        assert back.column("prediction").texts.tolist() == ["dog", "cat"]
        assert [back.column(f"p({name})").numbers.tolist() for name in classes] == predicted.T.tolist()
    else:
        assert back.column("prediction").numbers.tolist() == [1.25, -3.5]
    assert "input" not in back.header


def test_a_class_with_a_point_in_its_name_keeps_it_among_decimal_commas(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a;b\n1,5;2\n")
    text = as_csv(answers(inputs(1), np.array([[0.25, 0.75]]), ("v1.0", "v2.5")), read_table(tmp_path / "in.csv"))
    assert text.splitlines()[1] == "1,5;2;v2.5;0,250000;0,750000"


def test_a_column_that_is_called_like_an_answer_is_told_apart_by_the_reader(tmp_path: Path) -> None:
    """A second prediction replaces the first: predicting for what was predicted is possible."""
    (tmp_path / "in.csv").write_text("a,prediction\n1,old\n")
    text = as_csv(answers(inputs(1), np.array([[1.0]]), ()), read_table(tmp_path / "in.csv"))
    (tmp_path / "out.csv").write_text(text)
    assert read_table(tmp_path / "out.csv").column("prediction").texts.tolist() == ["1"]
