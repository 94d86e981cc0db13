"""Several runs side by side, in as many processes as may work at a time.

A small run cannot keep two cores busy by itself: it waits for the last client of each round. Two runs of one worker each can, so a study
hands whole runs to the cores and not clients. The longest are begun first, as that leaves the least idle time at the end (Graham,
"Bounds on multiprocessing timing anomalies", SIAM J. Appl. Math. 17(2), 1969).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ciranda.core.errors import CirandaError, RunError, StoreError, WorkerDied
from ciranda.store.files import make_folder

if sys.platform != "win32":
    import fcntl

Tell = Callable[[Mapping[str, Any]], None]
OnEvent = Callable[[str, Mapping[str, Any]], None]
Work = Callable[[int, Tell], Any]

_EVERY_S = 0.1  # how often a job tells how far it is
_PATIENCE_S = 10.0


@dataclass(frozen=True)
class Job:
    """Some work with a name. `work(workers, tell)` returns what can be pickled; `cost` says how long it takes beside the others."""

    key: str
    work: Work
    cost: float = 1.0


def cores() -> int:
    """How many jobs this process may run at a time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(jobs: Sequence[Job], workers: int, on_event: OnEvent = lambda key, row: None) -> Iterator[tuple[str, Any]]:
    """Do the jobs, at most `workers` at a time; yields (key, what came of it) as they end.

    What comes of a job that failed is its CirandaError. A single job gets all the workers for itself, in this process. On Ctrl-C the jobs
    are asked to stop, which leaves their runs fit to be resumed; a second Ctrl-C ends them at once. When this process dies they die.
    """
    if len(jobs) == 1 or workers == 1:
        for job in jobs:
            yield job.key, _inline(job, workers if len(jobs) == 1 else 1, on_event)
        return
    crew = _Crew(sorted(jobs, key=lambda job: -job.cost))
    begun = 0
    try:
        while begun < len(jobs) or crew.running:
            while begun < len(jobs) and len(crew.running) < workers:
                crew.begin(begun)
                begun += 1
            yield from crew.answers(on_event)
    except KeyboardInterrupt:
        crew.stop()
        raise
    finally:
        crew.close()


def _inline(job: Job, workers: int, on_event: OnEvent) -> Any:
    try:
        return job.work(workers, lambda row: on_event(job.key, row))
    except CirandaError as error:
        return error


class _Crew:
    """The processes at work, and those that wait for the next job: a process that has done a run does the next one sooner."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        # Forked, a process has the data and the imported libraries at once, and a task from a notebook's cell can be in it.
        self._context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self.running: dict[Connection, tuple[Job, BaseProcess]] = {}
        self._idle: dict[Connection, BaseProcess] = {}
        # Nothing is ever sent: this process holds the only writing end, so its death is an end of file for all.
        self._reader, self._writer = self._context.Pipe(duplex=False)

    def begin(self, place: int) -> None:
        """Have the job with this place in the list done."""
        while self._idle:
            link, process = self._idle.popitem()
            try:
                link.send(place)
            except (BrokenPipeError, ConnectionResetError):  # somebody ended it while it had nothing to do
                process.join()
                link.close()
                continue
            self.running[link] = (self._jobs[place], process)
            return
        link, process = self._start()
        link.send(place)
        self.running[link] = (self._jobs[place], process)

    def _start(self) -> tuple[Connection, BaseProcess]:
        link, theirs = self._context.Pipe()
        inherited = [self._writer, link, *self.running, *self._idle] if self._context.get_start_method() == "fork" else []
        process = self._context.Process(  # type: ignore[attr-defined]
            target=_serve, args=(self._jobs, theirs, self._reader, inherited), name="ciranda-jobs", daemon=True
        )
        process.start()
        theirs.close()
        return link, process

    def answers(self, on_event: OnEvent) -> Iterator[tuple[str, Any]]:
        """Wait until something is told; yields what came of the jobs that ended."""
        for ready in wait(list(self.running)):
            assert isinstance(ready, Connection)
            job, process = self.running[ready]
            try:
                kind, value = ready.recv()
            except (EOFError, ConnectionResetError):
                del self.running[ready]
                process.join()
                ready.close()
                died = WorkerDied(
                    "The process of '{job}' ended with exit code {code}.",
                    job=job.key,
                    code=process.exitcode,
                    hint="Exit code -9 often means that memory ran out: use fewer --workers. What is done is kept.",
                )
                yield job.key, died
                continue
            if kind == "event":
                on_event(job.key, value)
                continue
            del self.running[ready]
            self._idle[ready] = process
            yield job.key, value

    def stop(self) -> None:
        """Ask all to stop, and wait until they have."""
        for _, process in self.running.values():
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGINT)
        while self.running:
            for _ in self.answers(lambda key, row: None):
                pass

    def close(self) -> None:
        for link, process in (*self._idle.items(), *((link, process) for link, (_, process) in self.running.items())):
            process.kill()
            process.join()
            link.close()
        self.running.clear()
        self._idle.clear()
        self._reader.close()
        self._writer.close()


def _serve(jobs: Sequence[Job], link: Connection, parent: Connection, inherited: Sequence[Connection]) -> None:
    """The life of a process: do the jobs whose places in the list are told, one after another."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # Ctrl-C is told by the parent, once
    for other in inherited:
        other.close()
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    while True:
        try:
            work = jobs[link.recv()].work
        except (EOFError, KeyboardInterrupt):
            return
        try:
            link.send(("done", work(1, _teller(link))))
        except CirandaError as error:
            link.send(("done", error))
        except KeyboardInterrupt:
            link.send(("done", RunError("It was interrupted.")))
            return
        except Exception as error:
            link.send(("done", RunError("{kind}: {error}", kind=type(error).__name__, error=error)))


def _teller(link: Connection) -> Tell:
    """What a job tells its events with: the first one, and then one every so often."""
    told = 0.0

    def tell(row: Mapping[str, Any]) -> None:
        nonlocal told
        now = time.monotonic()
        if row["event"] == "start" or now - told >= _EVERY_S:
            told = now
            link.send(("event", {key: row[key] for key in ("event", "round", "rounds", "done", "of", "kind") if key in row}))

    return tell


def _die_with(parent: Connection) -> None:
    try:
        parent.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make the folder and keep other processes from working in it. The lock goes with this process and its jobs, however they end.

    Raises:
        StoreError: another process is at work there.
    """
    make_folder(folder)
    with (folder / ".lock").open("w") as file:
        deadline = time.monotonic() + _PATIENCE_S  # jobs of a process that was killed have their last breath to draw
        while not _lock(file.fileno()):
            if time.monotonic() > deadline:
                raise StoreError(
                    "Another process is at work in {folder}.", folder=folder, hint="Wait for its end, or choose another --out."
                )
            time.sleep(0.05)
        yield


def _lock(fd: int) -> bool:
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
