"""Structured logs: one JSON line for each record in the run's folder, plain lines on standard error.

A record carries who speaks: pass `extra={"role": "client", "client": "7", "round": 3}` to any logger below `ciranda`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path

from ciranda.core.errors import ExperimentError

LEVELS = ("debug", "info", "warning", "error")
FIELDS = ("role", "client", "round", "phase", "batch", "loss", "action", "address", "method", "path", "status", "reason")
FILE = "log.jsonl"


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": when, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        line.update({name: getattr(record, name) for name in FIELDS if hasattr(record, name)})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class Plain(logging.Formatter):
    """`[client 7] message`."""

    def format(self, record: logging.LogRecord) -> str:
        who = " ".join(str(getattr(record, name)) for name in ("role", "client") if hasattr(record, name))
        text = super().format(record)
        return f"[{who}] {text}" if who else text


class _File(logging.FileHandler):
    """A file made with its folder at the first record. What cannot be logged is dropped: the run itself tells of a bad disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", delay=True)

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # the file is opened here
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        pass


@contextmanager
def logging_to(folder: Path, level: str) -> Iterator[None]:
    """Log the package's records of at least `level` (and info) to `folder`/log.jsonl, those of `level` to standard error."""
    if level not in LEVELS:
        raise ExperimentError("--log-level is '{level}'.", hint="It is one of: {levels}.", level=level, levels=", ".join(LEVELS))
    logger = logging.getLogger("ciranda")
    threshold = logging.getLevelNamesMapping()[level.upper()]
    file = _File(folder / FILE)
    file.setFormatter(JsonLines())
    file.setLevel(min(threshold, logging.INFO))
    screen = logging.StreamHandler()
    screen.setFormatter(Plain())
    screen.setLevel(threshold)
    before = logger.level
    logger.setLevel(min(threshold, logging.INFO))
    for handler in (file, screen):
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in (file, screen):
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(before)
