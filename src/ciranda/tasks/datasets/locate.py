"""Where data sets are looked for.

A data set lies in a folder of its own inside one of a few places. In order: the explicit root if one is given (then
nowhere else); else the folder named by CIRANDA_DATA, `./data`, the user's cache folder, the folders where Linux
distributions put the set, and, in a source checkout, `../shared/data` beside it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ciranda.core.errors import DataError
from ciranda.core.texts import Text, joined

VARIABLE = "CIRANDA_DATA"


@dataclass(frozen=True)
class Layout:
    """One way in which a data set's files may lie.

    Attributes:
        folders: folder names tried inside a place, in order; "a/b" is allowed.
        files: for each file that is needed, the names under which it is accepted.
    """

    folders: Sequence[str]
    files: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Wanted:
    """A data set to look for: its title, the layouts accepted, folders of its own in the system, and how to get it."""

    title: str
    layouts: Sequence[Layout]
    how_to_get: Text
    system_folders: Sequence[str] = ()


@dataclass(frozen=True)
class Found:
    """The layout that was found (its number in `Wanted.layouts`), its folder, and one path for each of its files."""

    layout: int
    folder: Path
    files: Sequence[Path]


def cache_folder() -> Path:
    """The user's cache folder for Ciranda (XDG_CACHE_HOME or ~/.cache); may not exist."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "ciranda"


def checkout_folder(module: str = __file__) -> Path | None:
    """`../shared/data` seen from the root of the source checkout that `module` lies in; None when installed."""
    parents = Path(module).resolve().parents
    root = parents[4] if len(parents) > 4 else None
    if root is None or not (root / "pyproject.toml").is_file() or not (root / "src" / "ciranda").is_dir():
        return None
    return root.parent / "shared" / "data"


def places() -> list[Path]:
    """The places looked in when no root is given, in order; some may not exist."""
    named = os.environ.get(VARIABLE, "")
    checkout = checkout_folder()
    return [
        *([Path(named).expanduser().absolute()] if named else []),
        Path("data").absolute(),
        cache_folder(),
        *([checkout] if checkout else []),
    ]


def find(wanted: Wanted, root: str | Path | None = None) -> Found:
    """The first complete copy of `wanted`.

    Raises:
        DataError: there is none; the message has a line for each place looked in and what it lacks, the hint says how to get it.
    """
    looked: list[Text] = []
    for place, anywhere in _places(wanted, root):
        lacks: list[Text] = []
        for number, layout in enumerate(wanted.layouts):
            for name in ("",) if anywhere is None else (*layout.folders, *anywhere):
                files = [_first_file(place / name, names) for names in layout.files]
                present = [path for path in files if path is not None]
                if len(present) == len(files):
                    return Found(number, place / name, present)
                if present:
                    lacks.append(Text("{folder} lacks {files}", folder=place / name, files=_names(layout, files)))
        nothing = Text("nothing of it there") if place.is_dir() else Text("no such folder")
        looked.append(joined("; ", lacks) if lacks else Text("{folder} ({reason})", folder=place, reason=nothing))
    raise DataError(
        "{title} was not found. Looked in:\n  {places}",
        hint="{how_to_get} Expected: {expected}. Set {variable} to the folder that holds it, or put it in ./data.",
        title=wanted.title,
        places=joined("\n  ", looked),
        how_to_get=wanted.how_to_get,
        expected=joined("; ", map(_expected, wanted.layouts)),
        variable=VARIABLE,
    )


def _places(wanted: Wanted, root: str | Path | None) -> list[tuple[Path, tuple[str, ...] | None]]:
    """Each place with the folder names to try in it beside the layout's own; None where the place is the folder itself."""
    if root is not None:
        # A folder itself counts only when it was named for this very set: MNIST and Fashion-MNIST have equal file names.
        return [(Path(root).expanduser().absolute(), ("",))]
    return [*((place, ()) for place in places()), *((Path(folder), None) for folder in wanted.system_folders)]


def _first_file(folder: Path, names: Sequence[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _names(layout: Layout, files: Sequence[Path | None]) -> str:
    """The preferred names of the files that are missing."""
    return ", ".join(names[0] for names, path in zip(layout.files, files, strict=True) if path is None)


def _expected(layout: Layout) -> Text:
    return Text("{folder}/ with {files}", folder=layout.folders[0], files=", ".join(names[0] for names in layout.files))
