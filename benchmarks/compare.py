"""Contenders on the same work, alternated: each repetition runs every contender once, beginning with another one each time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import machine
from benchmarks.launch import Failed, Outcome, launch
from benchmarks.section import Row, Section, Spread
from benchmarks.work import Work

Say = Callable[[str], None]


@dataclass(frozen=True)
class Contender:
    """Who runs, and against whom.

    Attributes:
        python: makes or finds the interpreter; may raise Failed, which becomes the row's note.
        against: the name of the Ciranda contender whose time is divided by this one's; "" for Ciranda itself.
        work: the work, if it is not the benchmark's.
    """

    name: str
    module: str
    processes: int
    python: Callable[[], Path]
    against: str = ""
    target: float | None = None
    note: str = ""
    work: Work | None = None


@dataclass
class _Results:
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    trouble: str = ""


def compare(
    work: Work, contenders: Sequence[Contender], data: str, repetitions: int, title: str, about: str, say: Say
) -> tuple[Section, Mapping[str, Mapping[int, Outcome]]]:
    """The section, and each contender's outcomes by repetition. A contender that fails is not run again."""
    watch = machine.Watch()
    results = {contender.name: _Results() for contender in contenders}
    for repetition in range(repetitions):
        first = repetition % len(contenders)
        for contender in (*contenders[first:], *contenders[:first]):
            result = results[contender.name]
            if result.trouble:
                continue
            try:
                outcome = launch(contender.python(), contender.module, contender.work or work, data, contender.processes)
            except Failed as failure:
                result.trouble = str(failure)
                say(f"  {contender.name}: {failure}")
                continue
            result.outcomes[repetition] = outcome
            say(f"  {repetition + 1}/{repetitions} {contender.name}: {outcome.median:.4f} s a round")
    rows = [_row(contender, results) for contender in contenders]
    versions: dict[str, str] = {}
    for result in results.values():
        for outcome in result.outcomes.values():
            versions.update(outcome.versions)
    section = Section(work.name, title, about, rows, machine.today(), machine.describe(), versions, repetitions, watch.others())
    return section, {name: result.outcomes for name, result in results.items()}


def _row(contender: Contender, results: Mapping[str, _Results]) -> Row:
    mine = results[contender.name]
    if mine.trouble or not mine.outcomes:
        return Row(contender.name, None, target=contender.target, note=mine.trouble)
    outcomes = mine.outcomes
    ratio = None
    if contender.against:
        ours = results[contender.against].outcomes
        ratios = [ours[number].median / outcome.median for number, outcome in outcomes.items() if number in ours]
        ratio = Spread.of(ratios) if ratios else None
    startup, accuracy = (
        Spread.of(values).median for values in zip(*((one.startup, one.accuracy) for one in outcomes.values()), strict=True)
    )
    note = f"start-up {startup:.1f} s, accuracy {accuracy:.3f}" + (f"; {contender.note}" if contender.note else "")
    return Row(contender.name, Spread.of(outcome.median for outcome in outcomes.values()), ratio=ratio, target=contender.target, note=note)
