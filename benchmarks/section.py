"""What a benchmark leaves: a section of RESULTS.md, kept as data in results.json so that each can be measured by itself."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS, DATA = "RESULTS.md", "results.json"
HEAD = """# Results

Written by `make bench`; [README.md](README.md) says how it measures. In brackets the least and the greatest of the repetitions.
The fourth column is the target and whether the median reached it.
"""


@dataclass(frozen=True)
class Spread:
    """A median with the least and the greatest of some values."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        kept = sorted(values)
        return cls(statistics.median(kept), kept[0], kept[-1])

    def text(self, unit: str) -> str:
        middle, low, high = (number(value) for value in (self.median, self.low, self.high))
        return f"{middle} {unit}".strip() if low == high else f"{middle} {unit} ({low} to {high})".replace("  ", " ")


@dataclass(frozen=True)
class Row:
    """One measured thing.

    Attributes:
        value: what was measured, in `unit`; None if it could not be, and the note says why.
        ratio: Ciranda's value over this one, by repetition; None for Ciranda's own rows.
        target: the most that the ratio (the value's median, where there is no ratio) may be; None where nothing is asked.
    """

    what: str
    value: Spread | None
    unit: str = "s"
    ratio: Spread | None = None
    target: float | None = None
    note: str = ""

    @property
    def missed(self) -> bool:
        """Whether a target is not reached; what could not be measured has not reached it either."""
        judged = self.ratio or self.value
        return self.target is not None and (judged is None or judged.median > self.target)

    def cells(self) -> list[str]:
        value = self.value.text(self.unit) if self.value else "not measured"
        ratio = self.ratio.text("") if self.ratio else ""
        verdict = "" if self.target is None else f"{number(self.target)}: {'missed' if self.missed else 'reached'}"
        return [self.what, value, ratio, verdict, self.note]


@dataclass(frozen=True)
class Section:
    """The rows of one benchmark and the circumstances in which they were measured.

    Attributes:
        about: what was measured, as Markdown. repetitions: how often each contender was run.
        others: cores that other programs kept busy meanwhile, on average; None if unknown.
        output: what a script of this folder printed, if the benchmark is one. body: Markdown in the place of rows.
    """

    name: str
    title: str
    about: str
    rows: Sequence[Row]
    date: str
    machine: str
    versions: Mapping[str, str]
    repetitions: int
    others: float | None = None
    output: str = ""
    body: str = ""

    def markdown(self) -> str:
        lines = [f"## {self.title}", "", self.about, ""]
        if self.rows:
            lines += ["| | median (range) | Ciranda's time over it | at most | |", "|---|---|---|---|---|"]
            lines += ["| " + " | ".join(row.cells()) + " |" for row in self.rows]
            lines.append("")
        if self.body:
            lines += [self.body, ""]
        if self.output:
            lines += ["```", self.output.strip("\n"), "```", ""]
        others = "" if self.others is None else f" Other programs used {self.others:.2f} cores meanwhile."
        versions = ", ".join(f"{name} {version}" for name, version in sorted(self.versions.items()))
        times = "once" if self.repetitions == 1 else f"{self.repetitions} repetitions"
        lines.append(f"Measured {self.date}, {times}, on {self.machine}{f'; {versions}' if versions else ''}.{others}")
        return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """Three significant digits, never as a power of ten."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def load(folder: Path = HERE) -> dict[str, Section]:
    """The sections measured so far, by name."""
    file = folder / DATA
    if not file.is_file():
        return {}
    return {name: _section(values) for name, values in json.loads(file.read_text(encoding="utf-8")).items()}


def render(sections: Mapping[str, Section]) -> str:
    """The text of RESULTS.md."""
    return "\n".join([HEAD, *(section.markdown() for section in sections.values())])


def save(sections: Mapping[str, Section], order: Sequence[str], folder: Path = HERE) -> None:
    """Write results.json and RESULTS.md, the sections in `order`."""
    kept = {name: sections[name] for name in order if name in sections}
    _write(folder / DATA, json.dumps({name: asdict(section) for name, section in kept.items()}, indent=1, ensure_ascii=False) + "\n")
    _write(folder / RESULTS, render(kept))


def _section(values: Mapping[str, Any]) -> Section:
    rows = [Row(**{**row, "value": _spread(row["value"]), "ratio": _spread(row["ratio"])}) for row in values["rows"]]
    return Section(**{**values, "rows": rows})


def _spread(values: Mapping[str, float] | None) -> Spread | None:
    return None if values is None else Spread(**values)


def _write(file: Path, text: str) -> None:
    """Whole or not at all."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)
