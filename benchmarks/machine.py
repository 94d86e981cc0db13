"""What the machine is, and how much of it others used while something was measured."""

from __future__ import annotations

import datetime
import os
import platform
import resource
import time
from pathlib import Path

CPUINFO, MEMINFO, STAT = Path("/proc/cpuinfo"), Path("/proc/meminfo"), Path("/proc/stat")


def today() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def describe() -> str:
    """Processor, cores, memory and system in one line."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [_first(CPUINFO, "model name") or platform.processor() or platform.machine(), f"{cores} cores"]
    memory = _first(MEMINFO, "MemTotal")
    if memory:
        parts.append(f"{int(memory.split()[0]) / 1024**2:.0f} GiB")
    parts += [f"{platform.system()} {platform.release()}", f"Python {platform.python_version()}"]
    return ", ".join(parts)


def _first(file: Path, key: str) -> str:
    """The value of the first line `key : value`, "" where there is none."""
    if not file.is_file():
        return ""
    lines = (line.partition(":") for line in file.read_text(encoding="utf-8").splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == key), "")


class Watch:
    """From its making on: how many cores, on average, other programs kept busy."""

    def __init__(self) -> None:
        self._start = (time.monotonic(), _busy(), _ours())

    def others(self) -> float | None:
        """None where the system does not tell. Children still running count as others."""
        started, busy, ours = self._start
        now = _busy()
        if busy is None or now is None:
            return None
        return max(0.0, (now - busy) - (_ours() - ours)) / max(1e-9, time.monotonic() - started)


def _busy() -> float | None:
    """Processor seconds that this machine has worked, time taken by its hypervisor included."""
    if not STAT.is_file():
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, STAT.read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _ours() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
