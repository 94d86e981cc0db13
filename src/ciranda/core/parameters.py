"""The parameters of what a user names (a strategy, a stage, a selection rule): fields of a dataclass, checked by their annotations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import reduce
from inspect import get_annotations
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ciranda.core.errors import CirandaError, ExperimentError
from ciranda.core.texts import Text

T = TypeVar("T")


def names_of(kind: type[Any]) -> tuple[str, ...]:
    """The parameters of `kind`, its own before those that it shares with others; () for a class that is no dataclass."""
    known = [each.name for each in fields(kind)] if is_dataclass(kind) else []
    own = get_annotations(kind)
    return tuple(sorted(known, key=lambda name: name not in own))


def build(kind: type[T], called: Text, params: Mapping[str, Any]) -> T:
    """A `kind` with these parameters. `called` is what errors call it, such as "strategy 'fedadam'".

    Raises:
        ExperimentError: an unknown or missing parameter, a value of another type or, by `kind` itself, one that cannot work.
    """
    known = names_of(kind)
    for name in sorted(set(params) - set(known)):
        raise ExperimentError(
            "The {called} has no parameter '{parameter}'.",
            hint="It takes: {takes}.",
            called=called,
            parameter=spelled(name),
            takes=", ".join(map(spelled, known)) or Text("none"),
        )
    for each in fields(kind) if known else ():  # type: ignore[arg-type]
        if each.name not in params and each.default is MISSING and each.default_factory is MISSING:
            raise ExperimentError("The {called} needs the parameter '{key}'.", called=called, key=spelled(each.name))
    given = {name: checked(kind, name, value) for name, value in params.items()}
    try:
        return kind(**given)
    except CirandaError:
        raise
    except Exception as error:
        name = type(error).__name__
        raise ExperimentError("The {called} cannot be made: {kind}: {error}", called=called, kind=name, error=error) from error


def checked(kind: type[Any], name: str, value: Any) -> Any:
    """`value` as the parameter `name` of `kind` wants it. Raises ExperimentError for a value of another type."""
    hint = _hints(kind)[name]
    for option in _options(hint):
        if option is float and type(value) in (int, float) and math.isfinite(value):
            return float(value)
        if option in (int, bool, str) and type(value) is option:
            return value
        if get_origin(option) is Literal and any(value == allowed and type(value) is type(allowed) for allowed in get_args(option)):
            return value
        if option is NoneType and value is None:
            return value
    raise ExperimentError("{key} must be {expected}, not {value!r}.", key=spelled(name), expected=_words(hint), value=value)


def check(made: object) -> None:
    """Raise ExperimentError unless each parameter of what was made is of its annotated type."""
    for name in names_of(type(made)):
        checked(type(made), name, getattr(made, name))


def spelled(name: str) -> str:
    """A parameter as an experiment file spells it."""
    return name.replace("_", "-")


def _hints(kind: type[Any]) -> dict[str, Any]:
    try:
        return get_type_hints(kind)
    except (NameError, TypeError) as error:
        raise ExperimentError(
            "The annotations of {kind} cannot be read: {error}.",
            hint="Annotate parameters with float, int, bool, str, a Literal of these, or one of these with | None.",
            kind=kind.__name__,
            error=error,
        ) from error


def _options(hint: Any) -> Iterable[Any]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


_SIMPLE: Mapping[Any, Text] = {
    float: Text("a number"),
    int: Text("a whole number"),
    bool: Text("true or false"),
    str: Text("text in quotes"),
}


def _words(hint: Any) -> Text | str:
    words = [_option_words(option) for option in _options(hint) if option is not NoneType]
    return reduce(lambda one, other: Text("{one} or {other}", one=one, other=other), words)


def _option_words(option: Any) -> Text | str:
    if get_origin(option) is Literal:
        return Text("one of: {allowed}", allowed=", ".join(map(str, get_args(option))))
    return _SIMPLE.get(option) or str(option)
