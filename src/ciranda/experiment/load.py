"""From TOML text to an Experiment, and back.

Every fault is an ExperimentError that names the file and the line (or the --set option), the key, what is allowed and the nearest match.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ciranda.core.errors import ExperimentError
from ciranda.core.texts import Text
from ciranda.experiment.explain import Origin, explain
from ciranda.experiment.lines import key_lines
from ciranda.experiment.names import nearest
from ciranda.experiment.overrides import apply_overrides
from ciranda.experiment.presets import preset_names, preset_text
from ciranda.experiment.schema import Experiment
from ciranda.plugins.files import is_file, split

MAX_BYTES = 1024 * 1024


def resolve(what: str, overrides: Sequence[str] = (), *, target: str | None = None, client_column: str | None = None) -> Experiment:
    """The experiment that `what` names: a TOML file, a preset, a user's task `my_task.py[:Class]`, a CSV file, or a
    folder with a CSV file for each client.

    Args:
        overrides: "section.key=value", each replacing what the file says.
        target, client_column: the column to predict and the column that says whose row it is, for a CSV file.

    Raises:
        ExperimentError: naming the key, the file, the line and what is allowed.
    """
    suffix = Path(what.partition(":")[0] if ".py:" in what else what).suffix.lower()
    if suffix == ".csv" or Path(what).is_dir():
        return _from_table(_csv(what, target, client_column), what, overrides)
    if target is not None or client_column is not None:
        raise ExperimentError("--target and --client-column go with a CSV file, not with '{what}'.", what=what)
    if suffix == ".py":
        return _from_table({"experiment": {"task": _python_class(what, Path.cwd())}}, what, overrides)
    path = Path(what)
    if suffix == ".toml" or path.is_file():
        return load(path, overrides)
    if what in preset_names():
        return loads(preset_text(what), Text("preset {name}", name=what), overrides)
    raise ExperimentError(
        "'{what}' is neither a file nor a preset{near}",
        hint="Presets: {presets}. Or give a .toml file, my_task.py:Class, or a .csv file with --target.",
        what=what,
        near=nearest(what, preset_names()),
        presets=", ".join(preset_names()),
    )


def load(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment file. Paths in it are relative to its folder."""
    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_BYTES else None
    except OSError as error:
        raise ExperimentError("Cannot read the experiment file {path}: {error}.", path=path, error=error.strerror) from error
    if data is None:
        raise ExperimentError("{path} is larger than 1 MiB: that is not an experiment file.", path=path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExperimentError("{path} is not UTF-8 text.", hint="Is it an experiment file? Save it as UTF-8.", path=path) from error
    return loads(text, str(path), overrides, folder=path.parent)


def loads(text: str, name: str | Text, overrides: Sequence[str] = (), *, folder: Path | None = None) -> Experiment:
    """Parse and check an experiment; `name` is what errors call the text, `folder` what its paths are relative to."""
    text = text.replace("\r\n", "\n")
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ExperimentError(
            "{name} is not valid TOML: {error}", hint='Text goes in quotes, as in name = "digits".', name=name, error=error
        ) from error
    options = apply_overrides(table, overrides)
    return check(table, Origin(name, key_lines(text), options), folder)


def check(table: dict[str, Any], origin: Origin, folder: Path | None = None) -> Experiment:
    """The Experiment of a parsed table."""
    _anchor_paths(table, folder or Path.cwd(), origin)
    try:
        return Experiment.model_validate(table, by_alias=True, by_name=False)
    except ValidationError as error:
        raise explain(error, origin) from None


def dump(experiment: Experiment) -> str:
    """The experiment as TOML with every default written out; it loads back equal."""
    sections = []
    for name, keys in experiment.sections().items():
        sections.append("\n".join([f"[{name}]", *(f"{key} = {_literal(value)}" for key, value in keys.items())]) + "\n")
    return "\n".join(sections)


def _literal(value: str | bool | int | float | list[Any]) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return repr(value)


def _from_table(table: dict[str, Any], name: str, overrides: Sequence[str]) -> Experiment:
    options = apply_overrides(table, overrides)
    return check(table, Origin(name, {}, options))


def _csv(what: str, target: str | None, client_column: str | None) -> dict[str, Any]:
    path = Path(what)
    if not path.exists():
        raise ExperimentError("There is no file {what}.", what=what)
    if target is None:
        raise ExperimentError("Which column of {what} should be predicted?", hint="Name it: --target COLUMN", what=what)
    data = {"csv": what, "target": target}
    if client_column is not None:
        data["client-column"] = client_column
    head = {"task": "csv", "name": path.resolve().stem[:80]}
    return {"experiment": head, "data": data, **table_defaults(natural=client_column is not None or path.is_dir())}


def table_defaults(*, natural: bool) -> dict[str, dict[str, Any]]:
    """What differs from the other defaults for the rows of a table; `natural`: they say who owns them.

    A linear model on standardised columns wants many small steps, which a hundred columns that say the same do not blow up.
    """
    return {
        "federation": {"partitioner": "natural-id"} if natural else {},
        "rounds": {"num-rounds": 20},
        "client": {"local-epochs": 5, "batch-size": 16, "learning-rate": 0.02},
    }


def _python_class(name: str, folder: Path) -> str:
    """`mine.py:Class` with the file's absolute path, so that a run can be resumed from another folder."""
    file, wanted = split(name)
    return str((folder / Path(file).expanduser()).resolve()) + (f":{wanted}" if wanted else "")


def _anchor_paths(table: Mapping[str, Any], folder: Path, origin: Origin) -> None:
    """Make the paths of a file absolute: those it holds from its own folder, those given by option from the current one."""
    for section, key in (("experiment", "task"), ("strategy", "name"), ("stage", "name"), ("rounds", "selection"), ("data", "csv")):
        keys = table.get(section)
        value = keys.get(key) if isinstance(keys, dict) else None
        if not isinstance(keys, dict) or not isinstance(value, str) or not value:
            continue
        base = Path.cwd() if (section, key) in origin.options else folder
        if key == "csv":
            keys[key] = str((base / Path(value).expanduser()).resolve())
        elif is_file(value):
            keys[key] = _python_class(value, base)
