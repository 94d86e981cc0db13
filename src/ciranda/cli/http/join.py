"""`ciranda client`: one client of a server."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from ciranda.cli.http.consent import check_files
from ciranda.cli.http.trainer import ExperimentTrainer
from ciranda.cli.logs import logging_to
from ciranda.core.errors import ExperimentError
from ciranda.runtimes.http.client import HttpClient, Trainer
from ciranda.runtimes.http.disk import Disk
from ciranda.runtimes.http.link import Link
from ciranda.tasks.recipe import prepare_worker

log = logging.getLogger(__name__)


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


def client(asked: Asked, *, log_level: str) -> int:
    """Be a client until the run is over; returns the exit status: 0 for a run that finished or was stopped."""
    part = _partition(asked.partition)
    own = asked.name or (f"client-{part[0]}" if part else socket.gethostname())
    token = asked.token_file.read_text(encoding="utf-8").strip() if asked.token_file is not None else ""
    folder = asked.state if asked.state is not None else Path("clients") / own
    disk = Disk(folder)

    def prepare(text: str) -> Trainer:
        check_files(text, asked.allow)
        return ExperimentTrainer(text, partition=part)

    it = HttpClient(lambda: Link(asked.url), disk, prepare, name=own, token=token, most_backoff=asked.most_backoff)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: it.stop())
    if asked.tied:
        Thread(target=_until_left_alone, args=(it,), daemon=True).start()
    try:
        with logging_to(folder, log_level), prepare_worker(False):
            ended = it.work(asked.run)
    finally:
        disk.close()
    log.info("the run is over: %s", ended)
    return 0 if ended != "error" else 1


def _partition(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    number, slash, count = text.partition("/")
    if not slash or not number.isdigit() or not count.isdigit() or not int(number) < int(count):
        raise ExperimentError("--partition is '{text}'.", hint="It looks like 0/20: the first of twenty clients.", text=text)
    return int(number), int(count)


def _until_left_alone(client: HttpClient) -> None:
    """Whoever started this process holds the other end of its standard input: when that closes, it is gone."""
    while os.read(0, 1024):  # not sys.stdin, whose lock a thread that waits would hold to the end
        pass
    client.stop()
