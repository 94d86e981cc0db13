"""A box of mail for each client, on the event loop: what waits is handed to the client's next poll, at least once.

Every item has a number, and a poll says up to which it has taken in. Instructions stand until they are answered or called off, so
that a client that was started again, or a server that was, loses none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from time import monotonic
from typing import Any

Event = Mapping[str, Any]
MOST = 64
"""Items in a box; beyond, the oldest is dropped: a client asks by itself for records that it misses."""


@dataclass
class Box:
    """One client's mail. `seen` is when it was last heard (monotonic seconds), None for never."""

    items: dict[str, tuple[int, Event]] = field(default_factory=dict)
    waiter: asyncio.Future[None] | None = None
    seen: float | None = None


class Mail:
    """The boxes by client. Every method belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._epoch = token_hex(4)
        self._number = 0
        self._boxes: dict[str, Box] = {}
        self._gone: set[str] = set()

    def put(self, client: str, event: Event) -> bool:
        """Put `event` into the client's box, in place of what it supersedes, and wake its poll; False if it was revoked."""
        if client in self._gone:
            return False
        box = self._boxes.setdefault(client, Box())
        run, kind = event["run"], event["type"]
        key = f"{run}/{kind}/{event['round']}" if kind == "record" else f"{run}/{kind}"
        if kind == "cancel":
            standing = box.items.get(f"{run}/instruct")
            if standing is not None and standing[1]["phase"] == event["phase"]:
                del box.items[f"{run}/instruct"]
        if kind == "finish":
            box.items.pop(f"{run}/instruct", None)
        self._number += 1
        box.items.pop(key, None)  # so that the order of the box is that of the numbers
        box.items[key] = (self._number, event)
        if len(box.items) > MOST:
            box.items.pop(next(iter(box.items)))
        if box.waiter is not None and not box.waiter.done():
            box.waiter.set_result(None)
        return True

    def answered(self, client: str, run: str, phase: str) -> None:
        """The client's reply to `phase` was judged: its instruction need not be told again."""
        box = self._boxes.get(client)
        standing = box.items.get(f"{run}/instruct") if box is not None else None
        if box is not None and standing is not None and standing[1]["phase"] == phase:
            del box.items[f"{run}/instruct"]

    async def next(self, client: str, after: str, wait: float) -> tuple[str, list[Event]]:
        """(cursor, events after `after`), as soon as there are any or after `wait` seconds."""
        box = self._boxes.setdefault(client, Box())
        since = self._since(after)
        self._taken(box, since)
        if box.waiter is not None and not box.waiter.done():
            box.waiter.set_result(None)  # an older poll of the same client, whose connection is probably gone
        box.seen = monotonic()
        fresh = self._fresh(box, since)
        if not fresh and wait > 0:
            waiter = box.waiter = asyncio.get_running_loop().create_future()
            handle = asyncio.get_running_loop().call_later(wait, _wake, waiter)
            try:
                await waiter
            finally:
                handle.cancel()
                if box.waiter is waiter:
                    box.waiter = None
            fresh = self._fresh(box, since)
        box.seen = monotonic()
        last = max((number for number, _ in fresh), default=since)
        return f"{self._epoch}.{last}", [event for _, event in fresh]

    def seen(self, client: str) -> float | None:
        """Seconds since the client was last heard; 0.0 while it polls, None if it never was."""
        box = self._boxes.get(client)
        if box is None or box.seen is None:
            return None
        return 0.0 if box.waiter is not None else monotonic() - box.seen

    def heard(self, client: str) -> None:
        """The client made some request."""
        self._boxes.setdefault(client, Box()).seen = monotonic()

    def asked(self, client: str, run: str = "") -> Event | None:
        """The instruction that the client has not answered yet, of `run` or else of the first."""
        box = self._boxes.get(client)
        events = (event for _, event in box.items.values()) if box is not None else ()
        return next((event for event in events if event["type"] == "instruct" and run in ("", event["run"])), None)

    def forget(self, client: str) -> None:
        """Drop the box of a client that was revoked, end its poll, and take in no more for it."""
        self._gone.add(client)
        box = self._boxes.pop(client, None)
        if box is not None and box.waiter is not None and not box.waiter.done():
            box.waiter.set_result(None)

    @property
    def polling(self) -> int:
        """How many clients wait in a poll."""
        return sum(box.waiter is not None for box in self._boxes.values())

    def wake_all(self) -> None:
        """End every poll: the server stops."""
        for box in self._boxes.values():
            if box.waiter is not None and not box.waiter.done():
                box.waiter.set_result(None)

    def _since(self, after: str) -> int:
        epoch, _, number = after.partition(".")
        return int(number) if epoch == self._epoch and number.isascii() and number.isdigit() and len(number) < 16 else 0

    def _taken(self, box: Box, since: int) -> None:
        """Drop what was taken in, but for the instruction, which stands."""
        for key in [key for key, (number, event) in box.items.items() if number <= since and event["type"] != "instruct"]:
            del box.items[key]

    def _fresh(self, box: Box, since: int) -> list[tuple[int, Event]]:
        return [item for item in box.items.values() if item[0] > since]


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
