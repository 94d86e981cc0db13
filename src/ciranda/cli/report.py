"""`ciranda report`: the HTML page of one run, or of several beside each other."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ciranda.cli.find import find_run
from ciranda.cli.folder import RunFolder
from ciranda.core.errors import DataError
from ciranda.report.compare import Figures, Way, comparison
from ciranda.report.page import report as page
from ciranda.report.records import Records, read
from ciranda.report.run import Run
from ciranda.store.files import write_whole

if TYPE_CHECKING:
    from ciranda.cli.study.compare import Comparison


def report(names: Sequence[str], out: Path | None = None) -> Path:
    """Write the report of the runs called `names` (none: of the latest run), by default into the first one's folder; returns the file.

    Raises:
        Missing: no such run. DataError: a run has no finished round yet, or its files cannot be read.
    """
    if len(names) > 1:
        from ciranda.cli.study.compare import compare

        compared = compare(names)
        target, text = compared.lines[0].runs[0].path / "comparison.html", _comparison(compared)
    else:
        run = run_of(find_run(names[0] if names else None))
        target, text = Path(run.folder) / "report.html", page(run)
    target = out if out is not None else target
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, [text.encode()])
    return target


def run_of(path: Path) -> Run:
    """What the folder of a run says. Raises Missing, or DataError for a run without a finished round and for damaged files."""
    folder = RunFolder.existing(path)
    records = read(folder.each_row())
    if not len(records.rounds):
        raise DataError("{path} has no finished round to tell of.", path=path, hint="Go on with it: ciranda resume {path}")
    return _run(folder, records)


def _run(folder: RunFolder, records: Records) -> Run:
    try:
        settings = tomllib.loads(folder.experiment.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError("{path} is not TOML: {error}.", path=folder.experiment, error=error) from None
    name = str(settings.get("experiment", {}).get("name") or folder.path.resolve().name)
    return Run(name, records, settings, _json(folder.result), _json(folder.manifest), str(folder.path))


def _comparison(compared: Comparison) -> str:
    ways = [Way(line.label, [_run(RunFolder(run.path), run.records) for run in line.runs]) for line in compared.lines]
    table = compared.table
    return comparison(ways, compared.group, compared.metric, Figures(table.head, table.rows, table.notes))


def _json(file: Path) -> dict[str, Any]:
    """The object in the file, {} if there is none."""
    if not file.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError("{path} is not JSON: {error}.", path=file, error=error) from None
    return found
