"""Texts: filled in for English, kept apart for every other language, and whole after the way to another process."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import CirandaError, DataError, RefusedUpdate
from ciranda.core.texts import Text, joined

PORTUGUESE = {
    "There is no column '{column}'.": "Não há a coluna '{column}'.",
    "Round {round}, client {client}": "Rodada {round}, cliente {client}",
    "{count} more in {where}": "mais {count} em {where}",
    "the file {path}": "o arquivo {path}",
}


def tell(template: str, fields: Mapping[str, object]) -> str:
    return PORTUGUESE.get(template, template).format(**fields)


def test_a_text_is_english_until_it_is_told() -> None:
    text = Text("There is no column '{column}'.", column="age")
    assert str(text) == "There is no column 'age'."
    assert f"{text:>30}" == "     There is no column 'age'."
    assert text.in_language(tell) == "Não há a coluna 'age'."


def test_without_fields_braces_stand_as_they_are() -> None:
    assert str(Text("{x} and {")) == "{x} and {"


def test_texts_in_the_fields_are_told_too() -> None:
    text = Text("{count} more in {where}", count=3, where=Text("the file {path}", path=Path("a.csv")))
    assert str(text) == "3 more in the file a.csv"
    assert text.in_language(tell) == "mais 3 em o arquivo a.csv"


def test_joined_texts_are_told_one_by_one() -> None:
    text = joined("\n", [Text("the file {path}", path=1), "as it is {", Text("the file {path}", path=2)])
    assert str(text) == "the file 1\nas it is {\nthe file 2"
    assert text.in_language(tell) == "o arquivo 1\nas it is {\no arquivo 2"


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{x}", Path("/a/b")),
        ("{x!r}", ("a", 1)),
        ("{x}", ["a", Path("b")]),
        ("{x}", np.float32(0.1)),
        ("{x:.3g}", np.float64(2 / 3)),
        ("{x}", np.dtype("float32")),
        ("{x!r}", {"a": 1}),
        ("{x}", OSError(2, "No such file")),
        ("{x!r:>9}", "a'b"),
        ("{x:,}", 12345),
        ("{x}", None),
        ("{x!r}", True),
    ],
)
def test_a_field_prints_as_in_an_f_string_and_survives_the_way(template: str, value: object) -> None:
    text = Text(template, x=value)
    assert str(text) == template.format(x=value)
    again = pickle.loads(pickle.dumps(text))  # noqa: S301 - our own bytes
    assert (str(again), again) == (str(text), text)


def test_what_cannot_be_pickled_travels_as_its_words() -> None:
    class Odd:
        def __str__(self) -> str:
            return "odd"

    text = Text("{x} {x!r}", x=Odd())
    assert str(pickle.loads(pickle.dumps(text))) == str(text)  # noqa: S301 - our own bytes
    assert str(text).startswith("odd <")


def test_an_error_keeps_template_and_fields_apart() -> None:
    error = DataError("There is no column '{column}'.", column="age", hint="It has: {columns}.", columns="a, b")
    assert str(error) == "There is no column 'age'."
    assert error.hint == "It has: a, b."
    assert error.message == "There is no column '{column}'."
    assert error.fields["column"] == "age"
    assert error.in_language(tell) == ("Não há a coluna 'age'.", "It has: a, b.")


def test_an_error_among_the_fields_is_told_as_its_message() -> None:
    inner = DataError("There is no column '{column}'.", column="age")
    outer = CirandaError("Round {round}, client {client}: {error}", round=3, client="7", error=inner)
    assert str(outer) == "Round 3, client 7: There is no column 'age'."
    assert outer.in_language(tell)[0] == "Round 3, client 7: Não há a coluna 'age'."


def test_where_it_happened_is_said_first_and_the_error_stays_what_it_is() -> None:
    error = RefusedUpdate("late", "There is no column '{column}'.", column="age", hint="Wait.")
    located = error.within(Text("Round {round}, client {client}", round=3, client="7"))
    assert located is error
    assert located.reason == "late"
    again = pickle.loads(pickle.dumps(located))  # noqa: S301 - our own bytes
    assert str(again) == "Round 3, client 7: There is no column 'age'."
    assert again.in_language(tell) == ("Rodada 3, cliente 7: Não há a coluna 'age'.", "Wait.")


@given(st.text(), st.text())
def test_a_value_is_never_taken_for_a_template(value: str, message: str) -> None:
    assert str(Text("<{x}>", x=value)) == f"<{value}>"
    assert str(CirandaError(message)) == message
