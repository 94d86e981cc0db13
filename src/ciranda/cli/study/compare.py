"""Runs side by side: what each way of training reached over its seeds, at what price, and whether the differences are more than luck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING

from ciranda.cli.output import bytes_text, seconds_text
from ciranda.cli.study.groups import grouped, labels
from ciranda.cli.study.measured import Measured, choose_metric, read_runs
from ciranda.cli.study.table import Shown, Table
from ciranda.core.errors import DataError, ExperimentError
from ciranda.core.paired import LEVEL, Paired, holm, mean_std, paired
from ciranda.i18n import _, number

if TYPE_CHECKING:
    from ciranda.cli.plots import Drawing

AXES = ("rounds", "seconds", "bytes")


@dataclass(frozen=True)
class Line:
    """One way of training: its label, its runs in the order of their seeds."""

    label: str
    runs: Sequence[Measured]


@dataclass(frozen=True)
class Difference:
    """A line against the first one, over the seeds that both have; `p` is corrected for all comparisons. None: not tested."""

    test: Paired | None
    p: float | None

    @property
    def significant(self) -> bool:
        return self.p is not None and self.p < LEVEL


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """Lines of runs under one metric.

    Attributes:
        group, metric: what is compared ("server", "accuracy"). target: a value of it to reach, or None.
    """

    lines: Sequence[Line]
    group: str
    metric: str
    target: float | None = None

    @cached_property
    def differences(self) -> list[Difference]:
        """Each line against the first, which has none."""
        first = {run.seed: run.final(self.group, self.metric) for run in self.lines[0].runs}
        tests = []
        for line in self.lines[1:]:
            pairs = [(run.final(self.group, self.metric), first[run.seed]) for run in line.runs if run.seed in first]
            tests.append(paired([one for one, _ in pairs], [other for _, other in pairs]))
        corrected = iter(holm([test.p for test in tests if test is not None]))
        return [Difference(None, None), *(Difference(test, next(corrected) if test is not None else None) for test in tests)]

    @property
    def table(self) -> Table:
        """One row a line: final and best metric, rounds to the target if there is one, bytes, seconds, the difference from the first."""
        target = () if self.target is None else (_("rounds to {target:g}", target=self.target),)
        several = len(self.lines) > 1
        head = [_("run"), _("seeds"), _("rounds"), f"{self.metric} ({_('last')})", f"{self.metric} ({_('best')})", *target]
        head += [_("bytes"), _("seconds"), *([_("against the first")] if several else [])]
        keys = ["run", "seeds", "rounds", self.metric, f"{self.metric}_std", f"best_{self.metric}", f"best_{self.metric}_std"]
        keys += ["rounds_to_target", "reached_target"] if self.target is not None else []
        keys += ["bytes", "seconds", "difference", "p"]
        rows, values = zip(
            *(self._row(line, difference) for line, difference in zip(self.lines, self.differences, strict=True)), strict=True
        )
        return Table(head, [row if several else row[:-1] for row in rows], keys, values, self.notes)

    @property
    def notes(self) -> list[str]:
        """What the table's numbers stand on."""
        counts = sorted({len(line.runs) for line in self.lines})
        if len(self.lines) < 2:
            return []
        if not any(difference.test for difference in self.differences):
            return [_("One seed says nothing about luck: there is no test. Repeat with several seeds.")]
        text = _(
            "Mean ± standard deviation over {seeds} seeds. Against the first: paired t-test on the seeds that both have (with several lines"
            " corrected by Holm); * marks p < {level}.",
            seeds="-".join(str(count) for count in sorted({counts[0], counts[-1]})),
            level=number(LEVEL, "g"),
        )
        return [text]

    def plot(self, by: str = "rounds") -> Drawing:
        """The curves with a band over the seeds, by "rounds", "seconds" or "bytes". Raises MissingExtra without matplotlib."""
        from ciranda.cli.plots import Drawing
        from ciranda.cli.study.figures import curves

        return Drawing(curves(self, axis_of(by)))

    def save(self, folder: Path, *axes: str) -> list[Path]:
        """Write table.md, table.tex, table.csv and the curves over `axes`, as PNG and SVG, into `folder`; returns the files."""
        from ciranda.cli.study.figures import curves, save

        files = write_tables(self.table, folder)
        for axis in axes:
            files += save(curves(self, axis), folder, f"curves-by-{axis}")
        return files

    def _row(self, line: Line, difference: Difference) -> tuple[list[str], list[str | float | int | None]]:
        final, best = (
            _over(values)
            for values in zip(*((run.final(self.group, self.metric), run.best(self.group, self.metric)) for run in line.runs), strict=True)
        )
        rounds, spent, seconds = (
            mean_std([value(run) for run in line.runs])[0]
            for value in (lambda run: len(run.records.rounds), lambda run: run.bytes, lambda run: run.seconds)
        )
        cells = [
            line.label,
            str(len(line.runs)),
            number(rounds, ".0f" if rounds == int(rounds) else ".1f"),
            spread_text(*final),
            spread_text(*best),
        ]
        plain: list[str | float | int | None] = [line.label, len(line.runs), rounds, *map(_or_none, (*final, *best))]
        if self.target is not None:
            reached = [at for run in line.runs if (at := run.rounds_to(self.group, self.metric, self.target)) is not None]
            cells.append(_reached_text(reached, len(line.runs)))
            plain += [mean_std(reached)[0] if reached else None, len(reached)]
        cells += [bytes_text(spent), seconds_text(seconds), _difference_text(difference)]
        plain += [spent, seconds, difference.test.mean if difference.test else None, difference.p]
        return cells, plain


def compare(runs: Sequence[str | Path], *, metric: str | None = None, target: str | float | None = None) -> Comparison:
    """Compare runs; those that differ in the seed only are one line.

    Args:
        runs: folders of runs, their names under runs/, or folders that hold runs.
        metric: "accuracy", "server.loss" and the like; by default what says most of all that every run measured.
        target: 0.9, or "accuracy=0.9": also tell after how many rounds it was reached.

    Raises:
        Missing: no such run. DataError: runs of different data or without a common metric, or the same run given twice.
        ExperimentError: a target that is no number.
    """
    named, value = parse_target(target)
    if named and metric and named.rpartition(".")[2] != metric.rpartition(".")[2]:
        raise ExperimentError("--target is of {named}, but --metric is {metric}.", named=named, metric=metric)
    measured = read_runs(runs)
    group, name = choose_metric(measured, metric or named)
    return Comparison(lines_of(measured), group, name, value)


def lines_of(runs: Sequence[Measured]) -> list[Line]:
    """The runs gathered into lines, with labels for what tells the lines apart. Raises DataError when a run is there twice."""
    groups = [[runs[place] for place in places] for places in grouped(run.settings for run in runs)]
    for group in groups:
        seen: dict[tuple[int, int], Measured] = {}
        for run in group:
            if (twin := seen.setdefault(run.seed, run)) is not run:
                raise DataError(
                    "{one} and {other} are the same experiment with the same seed: that is one run, not two.",
                    one=twin.path,
                    other=run.path,
                    hint="Give one of them, or repeat the experiment under another seed: --set experiment.seed=2",
                )
    names = labels([group[0].settings for group in groups])
    return [Line(name, sorted(group, key=lambda run: run.seed)) for name, group in zip(names, groups, strict=True)]


def parse_target(target: str | float | None) -> tuple[str | None, float | None]:
    """("accuracy", 0.9) of "accuracy=0.9"; (None, 0.9) of 0.9 or "0.9". Raises ExperimentError."""
    if target is None:
        return None, None
    name, _sign, text = str(target).rpartition("=")
    try:
        value = float(text)
    except ValueError:
        value = nan
    if not isfinite(value):
        raise ExperimentError("--target {target} is not a number.", target=target, hint="For example: --target accuracy=0.9")
    return name or None, value


def axis_of(name: str) -> str:
    """`name` if it is one of AXES. Raises ExperimentError."""
    if name not in AXES:
        raise ExperimentError("Curves are not drawn by {name}.", name=name, hint="They are by: {axes}.", axes=", ".join(AXES))
    return name


def write_tables(table: Table, folder: Path) -> list[Path]:
    """Write table.md, table.tex and table.csv."""
    from ciranda.store.files import make_folder, write_whole

    make_folder(folder)
    files = []
    for form, suffix in (("markdown", "md"), ("latex", "tex"), ("csv", "csv")):
        files.append(folder / f"table.{suffix}")
        write_whole(files[-1], [table.written(form).encode()])
    return files


def spread_text(mean: float, std: float | None) -> str:
    """`0.9312 ± 0.0040`; a dash for what was not measured."""
    if not isfinite(mean):
        return "–"
    spec = ".4f" if abs(mean) < 1e4 else ".4g"
    return number(mean, spec) + (f" ± {number(std, spec)}" if std is not None else "")


def p_text(p: float) -> str:
    return "p < " + number(0.001, "g") if p < 0.001 else "p = " + number(p, ".3f")


def _over(values: Sequence[float]) -> tuple[float, float | None]:
    """(mean, deviation) of the values; no deviation of one value."""
    mean, std = mean_std(values)
    return mean, std if len(values) > 1 else None


def _difference_text(difference: Difference) -> str:
    if difference.test is None or difference.p is None:
        return "–"
    return f"{number(difference.test.mean, '+.4f')} ({p_text(difference.p)}){' *' if difference.significant else ''}"


def _reached_text(reached: Sequence[int], runs: int) -> str:
    if not reached:
        return _("not reached")
    text = number(mean_std(reached)[0], ".1f" if len(reached) > 1 else ".0f")
    return text if len(reached) == runs else _("{text} ({reached} of {runs})", text=text, reached=len(reached), runs=runs)


def _or_none(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None
