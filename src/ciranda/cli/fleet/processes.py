"""Processes that outlive the command that started them, told apart from strangers that have come to bear their number."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
_POLL_S = 0.05


@dataclass(frozen=True)
class Process:
    """A process: its number, and `born`, which no other process with that number shares."""

    pid: int
    born: str

    @property
    def alive(self) -> bool:
        return bool(self.born) and born(self.pid) == self.born


def start(command: Sequence[str], output: Path, folder: Path | None = None) -> Process:
    """Run `ciranda` with these arguments in the background, in `folder`; what it prints is added to the file `output`."""
    line = [sys.executable, "-m", "ciranda", *command]
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("ab") as stream:
        # A session of its own: neither Ctrl-C in the terminal nor its end reaches the process.
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, cwd=folder, start_new_session=True)
    process.returncode = 0  # nobody is going to wait for it: it outlives this object
    return Process(process.pid, born(process.pid))


def born(pid: int) -> str:
    """When the process `pid` was started, "" if there is none or it has ended.

    From /proc where there is one: ticks since the boot, and which boot. Elsewhere from `ps`, to the second.
    """
    if sys.platform == "linux":
        try:
            status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return ""
        state, *fields = status.rpartition(")")[2].split()  # the name before may hold anything
        return "" if state in "ZX" else f"{boot}/{fields[18]}"
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    told = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, check=False).stdout.split(None, 1)
    return "" if len(told) < 2 or told[0].startswith("Z") else told[1].strip()


def end(processes: Sequence[Process], patience: float) -> list[Process]:
    """Ask all to end, wait `patience` seconds, and kill who has not. Returns those that had to be killed."""
    for process in processes:
        _signal(process, signal.SIGTERM)
    _wait(processes, patience)
    killed = [process for process in processes if _signal(process, _KILL)]
    _wait(killed, 5.0)
    return killed


def _wait(processes: Sequence[Process], patience: float) -> None:
    last = monotonic() + patience
    for process in processes:
        while process.alive and monotonic() < last:
            _reap(process.pid)
            sleep(_POLL_S)


def _reap(pid: int) -> None:
    """Let a process that this one started, and that ended, disappear."""
    with suppress(ChildProcessError, AttributeError):
        os.waitpid(pid, os.WNOHANG)


def _signal(process: Process, number: int) -> bool:
    """Send a signal if the process is still the one that was started; whether it is."""
    if hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal"):
        # The descriptor stays with the process that is looked at, whoever bears its number when the signal is sent.
        try:
            descriptor = os.pidfd_open(process.pid)
        except OSError:
            return False
        try:
            if not process.alive:
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True
    if not process.alive:
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True
