"""The glossary's terms are those that the translations use."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

import catalogue

ROOT = Path(__file__).resolve().parents[2]
# A code or a command is the same in both languages: `...`, names in quotes, file.key, --option, ciranda COMMAND.
CODE = re.compile(
    r"`[^`]*`|'[^']*'|\"[^\"]*\"|[a-z]+\.\{[^}]*\}|\{[^}]*\}|--[\w-]+(?:[= ][\w.=-]+)?|"
    r"ciranda [\w ]+|[\w-]+\.[\w.-]+(?:\(\))?|\w+\([^)]*\)|[\w-]+=\S*"
)
KINDS = ("task", "strategy", "partitioner", "stage", "selection", "preset", "wire")
# Where a word is not the term: a text -> the terms.
OTHERWISE: dict[str, tuple[str, ...]] = {
    "Only this kind: tasks, strategies, partitioners, stages, selections, presets or wires.": KINDS,
    "Set evaluate.where to server, clients or both.": ("server", "client"),
    "The folder for manifest and pictures; by default partitions/NAME.": ("partition",),
    "The metric to compare by, such as accuracy or server.loss.": ("accuracy",),
    "The task '{task}' measures neither loss nor mse, one of which this strategy needs.": ("loss",),
    "is '{metric}', but training reports its loss only: use 'train.loss'.": ("report",),
    "server, or a client's number; by default all.": ("server",),
    "target reached": ("target",),
}


def terms() -> dict[str, str]:
    rows = [line.split("|")[1:3] for line in (ROOT / "docs/glossary.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return {english.strip(): portuguese.strip() for english, portuguese in rows[1:]}


def texts() -> list[tuple[str, str]]:
    return [
        (english, told)
        for entry in catalogue.read(catalogue.PACKAGE / catalogue.PO).values()
        for english, told in zip((entry.msgid, entry.plural or entry.msgid), entry.told, strict=False)
        if told
    ]


def stems(portuguese: str) -> list[str]:
    """What every form of the term begins with: its words without endings and accents."""
    return [plain(word)[: max(3, len(word) - 2)] for word in portuguese.split() if len(word) > 2]


def plain(text: str) -> str:
    return "".join(character for character in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(character))


def says(english: str, term: str) -> bool:
    """Whether the English text uses the term, in singular or plural, outside code."""
    forms = f"{re.escape(term)}(?:e?s)?" if not term.endswith("y") else f"{re.escape(term[:-1])}(?:y|ies)"
    return re.search(rf"(?<![\w-]){forms}(?![\w-])", CODE.sub(" ", english).lower()) is not None


def test_the_glossary_is_in_alphabetical_order_and_has_both_languages() -> None:
    found = terms()
    assert list(found) == sorted(found)
    assert all(found.values())


def test_a_word_that_is_no_term_is_still_in_use() -> None:
    known = {english for english, _ in texts()}
    assert set(OTHERWISE) <= known


@pytest.mark.parametrize("term", terms())
def test_a_term_has_one_translation_everywhere(term: str) -> None:
    longer = [other for other in terms() if term in other and other != term]
    wrong = []
    for english, told in texts():
        without = english
        for other in longer:
            without = re.sub(re.escape(other), " ", without, flags=re.IGNORECASE)
        if says(without, term) and term not in OTHERWISE.get(english, ()) and not all(stem in plain(told) for stem in stems(terms()[term])):
            wrong.append(f"{english!r}: {told!r}")
    assert not wrong, "\n".join(wrong)
