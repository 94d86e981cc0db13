"""What `ciranda up` started: the file in the run's folder that says so, and the server behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ciranda.cli.find import ROOT, find_run
from ciranda.cli.fleet.processes import Process
from ciranda.core.errors import ExperimentError, Missing, StoreError
from ciranda.runtimes.http.link import Link
from ciranda.store.files import write_whole

FILE = "processes.json"
SERVER = "server"


@dataclass(frozen=True)
class Started:
    """One process of a fleet: `name` is "server" or the client's number; `folder`, in the run's, holds its log and output."""

    name: str
    process: Process
    folder: str


@dataclass
class Fleet:
    """The processes of the run in `path`. `url` is the server's address, "" before it listens."""

    path: Path
    url: str = ""
    started: dict[str, Started] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Fleet:
        """The fleet of a run's folder, empty if there is none. Raises StoreError for a damaged file."""
        fleet = cls(path)
        file = path / FILE
        if file.is_file():
            try:
                told = json.loads(file.read_text(encoding="utf-8"))
                for one in told["processes"]:
                    fleet.started[one["name"]] = Started(one["name"], Process(**one["process"]), one["folder"])
            except (ValueError, KeyError, TypeError) as error:
                raise StoreError("{file} is damaged: {error}.", file=file, error=repr(error)) from error
        address = path / "http" / "address"
        fleet.url = address.read_text(encoding="utf-8").strip() if address.is_file() else ""
        return fleet

    def add(self, one: Started) -> None:
        """Remember a process, at once and durably: what is not remembered is never ended."""
        self.started[one.name] = one
        self._write()

    def forget(self) -> None:
        """All have ended."""
        self.started = {}
        (self.path / FILE).unlink(missing_ok=True)

    def alive(self) -> list[Started]:
        return [one for one in self.started.values() if one.process.alive]

    def server(self) -> Link | None:
        """A line to the server as its operator; None if it has no address."""
        secret = self.path / "http" / "operator.token"
        if not self.url or not secret.is_file():
            return None
        link = Link(self.url, timeout=10.0)
        link.credential = secret.read_text(encoding="utf-8").strip()
        return link

    def _write(self) -> None:
        told: dict[str, Any] = {"processes": [asdict(one) for one in self.started.values()]}
        write_whole(self.path / FILE, [json.dumps(told, indent=1).encode() + b"\n"])


def fleets(root: Path = ROOT) -> Iterator[Fleet]:
    """All fleets below `root`, the latest last."""
    for file in sorted(root.glob(f"*/{FILE}"), key=lambda file: file.stat().st_mtime):
        yield Fleet.read(file.parent)


def one_fleet(name: str | None) -> Fleet:
    """The fleet of the run that is named; without a name the only one there is.

    Raises:
        Missing: no such run, or nothing is up. ExperimentError: several are up, and none is named.
    """
    if name is not None:
        return Fleet.read(find_run(name))
    found = list(fleets())
    if not found:
        raise Missing("Nothing is up here.", hint="Start something: ciranda up digits -n 20")
    if len(found) > 1:
        names = ", ".join(fleet.path.name for fleet in found)
        raise ExperimentError("Several runs are up: {names}.", hint="Name one of them.", names=names)
    return found[0]
