"""Time remaining, from the share of the work that is done. The clock is handed in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Eta:
    """Estimates what is left of `total` units of work.

    Work that was done before this process began (`first`, after a resume) says nothing about its speed, so it does not count.
    """

    total: float
    started: float
    first: float = 0.0

    def remaining(self, done: float, now: float) -> float | None:
        """Seconds left; None while nothing is done."""
        fresh = done - self.first
        if fresh <= 0:
            return None
        return max(0.0, (self.total - done) * (now - self.started) / fresh)


def clock_text(seconds: float | None) -> str:
    """`0:42`, `12:05`, `3:00:00`; `-:--` for None."""
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
