"""Frozen dataclasses to JSON and back, strictly, by their annotations.

Understood: str, int, float, bool, None, Any, Literal, X | Y, tuple[X, ...], tuple[X, Y], Mapping[str, X], dataclasses. In a union of
several dataclasses an object says which one it is by the key "type". Fields with init=False or the metadata "json": False
are left out. Nothing else is ever built, so foreign text can do no more than fail with CodecError.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ciranda.core.errors import CodecError

T = TypeVar("T")


def dumps(value: Any) -> str:
    """Canonical JSON text of a dataclass: sorted keys, no spaces, no NaN. Raises CodecError for a number that is not finite."""
    try:
        return json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    except ValueError as error:
        raise CodecError("{kind} cannot be written as JSON: {error}", kind=type(value).__name__, error=error) from None


def loads(kind: type[T], text: str | bytes) -> T:
    """The `kind` that `dumps` wrote. Raises CodecError naming the place of the first thing that does not fit."""
    value: T = from_plain(kind, parse(text, kind.__name__), kind.__name__)
    return value


def parse(text: str | bytes, where: str) -> Any:
    """JSON text to plain values; duplicate keys, NaN and too deep a nesting are errors. Raises CodecError."""
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise CodecError("{where} is not valid JSON: {error}", where=where, error=error) from None


def to_plain(value: Any) -> Any:
    """The dicts, lists and scalars that stand for `value`; a dataclass gets the key "type" with its name."""
    if is_dataclass(value) and not isinstance(value, type):
        plain = {name: to_plain(getattr(value, name)) for name in _hints(type(value))}
        plain["type"] = type(value).__name__
        return plain
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return value


def from_plain(kind: Any, value: Any, where: str) -> Any:
    """Build a `kind` from plain values. Raises CodecError naming `where` in the text the first misfit is."""
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin is Literal:
        fits = any(value == allowed and type(value) is type(allowed) for allowed in get_args(kind))
        return value if fits else _misfit(kind, value, where)
    if origin in (UnionType, Union):
        return from_plain(_member(kind, value, where), value, where)
    if origin is tuple:
        return _tuple(get_args(kind), value, where)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            return _misfit(kind, value, where)
        return {key: from_plain(get_args(kind)[1], item, f"{where}.{key}") for key, item in value.items()}
    if is_dataclass(kind):
        return _dataclass(kind, value, where)
    if kind is float and type(value) is int:
        return float(value)
    return value if type(value) is kind or (kind is type(None) and value is None) else _misfit(kind, value, where)


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict) or value.get("type") != kind.__name__:
        return _misfit(kind, value, where)
    hints = _hints(kind)
    unknown = sorted(set(value) - set(hints) - {"type"})
    required = {each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING}
    missing = sorted((required & set(hints)) - set(value))
    if unknown or missing:
        raise CodecError("{where}: unknown keys {unknown}, missing keys {missing}", where=where, unknown=unknown, missing=missing)
    return kind(**{name: from_plain(hints[name], value[name], f"{where}.{name}") for name in hints if name in value})


def _tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        _misfit(tuple, value, where)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(from_plain(kinds[0], item, f"{where}[{place}]") for place, item in enumerate(value))
    if len(value) != len(kinds):
        raise CodecError("{where} has {count} items; {kinds_count} are needed", where=where, count=len(value), kinds_count=len(kinds))
    return tuple(from_plain(kind, item, f"{where}[{place}]") for place, (kind, item) in enumerate(zip(kinds, value, strict=True)))


def _member(kind: Any, value: Any, where: str) -> Any:
    tag = value.get("type") if isinstance(value, dict) else None
    for member in get_args(kind):
        if is_dataclass(member):
            if isinstance(member, type) and member.__name__ == tag:
                return member
        elif type(value) is member or (member is float and type(value) is int):
            return member
    return _misfit(kind, value, where)


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {each.name: hints[each.name] for each in fields(kind) if each.init and each.metadata.get("json", True)}


def _misfit(kind: Any, value: Any, where: str) -> Any:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:60]}..."
    raise CodecError("{where}: {value} is not {kind}", where=where, value=shown, kind=getattr(kind, "__name__", kind))


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) != len(pairs):
        raise ValueError("a key occurs twice")
    return plain
