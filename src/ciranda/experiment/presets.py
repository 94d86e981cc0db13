"""Experiments that come with the package: plain TOML files whose first comment lines describe them in English and Portuguese."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_FOLDER = files("ciranda.experiment") / "preset_files"


@dataclass(frozen=True)
class Preset:
    """A preset's name and its one-line descriptions."""

    name: str
    description: str
    description_pt: str


@cache
def preset_names() -> tuple[str, ...]:
    """The names, the default preset first and the others in alphabetical order."""
    names = sorted(entry.name.removesuffix(".toml") for entry in _FOLDER.iterdir() if entry.name.endswith(".toml"))
    return tuple(sorted(names, key=lambda name: (name != "digits", name)))


def preset_text(name: str) -> str:
    """The TOML text of a preset that exists."""
    return (_FOLDER / f"{name}.toml").read_text(encoding="utf-8")


def presets() -> tuple[Preset, ...]:
    """All presets with their descriptions."""
    found = []
    for name in preset_names():
        english, portuguese = (line.removeprefix("#").strip() for line in preset_text(name).split("\n")[:2])
        found.append(Preset(name, english, portuguese.removeprefix("pt:").strip()))
    return tuple(found)
