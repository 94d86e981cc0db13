"""Contenders are alternated, ratios are formed within a repetition, and who fails does not stop the others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import compare as module
from benchmarks.compare import Contender, compare
from benchmarks.launch import Failed, Outcome
from benchmarks.section import Section, Spread
from benchmarks.work import Work
from tests.benchmarks.conftest import SOFTMAX

Times = dict[str, list[float]]


def here() -> Path:
    return Path(sys.executable)


OURS = Contender("Ciranda", "ciranda", 2, here)
BARE = Contender("bare", "bare", 2, here, "Ciranda", 0.75)
OTHER = Contender("other", "other", 1, here, "Ciranda", 0.5, "as it starts")


@pytest.fixture
def race(monkeypatch: pytest.MonkeyPatch) -> Callable[[Times], tuple[Section, list[str]]]:
    """Compare the three on made-up times, a negative one standing for a failure; the section, and who ran in which order."""

    def run(times: Times) -> tuple[Section, list[str]]:
        left = {name: list(values) for name, values in times.items()}
        ran: list[str] = []

        def launch(python: Path, name: str, work: Work, data: str, processes: int) -> Outcome:
            ran.append(name)
            seconds = left[name].pop(0)
            if seconds < 0:
                raise Failed(f"{name}: it broke")
            return Outcome([seconds] * 3, 1.0, 0.9, {name: "1"}, 0.0)

        monkeypatch.setattr(module, "launch", launch)
        section, _ = compare(SOFTMAX, [OURS, BARE, OTHER], "", len(times["ciranda"]), "title", "about", lambda line: None)
        return section, ran

    return run


def test_every_contender_runs_once_in_each_repetition_another_one_first(race: Callable[[Times], tuple[Section, list[str]]]) -> None:
    _, ran = race({"ciranda": [1.0] * 3, "bare": [1.0] * 3, "other": [1.0] * 3})
    assert ran == ["ciranda", "bare", "other", "bare", "other", "ciranda", "other", "ciranda", "bare"]


def test_ratios_are_of_times_of_the_same_repetition(race: Callable[[Times], tuple[Section, list[str]]]) -> None:
    section, _ = race({"ciranda": [1.0, 2.0, 8.0], "bare": [2.0, 8.0, 10.0], "other": [4.0, 4.0, 4.0]})
    ours, bare, other = section.rows
    assert ours.ratio is None
    assert ours.value == Spread(2.0, 1.0, 8.0)
    assert bare.ratio == Spread(0.5, 0.25, 0.8)
    assert other.ratio == Spread(0.5, 0.25, 2.0)
    assert [row.missed for row in section.rows] == [False, False, False]
    assert section.versions == {"ciranda": "1", "bare": "1", "other": "1"}
    assert "as it starts" in other.note


def test_a_contender_that_fails_is_told_and_not_run_again(race: Callable[[Times], tuple[Section, list[str]]]) -> None:
    section, ran = race({"ciranda": [1.0, 1.0], "bare": [2.0, 2.0], "other": [-1.0]})
    assert ran.count("other") == 1
    row = section.rows[2]
    assert row.value is None
    assert row.note == "other: it broke"
    assert row.missed
    assert section.rows[1].ratio == Spread(0.5, 0.5, 0.5)


def test_without_ciranda_there_are_times_but_no_ratios(race: Callable[[Times], tuple[Section, list[str]]]) -> None:
    section, _ = race({"ciranda": [-1.0], "bare": [2.0], "other": [4.0]})
    assert section.rows[1].value == Spread(2.0, 2.0, 2.0)
    assert section.rows[1].ratio is None


def test_an_environment_that_cannot_be_made_is_a_failure_of_its_contender(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise Failed("pip could not install it")

    monkeypatch.setattr(module, "launch", lambda *given: Outcome([1.0], 1.0, 0.9, {}, 0.0))
    contenders = [OURS, Contender("other", "other", 1, missing, "Ciranda", 0.5)]
    section, outcomes = compare(SOFTMAX, contenders, "", 1, "title", "about", lambda line: None)
    assert section.rows[1].note == "pip could not install it"
    assert list(outcomes["Ciranda"]) == [0]
