"""Runs one contender in a process of its own and reads what it measured."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.work import Job, Report, Work

ROOT = Path(__file__).resolve().parent.parent
QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0", "PYTHONUNBUFFERED": "1"}


class Failed(Exception):
    """A contender gave no report, or did other work than it was asked; the message has the end of what it said."""


@dataclass(frozen=True)
class Outcome:
    """One run of a contender.

    Attributes:
        rounds: seconds of each measured round, from one mark to the next: whatever happens in a round is in it.
        startup: seconds from the start of the process to the first mark, less one median round.
    """

    rounds: Sequence[float]
    startup: float
    accuracy: float
    versions: Mapping[str, str]
    peak_mib: float

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


def launch(python: Path | str, module: str, work: Work, data: str, processes: int, *, timeout: float = 1800) -> Outcome:
    """Run `module` of the contenders under `python`. Raises Failed."""
    with tempfile.TemporaryDirectory() as folder:
        job = Job(work, data, processes, folder)
        started = time.monotonic()
        output = _run([str(python), "-m", f"benchmarks.contenders.{module}"], job.text(), timeout)
    try:
        report = Report.read(output.strip().splitlines()[-1])
    except (IndexError, TypeError, ValueError):
        raise Failed(f"{module}: its last line is no report: {output[-400:]}") from None
    return outcome(report, work, started, module)


def outcome(report: Report, work: Work, started: float, module: str) -> Outcome:
    """What a report amounts to. Raises Failed when the contender did not do the work."""
    marks = report.marks
    if len(marks) != work.warmup + work.rounds:
        raise Failed(f"{module}: {len(marks)} rounds, {work.warmup + work.rounds} asked")
    if report.examples != work.cohort * work.examples:
        raise Failed(f"{module}: {report.examples} examples in a round, {work.cohort * work.examples} asked")
    rounds = [after - before for before, after in zip(marks[work.warmup - 1 :], marks[work.warmup :], strict=False)]
    startup = marks[0] - started - statistics.median(rounds)
    return Outcome(rounds, startup, report.accuracy, report.versions, report.peak_mib)


def _run(command: Sequence[str], text: str, timeout: float) -> str:
    """The standard output of a command that reads `text`; all that it started is ended with it."""
    environment = {**os.environ, **QUIET, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(text, timeout)
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[-1]}: not done after {timeout:g} s") from None
    finally:
        _end(process)
    if process.returncode:
        raise Failed(f"{command[-1]} ended with {process.returncode}: {last_words(errors or output)}")
    return output


def _end(process: subprocess.Popen[str]) -> None:
    """End what is left of the process's session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()  # not read to its end: a daemon that left the session may hold it open


def last_words(text: str) -> str:
    """The last line of an output, where Python says what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:400] if lines else "it said nothing"
