"""`ciranda check` on strategies, stages and selection rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ciranda.cli.check import check
from ciranda.cli.laws import SUITES, dir_in_order, verdicts
from ciranda.core.errors import CirandaError, ExperimentError, TaskError
from ciranda.core.selection import RandomSelection
from ciranda.testing.selections import SelectionLaws

Write = Callable[[str], Path]
HEAD = """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
import ciranda
from ciranda.core.strategies.base import moved
"""
STRATEGY = """
@dataclass(frozen=True)
class Mine(ciranda.BaseStrategy):
    name: ClassVar[str] = "mine"
    summary: ClassVar[str] = "for tests"
    def init(self, model): return {}
    def apply(self, state, model, aggregate): return state, moved(model, aggregate.parts["model"])
"""
RULE = """
@dataclass(frozen=True)
class Last(ciranda.SelectionRule):
    name: ClassVar[str] = "last"
    summary: ClassVar[str] = "for tests"
    def choose(self, call, losses): return range(call.roster - call.size, call.roster)
"""
STAGE = """
@dataclass(frozen=True)
class Same(ciranda.Stage):
    name: ClassVar[str] = "same"
    kind: ClassVar[str] = "transform"
    def encode(self, update, state): return update, state
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "mine.py"
        path.write_text(HEAD + text)
        return path

    return write


def test_every_law_has_its_verdict(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    check(str(write(STRATEGY + RULE + STAGE)))
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["strategy Mine: mine", "stage Same: same", "selection rule Last: last"]
    laws = [line for line in lines if line.startswith("  holds  ")]
    assert len(laws) == sum(len(dir_in_order(suite)) for _, suite, _ in SUITES)
    assert len(laws) > 25
    assert "  holds  it does not write into its inputs" in lines


def test_one_class_alone(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    check(f"{write(STRATEGY + RULE)}:Last")
    printed = capsys.readouterr().out
    assert "selection rule Last" in printed
    assert "strategy" not in printed


@pytest.mark.parametrize(
    ("text", "shown", "count"),
    [
        (
            STRATEGY.replace("return state, moved", "model['linear.bias'][:] = 0; return state, moved"),
            "ValueError: assignment destination",
            "",
        ),
        (STRATEGY.replace("return {}", "return {'list': [1]}"), "the state's 'list' is not an array", ""),
        (RULE.replace("range(call.roster - call.size, call.roster)", "[0]"), "choose() gave 1", ""),
        (STAGE.replace("return update, state", "raise ValueError('no')"), "ValueError: no (", "mine.py, line 13"),
        (STRATEGY.replace("frozen=True", ""), "can be assigned to: freeze", ""),
    ],
)
def test_a_broken_law_is_shown_and_fails(write: Write, capsys: pytest.CaptureFixture[str], text: str, shown: str, count: str) -> None:
    with pytest.raises(ExperimentError, match=r"\d+ of \d+ laws do not hold for") as caught:
        check(str(write(text)))
    broken = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  broken  ")]
    assert len(broken) == caught.value.fields["broken"]
    assert any(shown in line and count in line for line in broken), broken


def test_a_parameter_without_default_has_to_have_one(write: Write) -> None:
    with pytest.raises(ExperimentError, match="needs the parameter 'pull'"):
        check(str(write(STRATEGY.replace("    name:", "    pull: float\n    name:", 1))))


def test_a_file_with_neither_is_taken_for_a_task(write: Write) -> None:
    with pytest.raises(TaskError, match="has no task"):
        check(str(write("")))
    with pytest.raises(CirandaError, match="no file"):
        check("nowhere.py")


def test_a_task_beside_a_strategy_is_checked_too(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    task = "\nfrom ciranda.testing.toys import MeanTask\nclass Task(MeanTask): pass\n"
    check(str(write(STRATEGY + task)))
    printed = capsys.readouterr().out
    assert "strategy Mine" in printed
    assert "The task works" in printed


def test_verdicts_come_in_the_order_of_the_suite() -> None:
    laws = [law for law, why in verdicts(SelectionLaws, "rule", RandomSelection()) if not why]
    assert laws[0] == "it is a named value"
    assert len(laws) == len(dir_in_order(SelectionLaws))
