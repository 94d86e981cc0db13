"""A connection that hangs up on whoever says nothing, or begins a request and never ends its head; uvicorn's own waits for ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Base
else:  # whichever of its two implementations is there; both have what is used here
    from uvicorn.protocols.http.auto import AutoHTTPProtocol as Base

_HEAD_S = 20.0
_MOST_HEAD = 64 * 1024
_MOST_UNREAD = 16 * 1024 * 1024  # of a body that was refused before it ended; it is dropped as it comes


class Connection(Base):
    """One connection. A head takes at most 20 seconds and 64 KiB; a body is its route's affair, until that has answered."""

    _patience: asyncio.TimerHandle | None = None
    _idle_bytes = 0
    _ended = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._patience = self.loop.call_later(_HEAD_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        before: Any = self.cycle
        unread = before is not None and before.more_body and not self._ended
        super().data_received(data)
        if self.cycle is not before:
            self._idle_bytes = 0
            self._calm()
        elif not unread or before.response_complete:
            self._idle_bytes += len(data)
            if self._idle_bytes > (_MOST_UNREAD if unread else _MOST_HEAD):
                self.transport.abort()
            elif self._patience is None:
                self._patience = self.loop.call_later(_HEAD_S, self.transport.abort)

    def on_headers_complete(self) -> None:
        self._ended = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._ended = True  # which the base does not note once it has answered; without httptools, h11 itself limits heads
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._calm()
        super().connection_lost(exc)

    def _calm(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
