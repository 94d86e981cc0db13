"""`ciranda client`: one client of a server."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from ciranda.cli.errors import tell
from ciranda.cli.http.consent import check_files
from ciranda.cli.http.security import Door, Trust
from ciranda.cli.http.trainer import ExperimentTrainer, Own
from ciranda.cli.logs import logging_to
from ciranda.core.errors import ExperimentError
from ciranda.i18n import _
from ciranda.runtimes.http.client import HttpClient, Told, Trainer
from ciranda.runtimes.http.disk import Disk
from ciranda.runtimes.http.home import Home
from ciranda.runtimes.http.link import Link
from ciranda.store.files import write_whole
from ciranda.tasks.recipe import prepare_worker

log = logging.getLogger(__name__)
_PLAIN, _LOOPBACK = Trust(), Door()


@dataclass(frozen=True)
class Asked:
    """The options of `ciranda client`."""

    url: str
    partition: str | None = None
    token_file: Path | None = None
    name: str | None = None
    run: str = ""
    state: Path | None = None
    tied: bool = False
    most_backoff: float = 30.0
    allow: Sequence[Path] = ()
    data: Path | None = None
    share_counts: bool = False
    task: str | None = None
    serve: int | None = None
    serve_host: str = "127.0.0.1"
    trust: Trust = _PLAIN
    door: Door = _LOOPBACK


def client(asked: Asked, *, log_level: str) -> int:
    """Be a client until the run is over; returns the exit status: 0 for a run that finished or was stopped."""
    part = _partition(asked.partition)
    own = asked.name or (f"client-{part[0]}" if part else socket.gethostname())
    token = asked.token_file.read_text(encoding="utf-8").strip() if asked.token_file is not None else ""
    folder = asked.state if asked.state is not None else Path("clients") / own
    brings = _brings(asked, part)
    disk = Disk(folder)
    trainers: list[ExperimentTrainer] = []
    leave = Event()

    def connect() -> Link:
        return asked.trust.link(asked.url)

    home = Home(folder, connect, lambda run, name: disk.states(run).read(name)) if asked.serve is not None else None

    def prepare(told: Told) -> Trainer:
        check_files(told.experiment, asked.allow, _replaced(brings))
        trainers.append(ExperimentTrainer(told, brings))
        return trainers[-1]

    def joined(run: str, name: str, credential: str) -> None:
        if home is not None:
            home.open(run, name, credential, trainers[-1])

    it = HttpClient(connect, disk, prepare, name=own, token=token, most_backoff=asked.most_backoff, joined=joined)

    def stop(*_: object) -> None:
        leave.set()
        it.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    if asked.tied:
        Thread(target=_until_left_alone, args=(stop,), daemon=True).start()
    try:
        with logging_to(folder, log_level), prepare_worker(False), _open_door(home, asked, folder):
            ended = it.work(asked.run)
            log.info("the run is over: %s", ended)
            while home is not None and not leave.wait(1.0):  # in pieces, so that a signal is heard everywhere
                pass
    finally:
        disk.close()
    return 0 if ended != "error" else 1


def _partition(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    number, slash, count = text.partition("/")
    if not slash or not number.isdecimal() or not count.isdecimal() or not int(number) < int(count):
        raise ExperimentError("--partition is '{text}'.", hint="It looks like 0/20: the first of twenty clients.", text=text)
    return int(number), int(count)


def _brings(asked: Asked, part: tuple[int, int] | None) -> Own:
    """What this client takes part with. Raises ExperimentError unless it is one thing."""
    if (part is None) == (asked.data is None):
        raise ExperimentError(
            "A client takes part either with data of its own or with a partition of the experiment's.",
            hint="Give --data PATH, or --partition I/N.",
        )
    return Own(part, asked.data, asked.share_counts, asked.task)


def _replaced(brings: Own) -> list[str]:
    """The keys of the experiment in whose place the client has something of its own."""
    return [key for key, held in (("data.csv", brings.data), ("experiment.task", brings.task)) if held is not None]


@contextmanager
def _open_door(home: Home | None, asked: Asked, folder: Path) -> Iterator[None]:
    """Answer at the client's own door while inside; its address lies in the client's folder."""
    if home is None or asked.serve is None:
        yield
        return
    from ciranda.runtimes.http.door import create_door  # with FastAPI, which a client needs for nothing else
    from ciranda.runtimes.http.listener import Listener

    door = asked.door
    listener = Listener(create_door(home), asked.serve_host, asked.serve, door.tls(), insecure=door.insecure)
    listener.start()
    write_whole(folder / "address", [f"{listener.url}\n".encode()])
    tell(f"{_('Listening on')}: {listener.url}")
    try:
        yield
    finally:
        listener.stop()
        home.close()


def _until_left_alone(stop: Callable[[], None]) -> None:
    """Whoever started this process holds the other end of its standard input: when that closes, it is gone."""
    while os.read(0, 1024):  # not sys.stdin, whose lock a thread that waits would hold to the end
        pass
    stop()
