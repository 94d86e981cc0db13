"""`docs/seeds.md`: every capability once, and nothing named that does not exist."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "seeds.md"
NUMBERS = {"000": 28, "001": 24, "002": 15, "003": 30, "004": 34}
NOT_YET = re.compile(r"(^|; )not yet(: [^`|]+)?$")


def rows() -> list[tuple[str, str, str]]:
    """(number, capability, shown by) of every row."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| \d", line)]
    return [(cell[0], cell[1], " | ".join(cell[2:])) for cell in cells]


def named(shown: str) -> list[str]:
    """What a last column names: its code spans."""
    return re.findall(r"`([^`]+)`", shown)


def test_every_number_stands_once_and_in_order() -> None:
    expected = [f"{seed}-{number:02d}" for seed, count in NUMBERS.items() for number in range(1, count + 1)]
    assert [number for number, _, _ in rows()] == expected


@pytest.mark.parametrize(("number", "capability", "shown"), rows())
def test_a_row_names_what_exists_or_says_not_yet(number: str, capability: str, shown: str) -> None:
    assert capability
    names = named(shown)
    assert names or shown == "not yet", f"{number} names nothing to look at"
    assert [name for name in names if not exists(name)] == [], number
    rest = re.sub(r"`[^`]+`(, )?", "", shown).strip()
    assert rest == "" or NOT_YET.search(rest), f"{number}: '{rest}' is neither a name nor what is not yet there"


# --- the checker itself


@pytest.mark.parametrize(
    "name",
    [
        "tests/test_seeds.py::no_such_test",
        "tests/no_such_file.py::test_it",
        "no/such/file.md",
        "make nothing-of-the-kind",
        "ciranda no-such-command",
        "ciranda run digits --no-such-option",
        "ciranda run no-such-preset",
    ],
)
def test_what_does_not_exist_is_found(name: str) -> None:
    assert not exists(name)


@pytest.mark.parametrize(
    "name",
    [
        "tests/test_seeds.py::test_what_does_not_exist_is_found",
        "README.md",
        "make demo",
        "ciranda run",
        "ciranda run digits --set experiment.seed=7 --json",
        "ciranda run my_task.py:Digits",
    ],
)
def test_what_exists_is_found(name: str) -> None:
    assert exists(name)


def exists(name: str) -> bool:
    """Whether a test, a command or a file of this name is there."""
    kind, *words = shlex.split(name)
    if kind == "ciranda":
        return _is_command(words)
    if kind == "make":
        return (
            bool(words)
            and re.search(rf"^{re.escape(words[0])}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE) is not None
        )
    path, _, test = name.partition("::")
    if not test:
        return (ROOT / path).exists()
    return (ROOT / path).is_file() and test in set(_tests(ast.parse((ROOT / path).read_text(encoding="utf-8")), ""))


def _tests(node: ast.AST, prefix: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + child.name
        elif isinstance(child, ast.ClassDef):
            yield prefix + child.name
            yield from _tests(child, f"{prefix}{child.name}::")


def _is_command(words: list[str]) -> bool:
    """Whether `ciranda WORDS` names a command, its options, and (for run) a preset or a file of the user's."""
    if not words or words[0] not in _options():
        return False
    options = {word.partition("=")[0] for word in words[1:] if word.startswith("-")}
    if not options <= _options()[words[0]]:
        return False
    if words[0] != "run" or len(words) < 2 or words[1].startswith("-"):
        return True
    from ciranda.experiment.presets import preset_names

    return words[1] in preset_names() or "." in words[1]


@cache
def _options() -> dict[str, set[str]]:
    """Command -> its options, as the command line itself knows them."""
    import typer.main

    from ciranda.cli.app import app

    group = typer.main.get_command(app)
    commands = getattr(group, "commands", {})
    return {
        name: {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
        for name, command in commands.items()
    }
