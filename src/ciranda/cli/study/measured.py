"""Runs as a comparison sees them: settings, what was measured, and which of them differ by luck only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ciranda.cli.find import find_run
from ciranda.cli.folder import RunFolder
from ciranda.cli.study.groups import Settings
from ciranda.core.errors import DataError, Missing
from ciranda.experiment.load import load
from ciranda.report.records import HEADLINES, Records, read, rises
from ciranda.report.run import flat


@dataclass(frozen=True)
class Measured:
    """One run: its folder, its settings as "section.key" -> value, and its rounds."""

    path: Path
    settings: Settings
    records: Records

    @property
    def seed(self) -> tuple[int, int]:
        """What two runs must share to be a pair: the seed, and the fold in a cross-validation."""
        return int(self.settings["experiment.seed"]), int(self.settings.get("study.fold", 0))

    def final(self, group: str, metric: str) -> float:
        """The value after the last round that measured it; NaN if none did."""
        value = self.records.final(group, metric)
        return float("nan") if value is None else value

    def best(self, group: str, metric: str) -> float:
        """The best value of any round; NaN if none measured it."""
        curve = self.records.curve(group, metric)
        return float(curve.values.max() if rises(metric) else curve.values.min()) if curve else float("nan")

    def rounds_to(self, group: str, metric: str, target: float) -> int | None:
        """The first round that reaches `target`, None if none does."""
        curve = self.records.curve(group, metric)
        reached = curve.values >= target if rises(metric) else curve.values <= target
        return int(curve.rounds[reached.argmax()]) if reached.any() else None

    @property
    def bytes(self) -> int:
        return int(self.records.bytes_up.sum() + self.records.bytes_down.sum())

    @property
    def seconds(self) -> float:
        return float(self.records.seconds.sum())


def read_runs(names: Sequence[str | Path]) -> list[Measured]:
    """The runs that the names stand for, each once: a run's folder, its name under runs/, or a folder that holds runs.

    Raises:
        Missing: no run there. DataError: a run has no round yet, or the runs are of different data.
    """
    folders = dict.fromkeys(folder.resolve() for name in names for folder in _folders(name))
    runs = [_measured(folder) for folder in folders]
    _same_data(runs)
    return runs


def choose_metric(runs: Sequence[Measured], asked: str | None) -> tuple[str, str]:
    """(group, metric) of the value to compare: `asked` as "accuracy" or "server.accuracy", else what says most of all that every run
    has measured.

    Raises:
        DataError: there is none, with what each has.
    """
    common = set.intersection(*(_metrics(run) for run in runs))
    metrics = [asked.rpartition(".")[2]] if asked else HEADLINES
    groups = [asked.rpartition(".")[0]] if asked and "." in asked else ["server", "clients", "train"]
    for metric in metrics:
        for group in groups:
            if (group, metric) in common:
                return group, metric
    wanted = asked or ", ".join(HEADLINES)
    raise DataError(
        "Not every run measured {wanted}.",
        wanted=wanted,
        hint="They have: {what}.",
        what="; ".join(f"{run.path.name}: {', '.join(sorted('.'.join(each) for each in _metrics(run))) or '-'}" for run in runs[:5]),
    )


def _metrics(run: Measured) -> set[tuple[str, str]]:
    groups = run.records.groups
    return {(group, metric) for group in ("server", "clients", "train") if group in groups for metric in groups[group]}


def _folders(name: str | Path) -> list[Path]:
    path = Path(name)
    if path.is_dir() and not (path / "experiment.toml").is_file():
        inside = sorted(file.parent for file in path.rglob("experiment.toml"))
        if not inside:
            raise Missing("{path} holds no run.", path=path, hint="Give the folders of runs, or a folder that has some in it.")
        return inside
    return [find_run(str(name))]


def _measured(path: Path) -> Measured:
    folder = RunFolder.existing(path)
    records = read(folder.each_row())
    if not len(records.rounds):
        raise DataError("{path} has no finished round.", path=path, hint="Go on with it: ciranda resume {path}")
    return Measured(path, flat(load(folder.experiment).sections()), records)


def _same_data(runs: Sequence[Measured]) -> None:
    """Refuse runs whose training data differ: their metrics say nothing about each other."""
    known: dict[str, Path] = {}
    for run in runs:
        if text := _examples(run):
            known.setdefault(text, run.path)
    if len(known) > 1:
        (first, one), (second, other) = list(known.items())[:2]
        raise DataError(
            "The runs are of different data: {one} has {first}, {other} has {second}.",
            one=one,
            first=first,
            other=other,
            second=second,
            hint="Compare runs of one data set at a time.",
        )


def _examples(run: Measured) -> str:
    """What the training data looks like, "" if the run saw only a part of it."""
    file = RunFolder(run.path).manifest
    if run.settings["study.role"] != "federated" or not file.is_file():
        return ""
    manifest = json.loads(file.read_text(encoding="utf-8"))
    labels = ", ".join(f"{label}: {count}" for label, count in manifest.get("labels", {}).items())
    return f"{manifest['examples']} examples" + (f" ({labels})" if labels else "")
