"""What every store keeps, and the contract that `ciranda.testing.stores` checks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO, Protocol

MAX_HEADER = 1024 * 1024  # 64 KiB and what a cohort of some thousands adds


class Store(Protocol):
    """Run state, claims, events and blobs. Every write is durable when the call returns, and whole or absent after a crash.

    Only `swap` protects against two writers; a lease merely saves work.
    """

    def read(self, run: str) -> tuple[int, bytes]:
        """The version and header of `run`; (0, b"") if it was never written."""

    def swap(self, run: str, version: int, header: bytes, writer: str) -> int:
        """Replace the header if its version still is `version`; returns version + 1.

        `writer` names this very write: repeating it after a lost answer returns the same version instead of Conflict, even when
        others have written since. The same writer with another header is another write.
        Raises Conflict, or StoreError when it cannot be written (disk full, header over MAX_HEADER plus what the cohort needs).
        """

    def claim(self, run: str, key: str, record: bytes) -> bytes:
        """Insert `record` under `key` unless there is one; returns the record that holds."""

    def claims(self, run: str, prefix: str) -> Iterator[tuple[str, bytes]]:
        """The claims whose key starts with `prefix`, in key order."""

    def put(self, chunks: Iterable[bytes]) -> str:
        """Store a blob; returns its SHA-256 in hex. Nobody can open it before it is whole."""

    def open(self, digest: str) -> BinaryIO:
        """A readable, seekable stream of the blob. Raises Missing."""

    def append(self, run: str, key: str, event: bytes) -> int:
        """Append an event once: the same `key` again changes nothing. Returns its sequence number, from 1."""

    def events(self, run: str, after: int = 0) -> Iterator[tuple[int, bytes]]:
        """(sequence number, event) in order, those after `after`."""

    def runs(self) -> list[str]:
        """The names of all runs that have a header, sorted."""

    def lease(self, run: str, name: str, holder: str, seconds: float) -> int | None:
        """Take or renew the lease `name` on the store's own clock; its fencing token, or None while another holds it.

        The token grows each time the lease is taken, and stays while its holder renews it; 0 seconds give it back.
        """

    def collect(self, keep: Iterable[str]) -> int:
        """Delete blobs whose digest is not in `keep`; returns how many.

        A blob that is being put is safe; one whose `put` has returned is not, so `keep` names it even when nothing refers to it yet.
        """

    def close(self) -> None:
        """Release files and connections; every later call raises StoreError."""
