"""Whether the server lives, whether it is ready, and its numbers for Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from time import monotonic

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from ciranda.runtimes.http.describe import errors
from ciranda.runtimes.http.meter import family
from ciranda.runtimes.http.problems import problem
from ciranda.runtimes.http.run import HttpRun
from ciranda.runtimes.http.service import Service

_GROUPS = ("server", "clients", "train")


def health_routes(app: FastAPI, service: Service) -> None:
    """/healthz, /readyz and /metrics: no credential needed, and nothing about single clients told."""

    @app.get("/healthz")
    async def alive() -> dict[str, str]:
        """The server answers."""
        return {"status": "ok"}

    @app.get("/readyz", responses=errors(503))
    async def ready(request: Request) -> Response:
        """The server takes requests."""
        if service.stopping or not service.ready:
            return problem(request.scope, 503, "not-ready", "The server is starting or stopping.", headers={"Retry-After": "1"})
        return JSONResponse({"status": "ok"})

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Prometheus text."""
        return PlainTextResponse("\n".join(_lines(service)) + "\n", media_type="text/plain; version=0.0.4")


def _lines(service: Service) -> Iterator[str]:
    yield from family("ciranda_up_seconds", "gauge", "seconds since the server was started", [({}, monotonic() - service.started)])
    states = Counter(service.state_of(name) for name in service.access.clients())
    clients = [({"state": state}, float(states[state])) for state in ("working", "waiting", "silent", "revoked")]
    yield from family("ciranda_clients", "gauge", "clients that enrolled, by what they do", clients)
    yield from family("ciranda_clients_polling", "gauge", "clients that wait for news", [({}, service.mail.polling)])
    replies = [({"status": status}, service.counts.get(f"replies_{status}", 0)) for status in ("stored", "duplicate", "refused", "failed")]
    yield from family("ciranda_replies_total", "counter", "replies by what became of them", replies)
    runs = list(service.runs.values())
    views = [(run, run.view()) for run in runs]
    yield from family(
        "ciranda_run_round", "gauge", "the round in progress or last begun", [({"run": run.name}, view["round"]) for run, view in views]
    )
    yield from family(
        "ciranda_run_rounds", "gauge", "the rounds that the run has in all", [({"run": run.name}, view["rounds"]) for run, view in views]
    )
    statuses = [({"run": run.name, "status": view["status"]}, 1.0) for run, view in views]
    yield from family("ciranda_run_status", "gauge", "1 for the status that the run has", statuses)
    recorded = [({"run": run.name}, sum(row["event"] == "round" for row in run.rows)) for run in runs]
    yield from family("ciranda_run_rounds_recorded_total", "counter", "rounds on the record", recorded)
    for way in ("up", "down"):
        moved = [({"run": run.name}, sum(row.get(f"bytes_{way}", 0) for row in run.rows)) for run in runs]
        yield from family(f"ciranda_run_bytes_{way}_total", "counter", f"payload that went {way} in the rounds on the record", moved)
    measured = [sample for run in runs for sample in _measured(run)]
    yield from family("ciranda_run_metric", "gauge", "the metrics of the last evaluation", measured)
    yield from service.meter.lines()


def _measured(run: HttpRun) -> Iterator[tuple[dict[str, str], float]]:
    for group, values in run.view()["metrics"].items():
        for name, value in values.items() if group in _GROUPS else ():
            if isinstance(value, int | float):
                yield {"run": run.name, "group": group, "name": name}, value
