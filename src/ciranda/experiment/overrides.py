"""`--set section.key=value`: what is changed on the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from ciranda.core.errors import ExperimentError


def apply_overrides(table: dict[str, Any], overrides: Sequence[str]) -> dict[tuple[str, ...], str]:
    """Write the overrides into `table`; returns key path -> the option as given, for error messages."""
    options: dict[tuple[str, ...], str] = {}
    for override in overrides:
        key, equals, value = override.partition("=")
        section, dot, name = (part.strip() for part in key.partition("."))
        if not (equals and dot and section and name):
            raise ExperimentError(
                "--set {override}: not of the form section.key=value.", hint="For example: --set rounds.num-rounds=5", override=override
            )
        keys = table.setdefault(section, {})
        if not isinstance(keys, dict):
            raise ExperimentError("--set {override}: '{section}' is not a section of the experiment.", override=override, section=section)
        keys[name] = parse_value(value.strip())
        options[section, name] = f"--set {override}"
    return options


def parse_value(text: str) -> Any:
    """A TOML number, truth value, quoted text or list; anything else is text as it stands."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    value = table["value"]
    plain = isinstance(value, str | bool | int | float | list) and len(table) == 1
    return value if plain else text
