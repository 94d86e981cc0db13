"""Whether the server lives, whether it is ready, and its numbers for Prometheus."""

from __future__ import annotations

from time import monotonic

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from ciranda.runtimes.http.describe import errors
from ciranda.runtimes.http.service import Service

_HELP = {
    "ciranda_up_seconds": ("gauge", "seconds since the server was started"),
    "ciranda_clients": ("gauge", "clients that enrolled"),
    "ciranda_clients_polling": ("gauge", "clients that wait for news"),
    "ciranda_replies_total": ("counter", "replies by what became of them"),
    "ciranda_run_round": ("gauge", "the round in progress or last begun"),
    "ciranda_run_rounds": ("gauge", "the rounds that the run has in all"),
    "ciranda_run_metric": ("gauge", "the metrics of the last evaluation"),
    "ciranda_run_status": ("gauge", "1 for the status that the run has"),
}


def health_routes(app: FastAPI, service: Service) -> None:
    """/healthz, /readyz and /metrics: no credential needed, and nothing about single clients told."""

    @app.get("/healthz")
    async def alive() -> dict[str, str]:
        """The server answers."""
        return {"status": "ok"}

    @app.get("/readyz", responses=errors(503))
    async def ready() -> Response:
        """The server takes requests."""
        if service.stopping or not service.ready:
            return JSONResponse({"error": "not-ready", "message": "The server is starting or stopping.", "hint": ""}, 503)
        return JSONResponse({"status": "ok"})

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Prometheus text."""
        return PlainTextResponse(_text(service), media_type="text/plain; version=0.0.4")


def _text(service: Service) -> str:
    samples: dict[str, list[tuple[str, float]]] = {name: [] for name in _HELP}
    samples["ciranda_up_seconds"].append(("", monotonic() - service.started))
    samples["ciranda_clients"].append(("", len(service.access.clients())))
    samples["ciranda_clients_polling"].append(("", service.mail.polling))
    for status in ("stored", "duplicate", "refused", "failed"):
        samples["ciranda_replies_total"].append((f'{{status="{status}"}}', service.counts.get(f"replies_{status}", 0)))
    for run in service.runs.values():
        view = run.view()
        samples["ciranda_run_round"].append((f'{{run="{run.name}"}}', view["round"]))
        samples["ciranda_run_rounds"].append((f'{{run="{run.name}"}}', view["rounds"]))
        samples["ciranda_run_status"].append((f'{{run="{run.name}",status="{view["status"]}"}}', 1))
        for group, values in view["metrics"].items():
            if group in ("server", "clients", "train"):
                labels = f'run="{run.name}",group="{group}"'
                samples["ciranda_run_metric"].extend((f'{{{labels},name="{name}"}}', value) for name, value in values.items())
    lines = []
    for name, (kind, text) in _HELP.items():
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *(f"{name}{labels} {value}" for labels, value in samples[name])]
    return "\n".join(lines) + "\n"
