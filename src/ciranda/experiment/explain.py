"""Pydantic's findings in our own words: file, line, key, what is allowed, what was probably meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ciranda.core.errors import ExperimentError
from ciranda.experiment.names import kebab, nearest
from ciranda.experiment.schema import Experiment

SHOWN = 10
_KINDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "model_type": "a section",
    "model_attributes_type": "a section",
    "dict_type": "a section",
    "int_from_float": "a whole number",
}


@dataclass(frozen=True)
class Origin:
    """Where an experiment's keys were written: the text's name, key path -> line, key path -> --set option."""

    name: str
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    options: Mapping[tuple[str, ...], str] = field(default_factory=dict)

    def place(self, path: tuple[str, ...]) -> str:
        """`file, line 3`, or the option that set the key; the section's line where the key itself was not written."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.options:
                return self.options[path[:length]]
            if path[:length] in self.lines:
                return f"{self.name}, line {self.lines[path[:length]]}"
        return self.name


def explain(error: ValidationError, origin: Origin) -> ExperimentError:
    """One error with one line for each finding."""
    found = [_line(details, origin) for details in error.errors(include_url=False)]
    more = [f"... and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return ExperimentError("\n".join([*found[:SHOWN], *more]))


def _line(details: ErrorDetails, origin: Origin) -> str:
    context = details.get("ctx", {})
    path = (*(str(part) for part in details["loc"]), *context.get("key", ()))
    return _printable(f"{origin.place(path)}: {_subject(path)}{_finding(details, path, context)}")


def _subject(path: tuple[str, ...]) -> str:
    return f"[{path[0]}] " if len(path) == 1 else f"{'.'.join(path)} "


def _finding(details: ErrorDetails, path: tuple[str, ...], context: Mapping[str, Any]) -> str:
    kind, given = details["type"], details["input"]
    if kind == "ciranda":
        return str(context["message"])
    if kind in ("extra_forbidden", "unknown_key"):
        allowed = context["allowed"] if "allowed" in context else _keys(path[:-1])
        what = "sections" if len(path) == 1 else "keys"
        return f"is unknown{nearest(path[-1], allowed)} The {what} are: {', '.join(allowed)}."
    if kind == "unknown_name":
        return f"is '{context['input']}'{nearest(context['input'], context['allowed'])} It is one of: {', '.join(context['allowed'])}."
    if kind == "literal_error":
        allowed = _choices(str(context["expected"]))
        return f"is {_show(given)}{nearest(str(given), allowed)} It is one of: {', '.join(allowed)}."
    if kind == "missing":
        return "is required."
    if kind in _KINDS:
        return f"must be {_KINDS[kind]}, not {_show(given)}."
    return f"is {_show(given)}, but {_bound(kind, context)}."


def _bound(kind: str, context: Mapping[str, Any]) -> str:
    """What a number or a text would have to be."""
    words = {
        "greater_than": ("gt", "must be more than"),
        "greater_than_equal": ("ge", "must be at least"),
        "less_than": ("lt", "must be less than"),
        "less_than_equal": ("le", "must be at most"),
        "string_too_short": ("min_length", "must have a length of at least"),
        "string_too_long": ("max_length", "must have a length of at most"),
    }
    if kind in words:
        key, text = words[kind]
        return f"{text} {context[key]:g}"
    if kind == "finite_number":
        return "must be finite"
    return (
        "must be of another form (no '/', no '\\\\', no control characters)"
        if kind == "string_pattern_mismatch"
        else kind.replace("_", " ")
    )


def _keys(path: tuple[str, ...]) -> list[str]:
    model: Any = Experiment
    for part in path:
        model = next(info.annotation for name, info in model.model_fields.items() if kebab(name) == part)
    return [kebab(name) for name in model.model_fields] if issubclass(model, BaseModel) else []


def _choices(expected: str) -> list[str]:
    """Pydantic says "'a', 'b' or 'c'"."""
    return [word.strip("' ") for word in expected.replace(" or ", ", ").split(", ")]


def _printable(text: str) -> str:
    """The same on one line: control characters are written as escapes."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _show(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value[:60]}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a table"
    return repr(value)[:60]
