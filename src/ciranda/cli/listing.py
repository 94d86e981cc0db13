"""`ciranda list`: everything that an experiment can name, one line each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from ciranda.cli.output import choose
from ciranda.cli.wires import WIRES
from ciranda.core.errors import ExperimentError
from ciranda.core.partition import PARTITIONERS
from ciranda.core.stages import Clip
from ciranda.core.strategies.server import ServerStep
from ciranda.core.texts import Text
from ciranda.experiment.names import kebab, parameters
from ciranda.experiment.presets import presets
from ciranda.i18n import _, language, told
from ciranda.plugins.families import SELECTION, STAGE, STRATEGY, Family
from ciranda.tasks.registry import TASKS

Entries = Mapping[str, str]
SHARED = "server-*"


def show(kind: str | None) -> None:
    """Print every kind, or the one asked for. Raises CirandaError for a kind that there is not."""
    kinds = [choose(kind, tuple(KINDS), Text("kind"))] if kind is not None else list(KINDS)
    print("\n\n".join("\n".join([told(HEADINGS[name]), *lines(KINDS[name]())]) for name in kinds))


def lines(entries: Entries) -> list[str]:
    """Names in one column, descriptions in the next."""
    width = max(map(len, entries))
    return [f"  {name:<{width}}  {text}" for name, text in entries.items()]


def _tasks() -> Entries:
    return {entry.name: told(entry.description) + _needs(entry.extra) for entry in TASKS.values()}


def _strategies() -> Entries:
    server = _("the server's step, of all that name it: {parameters}", parameters=", ".join(parameters(ServerStep)))
    return {**_family(STRATEGY, lambda kind: told(kind.summary)), SHARED: server}


def _partitioners() -> Entries:
    return {name: told(entry.description) + _takes([kebab(key) for key in entry.parameters]) for name, entry in PARTITIONERS.items()}


def _stages() -> Entries:
    return {Clip.name: f"{_summary(Clip)}  [privacy.clipping-norm]", **_family(STAGE, _summary)}


def _selections() -> Entries:
    return _family(SELECTION, lambda kind: told(kind.summary))


def _family(family: Family, describe: Callable[[type[Any]], str]) -> Entries:
    """What is built in, and what installed packages bring; one of these that cannot be loaded says why."""
    found: dict[str, str] = {}
    for name in family.names():
        try:
            kind = family.find(name)
        except ExperimentError as error:
            found[name] = told(error.text)
        else:
            found[name] = describe(kind) + _takes(_own(kind))
    return found


def _own(kind: type[Any]) -> list[str]:
    """A kind's parameters; those of the server's step, which most strategies share, as one."""
    shared = parameters(ServerStep) if issubclass(kind, ServerStep) else ()
    own = [parameter for parameter in parameters(kind) if parameter not in shared]
    return [*own, *([SHARED] if shared else [])]


def _presets() -> Entries:
    return {preset.name: preset.description_pt if language() == "pt" else preset.description for preset in presets()}


def _wires() -> Entries:
    return {name: told(text) + ("" if built else f"  ({_('not built yet')})") for name, (text, built) in WIRES.items()}


KINDS: Mapping[str, Callable[[], Entries]] = {
    "tasks": _tasks,
    "strategies": _strategies,
    "partitioners": _partitioners,
    "stages": _stages,
    "selections": _selections,
    "presets": _presets,
    "wires": _wires,
}
HEADINGS: Mapping[str, Text] = {
    "tasks": Text("Tasks"),
    "strategies": Text("Strategies"),
    "partitioners": Text("Partitioners"),
    "stages": Text("Stages"),
    "selections": Text("Selection rules"),
    "presets": Text("Presets"),
    "wires": Text("Wires"),
}


def _takes(names: list[str] | tuple[str, ...]) -> str:
    return f"  [{', '.join(names)}]" if names else ""


def _needs(extra: str) -> str:
    missing = extra and find_spec(extra) is None
    return "  " + _("(needs pip install 'ciranda[{extra}]')", extra=extra) if missing else ""


def _summary(kind: type[Any]) -> str:
    return told(kind.summary) or (inspect.getdoc(kind) or "").partition("\n")[0].rstrip(".")
