"""The catalogue is whole in both languages, and the environment chooses."""

from __future__ import annotations

import string

import pytest

from ciranda.cli.i18n import TEXTS, language, say


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


def test_say_speaks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "pt")
    assert say("run.seed", seed=3) == "semente 3"
    monkeypatch.setenv("CIRANDA_LANG", "en")
    assert say("run.seed", seed=3) == "seed 3"


@pytest.mark.parametrize("key", TEXTS)
def test_both_languages_have_the_same_fields(key: str) -> None:
    english, portuguese = TEXTS[key]
    assert english.strip()
    assert portuguese.strip()
    assert _fields(english) == _fields(portuguese)


def _fields(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
