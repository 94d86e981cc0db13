"""Which files of this machine an experiment that came from elsewhere may have it run or read: those that its owner named.

An experiment can name a task, strategy, stage or selection rule in a Python file, and a table to train on. Written by somebody else, it
is a request and no permission.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ciranda.core.errors import ExperimentError
from ciranda.experiment.schema import Experiment
from ciranda.plugins.files import is_file, split

_CODE = (("experiment", "task"), ("strategy", "name"), ("stage", "name"), ("rounds", "selection"))
_DATA = (("data", "csv"),)


def files_of(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """ "section.key" -> the file that it names."""
    found = {}
    for section, key in (*_CODE, *_DATA):
        table = sections.get(section)
        value = table.get(key) if isinstance(table, Mapping) else None
        if not isinstance(value, str):
            continue
        if (section, key) in _DATA:
            found[f"{section}.{key}"] = value
        elif is_file(value):
            found[f"{section}.{key}"] = split(value)[0]
    return found


def check_files(text: str, allowed: Sequence[Path], own: Collection[str] = ()) -> None:
    """Refuse an experiment that names a file beside `allowed`, before anything of it is loaded.

    Args:
        own: keys such as "data.csv" in whose place the client has something of its own, so that what stands there is not used.

    Raises:
        ExperimentError: it names one, or is no TOML.
    """
    try:
        sections = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ExperimentError("The experiment cannot be read: {error}.", error=error) from None
    known = {path.resolve() for path in allowed}
    for key, file in files_of(sections).items():
        if key not in own and Path(file).resolve() not in known:
            raise ExperimentError(
                "The experiment names a file of this machine: {key} = {file}.",
                key=key,
                file=file,
                hint="Look at the file; if it may be used here, start again with --allow {file}",
            )


def allow_options(experiment: Experiment) -> list[str]:
    """The options of `ciranda client` by which somebody agrees to all the files of their own experiment."""
    return [f"--allow={Path(file).resolve()}" for file in dict.fromkeys(files_of(experiment.sections()).values())]
