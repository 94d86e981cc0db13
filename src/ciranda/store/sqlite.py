"""A store in one folder: an SQLite database for records, files for blobs. Several threads and processes of one machine may share it."""

from __future__ import annotations

import hashlib
import math
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ciranda.core.errors import Conflict, StoreError
from ciranda.store.base import MAX_HEADER
from ciranda.store.blobs import BlobFolder
from ciranda.store.files import Chunk, make_folder, sync_folder

FILE_NAME = "store.sqlite3"
_APPLICATION = 0x43697261  # "Cira" in the file's header
_SCHEMA = 1
_PAGE = 256
_NOW = "(julianday('now') - 2440587.5) * 86400.0"  # seconds since 1970, to the millisecond, on the database's clock

_TABLES = (
    "CREATE TABLE runs (run TEXT PRIMARY KEY, version INTEGER NOT NULL, header BLOB NOT NULL) WITHOUT ROWID",
    # Who wrote each version, so that a writer whose answer was lost recognises its own success however late it asks again.
    "CREATE TABLE writes (run TEXT, version INTEGER, mark BLOB NOT NULL, PRIMARY KEY (run, version)) WITHOUT ROWID",
    "CREATE TABLE claims (run TEXT, key TEXT, record BLOB NOT NULL, PRIMARY KEY (run, key)) WITHOUT ROWID",
    "CREATE TABLE events (run TEXT, number INTEGER, key TEXT NOT NULL, event BLOB NOT NULL, PRIMARY KEY (run, number)) WITHOUT ROWID",
    "CREATE UNIQUE INDEX event_keys ON events (run, key)",
    "CREATE TABLE leases (run TEXT, name TEXT, holder TEXT NOT NULL, token INTEGER NOT NULL, until REAL NOT NULL, PRIMARY KEY (run, name))"
    " WITHOUT ROWID",
)


class SqliteStore:
    """The store of `folder`, created when absent. Implements `ciranda.store.base.Store`.

    A write returns after one sync of the database's log; a new blob costs two (file and folder). The folder must be on a
    local disk: network file systems do not keep SQLite's locks. A process that was forked opens its own SqliteStore.

    Args:
        folder: holds `store.sqlite3` and `blobs/`.
        busy_seconds: how long to wait for another process's write before giving up with StoreError.

    Raises:
        StoreError: the file is damaged, belongs to another program or to a newer version, or cannot be written.
    """

    def __init__(self, folder: str | Path, *, busy_seconds: float = 30.0) -> None:
        self.folder = Path(folder)
        self._path = self.folder / FILE_NAME
        self._busy = busy_seconds
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._closed = False
        make_folder(self.folder)
        with self._explained():
            self._db = sqlite3.connect(self._path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
            self._blobs = BlobFolder(self.folder / "blobs", self._write)
        except BaseException:
            self._db.close()
            raise

    def read(self, run: str) -> tuple[int, bytes]:
        rows = self._rows("SELECT version, header FROM runs WHERE run = ?", run)
        return (rows[0][0], rows[0][1]) if rows else (0, b"")

    def swap(self, run: str, version: int, header: bytes, writer: str) -> int:
        if len(header) > MAX_HEADER:
            raise StoreError(
                "The header of run '{run}' has {count:,} bytes; at most {max_header:,} are kept.",
                run=run,
                count=len(header),
                max_header=MAX_HEADER,
            )
        mark = hashlib.sha256(writer.encode("utf-8", "surrogatepass") + b"\0" + header).digest()
        with self._write() as db:
            row = db.execute("SELECT version FROM runs WHERE run = ?", (run,)).fetchone()
            current = row[0] if row else 0
            if current != version:
                if db.execute("SELECT 1 FROM writes WHERE run = ? AND version = ? AND mark = ?", (run, version + 1, mark)).fetchone():
                    return version + 1
                raise Conflict(
                    "Run '{run}' is at version {current}, not {version}: another writer was first.",
                    run=run,
                    current=current,
                    version=version,
                )
            db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", (run, version + 1, header))
            db.execute("INSERT INTO writes VALUES (?, ?, ?)", (run, version + 1, mark))
        return version + 1

    def claim(self, run: str, key: str, record: bytes) -> bytes:
        with self._write() as db:
            row = db.execute("SELECT record FROM claims WHERE run = ? AND key = ?", (run, key)).fetchone()
            if row:
                return bytes(row[0])
            db.execute("INSERT INTO claims VALUES (?, ?, ?)", (run, key, record))
        return bytes(record)

    def claims(self, run: str, prefix: str) -> Iterator[tuple[str, bytes]]:
        # Page by page: a reader that dawdles holds no transaction open, which would keep the log from being emptied.
        rows = self._rows("SELECT key, record FROM claims WHERE run = ? AND key >= ? ORDER BY key LIMIT ?", run, prefix, _PAGE)
        while rows:
            for key, record in rows:
                if not key.startswith(prefix):
                    return
                yield key, record
            rows = self._rows("SELECT key, record FROM claims WHERE run = ? AND key > ? ORDER BY key LIMIT ?", run, key, _PAGE)

    def put(self, chunks: Iterable[Chunk]) -> str:
        self._usable()
        return self._blobs.put(chunks)

    def open(self, digest: str) -> BinaryIO:
        self._usable()
        return self._blobs.open(digest)

    def append(self, run: str, key: str, event: bytes) -> int:
        with self._write() as db:
            row = db.execute("SELECT number FROM events WHERE run = ? AND key = ?", (run, key)).fetchone()
            if row:
                return int(row[0])
            last = db.execute("SELECT number FROM events WHERE run = ? ORDER BY number DESC LIMIT 1", (run,)).fetchone()
            number = last[0] + 1 if last else 1
            db.execute("INSERT INTO events VALUES (?, ?, ?, ?)", (run, number, key, event))
        return int(number)

    def events(self, run: str, after: int = 0) -> Iterator[tuple[int, bytes]]:
        statement = "SELECT number, event FROM events WHERE run = ? AND number > ? ORDER BY number LIMIT ?"
        while rows := self._rows(statement, run, after, _PAGE):
            yield from rows
            after = rows[-1][0]

    def runs(self) -> list[str]:
        return [row[0] for row in self._rows("SELECT run FROM runs ORDER BY run")]

    def lease(self, run: str, name: str, holder: str, seconds: float) -> int | None:
        if not (math.isfinite(seconds) and seconds >= 0):
            raise StoreError("A lease of {seconds} seconds is not possible.", hint="Give a number of seconds from 0.", seconds=seconds)
        with self._write() as db:
            row = db.execute(f"SELECT holder, token, until > {_NOW} FROM leases WHERE run = ? AND name = ?", (run, name)).fetchone()
            owner, token, held = row or ("", 0, False)
            if held and owner != holder:
                return None
            if not held:
                token += 1
            db.execute(f"INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, {_NOW} + ?)", (run, name, holder, token, seconds))
        return int(token)

    def collect(self, keep: Iterable[str]) -> int:
        self._usable()
        return self._blobs.collect(keep)

    def close(self) -> None:
        with self._lock:
            if not self._closed and os.getpid() == self._process:
                self._db.close()
            self._closed = True

    def _usable(self) -> None:
        if self._closed:
            raise StoreError("The store in '{folder}' is closed.", folder=self.folder)
        if os.getpid() != self._process:
            # SQLite's locks belong to a process: a connection that crosses a fork corrupts the file.
            message = "The store in '{folder}' was opened by another process."
            raise StoreError(message, hint="Open it again after the fork, or use spawn.", folder=self.folder)

    def _rows(self, statement: str, *values: object) -> list[Any]:
        self._usable()
        with self._lock, self._explained():
            self._usable()
            return self._db.execute(statement, values).fetchall()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """A write transaction; also what keeps publishing and collecting blobs apart, in every process."""
        self._usable()
        with self._lock, self._explained():
            self._usable()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _explain(error, self._path, self._busy) from error
        except UnicodeEncodeError as error:
            raise StoreError("{object!r} cannot be a name in a store: it is not valid text.", object=error.object) from error

    def _prepare(self) -> None:
        with self._explained():
            # In one transaction, lest another process complete the store between two looks; and before anything is
            # changed in a file that may be somebody else's.
            self._db.execute("BEGIN")
            self._recognise()
            self._db.execute("COMMIT")
            self._enter_wal_mode()
            self._db.execute("PRAGMA synchronous = FULL")
        with self._write() as db:
            if not self._recognise():
                for statement in _TABLES:
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {_APPLICATION}")
                db.execute(f"PRAGMA user_version = {_SCHEMA}")
        sync_folder(self.folder)

    def _recognise(self) -> bool:
        """Whether the database is a store; False when it is new. Raises StoreError when it is something else."""
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        schema = self._db.execute("PRAGMA user_version").fetchone()[0]
        if application == _APPLICATION and schema != _SCHEMA:
            raise StoreError(
                "'{path}' has format {schema}; this version reads format {known}.",
                hint="Upgrade ciranda.",
                path=self._path,
                schema=schema,
                known=_SCHEMA,
            )
        if application != _APPLICATION and (application or schema or self._db.execute("SELECT 1 FROM sqlite_master").fetchone()):
            raise StoreError("'{path}' is a database of another program.", hint="Choose another folder for the store.", path=self._path)
        return bool(application)

    def _enter_wal_mode(self) -> None:
        # The one statement for which SQLite does not wait: processes that create the store together take turns here.
        deadline = time.monotonic() + self._busy
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL").fetchone()
                return
            except sqlite3.OperationalError as error:
                if not _is(error, "SQLITE_BUSY") or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)


def _is(error: sqlite3.Error, *names: str) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(names)


def _explain(error: sqlite3.Error, path: Path, busy: float) -> StoreError:
    if _is(error, "SQLITE_NOTADB", "SQLITE_CORRUPT"):
        message = "'{path}' is damaged, or not a database at all ({error})."
        return StoreError(message, hint="Restore it from a copy, or choose another folder.", path=path, error=error)
    if _is(error, "SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE"):
        return StoreError("No room to write '{path}' ({error}).", hint="Free some space, or choose another folder.", path=path, error=error)
    if _is(error, "SQLITE_BUSY", "SQLITE_LOCKED"):
        return StoreError(
            "'{path}' stayed locked by another process for {busy:g} seconds.", hint="End that process, or try again.", path=path, busy=busy
        )
    return StoreError(
        "The store '{path}' failed: {error}.", hint="Check that the folder exists and may be read and written.", path=path, error=error
    )
