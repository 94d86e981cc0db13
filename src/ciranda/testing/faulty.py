"""A store that fails when told to, to show that what uses it survives.

Count the calls of an unbroken run, then break each of them in turn::

    calls = FaultyStore(MemoryStore())
    work(calls)
    for number in range(1, len(calls.calls) + 1):
        with pytest.raises(StoreError):
            work(FaultyStore(store, Fault(number, "after", fail)))  # done, but the answer is lost
        work(store)  # must end as if nothing had happened
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal, TypeVar

from ciranda.core.errors import StoreError
from ciranda.store.base import Store

WRITES = frozenset({"swap", "claim", "put", "append", "lease", "collect"})
CALLS = WRITES | {"read", "claims", "open", "events", "runs"}

_Result = TypeVar("_Result")


def kill() -> None:
    """End this process as `kill -9` does: no handler, no clean-up, no flush."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    """Raise StoreError, as a store does that lost its disk or its connection."""
    raise StoreError("A fault was injected here.")


@dataclass(frozen=True)
class Fault:
    """What happens at one call.

    Attributes:
        call: which of the counted calls, from 1.
        when: "before" it reaches the store; "after" the store has done it, so that only the answer is lost;
            "during", for `put` alone: when its first chunk has been taken.
        act: what happens then: `kill`, `fail`, or anything else.
    """

    call: int
    when: Literal["before", "during", "after"] = "before"
    act: Callable[[], None] = kill


class FaultyStore:
    """Passes every call on to `store`, except where a fault says otherwise. Implements `ciranda.store.base.Store`.

    Args:
        store: the store that does the work.
        faults: what goes wrong, and when; no fault gives a mere counter.
        counted: the names of the calls that are counted, `WRITES` for instance.

    Attributes:
        calls: the names of the counted calls so far, in order.
    """

    def __init__(self, store: Store, *faults: Fault, counted: Collection[str] = CALLS) -> None:
        self.calls: list[str] = []
        self._store = store
        self._faults = faults
        self._counted = counted

    def read(self, run: str) -> tuple[int, bytes]:
        return self._call("read", lambda: self._store.read(run))

    def swap(self, run: str, version: int, header: bytes, writer: str) -> int:
        return self._call("swap", lambda: self._store.swap(run, version, header, writer))

    def claim(self, run: str, key: str, record: bytes) -> bytes:
        return self._call("claim", lambda: self._store.claim(run, key, record))

    def claims(self, run: str, prefix: str) -> Iterator[tuple[str, bytes]]:
        return self._call("claims", lambda: self._store.claims(run, prefix))

    def put(self, chunks: Iterable[bytes]) -> str:
        return self._call("put", lambda: self._store.put(self._interrupted(chunks)))

    def open(self, digest: str) -> BinaryIO:
        return self._call("open", lambda: self._store.open(digest))

    def append(self, run: str, key: str, event: bytes) -> int:
        return self._call("append", lambda: self._store.append(run, key, event))

    def events(self, run: str, after: int = 0) -> Iterator[tuple[int, bytes]]:
        return self._call("events", lambda: self._store.events(run, after))

    def runs(self) -> list[str]:
        return self._call("runs", self._store.runs)

    def lease(self, run: str, name: str, holder: str, seconds: float) -> int | None:
        return self._call("lease", lambda: self._store.lease(run, name, holder, seconds))

    def collect(self, keep: Iterable[str]) -> int:
        return self._call("collect", lambda: self._store.collect(keep))

    def close(self) -> None:
        self._store.close()

    def _call(self, name: str, work: Callable[[], _Result]) -> _Result:
        if name not in self._counted:
            return work()
        self.calls.append(name)
        number = len(self.calls)
        self._strike(number, "before")
        result = work()
        self._strike(number, "after")
        return result

    def _interrupted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        number = len(self.calls)
        for position, chunk in enumerate(chunks):
            if position == 1:
                self._strike(number, "during")
            yield chunk

    def _strike(self, number: int, when: str) -> None:
        for fault in self._faults:
            if fault.call == number and fault.when == when:
                fault.act()
