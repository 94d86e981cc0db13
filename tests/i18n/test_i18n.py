"""The reader's language: who chooses it, what is told in it, and how its numbers look."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda import i18n
from ciranda.core.errors import MissingExtra, RunError
from ciranda.core.texts import Text, joined
from ciranda.i18n import _, language, number, plural, retold, speaking, tell, told, use


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CIRANDA_LANG", "en")
    yield
    use(None)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"),
        ({"CIRANDA_LANG": "pt"}, "pt"),
        ({"CIRANDA_LANG": "en", "LANG": "pt_BR.UTF-8"}, "en"),
        ({"LANG": "pt_BR.UTF-8"}, "pt"),
        ({"LC_ALL": "C", "LANG": "pt_BR.UTF-8"}, "en"),
        ({"LC_MESSAGES": "pt_PT", "LANG": "en_US"}, "pt"),
        ({"CIRANDA_LANG": "", "LANG": "PT"}, "pt"),
        ({"LANG": "fr_FR"}, "en"),
    ],
)
def test_the_language_comes_from_the_environment(environment: dict[str, str], expected: str) -> None:
    assert language(environment) == expected


def test_what_is_chosen_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    use("pt")
    assert language() == "pt"
    assert language({"LANG": "en_US"}) == "en"
    with speaking("en"):
        assert language() == "en"
        with speaking(None):
            assert language() == "en"
    assert language() == "pt"
    use(None)
    monkeypatch.setenv("CIRANDA_LANG", "pt")
    assert language() == "pt"


def test_one_thread_speaks_for_itself_and_use_for_all() -> None:
    heard: list[str] = []
    with speaking("pt"):
        thread = threading.Thread(target=lambda: heard.append(language()))
        thread.start()
        thread.join()
    use("pt")
    thread = threading.Thread(target=lambda: heard.append(language()))
    thread.start()
    thread.join()
    assert heard == ["en", "pt"]


@pytest.mark.parametrize("name", ["fr", "", "pt_BR"])
def test_another_language_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="there are en, pt"):
        use(name)


def test_a_text_is_told_in_the_language() -> None:
    assert _("seed {seed}", seed=3) == "seed 3"
    with speaking("pt"):
        assert _("seed {seed}", seed=3) == "semente 3"
        assert told(Text("seed {seed}", seed=3)) == "semente 3"
        assert told("Tasks") == "Tarefas"


def test_a_text_without_translation_stays_english_and_an_empty_one_empty() -> None:
    with speaking("pt"):
        assert _("No catalogue has {this}.", this=1) == "No catalogue has 1."
        assert told("") == ""


def test_texts_and_errors_among_the_fields_are_told_too() -> None:
    error = MissingExtra("torch", "torch", Text("The task '{name}'", name="mnist-cnn")).within(
        Text("Round {round}, client {client}", round=3, client="7")
    )
    with speaking("pt"):
        text, hint = error.in_language(tell)
        assert text == "Rodada 3, cliente 7: A tarefa 'mnist-cnn' precisa do pacote 'torch', que não está instalado."
        assert hint == "Instale com: pip install 'ciranda[torch]'"
        assert _("The run is over ({state}): {reason}", state="x", reason=error).endswith(text)
        assert told(joined(", ", [Text("seed {seed}", seed=1), "as it is"])) == "semente 1, as it is"
    assert str(error).startswith("Round 3, client 7: The task 'mnist-cnn' needs")


def test_an_error_without_a_hint_has_none_in_any_language() -> None:
    with speaking("pt"):
        assert RunError("x").in_language(tell) == ("x", "")


@pytest.mark.parametrize(
    ("count", "english", "portuguese"), [(0, "0 rounds", "0 rodadas"), (1, "1 round", "1 rodada"), (2, "2 rounds", "2 rodadas")]
)
def test_one_and_many(count: int, english: str, portuguese: str) -> None:
    assert plural("1 round", "{count:,} rounds", count) == english
    with speaking("pt"):
        assert plural("1 round", "{count:,} rounds", count) == portuguese


def test_numbers_in_prose_have_the_languages_marks() -> None:
    assert number(1234.5, ",.2f") == "1,234.50"
    assert _("{a:.2f} of {b:,} and {c}", a=0.5, b=12345, c=0.5) == "0.50 of 12,345 and 0.5"
    with speaking("pt"):
        assert number(1234.5, ",.2f") == "1.234,50"
        assert _("{a:.2f} of {b:,} and {c}", a=0.5, b=12345, c=0.5) == "0,50 of 12.345 and 0.5"


def test_numbers_in_commands_and_texts_with_a_format_stay_as_they_are() -> None:
    with speaking("pt"):
        assert _("--set client.learning-rate={rate:g} for {rate:g}", rate=0.1) == "--set client.learning-rate=0.1 for 0,1"
        assert _("{name:>6}|{value!r:>5}|{text:.3}", name="a.b", value="x", text="1.23") == "   a.b|  'x'|1.2"


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(min_value=0, max_value=9))
def test_a_portuguese_number_is_the_english_one_with_its_marks_swapped(value: float, digits: int) -> None:
    spec = f",.{digits}f"
    with speaking("pt"):
        portuguese = number(value, spec)
    assert portuguese.replace(".", " ").replace(",", ".").replace(" ", ",") == format(value, spec)


def test_what_was_kept_in_english_is_told_by_its_template() -> None:
    templates = ("seed {seed}", "Round {round}, client {client}", "Tasks")
    with speaking("pt"):
        assert retold("Round 3, client a b", templates) == "Rodada 3, cliente a b"
        assert retold("Tasks", templates) == "Tarefas"
        assert retold("Tasks of {x}", templates) == "Tasks of {x}"
    assert retold("Round 3, client a b", templates) == "Round 3, client a b"


def test_the_catalogue_comes_with_the_package() -> None:
    assert (i18n.LOCALE / "pt/LC_MESSAGES/ciranda.mo").stat().st_size > 10_000
