"""Pydantic's findings in our own words: file, line, key, what is allowed, what was probably meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ciranda.core.errors import ExperimentError
from ciranda.core.texts import Text, joined, marked
from ciranda.experiment.names import kebab, nearest
from ciranda.experiment.schema import Experiment

SHOWN = 10
_WHOLE, _SECTION = Text("a whole number"), Text("a section")
_KINDS: Mapping[str, Text] = {
    "int_type": _WHOLE,
    "float_type": Text("a number"),
    "string_type": Text("text in quotes"),
    "bool_type": Text("true or false"),
    "model_type": _SECTION,
    "model_attributes_type": _SECTION,
    "dict_type": _SECTION,
    "int_from_float": _WHOLE,
}
_BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than": ("gt", marked("is {given}, but must be more than {bound:g}.")),
    "greater_than_equal": ("ge", marked("is {given}, but must be at least {bound:g}.")),
    "less_than": ("lt", marked("is {given}, but must be less than {bound:g}.")),
    "less_than_equal": ("le", marked("is {given}, but must be at most {bound:g}.")),
    "string_too_short": ("min_length", marked("is {given}, but must have a length of at least {bound:g}.")),
    "string_too_long": ("max_length", marked("is {given}, but must have a length of at most {bound:g}.")),
}
_OTHERS: Mapping[str, str] = {
    "finite_number": marked("is {given}, but must be finite."),
    "string_pattern_mismatch": marked("is {given}, but must be of another form (no '/', no '\\\\', no control characters)."),
}


@dataclass(frozen=True)
class Origin:
    """Where an experiment's keys were written: the text's name, key path -> line, key path -> --set option."""

    name: str | Text
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    options: Mapping[tuple[str, ...], str] = field(default_factory=dict)

    def place(self, path: tuple[str, ...]) -> Text | str:
        """`file, line 3`, or the option that set the key; the section's line where the key itself was not written."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.options:
                return self.options[path[:length]]
            if path[:length] in self.lines:
                return Text("{name}, line {line}", name=self.name, line=self.lines[path[:length]])
        return self.name


def explain(error: ValidationError, origin: Origin) -> ExperimentError:
    """One error with one line for each finding."""
    found = [_line(details, origin) for details in error.errors(include_url=False)]
    if len(found) > SHOWN:
        found = [*found[:SHOWN], Text("... and {count} more", count=len(found) - SHOWN)]
    return ExperimentError("{findings}", findings=joined("\n", found))


def _line(details: ErrorDetails, origin: Origin) -> Text:
    context = details.get("ctx", {})
    path = (*(str(part) for part in details["loc"]), *context.get("key", ()))
    subject = "" if context.get("whole") else f"[{path[0]}] " if len(path) == 1 else f"{'.'.join(path)} "
    finding = _finding(details, path, context)
    return _printable(Text("{place}: {subject}{finding}", place=origin.place(path), subject=subject, finding=finding))


def _finding(details: ErrorDetails, path: tuple[str, ...], context: Mapping[str, Any]) -> Text:
    kind, given = details["type"], details["input"]
    if kind == "ciranda":
        message: Text = context["message"]
        return message
    if kind in ("extra_forbidden", "unknown_key"):
        allowed = context["allowed"] if "allowed" in context else _keys(path[:-1])
        unknown = "is unknown{near} The sections are: {allowed}." if len(path) == 1 else "is unknown{near} The keys are: {allowed}."
        return Text(unknown, near=nearest(path[-1], allowed), allowed=", ".join(allowed))
    if kind == "unknown_name":
        return _choice(f"'{context['input']}'", context["input"], context["allowed"])
    if kind == "literal_error":
        return _choice(_show(given), str(given), _choices(str(context["expected"])))
    if kind == "missing":
        return Text("is required.")
    if kind in _KINDS:
        return Text("must be {kind}, not {given}.", kind=_KINDS[kind], given=_show(given))
    if kind in _BOUNDS:
        key, text = _BOUNDS[kind]
        return Text(text, given=_show(given), bound=context[key])
    if kind in _OTHERS:
        return Text(_OTHERS[kind], given=_show(given))
    return Text("is {given}, but {problem}.", given=_show(given), problem=kind.replace("_", " "))


def _choice(shown: str | Text, word: str, allowed: Sequence[str]) -> Text:
    return Text("is {given}{near} It is one of: {allowed}.", given=shown, near=nearest(word, allowed), allowed=", ".join(allowed))


def _keys(path: tuple[str, ...]) -> list[str]:
    model: Any = Experiment
    for part in path:
        model = next(info.annotation for name, info in model.model_fields.items() if kebab(name) == part)
    return [kebab(name) for name in model.model_fields] if issubclass(model, BaseModel) else []


def _choices(expected: str) -> list[str]:
    """Pydantic says "'a', 'b' or 'c'"."""
    return [word.strip("' ") for word in expected.replace(" or ", ", ").split(", ")]


def _printable(text: Text) -> Text:
    """The same on one line: control characters in its fields are written as escapes."""
    fields = {name: _printable(value) if isinstance(value, Text) else _escaped(value) for name, value in text.fields.items()}
    return Text(text.template, **fields)


def _escaped(value: object) -> object:
    if not isinstance(value, str):
        return value
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in value)


def _show(value: Any) -> str | Text:
    if isinstance(value, str):
        return f'"{value[:60]}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return Text("a table")
    return repr(value)[:60]
