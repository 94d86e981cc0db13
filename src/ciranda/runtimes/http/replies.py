"""The server's copy of the replies of rounds that are not recorded yet: on the disk before anybody is told that they are.

Small replies lie in an SQLite database, many written with one sync; large ones in files, which `transfer` has written and synced.
"""

from __future__ import annotations

import mmap
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ciranda.core.errors import Missing, StoreError
from ciranda.protocol.messages import parse_phase
from ciranda.store.files import make_folder

_TABLE = """CREATE TABLE IF NOT EXISTS replies (
    round INTEGER, phase TEXT, name TEXT, digest TEXT, body BLOB, PRIMARY KEY (phase, name, digest)) WITHOUT ROWID"""


@dataclass(frozen=True)
class Reply:
    """A reply as it came. `body` is None when its bytes lie in the file of its digest."""

    phase: str
    name: str
    digest: str
    body: bytes | None


class Replies:
    """Replies by (phase, name, digest). Used by one thread."""

    def __init__(self, folder: Path) -> None:
        self.files = folder / "uploads"
        make_folder(self.files)
        try:
            self._db = sqlite3.connect(folder / "replies.sqlite3", isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL").fetchone()
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute(_TABLE)
        except sqlite3.Error as error:
            raise _explain(error, folder) from error
        self._folder = folder
        self._done = 0  # the round up to which replies may be forgotten with the next write

    def keep(self, replies: Iterable[Reply]) -> None:
        """Store `replies`, all with one sync. Raises StoreError, and none of them is stored then."""
        rows = [(_round(reply.phase), reply.phase, reply.name, reply.digest, reply.body) for reply in replies]
        if not rows:
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.execute("DELETE FROM replies WHERE round <= ?", (self._done,))
                self._db.executemany("INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?)", rows)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _explain(error, self._folder) from error

    def load(self, phase: str, name: str, digest: str) -> bytes | memoryview:
        """The bytes of a reply; a large one is mapped, not read. Raises Missing."""
        where = (phase, name, digest)
        with closing(self._db.execute("SELECT body FROM replies WHERE phase = ? AND name = ? AND digest = ?", where)) as found:
            row = found.fetchone()
        if row is None:
            raise Missing("The reply of client {name} to phase {phase} is not among those kept.", name=name, phase=phase)
        return bytes(row[0]) if row[0] is not None else self.map(name, digest)

    def upload(self, name: str, digest: str) -> Path:
        """Where the large reply `digest` of client `name` lies once it is whole; its own even if another's has the same bytes."""
        return self.files / f"{digest}-{sha256(name.encode()).hexdigest()[:16]}"

    def map(self, name: str, digest: str) -> memoryview:
        """The bytes of a large reply, mapped. Raises Missing."""
        try:
            with self.upload(name, digest).open("rb") as stream:
                return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:
            raise Missing("The uploaded reply {digest} cannot be read: {error}.", digest=digest[:12], error=str(error)) from error

    def drop(self, phase: str, name: str, digest: str) -> None:
        """Forget a reply that was refused; durably so only with the next write."""
        self._db.execute("DELETE FROM replies WHERE phase = ? AND name = ? AND digest = ?", (phase, name, digest))
        self.upload(name, digest).unlink(missing_ok=True)

    def recorded(self, round: int) -> None:
        """The rounds up to `round` are recorded: their replies are not needed any more."""
        self._done = max(self._done, round)
        with closing(self._db.execute("SELECT name, digest FROM replies WHERE round <= ? AND body IS NULL", (self._done,))) as found:
            large = found.fetchall()
        for name, digest in large:
            self.upload(name, digest).unlink(missing_ok=True)

    def close(self) -> None:
        self._db.close()


def _round(phase: str) -> int:
    parsed = parse_phase(phase)
    return parsed[0] if parsed else 0


def _explain(error: sqlite3.Error, folder: Path) -> StoreError:
    name = getattr(error, "sqlite_errorname", "")
    if name in ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE"):
        return StoreError("No room to keep replies in '{folder}'.", hint="Free some space; clients send again.", folder=folder)
    return StoreError("The replies in '{folder}' cannot be kept: {error}.", folder=folder, error=str(error))
