"""A store that lives and dies with its process."""

from __future__ import annotations

import hashlib
import io
import math
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from ciranda.core.errors import Conflict, Missing, StoreError
from ciranda.store.base import MAX_HEADER
from ciranda.store.files import Chunk


class MemoryStore:
    """Implements `ciranda.store.base.Store` for tests and for runs that leave nothing behind; safe for threads of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._headers: dict[str, tuple[int, bytes]] = {}
        self._writes: dict[tuple[str, int], tuple[str, bytes]] = {}
        self._claims: dict[str, dict[str, bytes]] = {}
        self._blobs: dict[str, bytes] = {}
        self._numbers: dict[str, dict[str, int]] = {}
        self._events: dict[str, list[bytes]] = {}
        self._leases: dict[tuple[str, str], tuple[str, int, float]] = {}

    def read(self, run: str) -> tuple[int, bytes]:
        with self._usable():
            return self._headers.get(run, (0, b""))

    def swap(self, run: str, version: int, header: bytes, writer: str) -> int:
        if len(header) > MAX_HEADER:
            raise StoreError(
                "The header of run '{run}' has {count:,} bytes; at most {max_header:,} are kept.",
                run=run,
                count=len(header),
                max_header=MAX_HEADER,
            )
        mark = (writer, hashlib.sha256(header).digest())
        with self._usable():
            current, _ = self._headers.get(run, (0, b""))
            if current != version:
                if self._writes.get((run, version + 1)) == mark:
                    return version + 1
                raise Conflict(
                    "Run '{run}' is at version {current}, not {version}: another writer was first.",
                    run=run,
                    current=current,
                    version=version,
                )
            self._headers[run] = (version + 1, bytes(header))
            self._writes[run, version + 1] = mark
            return version + 1

    def claim(self, run: str, key: str, record: bytes) -> bytes:
        with self._usable():
            return self._claims.setdefault(run, {}).setdefault(key, bytes(record))

    def claims(self, run: str, prefix: str) -> Iterator[tuple[str, bytes]]:
        with self._usable():
            found = sorted(item for item in self._claims.get(run, {}).items() if item[0].startswith(prefix))
        yield from found

    def put(self, chunks: Iterable[Chunk]) -> str:
        with self._usable():
            pass  # refused before any chunk is asked for
        content = b"".join(chunks)
        digest = hashlib.sha256(content).hexdigest()
        with self._usable():
            self._blobs[digest] = content
        return digest

    def open(self, digest: str) -> BinaryIO:
        with self._usable():
            if digest not in self._blobs:
                raise Missing("There is no blob {digest!r} in memory.", digest=digest)
            return io.BytesIO(self._blobs[digest])

    def append(self, run: str, key: str, event: bytes) -> int:
        with self._usable():
            numbers = self._numbers.setdefault(run, {})
            if key not in numbers:
                self._events.setdefault(run, []).append(bytes(event))
                numbers[key] = len(self._events[run])
            return numbers[key]

    def events(self, run: str, after: int = 0) -> Iterator[tuple[int, bytes]]:
        start = max(after, 0)
        with self._usable():
            found = self._events.get(run, [])[start:]
        yield from enumerate(found, start + 1)

    def runs(self) -> list[str]:
        with self._usable():
            return sorted(self._headers)

    def lease(self, run: str, name: str, holder: str, seconds: float) -> int | None:
        if not (math.isfinite(seconds) and seconds >= 0):
            raise StoreError("A lease of {seconds} seconds is not possible.", hint="Give a number of seconds from 0.", seconds=seconds)
        with self._usable():
            now = time.monotonic()
            owner, token, until = self._leases.get((run, name), ("", 0, now))
            if until > now and owner != holder:
                return None
            if until <= now:
                token += 1
            self._leases[run, name] = (holder, token, now + seconds)
            return token

    def collect(self, keep: Iterable[str]) -> int:
        wanted = set(keep)
        with self._usable():
            unwanted = self._blobs.keys() - wanted
            for digest in unwanted:
                del self._blobs[digest]
            return len(unwanted)

    def close(self) -> None:
        with self._lock:
            self._closed = True

    @contextmanager
    def _usable(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise StoreError("The store in memory is closed.")
            yield
