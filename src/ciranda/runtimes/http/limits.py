"""How often somebody may ask: token buckets, in memory that has a bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic


@dataclass(frozen=True)
class Rates:
    """Requests a second, and how many at once. Whoever shows no credential shares the bucket of their address, which no client draws on.

    A request that is refused costs `refusal` more, so that guessing and probing end soon, and working does not.
    """

    client: float = 500.0
    client_burst: float = 2000.0
    address: float = 100.0
    address_burst: float = 1000.0
    refusal: float = 10.0


class Buckets:
    """A bucket for each key: `rate` tokens a second flow in, up to `burst`. Beyond `most` keys the longest unused is forgotten."""

    def __init__(self, rate: float, burst: float, *, most: int = 10_000, clock: Callable[[], float] = monotonic) -> None:
        self._rate, self._burst, self._most, self._clock = rate, burst, most, clock
        self._levels: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._levels)

    def wait(self, key: str) -> float:
        """Seconds until one token is there; 0.0 when it is."""
        level = self._level(key)[0]
        return 0.0 if level >= 1.0 else (1.0 - level) / self._rate

    def spend(self, key: str, cost: float = 1.0) -> None:
        """Take `cost` out, be there enough or not; the debt is at most a burst."""
        level, now = self._level(key)
        self._levels.pop(key, None)  # so that the order is that of use
        self._levels[key] = (max(-self._burst, level - cost), now)
        if len(self._levels) > self._most:
            del self._levels[next(iter(self._levels))]

    def _level(self, key: str) -> tuple[float, float]:
        now = self._clock()
        level, at = self._levels.get(key, (self._burst, now))
        return min(self._burst, level + (now - at) * self._rate), now
