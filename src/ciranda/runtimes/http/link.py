"""A client's line to the server: HTTP/1.1 on the standard library, kept open, without Nagle's delay.

`Link.ask` makes one attempt and raises `Cut` when the line fails; whoever calls decides when to try again (`Backoff`).
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ciranda.core.errors import CirandaError, ExperimentError

Body = bytes | memoryview | Iterable[bytes | memoryview] | None


class Cut(CirandaError):
    """The line failed: nobody listens, the network is away, or the answer is not to be understood. Try again later."""


class Untrusted(Cut):
    """One end does not accept the other's certificate. That may pass: certificates are renewed."""


class Rejected(CirandaError):
    """The server answered with an error. `status` and `code` say which."""

    def __init__(self, status: int, code: str, text: str, hint: str = "", after: float = 0.0, offset: int = -1) -> None:
        super().__init__("The server answers {status}: {text}", hint=hint and "{advice}", status=status, text=text, advice=hint)
        self.status, self.code, self.after, self.offset = status, code, after, offset

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in (408, 425, 429) or self.status >= 500


@dataclass(frozen=True)
class Answer:
    """A successful answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises Cut: something else than the server answered."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Cut("The answer is not JSON: {error}.", error=str(error)) from error


class Link:
    """One connection, opened when it is needed and again after it failed. For one thread at a time.

    Args:
        url: of the server, "https://host:port". tls: verifies it, with a client's certificate if there is one; None: the system's trust.
    """

    def __init__(self, url: str, tls: ssl.SSLContext | None = None, timeout: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ExperimentError("'{url}' is not a server's address.", hint="It looks like http://127.0.0.1:8642", url=url)
        self.url = url.rstrip("/")
        self.credential = ""
        self._host, self._port, self._secure = parts.hostname, parts.port, parts.scheme == "https"
        self._tls, self._timeout = tls, timeout
        self._connection: http.client.HTTPConnection | None = None
        self._dead = False

    def ask(
        self,
        method: str,
        path: str,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float | None = None,
        into: bytearray | None = None,
    ) -> Answer:
        """One request; with `into`, the answer's body is appended to it as it comes, so that a cut leaves what had come.

        Raises Cut, or Rejected for an answer of 400 and more.
        """
        sent = {"Authorization": f"Bearer {self.credential}"} if self.credential else {}
        sent.update(headers or {})
        fresh = self._connection is None
        while True:
            if self._dead:
                raise Cut("This end hung up.")
            try:
                return self._once(method, path, body, sent, timeout or self._timeout, into)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                # A line that was kept open may have been closed meanwhile: that says nothing, if no answer had begun.
                if (
                    not fresh
                    and not self._dead
                    and isinstance(error, http.client.RemoteDisconnected | ConnectionResetError | BrokenPipeError)
                ):
                    fresh = True
                    continue
                if _is_about_trust(error):
                    raise Untrusted(
                        "{server}: the certificates do not fit: {error}.",
                        hint="--ca names the CA of the server's certificate, --cert and --key are the client's own.",
                        server=self.url,
                        error=str(error),
                    ) from error
                raise Cut("{server} cannot be reached: {error}.", server=self.url, error=str(error) or type(error).__name__) from error

    def post(self, path: str, value: Any) -> Answer:
        """POST `value` as JSON."""
        return self.ask("POST", path, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def close(self) -> None:
        """Hang up; the next request calls again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def cut(self) -> None:
        """End a request that waits in another thread, and every later one."""
        self._dead = True
        connection = self._connection
        found = connection.sock if connection is not None else None
        if found is not None:
            try:
                found.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

    def _once(self, method: str, path: str, body: Body, headers: Mapping[str, str], timeout: float, into: bytearray | None) -> Answer:
        connection = self._connection or self._connect()
        assert connection.sock is not None
        if self._dead:  # looked at after the connection is there to be cut, so that one of the two is seen
            raise ConnectionAbortedError("this end hung up")
        connection.sock.settimeout(timeout)
        connection.request(method, path, body=body, headers=dict(headers))  # type: ignore[arg-type, unused-ignore]
        response = connection.getresponse()
        data = b""
        if into is not None and response.status < 300:
            _pour(response, into)
        else:
            data = response.read()
        if response.will_close:
            self.close()
        if response.status >= 400:
            raise _rejected(response, data)
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, data)

    def _connect(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection
        if self._secure:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._tls)
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        return connection


class Backoff:
    """How long to wait before the next attempt: exponential with full jitter, so that a thousand clients do not come back at once.

    Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(self, first: float = 0.25, most: float = 30.0) -> None:
        self._first, self._most, self._tries = first, most, 0
        self._random = random.SystemRandom()

    def next(self) -> float:
        """Seconds to wait now."""
        limit = min(self._most, self._first * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return self._random.uniform(0.0, limit)

    def reset(self) -> None:
        """The line works."""
        self._tries = 0


def _is_about_trust(error: Exception) -> bool:
    """Whether this end refused the other's certificate, or was told (an alert, RFC 8446 section 6.2) that its own was."""
    return isinstance(error, ssl.SSLCertVerificationError) or (
        isinstance(error, ssl.SSLError) and any(word in (error.reason or "") for word in ("_CERTIFICATE_", "UNKNOWN_CA"))
    )


def _pour(response: http.client.HTTPResponse, into: bytearray) -> None:
    """Append the body to `into`. Raises HTTPException when it ends early; what had come is in `into` then."""
    begin, expected = len(into), response.length or 0
    into.extend(bytes(expected))
    got = 0
    try:
        with memoryview(into) as view:
            while count := response.readinto(view[begin + got :]):
                got += count
    finally:
        del into[begin + got :]
    if got < expected:
        raise http.client.IncompleteRead(b"", expected - got)


def _rejected(response: http.client.HTTPResponse, data: bytes) -> Rejected:
    told: Any = {}
    with suppress(ValueError):
        told = json.loads(data)
    told = told if isinstance(told, dict) else {}
    after, offset = response.headers.get("retry-after", ""), response.headers.get("upload-offset", "")
    return Rejected(
        response.status,
        str(told.get("reason") or told.get("error") or ""),
        str(told.get("message") or response.reason),
        str(told.get("hint") or ""),
        float(after) if after.isdecimal() else 0.0,
        int(offset) if offset.isdecimal() else -1,
    )
