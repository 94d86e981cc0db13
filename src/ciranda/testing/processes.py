"""Child processes that tests can kill at any moment, with what each reported before it died."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Report = Callable[[Any], None]


class Child:
    """A process that runs `work(report)`, forked so that `work` may be any function and starts in a millisecond.

    What it reports (anything that JSON can say) reaches `reports` even when it is killed in the next instant. A store
    that was opened before is not to be used in it: open another.
    """

    def __init__(self, work: Callable[[Report], None]) -> None:
        if not hasattr(os, "fork"):
            pytest.skip("needs a system that can fork")
        source, sink = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: the child takes no lock of theirs
            self.pid = os.fork()
        if self.pid == 0:
            os.close(source)
            _work(work, sink)
        os.close(sink)
        self._source = os.fdopen(source, "rb")

    def reports(self) -> Iterator[Any]:
        """What the child reports, as it comes, until it ends."""
        for line in self._source:
            if line.endswith(b"\n"):
                yield json.loads(line)

    def kill(self) -> None:
        """`kill -9`."""
        os.kill(self.pid, signal.SIGKILL)

    def join(self) -> int:
        """Wait for the end; returns the exit status, or minus the signal that ended it."""
        self._source.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def gather(works: list[Callable[[Report], None]]) -> list[list[Any]]:
    """Run all `works` at the same time, each in a process; returns what each reported. AssertionError when one fails."""
    children = [Child(work) for work in works]
    reports = [list(child.reports()) for child in children]
    statuses = [child.join() for child in children]
    assert not any(statuses), f"a child process failed: exit statuses {statuses}"
    return reports


def _work(work: Callable[[Report], None], sink: int) -> None:
    """The whole life of the child: nothing of the parent's (tests, handlers, buffers) may run in it afterwards."""
    status = 1
    try:
        work(lambda value: _send(sink, value))
        status = 0
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(status)


def _send(sink: int, value: Any) -> None:
    os.write(sink, json.dumps(value).encode() + b"\n")
