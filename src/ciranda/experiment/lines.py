"""Where in a TOML text each key stands, for error messages. The text has been parsed already, so it is known to be valid."""

from __future__ import annotations

import re
import tomllib

_HEADER = re.compile(r"^\s*\[{1,2}(?P<key>[^\]]+)\]{1,2}\s*(#.*)?$")
_KEY = re.compile(
    r"""^\s*(?P<key>(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=\s*(?P<value>.*)$"""
)
_INLINE = re.compile(r"""[{,]\s*(?P<key>[A-Za-z0-9_-]+)\s*=""")


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Line number, from 1, of every key path; a section's own path is where its header stands."""
    found: dict[tuple[str, ...], int] = {}
    section: tuple[str, ...] = ()
    closing = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if closing:
            closing = "" if closing in line else closing
            continue
        if (header := _HEADER.match(line)) and (path := _path(header["key"])):
            section = path
            found.setdefault(section, number)
        elif entry := _KEY.match(line):
            path = (*section, *_path(entry["key"]))
            for length in range(len(section) + 1, len(path) + 1):
                found.setdefault(path[:length], number)
            for inner in _INLINE.finditer(entry["value"]) if entry["value"].startswith("{") else ():
                found.setdefault((*path, inner["key"]), number)
            closing = _opens(entry["value"])
    return found


def _path(key: str) -> tuple[str, ...]:
    """The parts of a dotted key; () for what only looks like a key, such as a line of a list."""
    try:
        table = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    path: list[str] = []
    while isinstance(table, dict):
        name, table = next(iter(table.items()))
        path.append(name)
    return tuple(path)


def _opens(value: str) -> str:
    """The closing quotes of a multi-line string that starts in `value` and does not end there."""
    for quotes in ('"""', "'''"):
        if value.startswith(quotes) and quotes not in value[3:]:
            return quotes
    return ""
