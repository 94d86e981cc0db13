"""A folder of content-addressed files: the name of each is the SHA-256 of what is in it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from ciranda.core.errors import Missing, StoreError
from ciranda.store.files import Chunk, WholeFile, explain, make_folder, remove_abandoned, sync_folder

_DIGEST = re.compile(r"[0-9a-f]{64}")
_HOLD = 8 * 1024 * 1024  # bytes kept in memory until the digest tells whether they need writing at all
_READ = 1024 * 1024

Stamp = tuple[int, int, int]


class BlobFolder:
    """Blobs in `folder`. `exclusive()` must hold off every other process that publishes or collects there.

    A blob is read through once before this object first trusts it, and again when the file has changed since: a
    damaged file is reported before any byte of it is used, and put anew by the next `put`.
    """

    def __init__(self, folder: Path, exclusive: Callable[[], AbstractContextManager[object]]) -> None:
        make_folder(folder)
        self._folder = folder
        self._exclusive = exclusive
        self._trusted: dict[str, Stamp] = {}  # read through, and found whole
        self._durable: dict[str, Stamp] = {}  # known to survive a power cut

    def put(self, chunks: Iterable[Chunk]) -> str:
        """Store a blob and return its digest; costs no more than a hash when this object has stored it before."""
        sha = hashlib.sha256()
        rest = iter(chunks)
        held: list[Chunk] = []
        size = 0
        for chunk in rest:
            sha.update(chunk)
            # One chunk is the caller's own memory, however large; only what piles up behind it is ours to bound.
            if held and size + memoryview(chunk).nbytes > _HOLD:
                return self._stream(sha, [*held, chunk], rest)
            held.append(chunk)
            size += memoryview(chunk).nbytes
        digest = sha.hexdigest()
        if self._keeps(digest):
            return digest
        with WholeFile(self._folder, digest) as file:
            file.write(held)
            return self._publish(file, digest)

    def open(self, digest: str) -> BinaryIO:
        """A stream of the blob. Raises Missing, or StoreError when the file is damaged."""
        if not _DIGEST.fullmatch(digest):
            raise Missing("There is no blob {digest!r}: a blob's name is 64 hexadecimal digits.", digest=digest)
        path = self._folder / digest
        try:
            stream = path.open("rb")
        except FileNotFoundError:
            raise Missing("There is no blob {digest} in '{folder}'.", digest=digest, folder=self._folder) from None
        except OSError as error:
            raise StoreError("Cannot read '{path}': {error}.", path=path, error=error.strerror) from error
        if not self._intact(stream, digest):
            stream.close()
            raise StoreError(
                "The file '{path}' is damaged: its content is not what its name says.", hint="Restore it, or delete it.", path=path
            )
        return stream

    def collect(self, keep: Iterable[str]) -> int:
        """Delete blobs not in `keep`, and what killed writers left; returns the number of blobs."""
        wanted = set(keep)
        removed = 0
        try:
            with self._exclusive():
                for name in os.listdir(self._folder):
                    if name not in wanted and _DIGEST.fullmatch(name):
                        os.unlink(self._folder / name)
                        self._trusted.pop(name, None)
                        self._durable.pop(name, None)
                        removed += 1
            remove_abandoned(self._folder)
        except OSError as error:
            raise explain(error, self._folder) from error
        return removed

    def _stream(self, sha: hashlib._Hash, head: list[Chunk], rest: Iterator[Chunk]) -> str:
        def hashed() -> Iterator[Chunk]:
            yield from head
            for chunk in rest:
                sha.update(chunk)
                yield chunk

        with WholeFile(self._folder, "blob") as file:
            file.write(hashed())
            digest = sha.hexdigest()
            return digest if self._keeps(digest) else self._publish(file, digest)

    def _publish(self, file: WholeFile, digest: str) -> str:
        path = self._folder / digest
        file.sync()
        with self._exclusive():
            file.rename(path)
            stamp = self._trusted[digest] = _stamp(path.stat())
        sync_folder(self._folder)
        self._durable[digest] = stamp
        return digest

    def _keeps(self, digest: str) -> bool:
        """Whether the blob is there, whole and durable."""
        with self._exclusive():
            try:
                with (self._folder / digest).open("rb") as stream:
                    intact = self._intact(stream, digest)
            except OSError:
                return False
        if not intact:
            return False
        if self._durable.get(digest) != self._trusted[digest]:
            sync_folder(self._folder)  # whoever wrote it may have been killed before this
            self._durable[digest] = self._trusted[digest]
        return True

    def _intact(self, stream: BinaryIO, digest: str) -> bool:
        stamp = _stamp(os.fstat(stream.fileno()))
        if self._trusted.get(digest) == stamp:
            return True
        sha = hashlib.sha256()
        try:
            while block := stream.read(_READ):
                sha.update(block)
            stream.seek(0)
        except OSError as error:
            raise explain(error, self._folder / digest) from error
        if sha.hexdigest() != digest:
            return False
        self._trusted[digest] = stamp
        return True


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_ino, status.st_size, status.st_mtime_ns
