"""Where keys stand in TOML text, whatever way they are written."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.experiment.lines import key_lines


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("a = 1", ("a",), 1),
        ("\n\na = 1", ("a",), 3),
        ("[s]\na = 1", ("s",), 1),
        ("[s]\na = 1", ("s", "a"), 2),
        ("  [ s ]  # note\n  a-b = 1", ("s", "a-b"), 2),
        ('["s"]\n"a" = 1', ("s", "a"), 2),
        ("['s']\n'a b' = 1", ("s", "a b"), 2),
        ("s.a = 1", ("s", "a"), 1),
        ("s.a = 1", ("s",), 1),
        ('s . "a" = 1', ("s", "a"), 1),
        ("[s.t]\na = 1", ("s", "t", "a"), 2),
        ("s = { a = 1, b-c = 2 }", ("s", "b-c"), 1),
        ("[[s]]\na = 1", ("s", "a"), 2),
        ('x = """\n[s]\na = 0\n"""\n[s]\na = 1', ("s", "a"), 6),
        ("x = '''\na = 0\n'''\na = 1", ("a",), 4),
        ('x = """one line"""\na = 1', ("a",), 2),
        ('x = "[s]"\n[s]\na = 1', ("s",), 2),
        ("# a = 0\na = 1", ("a",), 2),
        ("x = [\n [1, 2],\n [3, 4]\n]\na = 1", ("a",), 5),
        ('x = [\n"a = 0"\n]\na = 1', ("a",), 4),
        ("x = [\n 1,\n 2,\n]\na = 1", ("a",), 5),
    ],
)
def test_a_key_is_found_on_its_line(text: str, path: tuple[str, ...], line: int) -> None:
    tomllib.loads(text)  # the case itself must be valid
    assert key_lines(text)[path] == line


def test_the_first_place_counts() -> None:
    assert key_lines("[s]\na = 1\n[t]\na = 2") == {("s",): 1, ("s", "a"): 2, ("t",): 3, ("t", "a"): 4}


def test_nothing_is_found_in_nothing() -> None:
    assert key_lines("") == {}


words = st.text("abcdefgh-_0123456789", min_size=1, max_size=8)


@given(st.dictionaries(words, st.dictionaries(words, st.integers(), min_size=1, max_size=4), max_size=5), st.data())
def test_every_key_of_a_written_table_is_found(table: dict[str, dict[str, Any]], data: st.DataObject) -> None:
    lines: list[str] = []
    expected: dict[tuple[str, ...], int] = {}
    for section, keys in table.items():
        lines += [""] * data.draw(st.integers(0, 2)) + [f"[{section}]"]
        expected[section,] = len(lines)
        for key, value in keys.items():
            lines += ["# note"] * data.draw(st.integers(0, 1)) + [f"{key} = {value}"]
            expected[section, key] = len(lines)
    text = "\n".join(lines)
    assert tomllib.loads(text) == table
    assert key_lines(text) == expected
