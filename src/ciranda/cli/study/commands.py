"""The commands compare, baseline and sweep: what they print, and where."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ciranda.cli.errors import tell
from ciranda.cli.folder import free_folder
from ciranda.cli.study import baseline as baselines
from ciranda.cli.study import sweep as sweeps
from ciranda.cli.study.candidates import parse_grid
from ciranda.cli.study.compare import axis_of
from ciranda.cli.study.compare import compare as compare_runs
from ciranda.cli.study.show import Progress
from ciranda.cli.study.sweep import Search
from ciranda.cli.study.table import FORMATS, Shown
from ciranda.core.errors import ExperimentError, MissingExtra
from ciranda.experiment.load import loads, resolve
from ciranda.experiment.schema import Experiment
from ciranda.i18n import _


@dataclass(frozen=True)
class Look:
    """How a study shows itself: its table in one of FORMATS, and while it goes on lines and a bar, on standard error unless the table is
    text. `quiet`: nothing but the study's folder."""

    form: str = "text"
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.form not in FORMATS:
            raise ExperimentError("--format {form} is not known.", form=self.form, hint="It is one of: {forms}.", forms=", ".join(FORMATS))

    def progress(self) -> Progress:
        return Progress(sys.stdout if self.form == "text" else sys.stderr, quiet=self.quiet)

    def show(self, result: Shown, folder: Path) -> None:
        if self.quiet:
            print(folder)
        else:
            sys.stdout.write(result.table.written(self.form))


def compare(runs: Sequence[str], *, metric: str | None, target: str | None, by: str, out: Path | None, look: Look) -> None:
    """Print the table; with `out` write it there in every format, and the curves."""
    axis = axis_of(by)
    found = compare_runs(runs, metric=metric, target=target)
    if out is not None:
        files = found.save(out, axis)
        _tell_files(files, look)
    look.show(found, out if out is not None else Path())


@dataclass(frozen=True)
class Source:
    """What a study is about, as `ciranda run` takes it: a file, a preset, a task, a CSV file; or a study's folder."""

    what: str
    overrides: Sequence[str] = ()
    target: str | None = None
    client_column: str | None = None

    def experiment(self) -> Experiment:
        return resolve(self.what, self.overrides, target=self.target, client_column=self.client_column)


def baseline(source: Source, *, seeds: str | None, metric: str | None, workers: int | None, out: Path | None, look: Look) -> None:
    """Train what is missing, print the table, and write it with the curves into the study's folder."""
    folder, question = _begun(source.what, "baseline.json", source.overrides, out)
    if question is not None:
        experiment = loads(question["experiment"], str(folder / "baseline.json"))
        chosen = sorted(int(path.name.removeprefix("seed-")) for path in folder.glob("seed-*")) if seeds is None else None
    else:
        experiment, chosen = source.experiment(), None
        folder = folder if out is not None else free_folder(f"{experiment.experiment.name}-baseline")
    if seeds is not None:
        chosen = baselines.parse_seeds(seeds, experiment.experiment.seed)
    with _resumable(folder, "baseline"), look.progress() as progress:
        found = baselines.baseline(experiment, folder, seeds=chosen, workers=workers, metric=metric, progress=progress)
    _save(found.save, folder, look)
    look.show(found, folder)
    if look.form == "text" and not look.quiet:
        print(_("Result: {folder}", folder=folder))


def sweep(source: Source, grid: Sequence[str], search: dict[str, Any], *, workers: int | None, out: Path | None, look: Look) -> None:
    """Search, refit, test; print the table and write it with the figure and best.toml into the study's folder."""
    folder, question = _begun(source.what, "sweep.json", [*source.overrides, *grid], out)
    if question is not None:
        experiment = loads(question["experiment"], str(folder / "sweep.json"))
        how = Search(**{key: question[key] for key in ("grid", "random", "folds", "halving", "metric")})
    else:
        experiment = source.experiment()
        how = Search(parse_grid(grid), **search)
        folder = folder if out is not None else free_folder(f"{experiment.experiment.name}-sweep")
    with _resumable(folder, "sweep"), look.progress() as progress:
        found = sweeps.sweep(experiment, how, folder, workers=workers, progress=progress)
    _save(found.save, folder, look)
    look.show(found, folder)
    if look.form == "text" and not look.quiet:
        print(_("Result: {folder}", folder=folder))
        print(_("Next: ciranda run {file}", file=folder / "best.toml"))


def _begun(what: str, name: str, options: Sequence[str], out: Path | None) -> tuple[Path, dict[str, Any] | None]:
    """(folder, what it asks) when `what` is the folder of a study that was begun; else (`out`, None)."""
    file = Path(what) / name
    if not file.is_file():
        return out or Path(), None
    if options or out is not None:
        raise ExperimentError(
            "{folder} is a study that was begun: it goes on as it is, without --set, --grid and --out.",
            folder=what,
            hint="To change something, begin another: name the experiment, and another --out.",
        )
    return Path(what), json.loads(file.read_text(encoding="utf-8"))


def _save(save: Callable[[Path], list[Path]], folder: Path, look: Look) -> None:
    """Write the files; without matplotlib the tables are there, and it is said why the figure is not."""
    try:
        _tell_files(save(folder), look)
    except MissingExtra as error:
        tell(f"{error} {error.hint}")


def _tell_files(files: Sequence[Path], look: Look) -> None:
    if look.form == "text" and not look.quiet:
        print(_("Written: {files}", files=", ".join(str(file) for file in files)), end="\n\n")


@contextmanager
def _resumable(folder: Path, command: str) -> Iterator[None]:
    """Whatever ends the study early, say how it goes on."""
    try:
        yield
    except BaseException:
        if (folder / f"{command}.json").is_file():
            tell(_("What is done is kept. Go on with: ciranda {command} {folder}", command=command, folder=folder))
        raise
