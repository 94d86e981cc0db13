"""A server that says exactly what it is told to, byte for byte, and remembers what it heard."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event, Thread
from typing import BinaryIO, Self

from ciranda.runtimes.http.link import Link


@dataclass(frozen=True)
class Heard:
    """One request: its line, its headers by lower-case name, and the body."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Say:
    """What is said to one request; then the line is kept, or cut. `wait`: nothing more until the script ends."""

    text: bytes = b""
    cut: bool = False
    wait: bool = False


def answer(body: bytes = b"{}", status: str = "200 OK", *, length: int | None = None, headers: str = "") -> bytes:
    """An answer in HTTP/1.1; `length` to declare another one than it has."""
    count = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {count}\r\n{headers}\r\n".encode("latin-1") + body


class Script:
    """For each connection the answers to its requests, in order; a connection that has none left is cut."""

    def __init__(self, *connections: Sequence[Say]) -> None:
        self.heard: list[Heard] = []
        self.connections = 0
        self.got_one = Event()
        self._plan = list(connections)
        self._end = Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = Thread(target=self._serve, daemon=True)
        self._links: list[Link] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def link(self) -> Link:
        """A line to this server, closed with it."""
        self._links.append(Link(self.url))
        return self._links[-1]

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for link in self._links:
            link.close()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        for plan in self._plan:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with line, line.makefile("rb") as stream:
                for say in plan:
                    heard = _request(stream)
                    if heard is None:
                        break
                    self.heard.append(heard)
                    self.got_one.set()
                    line.sendall(say.text)
                    if say.wait:
                        self._end.wait(20)
                    if say.cut or say.wait:
                        break


def _request(stream: BinaryIO) -> Heard | None:
    first = stream.readline().decode("latin-1").strip()
    if not first:
        return None
    headers = {}
    while line := stream.readline().decode("latin-1").strip():
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    return Heard(first, headers, stream.read(int(headers.get("content-length", "0"))))
