"""The survey: plain sums that say the same whoever adds them up."""

from __future__ import annotations

import json
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import DataError
from ciranda.tasks.datasets.encoding import CategoryColumn, make_encoding, rare_below
from ciranda.tasks.datasets.survey import Survey, answer, hold, in_order, merge
from ciranda.tasks.datasets.table import Table, make_cells

VALUES = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3))


def table(**columns: list[Any]) -> Table:
    cells = {}
    for name, values in columns.items():
        numbers = [float(value) if isinstance(value, int | float) else float("nan") for value in values]
        cells[name] = make_cells([str(value) for value in values], numbers)
    rows = len(next(iter(columns.values())))
    return Table("t", cells, (), np.zeros(rows, np.int64), np.arange(1, rows + 1))


def found(owners: list[Table], names: tuple[str, ...] = ("a",), target: str = "y", **options: Any) -> Any:
    return hold(Survey(names, target, **options), [(one, one) for one in owners])[0]


@given(st.lists(VALUES, min_size=1, max_size=60))
def test_moments_are_those_of_the_pooled_values(values: list[float]) -> None:
    moments = found([table(a=values, y=[0.5] * len(values))]).numbers["a"]
    span = max(abs(np.array(values)).max(), 1e-9)
    assert moments.n == len(values)
    assert moments.mean == pytest.approx(float(np.mean(values)), abs=1e-9 * span)
    assert moments.deviation == pytest.approx(float(np.std(values)), abs=1e-5 * span)


@given(st.lists(st.one_of(st.floats(0, 1), st.floats(-1e4, 1e4)), min_size=1, max_size=80))
def test_the_median_is_known_to_a_part_of_the_deviation(values: list[float]) -> None:
    values = [value + 0.5 for value in values]
    moments = found([table(a=values, y=[0.5] * len(values))]).numbers["a"]
    width = 2 * moments.deviation / 256 + 1e-6 * max(map(abs, values))
    # Half of the values lie on either side, give or take a part.
    below, above = sum(value < moments.median - width for value in values), sum(value > moments.median + width for value in values)
    assert 2 * below <= len(values)
    assert 2 * above <= len(values)


@given(st.lists(st.tuples(VALUES, st.sampled_from("xyz")), min_size=3, max_size=40), st.integers(1, 39), st.integers(1, 39))
def test_answers_add_up_in_any_order_and_grouping(rows: list[tuple[float, str]], one: int, other: int) -> None:
    whole = table(a=[value for value, _ in rows], b=[text for _, text in rows], y=[0.5 + i for i in range(len(rows))])
    cuts = sorted({min(one, len(rows) - 1), min(other, len(rows) - 1)})
    parts = [whole[index] for index in np.split(np.arange(len(rows)), cuts)]
    survey = Survey(("a", "b"), "y")
    profiles = answer(survey.columns(), whole, whole)
    for question in (survey.values(profiles), {"stage": "medians", "ranges": {"a": [-1.0, 1.0]}}):
        answers = [answer(question, part, part) for part in parts]
        expected = json.dumps(answer(question, whole, whole), sort_keys=True)
        assert json.dumps(reduce(merge, answers), sort_keys=True) == expected
        assert json.dumps(reduce(merge, answers[::-1]), sort_keys=True) == expected


def test_questions_and_answers_are_json_that_holds_no_row() -> None:
    owner = table(a=[1.5, 2.5, 9.75] * 10, who=[f"person {i}" for i in range(30)], y=[0.5 * i for i in range(30)])
    survey = Survey(("a", "who"), "y")
    first = answer(survey.columns(), owner, owner)
    question = json.loads(json.dumps(survey.values(first)))
    second = json.dumps(answer(question, owner, owner))
    assert question["categories"] == []
    assert "person" not in json.dumps(first) + second
    assert "9.75" not in second


def test_bytes_are_counted_both_ways() -> None:
    owner = table(a=[1.5, 2.5], y=[0.5, 1.5])
    one, two = (hold(Survey(("a",), "y"), [(owner, owner)] * owners)[1] for owners in (1, 2))
    assert one[0] > 0
    assert two == (2 * one[0], 2 * one[1])


@pytest.mark.parametrize(
    ("owners", "kind", "classes"),
    [
        ([[1, 2.0], [3, 1]], "classification", ("1", "2", "3")),
        ([[1, 2], [1.5, 2]], "regression", ()),
        ([list(range(15)), list(range(10, 25))], "regression", ()),
        ([["no", "yes"], ["yes", "perhaps", "no"]], "classification", ("no", "perhaps", "yes")),
    ],
)
def test_the_kind_of_task_is_that_of_all_owners_together(owners: list[list[Any]], kind: str, classes: tuple[str, ...]) -> None:
    said = found([table(a=[float(i) for i in range(len(y))], y=y) for y in owners])
    assert (said.kind, said.classes) == (kind, classes)


def test_a_bad_value_is_told_with_its_place() -> None:
    with pytest.raises(DataError, match="row 3, column 'a': 'x' is not a number"):
        found([table(a=[1.5, 2.5, "x", 3.5], y=[1, 2, 1, 2])])


def test_identifiers_are_not_judged_by_owners_with_few_rows() -> None:
    few = [table(a=[f"{owner}-{i}" for i in range(4)], y=[1, 2, 1, 2]) for owner in range(20)]
    assert found(few).left_out == {}
    many = [table(a=[f"{owner}-{i}" for i in range(15)], y=[1, 2, 1] * 5) for owner in range(2)]
    assert found(many).left_out == {"a": "identifier"}


def test_rare_categories_share_a_feature() -> None:
    texts = ["common"] * 280 + ["seldom"] * 2 + ["often"] * 18
    said = found([table(a=texts, y=[0.5, 1.5, 2.5] * 100)])
    [column] = make_encoding(said, "y").columns
    assert isinstance(column, CategoryColumn)
    assert column.features == ("a=common", "a=often", "a (other)")
    assert column.shares == (280 / 298, 18 / 298)
    assert column.encode(table(a=["seldom", "never met", "often"])).tolist() == [[0, 0, 1], [0, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize(("rows", "least"), [(5, 1), (199, 1), (300, 3), (5000, 10)])
def test_what_is_rare_depends_on_the_rows(rows: int, least: int) -> None:
    assert rare_below(rows) == least


def test_classes_are_in_the_order_of_numbers_or_of_texts() -> None:
    assert in_order(["10", "9", "-1"]) == ("-1", "9", "10")
    assert in_order(["b", "10", "9"]) == ("10", "9", "b")


def test_a_file_on_disk_is_not_needed(tmp_path: Path) -> None:
    assert table(a=[1.0]).where(0).template == "row {row}"
