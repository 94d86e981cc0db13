"""`ciranda export`: a run in the form that another tool reads."""

from __future__ import annotations

from pathlib import Path

from ciranda.cli.find import find_run
from ciranda.cli.folder import RunFolder
from ciranda.cli.output import choose
from ciranda.cli.report import run_of
from ciranda.core.texts import Text
from ciranda.report.exports.tables import as_csv, as_jsonl
from ciranda.report.run import Run
from ciranda.store.files import make_folder, write_whole

FORMATS = ("tensorboard", "mlflow", "csv", "jsonl")


def export(name: str | None, to: str, out: str | None) -> list[str]:
    """Write the run called `name` as `to`, by default into RUN/export/FORMAT; returns what was written, and where.

    Raises:
        CirandaError: there is no such format. Missing: no such run. DataError: nothing to export yet. MissingExtra: the format's
        package is not installed.
    """
    choose(to, FORMATS, Text("format"))
    folder = RunFolder.existing(find_run(name))
    run = run_of(folder.path)
    target = out if out is not None else str(folder.path / "export" / to)
    if to in ("csv", "jsonl"):
        return _tables(run, to, Path(target))
    # When the run began: its experiment is written once, before the first round.
    started = folder.experiment.stat().st_mtime
    if to == "tensorboard":
        from ciranda.report.exports import tensorboard

        make_folder(Path(target))
        tensorboard.write(run, Path(target), started)
        return [target]
    from ciranda.report.exports import mlflow

    files = (folder.experiment, folder.result, folder.metrics, folder.manifest, folder.model, folder.card, folder.path / "report.html")
    key = mlflow.write(run, target, [file for file in files if file.is_file()], started)
    return [f"{target}  {key}"]


def _tables(run: Run, to: str, target: Path) -> list[str]:
    make_folder(target)
    written = []
    for name, pieces in (as_csv if to == "csv" else as_jsonl)(run.records).items():
        write_whole(target / name, pieces)
        written.append(str(target / name))
    return written
