"""What a study shows while it goes on: a line for each run that ends, and on a terminal a bar with the time that is left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TextIO

from ciranda.cli.eta import Eta, clock_text
from ciranda.cli.progress import REFRESH_S, TRAINING_SHARE, bar
from ciranda.i18n import _


class Progress:
    """Takes (key, event row) of runs that go on side by side. Use as a context manager.

    `expect` says what is to come, each run with a cost, so that the time left counts long runs for more.
    """

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self._stream, self._quiet = stream, quiet
        self._costs: dict[str, float] = {}
        self._shares: dict[str, float] = {}
        self._rounds: dict[str, int] = {}
        self._ended = 0
        self._runs = 0
        self._past = 0.0  # the cost of what was done before the runs that are expected now
        self._later = 0.0
        self._eta = Eta(0.0, time.monotonic())
        self._bar: Any = None
        self._task: Any = None
        self._refreshed = 0.0

    def __enter__(self) -> Self:
        if not self._quiet and self._stream.isatty():
            self._bar = bar(self._stream)
            self._bar.start()
            self._task = self._bar.add_task("", total=1.0, left=clock_text(None), metrics="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def expect(self, costs: Mapping[str, float], later: float = 0.0) -> None:
        """These runs are about to be done, and after them others that cost `later`; all that was expected before has ended."""
        self._past += sum(self._costs.values())
        self._costs, self._later, self._shares = dict(costs), later, {}
        self._runs += len(costs)

    def __call__(self, key: str, row: Mapping[str, Any]) -> None:
        """Take one event row of the run `key`."""
        rounds = max(1, int(row.get("rounds", self._rounds.get(key, 1))))
        match row["event"]:
            case "start":
                self._shares[key] = int(row.get("done", 0)) / rounds
                self._rounds[key] = rounds
                self._eta.first += self._costs.get(key, 1.0) * self._shares[key]
            case "progress":
                done = int(row["done"]) / max(1, int(row["of"]))
                within = TRAINING_SHARE * done if row.get("kind") == "train" else TRAINING_SHARE + (1 - TRAINING_SHARE) * done
                self._shares[key] = (int(row["round"]) - 1 + within) / rounds
            case "round":
                self._shares[key] = int(row["round"]) / rounds
        self._draw()

    def ended(self, key: str, text: str) -> None:
        """The run `key` ended; `text` says how."""
        self._ended += 1
        self._shares[key] = 1.0
        self.line(_("{done}/{runs}  {name}  {text}", done=self._ended, runs=self._runs, name=key, text=text).rstrip())
        self._draw(now=True)

    def line(self, text: str) -> None:
        """Say something that stays."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=self._stream, flush=True)

    def _draw(self, *, now: bool = False) -> None:
        clock = time.monotonic()
        if self._bar is None or not (now or clock - self._refreshed >= REFRESH_S):
            return
        self._refreshed = clock
        self._eta.total = self._past + sum(self._costs.values()) + self._later
        done = self._past + sum(cost * self._shares.get(key, 0.0) for key, cost in self._costs.items())
        left = _("{time} left", time=clock_text(self._eta.remaining(done, clock)))
        metrics = _("{done} of {runs} runs", done=self._ended, runs=self._runs)
        self._bar.update(self._task, total=self._eta.total or 1.0, completed=done, left=left, metrics=metrics, refresh=True)
