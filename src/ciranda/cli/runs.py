"""The commands that train: run, resume, replay."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ciranda.cli import compose
from ciranda.cli.dashboard import Dashboard, wanted
from ciranda.cli.errors import INTERRUPTED, tell
from ciranda.cli.find import find_run
from ciranda.cli.folder import RunFolder, free_folder
from ciranda.cli.logs import logging_to
from ciranda.cli.output import result_lines, stopped_by_interrupt
from ciranda.cli.progress import Display
from ciranda.cli.session import OnEvent
from ciranda.cli.wires import check_wire
from ciranda.experiment.load import load, resolve
from ciranda.i18n import _

if TYPE_CHECKING:
    from ciranda.cli.result import Result
    from ciranda.experiment.schema import Experiment


@dataclass(frozen=True)
class Look:
    """How a command shows what it does. With `json`, everything but result.json goes to standard error."""

    json: bool = False
    quiet: bool = False
    log_level: str = "warning"
    dashboard: bool = False


def run(
    what: str,
    overrides: Sequence[str],
    *,
    on: str,
    target: str | None,
    client_column: str | None,
    workers: int | None,
    out: Path | None,
    look: Look,
) -> int:
    """Run what the user named; returns the exit status."""
    check_wire(on)
    experiment = resolve(what, overrides, target=target, client_column=client_column)
    folder = out if out is not None else free_folder(experiment.experiment.name)

    def work(show: OnEvent) -> Result:
        if on == "local":
            return compose.run(experiment, folder, workers=workers, on_event=show)
        from ciranda.cli.http.serve import run_with_clients

        return run_with_clients(experiment, folder, show)

    return _ended(_shown(experiment, folder, look, work), folder, look)


def resume(name: str | None, overrides: Sequence[str], *, workers: int | None, look: Look) -> int:
    """Go on with a run, perhaps with more rounds."""
    folder = find_run(name)
    experiment = load(RunFolder.existing(folder).experiment, overrides)

    def work(show: OnEvent) -> Result:
        if (folder / "http").is_dir():
            from ciranda.cli.http.serve import resume_with_clients

            return resume_with_clients(experiment, folder, show)
        return compose.resume(folder, overrides=overrides, workers=workers, on_event=show)

    return _ended(_shown(experiment, folder, look, work), folder, look)


def replay(name: str | None, *, workers: int | None, out: Path | None, look: Look) -> int:
    """Run again with the recorded participants; the exit status is 1 if the model is another."""
    source = RunFolder.existing(find_run(name))
    experiment = load(source.experiment)
    recorded = source.rows()[-1]["model"]
    folder = out if out is not None else free_folder(f"{source.path.resolve().name}-replay", source.path.parent)
    result = _shown(experiment, folder, look, lambda show: compose.replay(source.path, folder, workers=workers, on_event=show))
    status = _ended(result, folder, look)
    same = result.model_sha256 == recorded
    if status == 0 and not look.quiet:
        tell(f"{_('The model is the same') if same else _('The model is NOT the same')}: {result.model_sha256}")
    return status if same else status or 1


def _shown(experiment: Experiment, folder: Path, look: Look, work: Callable[[Display], Result]) -> Result:
    stream = sys.stderr if look.json else sys.stdout
    name, seed = experiment.experiment.name, experiment.experiment.seed
    live = look.dashboard and not look.quiet and wanted(stream)
    display = Dashboard(stream, name, seed) if live else Display(stream, name, seed, quiet=look.quiet)
    with logging_to(folder, look.log_level), display as show:
        return work(show)


def _ended(result: Result, folder: Path, look: Look) -> int:
    """Print the result and say with which status to exit."""
    if look.json:
        sys.stdout.write(RunFolder.existing(folder).result.read_text(encoding="utf-8"))
        sys.stdout.flush()
    elif look.quiet:
        print(folder)
    else:
        print("\n".join(result_lines(result.as_json(), str(folder))))
    if stopped_by_interrupt(result.as_json()):
        return INTERRUPTED
    return 0 if result.state == "finished" else 1
