"""`ciranda logs`: what the processes of a run wrote down, one file for each, told in the order of time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import sleep
from typing import Any

from ciranda.cli.find import find_run
from ciranda.cli.fleet.state import SERVER, Fleet, fleets, one_fleet
from ciranda.cli.fleet.up import OUTPUT
from ciranda.cli.logs import FILE
from ciranda.core.errors import Missing

_POLL_S = 0.3


class Tail:
    """The whole lines that are added to a file, from its beginning."""

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, 0

    def read(self) -> list[str]:
        """What is new since the last time."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._at)
                data = stream.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        return whole.decode("utf-8", "replace").splitlines()


class Journal:
    """One process's records, and what it printed."""

    def __init__(self, name: str, records: Path, printed: Path) -> None:
        self.name, self._records, self._printed = name, Tail(records), Tail(printed)

    def read(self) -> Iterator[tuple[str, str]]:
        """(time, line) of what is new; what was printed bears no time and comes first."""
        for text in self._printed.read():
            yield "", f"[{self.name}] {text}"
        for text in self._records.read():
            try:
                record = json.loads(text)
            except ValueError:
                continue  # a line that a kill cut short
            yield str(record.get("time", "")), _line(self.name, record)


def logs(name: str | None, run: str | None, *, lines: int, follow: bool) -> None:
    """Print the log of one process or of all.

    Args:
        lines: only so many of the last, 0 for all. follow: go on until all have ended.

    Raises:
        Missing: there is no process of that name.
    """
    fleet = one_fleet(run) if run is not None or len(list(fleets())) == 1 else Fleet.read(find_run(None))
    journals = [journal for journal in _journals(fleet.path) if name in (None, journal.name)]
    if not journals:
        names = ", ".join(journal.name for journal in _journals(fleet.path)) or "-"
        raise Missing("There is no log of '{name}' in {run}.", hint="There are: {names}.", name=name or "", run=fleet.path, names=names)
    found = _merged(journals)
    _show(found[-lines:] if lines else found)
    while follow:
        going = any(one.name in {journal.name for journal in journals} for one in fleet.alive())  # before the last reading
        _show(_merged(journals))
        if not going:
            return
        sleep(_POLL_S)


def _journals(path: Path) -> list[Journal]:
    """All that a run's folder has: the server's first, then the clients'."""
    found = [Journal(SERVER, path / FILE, path / "http" / OUTPUT)] if (path / "http").is_dir() else []
    clients = [one for one in (path / "clients").glob("*") if (one / FILE).is_file() or (one / OUTPUT).is_file()]
    clients.sort(key=lambda folder: (len(folder.name), folder.name))
    return found + [Journal(folder.name, folder / FILE, folder / OUTPUT) for folder in clients]


def _merged(journals: Sequence[Journal]) -> list[str]:
    return [line for _, line in sorted((item for journal in journals for item in journal.read()), key=lambda item: item[0])]


def _show(found: Sequence[str]) -> None:
    for line in found:
        print(line, flush=True)


def _line(name: str, record: dict[str, Any]) -> str:
    """`10:31:07.512 [3] round 2: batch 20 of 45, loss 0.412`."""
    when = str(record.get("time", ""))[11:23]
    fields = " ".join(f"{key} {record[key]}" for key in ("round", "phase") if key in record)
    text = f"{when} [{name}] {fields + ': ' if fields else ''}{record.get('message', '')}"
    return f"{text}\n{record['error']}" if "error" in record else text
