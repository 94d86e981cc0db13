"""How long a round takes when training takes nothing: real client processes, and a thousand clients of which ten are asked."""

from __future__ import annotations

import selectors
import statistics
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

from benchmarks.wire.server import Hand, Served, body_of
from ciranda.cli.http.serve import run_with_clients
from ciranda.core.params import digest_of
from ciranda.experiment.load import resolve

FIRST, LAST = 3, 52
TASK = f"{Path(__file__).parent / 'task.py'}:Still"


def processes(clients: int = 10) -> float:
    """Median seconds from record to record, `clients` processes all asked, the server's evaluation included."""
    marks: list[float] = []
    settings = [f"federation.clients={clients}", f"rounds.num-rounds={LAST}"]

    def on_event(event: Mapping[str, Any]) -> None:
        if event["event"] == "round":
            marks.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        run_with_clients(resolve(TASK, settings), Path(folder) / "run", on_event)
    return median(marks)


def median(marks: list[float]) -> float:
    """Of the rounds FIRST to LAST, from the marks at the end of each."""
    return statistics.median(after - before for before, after in zip(marks[FIRST - 2 :], marks[FIRST - 1 :], strict=False))


class Crowd:
    """Many clients in one process: all wait for news, and whoever is asked answers."""

    def __init__(self, port: int, count: int) -> None:
        with ThreadPoolExecutor(8) as pool:
            self._hands = list(pool.map(lambda rank: Hand(port, rank, count), range(count)))
        self._over = False
        self._selector = selectors.DefaultSelector()
        self._body = body_of(1000, 0.125, 1)
        self._digest = digest_of(self._body)
        self._scratch = bytearray(1024 * 1024)
        for hand in self._hands:
            hand.ask_news()
            self._selector.register(hand.line.sock, selectors.EVENT_READ, hand)
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._over:
            for key, _ in self._selector.select(0.5):
                self._take(key.data)

    def _take(self, hand: Hand) -> None:
        for event in hand.news():
            if event["type"] == "instruct":
                hand.download(event["model"], memoryview(self._scratch))
                hand.reply(event, self._digest, len(self._body), self._body)
            elif event["type"] == "finish":
                self._selector.unregister(hand.line.sock)
                return
        hand.ask_news()

    def leave(self) -> None:
        self._over = True
        self._thread.join()
        for hand in self._hands:
            hand.line.close()


def crowd(clients: int, *, torch: bool = False) -> tuple[float, float]:
    """(median seconds of a round of ten among `clients`, MiB of the server with all of them enrolled and waiting)."""
    with tempfile.TemporaryDirectory() as folder:
        settings = [f"federation.clients={clients}", f"rounds.num-rounds={LAST}", f"rounds.fraction-train={10 / clients}"]
        with Served(Path(folder), *settings, torch=torch) as served:
            everybody = Crowd(served.port, clients)
            marks = rounds_of(served)
            memory = served.memory()
            everybody.leave()
    return median(marks), memory


def rounds_of(served: Served) -> list[float]:
    """The moments at which rounds were recorded, from the server's own log of events."""
    lines = served.out / "metrics.jsonl"
    marks: list[float] = []
    while len(marks) < LAST:
        count = lines.read_bytes().count(b"\n") if lines.exists() else 0
        marks.extend([time.perf_counter()] * (count - len(marks)))
        time.sleep(0.001)
    return marks
