"""Which run a user means."""

from __future__ import annotations

from pathlib import Path

from ciranda.core.errors import Missing

ROOT = Path("runs")


def find_run(name: str | None, root: Path = ROOT) -> Path:
    """The folder of a run: `name` as a path or below `root`; without a name the run that was begun last.

    Raises:
        Missing: there is no such run, with the names of those there are.
    """
    runs = sorted((file.stat().st_mtime, file.parent) for file in root.glob("*/experiment.toml"))
    if name is None:
        if not runs:
            raise Missing("There is no run in {root}.", hint="Start one: ciranda run digits", root=root.resolve())
        return runs[-1][1]
    for path in (Path(name), root / name):
        if (path / "experiment.toml").is_file():
            return path
    latest = ", ".join(str(path) for _, path in runs[-5:])
    hint = "Runs here: {latest}" if latest else "Start one: ciranda run digits"
    raise Missing("'{name}' is not a run's folder.", hint=hint, name=name, latest=latest)
