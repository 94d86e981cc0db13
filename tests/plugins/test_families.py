"""Strategies, stages and selection rules from files and entry points."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from ciranda.core.errors import ExperimentError
from ciranda.core.selection import PowerOfChoice
from ciranda.core.stages import Int8
from ciranda.core.strategies import FedAvg
from ciranda.plugins.families import SELECTION, STAGE, STRATEGY

Write = Callable[[str], Path]
HEAD = """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
import ciranda
from ciranda.core.strategies import FedAvg
"""
PLAIN = """
@dataclass(frozen=True)
class Mine(ciranda.BaseStrategy):
    pull: float = 0.5
    name: ClassVar[str] = "mine"
    summary: ClassVar[str] = "for tests"
    def init(self, model): return {}
    def apply(self, state, model, aggregate): return state, model
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "mine.py"
        path.write_text(HEAD + dedent(text))
        return path

    return write


def test_what_is_built_in_is_found_by_name() -> None:
    assert STRATEGY.find("fedavg") is FedAvg
    assert STAGE.find("int8") is Int8
    assert SELECTION.find("power-of-choice") is PowerOfChoice
    assert {"fedavg", "fedyogi"} <= set(STRATEGY.names())
    assert STRATEGY.knows("fedavg")
    assert not STRATEGY.knows("int8")


def test_a_name_that_there_is_not_comes_with_those_there_are() -> None:
    with pytest.raises(ExperimentError, match="no stage 'int9'") as caught:
        STAGE.find("int9")
    assert "top-k" in caught.value.hint
    assert "my_file.py:MyClass" in caught.value.hint


def test_a_class_in_a_file(write: Write) -> None:
    path = write(PLAIN)
    assert STRATEGY.find(f"{path}:Mine").name == "mine"
    assert STRATEGY.find(str(path)) is STRATEGY.find(f"{path}:Mine"), "the only one need not be named"
    assert STRATEGY.find(f"{path}:FedAvg") is FedAvg, "what the file imports can be named"


def test_relative_files_are_looked_for_here(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(PLAIN)
    monkeypatch.chdir(tmp_path)
    assert STRATEGY.find("mine.py:Mine").name == "mine"


def test_a_changed_file_is_read_again(write: Write) -> None:
    path = write(PLAIN)
    first = STRATEGY.find(str(path))
    assert STRATEGY.find(str(path)) is first
    write(PLAIN.replace('"mine"', '"other"'))
    assert STRATEGY.find(str(path)).name == "other"


@pytest.mark.parametrize(
    ("text", "suffix", "words"),
    [
        ("", "", "mine.py has no strategy"),
        (PLAIN + PLAIN.replace("class Mine", "class Yours"), "", "several of the kind strategy: Mine, Yours"),
        (PLAIN, ":Yours", "no class 'Yours'; of the kind strategy in it: Mine"),
        (PLAIN.replace("def apply", "def applies"), ":Mine", r"is no strategy: it lacks apply\(\)"),
        (PLAIN.replace("name: ClassVar", "nom: ClassVar"), "", "has no name"),
        ("VALUE = 3", ":VALUE", "is no strategy"),
        ("1 / 0", "", "mine.py, line 7: ZeroDivisionError"),
        ("def x(:", "", r"mine.py, line 7: .*def x\(:"),
        ("import nothing_of_that_name", "", "line 7: ModuleNotFoundError.*nothing_of_that_name"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(write: Write, text: str, suffix: str, words: str) -> None:
    path = write(text)
    with pytest.raises(ExperimentError, match=words):
        STRATEGY.find(f"{path}{suffix}")


def test_a_file_that_there_is_not() -> None:
    with pytest.raises(ExperimentError, match=r"no file .*nowhere\.py") as caught:
        STRATEGY.find("nowhere.py:Mine")
    assert "frozen dataclass" in caught.value.hint


def test_a_stage_and_a_rule_in_one_file(write: Write) -> None:
    path = write(
        PLAIN
        + """
@dataclass(frozen=True)
class Halved(ciranda.Stage):
    name: ClassVar[str] = "halved"
    kind = "transform"
    def encode(self, update, state): return update, state

@dataclass(frozen=True)
class First(ciranda.SelectionRule):
    name: ClassVar[str] = "first"
    summary: ClassVar[str] = "for tests"
    def choose(self, call, losses): return range(call.size)
"""
    )
    assert STAGE.find(str(path)).name == "halved"
    assert SELECTION.find(str(path)).name == "first"
    assert STRATEGY.find(str(path)).name == "mine"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution that brings a strategy, a broken one, and one that would like to be fedavg."""
    (tmp_path / "brought_along.py").write_text(HEAD + PLAIN)
    info = tmp_path / "brought_along-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brought-along\nVersion: 1.0\n")
    entries = "brought = brought_along:Mine\nbroken = brought_along:Nobody\nodd = brought_along:HEAD\nfedavg = brought_along:Mine\n"
    (info / "entry_points.txt").write_text(f"[ciranda.strategies]\n{entries}")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "brought_along", raising=False)


@pytest.mark.usefixtures("package")
def test_entry_points_are_names_like_any_other() -> None:
    assert "brought" in STRATEGY.names()
    assert STRATEGY.knows("brought")
    assert STRATEGY.find("brought").name == "mine"
    assert "brought" not in STAGE.names()


@pytest.mark.usefixtures("package")
def test_what_is_built_in_cannot_be_replaced() -> None:
    assert STRATEGY.find("fedavg") is FedAvg
    assert STRATEGY.names().count("fedavg") == 1


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("name", ["broken", "odd"])
def test_an_entry_point_that_cannot_be_loaded_is_named(name: str) -> None:
    with pytest.raises(ExperimentError, match=f"'{name}' .brought_along:.* cannot be loaded: AttributeError"):
        STRATEGY.find(name)
