"""What a run shows while it goes on: a bar on a terminal, plain lines elsewhere; one line for each round stays.

A display is a function of event rows: the lines of metrics.jsonl, and "data", "start", "progress" and "finish" between them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TextIO

from ciranda.cli.eta import Eta, clock_text
from ciranda.cli.output import heading, main_metrics, metrics_text, round_line
from ciranda.i18n import _, told

logger = logging.getLogger("ciranda.run")
TRAINING_SHARE = 0.9  # of a round's time; evaluation takes the rest
REFRESH_S = 0.1


class Display:
    """Shows event rows on `stream`. Use as a context manager, call with each row.

    Args:
        name, seed: the experiment's, for the heading.
        quiet: show nothing; the log is kept all the same.
    """

    def __init__(self, stream: TextIO, name: str, seed: int, *, quiet: bool = False) -> None:
        self._stream, self._name, self._seed, self._quiet = stream, name, seed, quiet
        self._rounds = 1
        self._eta = Eta(1.0, time.monotonic())
        self._bar: Any = None
        self._task: Any = None
        self._metrics = ""
        self._refreshed = 0.0

    def __enter__(self) -> Self:
        if not self._quiet and self._stream.isatty():
            self._bar = bar(self._stream)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, row: Mapping[str, Any]) -> None:
        """Take one event row."""
        handler = {
            "data": self._data,
            "start": self._start,
            "finding": self._finding,
            "progress": self._progress,
            "round": self._round,
        }.get(str(row["event"]))
        if handler is not None:
            handler(row)

    def _data(self, row: Mapping[str, Any]) -> None:
        from ciranda.tasks.datasets.described import described

        for line in described(row):
            self._line(told(line))

    def _start(self, row: Mapping[str, Any]) -> None:
        self._rounds = int(row["rounds"])
        done = int(row.get("done", 0))
        self._eta = Eta(self._rounds, time.monotonic(), done)
        self._line(heading(self._name, self._seed, row))
        logger.info("run started", extra={"role": "coordinator"})
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("", total=self._rounds, completed=done, left=clock_text(None), metrics="")

    def _finding(self, row: Mapping[str, Any]) -> None:
        self._line(f"! {row['line']}")
        logger.info("%s: %s", row["code"], row["evidence"], extra={"role": "coordinator"})

    def _progress(self, row: Mapping[str, Any]) -> None:
        share = int(row["done"]) / max(1, int(row["of"]))
        within = TRAINING_SHARE * share if row.get("kind") == "train" else TRAINING_SHARE + (1 - TRAINING_SHARE) * share
        self._advance(int(row["round"]) - 1 + within)

    def _round(self, row: Mapping[str, Any]) -> None:
        self._metrics = metrics_text(main_metrics(row))
        self._line(round_line(row, self._rounds))
        logger.info("round %d committed", row["round"], extra={"role": "coordinator", "round": row["round"]})
        for name, values in sorted(row.get("clients", {}).items()):
            text = " ".join(f"{metric} {value:.4f}" for metric, value in values.items() if value is not None)
            logger.debug("client answered: %s", text, extra={"role": "client", "client": name, "round": row["round"]})
        for name, reason in sorted(row.get("refused", {}).items()):
            logger.info("reply refused: %s", reason, extra={"role": "client", "client": name, "round": row["round"]})
        self._advance(int(row["round"]))

    def _advance(self, done: float) -> None:
        if self._bar is None or self._task is None:
            return
        now = time.monotonic()
        due = now - self._refreshed >= REFRESH_S
        self._refreshed = now if due else self._refreshed
        left = _("{time} left", time=clock_text(self._eta.remaining(done, now)))
        self._bar.update(self._task, completed=done, left=left, metrics=self._metrics, refresh=due)

    def _line(self, text: str) -> None:
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=self._stream, flush=True)


def bar(stream: TextIO) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[metrics]}"),
        console=Console(file=stream, soft_wrap=True),
        transient=True,
        # No thread that redraws: worker processes are forked while the bar is up.
        auto_refresh=False,
    )
