"""The server's numbers, and how Prometheus reads them (text format 0.0.4)."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Meter:
    """Counts requests. Its labels are routes, methods, statuses and codes of errors: all of them few, and none is said by a client."""

    def __init__(self) -> None:
        self.bytes_in, self.bytes_out = 0, 0
        self.requests: dict[tuple[str, str, int], int] = {}
        self.refused: dict[str, int] = {}
        self._seconds: dict[tuple[str, str], tuple[list[int], list[float]]] = {}

    def request(self, method: str, route: str, status: int, seconds: float, bytes_in: int, bytes_out: int, reason: str) -> None:
        """A request was answered, or ended without (status 0); `reason` is the code of its error, "" for none."""
        method = method if method in ("GET", "HEAD", "POST", "PUT", "DELETE") else "other"
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out
        self.requests[method, route, status] = self.requests.get((method, route, status), 0) + 1
        if reason:
            self.refused[reason] = self.refused.get(reason, 0) + 1
        counts, total = self._seconds.setdefault((method, route), ([0] * (len(_BOUNDS) + 1), [0.0]))
        counts[bisect_left(_BOUNDS, seconds)] += 1
        total[0] += seconds

    def lines(self) -> Iterator[str]:
        """The exposition."""
        yield from family("ciranda_http_bytes_in_total", "counter", "bytes of requests' bodies", [({}, self.bytes_in)])
        yield from family("ciranda_http_bytes_out_total", "counter", "bytes of answers' bodies", [({}, self.bytes_out)])
        requests = [
            ({"method": method, "route": route, "status": str(status)}, count) for (method, route, status), count in self.requests.items()
        ]
        yield from family("ciranda_http_requests_total", "counter", "requests by route and status; 0: cut before the answer", requests)
        refused = [({"reason": reason}, count) for reason, count in self.refused.items()]
        yield from family("ciranda_refused_total", "counter", "requests refused, by the code of the error", refused)
        yield from self._durations()

    def _durations(self) -> Iterator[str]:
        name = "ciranda_http_request_seconds"
        yield from family(name, "histogram", "how long requests took, the wait of long polls included", [])
        for (method, route), (counts, (total,)) in self._seconds.items():
            labels = {"method": method, "route": route}
            for bound, below in zip((*_BOUNDS, math.inf), accumulate(counts), strict=True):
                yield sample(f"{name}_bucket", {**labels, "le": number(bound)}, below)
            yield sample(f"{name}_sum", labels, total)
            yield sample(f"{name}_count", labels, sum(counts))


def family(name: str, kind: str, text: str, samples: Sequence[tuple[dict[str, str], float]]) -> Iterator[str]:
    """One metric with its samples."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        yield sample(name, labels, value)


def sample(name: str, labels: dict[str, str], value: float) -> str:
    told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{told}}} {number(value)}" if told else f"{name} {number(value)}"


def number(value: float) -> str:
    """As Prometheus writes it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
