"""Whoever wants to see a training go on is told the loss of every tenth batch. What is computed does not depend on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

EVERY = 10

Watcher = Callable[[int, int, float], None]
"""Told (batch, batches in all epochs, mean loss of the batch before its step), batches counted from 1 over all epochs."""

Tell = Callable[[int, Callable[[], float]], None]
"""What a training calls after each batch, with its number and what gives its mean loss if that is wanted."""

_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Have `watcher` told of the trainings inside, in this thread."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def teller(batches: int) -> Tell | None:
    """For a training of so many `batches` in all; None where nobody watches."""
    watcher = _watcher.get()
    if watcher is None:
        return None

    def tell(batch: int, loss: Callable[[], float]) -> None:
        if batch % EVERY == 0:
            watcher(batch, batches, loss())

    return tell
