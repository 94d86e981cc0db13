"""What a client keeps on its disk: who it is, how far it is in each run, and the replies whose record is not out."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ciranda.core.errors import Missing, StoreError
from ciranda.protocol.participant import Participant
from ciranda.store.client_states import ClientStates
from ciranda.store.files import make_folder

_TABLES = (
    "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS participants (run TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS replies (run TEXT, digest TEXT, model TEXT, body BLOB NOT NULL, PRIMARY KEY (run, digest))",
)


class Disk:
    """The folder of one client. Only one process may use it at a time, from any of its threads one after another.

    Raises:
        StoreError: another process uses the folder, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_folder(folder)
        os.chmod(folder, 0o700)
        try:
            self._db = sqlite3.connect(folder / "client.sqlite3", isolation_level=None, check_same_thread=False, timeout=0.5)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE").fetchone()
            self._db.execute("PRAGMA journal_mode = WAL").fetchone()
            with self._transaction():
                for table in _TABLES:
                    self._db.execute(table)
        except sqlite3.Error as error:
            if "locked" in str(error):
                raise StoreError(
                    "Another process works with the client in '{folder}'.",
                    hint="Give each client a folder of its own with --state DIR.",
                    folder=folder,
                ) from error
            raise self._explained(error) from error

    def fact(self, name: str) -> Any:
        """What was kept under `name`, or None."""
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def keep(self, name: str, value: Any) -> None:
        """Keep `value`, anything that JSON can say."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))

    def participant(self, run: str, name: str) -> Participant:
        """How far the client is in `run`."""
        row = self._db.execute("SELECT state FROM participants WHERE run = ?", (run,)).fetchone()
        return Participant.from_json(row[0]) if row else Participant(name)

    def advance(self, run: str, state: Participant, reply: tuple[str, str, bytes] | None = None) -> None:
        """Keep the participant's state and with it a new reply (digest, model, body), if there is one.

        Only a reply is brought to the disk at once: whatever else a power cut takes, the server tells again.
        """
        with self._transaction(durable=reply is not None):
            self._db.execute("INSERT OR REPLACE INTO participants VALUES (?, ?)", (run, state.to_json()))
            if reply is not None:
                self._db.execute("INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?)", (run, *reply))

    def reply(self, run: str, digest: str) -> tuple[str, bytes]:
        """(model, body) of a reply. Raises Missing."""
        row = self._db.execute("SELECT model, body FROM replies WHERE run = ? AND digest = ?", (run, digest)).fetchone()
        if row is None:
            raise Missing("The reply {digest} is not kept here.", digest=digest[:12])
        return row[0], row[1]

    def forget(self, run: str, digest: str) -> None:
        """Delete a reply whose record is out."""
        with self._transaction(durable=False):
            self._db.execute("DELETE FROM replies WHERE run = ? AND digest = ?", (run, digest))

    def states(self, run: str) -> ClientStates:
        """What the client keeps between the rounds of `run`."""
        return ClientStates(self.folder / "states" / quote(run, safe="").replace(".", "%2E"))

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _transaction(self, *, durable: bool = True) -> Iterator[None]:
        try:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def _explained(self, error: sqlite3.Error) -> StoreError:
        name = getattr(error, "sqlite_errorname", "")
        if name in ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE"):
            return StoreError("No room to write in '{folder}'.", hint="Free some space.", folder=self.folder)
        return StoreError("The client's folder '{folder}' failed: {error}.", folder=self.folder, error=str(error))
