"""What `--set` makes of its text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import ExperimentError
from ciranda.experiment.overrides import apply_overrides, parse_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("1_000", 1000),
        ("0.5", 0.5),
        ("1e-3", 1e-3),
        ("true", True),
        ("false", False),
        ('"quoted"', "quoted"),
        ("'quoted'", "quoted"),
        ("[1, 2]", [1, 2]),
        ("bare", "bare"),
        ("two words", "two words"),
        ("my_task.py:Digits", "my_task.py:Digits"),
        ("True", "True"),
        ("2024-01-01", "2024-01-01"),
        ("12:30:00", "12:30:00"),
        ("{ a = 1 }", "{ a = 1 }"),
        ("1\nother = 2", "1\nother = 2"),
        ("[" * 2000, "[" * 2000),
        ("", ""),
    ],
)
def test_literals_are_read_and_the_rest_is_text(text: str, value: Any) -> None:
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


@given(st.one_of(st.integers(-(2**63), 2**63 - 1), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.text()))
def test_a_value_written_as_a_literal_is_that_value(value: bool | int | float | str) -> None:
    written = json.dumps(value).replace("\x7f", "\\u007f")
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" or ord(character) > 0xFFFF for character in value):
        return  # TOML has no surrogate pairs, which json.dumps writes
    assert parse_value(written) == value


@given(st.text())
def test_no_text_is_an_error(text: str) -> None:
    assert isinstance(parse_value(text), str | bool | int | float | list)


def test_overrides_are_written_into_the_table_and_remembered() -> None:
    table: dict[str, Any] = {"rounds": {"num-rounds": 3, "close": "all"}}
    options = apply_overrides(table, ["rounds.num-rounds=5", "client.optimizer = adam", "rounds.num-rounds=6"])
    assert table == {"rounds": {"num-rounds": 6, "close": "all"}, "client": {"optimizer": "adam"}}
    assert options == {("rounds", "num-rounds"): "--set rounds.num-rounds=6", ("client", "optimizer"): "--set client.optimizer = adam"}


def test_only_the_first_equals_sign_divides() -> None:
    table: dict[str, Any] = {}
    apply_overrides(table, ["experiment.name=a=b"])
    assert table == {"experiment": {"name": "a=b"}}


@pytest.mark.parametrize("override", ["", "rounds", "rounds=3", "rounds.num-rounds", ".a=1", "a.=1", "=1", "."])
def test_other_forms_are_refused(override: str) -> None:
    with pytest.raises(ExperimentError, match=r"section\.key=value") as caught:
        apply_overrides({}, [override])
    assert "rounds.num-rounds=5" in caught.value.hint


def test_a_key_that_is_no_section_is_refused() -> None:
    with pytest.raises(ExperimentError, match="'rounds' is not a section"):
        apply_overrides({"rounds": 3}, ["rounds.num-rounds=1"])
