"""What the survey asks, what it leaves unasked, and what an owner's answer gives away."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import DataError
from ciranda.tasks.datasets.survey import (
    MOST_CATEGORIES,
    MOST_INTEGER_CLASSES,
    Findings,
    Survey,
    answer,
    class_names,
    hold,
    in_order,
    looks_like_an_identifier,
    merge,
    mostly_numbers,
    numbers_of,
    size,
)
from ciranda.tasks.datasets.table import Table, make_cells

TARGET = [0.5, 1.5, 2.5, 3.5]


def table(**columns: list[str]) -> Table:
    def number(text: str) -> float:
        try:
            return float(text)
        except ValueError:
            return math.nan

    cells = {name: make_cells(texts, [number(text) for text in texts]) for name, texts in columns.items()}
    rows = len(next(iter(columns.values())))
    return Table("t", cells, (), np.zeros(rows, np.int64), np.arange(1, rows + 1))


def held(*owners: Table, names: tuple[str, ...] = ("a",), **options: Any) -> Findings:
    return hold(Survey(names, "y", **options), [(one, one) for one in owners])[0]


def reals(rows: int) -> list[str]:
    """A target of a regression."""
    return [f"{row}.5" for row in range(rows)]


# --- which columns are features


@pytest.mark.parametrize(
    ("name", "texts", "why"),
    [
        ("a", [""] * 30, "empty"),
        ("a", ["n/a", "?", "NULL"] * 10, "empty"),
        ("a", [f"2024-01-{day + 1:02}" for day in range(30)], "date"),
        ("a", [f"{day + 1}/2/24" for day in range(28)] + ["", ""], "date"),
        ("a", [f"2024.1.{day + 1} 12:30" for day in range(30)], "date"),
        ("a", [f"2024-01-{day + 1:02}" for day in range(15)] + ["soon"] * 15, ""),
        ("a", [f"person {row}" for row in range(30)], "identifier"),
        ("a", [f"person {row // 2}" for row in range(30)], ""),
        ("a", [str(row) for row in range(30)], ""),
        ("id", [str(row) for row in range(30)], "identifier"),
        ("Unnamed: 0", [str(row) for row in range(30)], "identifier"),
        ("código", [str(row) for row in range(30)], "identifier"),
        ("patient_id", [str(row) for row in range(30)], "identifier"),
        ("idade", [str(row) for row in range(30)], ""),
        ("id", [f"{row}.25" for row in range(30)], ""),
        ("id", [str(row) for row in range(19)], ""),
    ],
)
def test_columns_that_say_nothing_about_other_rows_are_left_out(name: str, texts: list[str], why: str) -> None:
    found = held(
        table(**{name: texts, "rest": ["x", "y"] * (len(texts) // 2) + ["x"] * (len(texts) % 2), "y": reals(len(texts))}), names=(name,)
    )
    assert found.left_out == ({name: why} if why else {})
    assert (name in found.numbers or name in found.categories) == (not why)


def test_prose_is_what_has_too_many_texts_for_categories() -> None:
    texts = [f"remark {row // 2}" for row in range(2 * (10 * MOST_CATEGORIES + 1))]
    assert held(table(a=texts, y=reals(len(texts)))).left_out == {"a": "prose"}
    fewer = texts[: 2 * 10 * MOST_CATEGORIES]
    assert held(table(a=fewer, y=reals(len(fewer)))).left_out == {}


@pytest.mark.parametrize(
    ("texts", "kept"),
    [([f"p{row}" for row in range(30)], True), ([f"2024-01-{row % 28 + 1:02}" for row in range(30)], True), ([""] * 30, False)],
)
def test_a_column_can_be_kept_unless_there_is_nothing_in_it(texts: list[str], kept: bool) -> None:
    found = held(table(a=texts, y=reals(30)), keep=("a",))
    assert ("a" in found.categories) == kept
    assert ("a" in found.left_out) == (not kept)


def test_what_is_left_out_is_not_asked_for() -> None:
    owner = table(who=[f"person {row}" for row in range(40)], day=["2024-01-02"] * 40, none=[""] * 40, a=["1"] * 40, y=reals(40))
    survey = Survey(("who", "day", "none", "a"), "y")
    asked = survey.values(answer(survey.columns(), owner, owner))
    assert asked["categories"] == []
    assert set(asked["numbers"]) == {"a", "y"}


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_a_column_is_of_numbers_if_more_than_half_of_what_is_there_is(numbers: int, texts: int, missing: int) -> None:
    profile = {"numbers": numbers, "rows": numbers + texts + missing, "missing": missing}
    assert mostly_numbers(profile) == (numbers > texts)


@given(st.integers(0, 60), st.integers(0, 60))
def test_an_identifier_needs_nearly_as_many_texts_as_rows(compared: int, different: int) -> None:
    profile = {"compared": compared, "different": min(compared, different), "numbers": 0, "whole": 0, "rows": compared, "missing": 0}
    said = looks_like_an_identifier("a", profile)
    assert said == (compared >= 20 and min(compared, different) >= 0.95 * compared)


# --- what kind of task it is


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        (range(MOST_INTEGER_CLASSES), "auto", "classification"),
        (range(MOST_INTEGER_CLASSES + 1), "auto", "regression"),
        (range(MOST_INTEGER_CLASSES + 1), "classification", "classification"),
        (range(2), "regression", "regression"),
        ((0.5, 1.0), "auto", "regression"),
        ((0.5, 1.0), "classification", "classification"),
        ("ab", "auto", "classification"),
    ],
)
def test_twenty_whole_numbers_are_classes_and_one_more_is_a_scale(values: Any, kind: Any, found: str) -> None:
    y = [str(value) for value in values] * 3
    said = held(table(a=["1"] * len(y), y=y), kind=kind)
    assert said.kind == found
    assert said.classes == (in_order(sorted(set(y))) if found == "classification" else ())
    assert ("y" in said.numbers) == (found == "regression" or (kind == "auto" and "a" not in values))


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (["yes"] * 6, "one value only, 'yes'"),
        (["7"] * 6, "one value only, '7'"),
        ([f"text {row}" for row in range(6)], "6 different texts in 6 rows"),
        ([f"text {row // 2 * (row % 3 > 0)}-{row}" for row in range(300)] + ["x"], "301 different texts in 301 rows"),
    ],
)
def test_what_cannot_be_classes_is_refused(y: list[str], words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        held(table(a=["1"] * len(y), y=y))
    assert caught.value.hint


def test_one_class_at_each_owner_is_enough_if_there_are_two_together() -> None:
    found = held(table(a=["1", "2"], y=["no", "no"]), table(a=["3", "4"], y=["yes", "yes"]))
    assert found.classes == ("no", "yes")


def test_texts_among_the_numbers_of_a_regression_are_named() -> None:
    with pytest.raises(DataError, match="row 2, column 'y': 'many' is not a number"):
        held(table(a=["1"] * 4, y=["1.5", "many", "2.5", "4"]), kind="regression")


@given(st.lists(st.integers(-999, 999), unique=True, min_size=1))
def test_classes_of_whole_numbers_count_upwards(numbers: list[int]) -> None:
    assert [int(name) for name in in_order([str(number) for number in numbers])] == sorted(numbers)


@given(st.lists(st.sampled_from(["1", "1.0", "01", " 1", "2", "2.00", "1e0"]), min_size=1))
def test_one_number_has_one_name_where_all_are_whole(texts: list[str]) -> None:
    cells = table(y=[text.strip() for text in texts]).column("y")
    assert class_names(cells, whole=True) == [str(int(float(text))) for text in texts]
    assert class_names(cells, whole=False) == [text.strip() for text in texts]


# --- numbers


@pytest.mark.parametrize("value", ["3.5e38", "-1e39", "inf", "abc", "1e400"])
def test_what_float32_cannot_hold_is_told_with_its_row(value: str) -> None:
    with pytest.raises(DataError, match=f"row 2, column 'a': {value!r} is not a number") as caught:
        numbers_of(table(a=["1", value, ""]), "a")
    assert 'data.drop = ["a"]' in caught.value.hint


def test_a_missing_value_is_no_wrong_number() -> None:
    assert np.isnan(numbers_of(table(a=["1", "", "?"]), "a").numbers).tolist() == [False, True, True]


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1.0, 1e6, 1e30])
@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=30))
def test_moments_keep_eleven_digits_at_any_scale(scale: float, whole: list[int]) -> None:
    values = np.array(whole) * scale
    moments = held(table(a=[repr(float(value)) for value in values], y=reals(len(values)))).numbers["a"]
    span = float(np.abs(values).max()) or 1.0
    assert abs(moments.mean - float(values.mean())) <= 1e-11 * span
    assert abs(moments.deviation**2 - float(values.var())) <= 1e-11 * span**2


@given(st.integers(-(10**6), 10**6), st.integers(1, 20))
def test_a_constant_has_no_deviation_and_itself_as_median(value: int, rows: int) -> None:
    moments = held(table(a=[str(value)] * rows, y=reals(rows))).numbers["a"]
    assert (moments.n, moments.mean, moments.deviation, moments.median) == (rows, value, 0.0, value)


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=30))
def test_the_median_of_whole_numbers_is_whole(values: list[int]) -> None:
    moments = held(table(a=[str(value) for value in values], y=reals(len(values)))).numbers["a"]
    if moments.deviation:
        assert moments.median == int(moments.median)
    assert min(values) <= moments.median <= max(values)


def test_a_column_of_numbers_may_be_missing_at_an_owner() -> None:
    one, other = table(a=["", ""], y=reals(2)), table(a=["3", "5"], y=reals(2))
    for owners in ((one, other), (other, one)):
        moments = held(*owners).numbers["a"]
        assert (moments.n, moments.mean, moments.deviation) == (2, 4.0, 1.0)


# --- what an owner gives away


CATEGORIES = st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=40)


@given(CATEGORIES, st.integers(1, 6))
def test_a_category_of_fewer_rows_is_withheld(texts: list[str], least: int) -> None:
    rows = table(b=texts, y=reals(len(texts)))
    asked = {"stage": "values", "numbers": {}, "categories": ["b"], "classes": {}, "min-count": least}
    told = answer(asked, rows, rows)["categories"]["b"]
    assert all(count >= least for count in told["counts"].values())
    assert told["counts"] == {text: count for text, count in Counter(texts).items() if count >= least}
    assert sum(told["counts"].values()) + told["withheld"] == len(texts)


@given(st.lists(CATEGORIES, min_size=1, max_size=4), st.integers(1, 4))
def test_withheld_rows_are_counted_over_all_owners(owners: list[list[str]], least: int) -> None:
    found = held(*(table(a=texts, y=reals(len(texts))) for texts in owners), min_count=least)
    expected: Counter[str] = Counter()
    for texts in owners:
        expected.update({text: count for text, count in Counter(texts).items() if count >= least})
    assert found.categories["a"] == expected
    assert found.withheld["a"] == sum(map(len, owners)) - expected.total()


def test_texts_of_test_rows_are_not_told_and_their_classes_are() -> None:
    training, rows = table(a=["x", "x"], y=["no", "no"]), table(a=["x", "x", "secret"], y=["no", "no", "yes"])
    found = hold(Survey(("a",), "y"), [(training, rows)])[0]
    assert found.categories["a"] == {"x": 2}
    assert found.classes == ("no", "yes")


@given(st.dictionaries(st.text(max_size=5), st.integers(-9, 9), max_size=5))
def test_a_messages_size_is_that_of_its_json_without_spaces(message: dict[str, int]) -> None:
    assert size(message) == len(json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode())


# --- sums

LEAVES = st.integers(-99, 99) | st.lists(st.integers(0, 9), min_size=3, max_size=3)
ANSWERS = st.fixed_dictionaries(
    {"n": st.integers(0, 99), "most": st.integers(0, 99), "bins": st.lists(st.integers(0, 9), min_size=3, max_size=3)},
    optional={"deep": st.dictionaries(st.sampled_from("abc"), st.integers(0, 99)), "more": st.integers(0, 9)},
)


@given(ANSWERS, ANSWERS, ANSWERS)
def test_merging_is_commutative_and_associative_and_changes_neither(one: Any, two: Any, three: Any) -> None:
    before = json.dumps([one, two])
    assert merge(one, two) == merge(two, one)
    assert merge(merge(one, two), three) == merge(one, merge(two, three))
    assert json.dumps([one, two]) == before


def test_maxima_stay_maxima_and_lists_of_another_length_are_refused() -> None:
    assert merge({"most": 3, "n": 3, "exponent": -2}, {"most": 5, "n": 5, "exponent": -4}) == {"most": 5, "n": 8, "exponent": -2}
    with pytest.raises(ValueError, match="zip"):
        merge({"bins": [1, 2]}, {"bins": [1]})


@given(st.lists(st.tuples(st.integers(-99, 99), st.sampled_from(["u", "v", ""]), st.integers(0, 2)), min_size=4, max_size=30))
def test_findings_do_not_depend_on_who_owns_which_row(rows: list[tuple[int, str, int]]) -> None:
    whole = table(a=[str(n) for n, _, _ in rows], b=[text for _, text, _ in rows], y=reals(len(rows)))
    owner = np.array([who for _, _, who in rows])
    parts = [whole[owner == who] for who in range(3) if (owner == who).any()]
    pooled, spread = held(whole, names=("a", "b")), held(*parts, names=("a", "b"))
    assert (spread.numbers, spread.kind, spread.classes) == (pooled.numbers, pooled.kind, pooled.classes)
    if spread.left_out == pooled.left_out:
        assert spread.categories == pooled.categories
