"""What every request passes: how often its caller may ask, how long a body may be, whether the caller still may; and it is counted.

Plain ASGI, because every request pays for it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from time import perf_counter

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ciranda.runtimes.http.answers import ApiError
from ciranda.runtimes.http.limits import Buckets
from ciranda.runtimes.http.problems import REASON, refusal
from ciranda.runtimes.http.service import Service
from ciranda.runtimes.http.transfer import whole

audit = logging.getLogger("ciranda.audit")
_READ = frozenset({b"authorization", b"content-length", b"content-encoding", b"transfer-encoding"})
_STRANGER, _CLIENT, _OPERATOR = 16 * 1024, 256 * 1024, 8 * 1024 * 1024
_LONG = ("/predict", "/send_model")
_NO_STORE, _NO_SNIFF = (b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")
_LINES, _LINES_BURST = 1.0, 50.0  # refusals of one caller that are logged, a second and at once


class Guard:
    """Stands before `app`. Bodies that may be long stream to their routes, which know the limits; others are taken in whole here."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        rates = service.rates
        self._clients, self._addresses = Buckets(rates.client, rates.client_burst), Buckets(rates.address, rates.address_burst)
        self._lines = Buckets(_LINES, _LINES_BURST)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        told = {name: value for name, value in scope["headers"] if name in _READ}
        name = self._who(told)
        turn = _Turn(self._service, name, receive, send)
        buckets, key = (self._addresses, _network(scope)) if name is None else (self._clients, name)
        try:
            self._may_ask(buckets, key)
            await turn.open(scope, told)
        except ApiError as error:
            await refusal(scope, error)(scope, receive, turn.send)
        except ClientDisconnect:
            return
        else:
            await self._app(scope, turn.receive, turn.send)
        finally:
            self._close(scope, turn, buckets, key, perf_counter() - began)

    def _who(self, told: Mapping[bytes, bytes]) -> str | None:
        """The client's name, "" for the operator, None for anybody else."""
        kind, _, credential = told.get(b"authorization", b"").decode("latin-1").partition(" ")
        return self._service.access.known(credential) if kind.lower() == "bearer" and credential else None

    @staticmethod
    def _may_ask(buckets: Buckets, key: str) -> None:
        wait = buckets.wait(key)
        if wait:
            raise ApiError(429, "too-many", "Too many requests.", hint="Wait a little.", headers={"Retry-After": str(math.ceil(wait))})

    def _close(self, scope: Scope, turn: _Turn, buckets: Buckets, key: str, seconds: float) -> None:
        refused = 400 <= turn.status < 500
        if turn.status != 429:
            buckets.spend(key, 1.0 + (self._service.rates.refusal if refused else 0.0))
        route = getattr(scope.get("route"), "path", "other")
        reason = scope.get(REASON, "")
        self._service.meter.request(scope["method"], route, turn.status, seconds, turn.bytes_in, turn.bytes_out, reason)
        if refused and not self._lines.wait(key):
            self._lines.spend(key)
            where = {"address": _address(scope), "method": scope["method"][:20], "path": ascii(scope["path"][:200])[1:-1]}
            who = {"role": "server", "action": "refuse", "client": turn.name or ""}
            audit.info("refused: %s", reason, extra={**who, **where, "status": turn.status, "reason": reason})


class _Turn:
    """One request and its answer, as they stream by. Once the client is revoked, nothing goes through any more, in either direction."""

    def __init__(self, service: Service, name: str | None, receive: Receive, send: Send) -> None:
        self.name, self.status, self.bytes_in, self.bytes_out = name, 0, 0, 0
        self._access, self._receive, self._send = service.access, receive, send
        self._may_come = bool(name) and not self._access.is_revoked(str(name))  # a stranger or one long revoked is its route's affair
        self._body: bytes | None = None
        self._silenced = False

    async def open(self, scope: Scope, told: Mapping[bytes, bytes]) -> None:
        """Check how the body comes, and take it in if its route does not. Raises ApiError."""
        if b"transfer-encoding" in told:
            raise ApiError(411, "length-required", "The length of the body must be declared.")
        if told.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
            raise ApiError(415, "encoded", "Bodies with a Content-Encoding are not understood.", hint="Send the bytes as they are.")
        if told.get(b"content-length", b"0") != b"0" and scope["method"] != "PUT" and not scope["path"].endswith(_LONG):
            limit = _STRANGER if self.name is None else _CLIENT if self.name else _OPERATOR
            self._body = await whole(Request(scope, self._receive), limit)
            self.bytes_in = len(self._body)

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        message = await self._receive()
        if self._revoked:
            return {"type": "http.disconnect"}
        self.bytes_in += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if self._silenced:
            return
        if message["type"] == "http.response.start":
            if self._revoked and message["status"] != 410:
                await self._end()
                return
            self.status = message["status"]
            headers = message["headers"] = list(message.get("headers", ()))
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append(_NO_STORE)
            headers.append(_NO_SNIFF)
        elif self._revoked and self.status != 410:
            raise ConnectionAbortedError("the client was revoked while it was answered")
        self.bytes_out += len(message.get("body", b""))
        await self._send(message)

    @property
    def _revoked(self) -> bool:
        return self._may_come and self._access.is_revoked(str(self.name))

    async def _end(self) -> None:
        """Answer 410 in place of what was to be said."""
        self._silenced, self.status = True, 410
        body = b'{"error":"revoked","message":"The credential was revoked.","hint":""}'
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), _NO_STORE]
        await self._send({"type": "http.response.start", "status": 410, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _network(scope: Scope) -> str:
    """The address; of IPv6 the first 64 bits, for whoever has one of those has all of them."""
    address = _address(scope)
    return ":".join(address.split(":")[:4]) if address.count(":") > 4 and "." not in address else address
