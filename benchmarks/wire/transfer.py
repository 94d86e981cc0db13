"""A model of 100 MB to and from ten clients: the server's memory, and its speed against a bare socket and against cp."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from benchmarks.launch import Failed
from benchmarks.wire.server import Hand, Served, body_of
from ciranda.core.params import digest_of

WIDTH, CLIENTS = 25_000_000, 10
BYTES = 4 * WIDTH
_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Transfer:
    """Seconds for ten clients at once, and the server's memory in models above what it holds while it waits."""

    down: float
    bare: float
    up: float
    copy: float
    models: float
    anonymous: float


def transfer() -> Transfer:
    """One run: downloads, uploads, and the same bytes without the server."""
    with tempfile.TemporaryDirectory() as folder:
        settings = (f"federation.clients={CLIENTS}", "rounds.num-rounds=2")
        with Served(Path(folder), *settings, width=WIDTH) as served:
            hands = [Hand(served.port, rank, CLIENTS) for rank in range(CLIENTS)]
            asked = [hand.instruction() for hand in hands]
            idle = served.memory()
            buffers = [bytearray(BYTES + _CHUNK) for _ in hands]
            down = together([lambda i=i: fetched(hands[i], asked[i]["model"], buffers[i]) for i in range(CLIENTS)])  # type: ignore[misc]
            bodies = [body_of(WIDTH, 0.125 + rank / 64, 100) for rank in range(CLIENTS)]
            digests = [digest_of(body) for body in bodies]
            up = together([lambda i=i: hands[i].upload(digests[i], bodies[i]) for i in range(CLIENTS)])  # type: ignore[misc]
            together([lambda i=i: hands[i].reply(asked[i], digests[i], len(bodies[i]), b"") for i in range(CLIENTS)])  # type: ignore[misc]
            hands[0].instruction()
            peak, anonymous = served.memory("VmHWM"), served.memory("RssAnon")
        model = BYTES / 2**20
        return Transfer(down, bare(buffers), up, copied(Path(folder), bodies), (peak - idle) / model, (anonymous - idle) / model)


def together(works: Sequence[Callable[[], object]]) -> float:
    """Seconds until all of `works`, each in a thread, are done."""
    threads = [Thread(target=work) for work in works]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun


def fetched(hand: Hand, digest: str, buffer: bytearray) -> None:
    """Download a model, whole. Raises Failed."""
    if (got := hand.download(digest, memoryview(buffer))) < BYTES:
        raise Failed(f"{got} of more than {BYTES} bytes came")


def bare(buffers: Sequence[bytearray]) -> float:
    """The same bytes over loopback sockets from another process, which sends them from memory, to as many threads."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if (child := os.fork()) == 0:
            payload = bytes(BYTES)
            lines = [listener.accept()[0] for _ in buffers]
            for line in lines:  # one after the other takes half the time of all at once
                line.sendall(payload)
            os._exit(0)

        def read(buffer: bytearray) -> None:
            with socket.create_connection(listener.getsockname()) as line:
                got, view = 0, memoryview(buffer)
                while got < BYTES:
                    count = line.recv_into(view[got:BYTES])
                    if not count:
                        raise Failed("the bare copy ended early")
                    got += count

        seconds = together([lambda buffer=buffer: read(buffer) for buffer in buffers])  # type: ignore[misc]
        os.waitpid(child, 0)
        return seconds


def copied(folder: Path, bodies: Sequence[bytes]) -> float:
    """Copies of files, each brought to the disk, one after the other as `cp` does it."""
    sources = [folder / f"source-{number}" for number in range(len(bodies))]
    for source, body in zip(sources, bodies, strict=True):
        source.write_bytes(body)
    begun = time.perf_counter()
    for source in sources:
        with source.open("rb") as reader, source.with_suffix(".copy").open("wb") as writer:
            while os.copy_file_range(reader.fileno(), writer.fileno(), 2**30):
                pass
            os.fsync(writer.fileno())
    return time.perf_counter() - begun
