"""Runs as resources, for the operator; whoever takes part may look."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from ciranda.protocol.messages import PauseAsked, ResumeAsked
from ciranda.runtimes.http.answers import ApiError
from ciranda.runtimes.http.describe import CLIENT, errors
from ciranda.runtimes.http.run import HttpRun
from ciranda.runtimes.http.service import Service

_QUEUE = 1000
_HEARTBEAT_S, _ENDING_S = 15.0, 0.02


class NewRun(BaseModel):
    """An experiment to run, as TOML, and for whom to wait."""

    model_config = ConfigDict(extra="forbid", strict=True)
    experiment: Annotated[str, Field(max_length=1024 * 1024)]
    run: Annotated[str, Field(max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None = None
    min_clients: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    max_clients: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    wait_s: Annotated[float, Field(gt=0, lt=2**31)] | None = None


class RunView(BaseModel):
    run: str
    status: str
    reason: str
    round: int
    rounds: int
    version: int
    model: str
    metrics: dict[str, Any]
    clients: int


class Runs(BaseModel):
    runs: list[RunView]


class Tokens(BaseModel):
    tokens: list[str]


class HowMany(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    count: Annotated[int, Field(ge=1, le=10_000)] = 1


def run_routes(app: FastAPI, service: Service) -> None:
    """The routes under /v1 about runs, tokens and clients."""

    @app.get("/v1/runs", responses=errors(401, 410), **CLIENT)
    async def runs(request: Request) -> Runs:
        """All runs of this server."""
        service.caller(request)
        return Runs(runs=[RunView(**run.view()) for run in service.runs.values()])

    @app.post("/v1/runs", status_code=201, responses=errors(401, 403, 409, 410, 422, 507), **CLIENT)
    async def create(request: Request, body: NewRun) -> RunView:
        """A new run, which waits for its clients."""
        service.operator(request)
        if service.draft is None:
            raise ApiError(409, "no-more-runs", "This server takes no further runs.")
        told = body.model_dump()
        blueprint = await asyncio.to_thread(service.draft, told)  # loads data
        return RunView(**service.add(blueprint).view())

    @app.get("/v1/runs/{run}", responses=errors(401, 404, 410), **CLIENT)
    async def view(request: Request, run: str) -> RunView:
        """How a run stands."""
        service.caller(request)
        return RunView(**service.run(run).view())

    @app.get("/v1/runs/{run}/room", responses=errors(401, 404, 410), **CLIENT)
    async def room(request: Request, run: str) -> dict[str, Any]:
        """The waiting room: who has come, how many are needed, how long it waits, and when each was last heard."""
        service.caller(request)
        seen = service.mail.seen
        shown = service.run(run).room.view()
        return {**shown, "clients": [{**client, "seen_s": seen(client["client"])} for client in shown["clients"]]}

    @app.get("/v1/runs/{run}/rows", responses=errors(401, 404, 410, 422), **CLIENT)
    async def rows(request: Request, run: str, after: Annotated[int, Query(ge=0, lt=2**31)] = 0) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl after line `after`."""
        service.caller(request)
        return [dict(row) for row in service.run(run).rows[after:]]

    @app.get(
        "/v1/runs/{run}/events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}, **errors(401, 404, 410, 422)},
        **CLIENT,
    )
    async def events(
        request: Request,
        run: str,
        after: Annotated[int, Query(ge=0, lt=2**31)] = 0,
        last_event_id: Annotated[str, Header(max_length=20)] = "",
    ) -> Response:
        """Server-sent events: every row after line `after`, or after `Last-Event-ID`, then what happens, until the run is over."""
        service.caller(request)
        # A page's EventSource asks again with the id of the last event, at the address that it began with.
        last = int(last_event_id) if last_event_id.isascii() and last_event_id.isdecimal() else 0
        return StreamingResponse(_stream(service, service.run(run), max(after, last)), media_type="text/event-stream")

    _control_routes(app, service)
    _access_routes(app, service)


def _control_routes(app: FastAPI, service: Service) -> None:
    """What changes the course of a run."""

    @app.post("/v1/runs/{run}/pause", status_code=202, responses=errors(401, 403, 404, 409, 410), **CLIENT)
    async def pause(request: Request, run: str) -> RunView:
        """Stop after the round in progress, until `resume`."""
        return _asked(service, request, run, ("running",), lambda it: it.wire.tell(PauseAsked("operator")))

    @app.post("/v1/runs/{run}/resume", status_code=202, responses=errors(401, 403, 404, 409, 410), **CLIENT)
    async def resume(request: Request, run: str) -> RunView:
        """Go on after a pause, a stop or an error."""
        service.operator(request)
        it = service.run(run)
        if it.over.is_set() and it.status in ("aborted", "error"):
            return RunView(**service.add(it.blueprint).view())
        return _asked(service, request, run, ("paused", "running"), lambda it: it.wire.tell(ResumeAsked("operator")))

    @app.post("/v1/runs/{run}/stop", status_code=202, responses=errors(401, 403, 404, 409, 410), **CLIENT)
    async def stop(request: Request, run: str) -> RunView:
        """End the run as it stands."""
        return _asked(service, request, run, ("waiting", "pending", "running", "paused"), lambda it: it.stop("operator"))

    @app.delete("/v1/runs/{run}", status_code=204, responses=errors(401, 403, 404, 409, 410), **CLIENT)
    async def delete(request: Request, run: str) -> None:
        """Forget a run that is over. What it left stays on the server's disk; a posted run's folder moves to `deleted`."""
        service.operator(request)
        it = service.run(run)
        if not it.over.is_set():
            raise ApiError(409, "goes-on", "The run '{run}' goes on; stop it first.", run=run)
        it.blueprint.forget()
        del service.runs[run]


def _access_routes(app: FastAPI, service: Service) -> None:
    """Tokens and clients."""

    @app.post("/v1/tokens", status_code=201, responses=errors(401, 403, 410, 422), **CLIENT)
    async def tokens(request: Request, body: HowMany) -> Tokens:
        """New one-time tokens; they are shown this once."""
        service.operator(request)
        return Tokens(tokens=service.access.make_tokens(body.count))

    @app.get("/v1/clients", responses=errors(401, 403, 410), **CLIENT)
    async def clients(request: Request) -> dict[str, list[dict[str, Any]]]:
        """All clients that enrolled: what each does, when it was last heard (0: it waits for news; null: not since the start), its runs."""
        service.operator(request)
        return {"clients": [_client_view(service, name) for name in service.access.clients()]}

    @app.delete("/v1/clients/{name}", status_code=204, responses=errors(401, 403, 404, 410), **CLIENT)
    async def revoke(request: Request, name: str) -> None:
        """Shut a client out for good: at once, whatever it is about."""
        service.operator(request)
        service.revoke(name)


def _asked(service: Service, request: Request, run: str, states: tuple[str, ...], ask: Any) -> RunView:
    service.operator(request)
    it = service.run(run)
    if it.status not in states or it.over.is_set():
        raise ApiError(409, "not-now", "The run '{run}' is {status}.", run=run, status=it.status)
    ask(it)
    return RunView(**it.view())


def _client_view(service: Service, name: str) -> dict[str, Any]:
    """`state`: see `Service.state_of`; `round`: what it is asked to work on."""
    runs = [run.name for run in service.runs.values() if any(member.client == name for member in run.room.members())]
    asked, state = service.mail.asked(name), service.state_of(name)
    round = asked["round"] if asked is not None else None
    return {"name": name, "state": state, "round": round, "seen_s": service.mail.seen(name), "revoked": state == "revoked", "runs": runs}


async def _stream(service: Service, run: HttpRun, after: int) -> AsyncIterator[str]:
    queue: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(_QUEUE)
    run.watchers.add(queue)
    try:
        number = after
        for row in run.rows[after:]:
            number += 1
            yield _event("round", row, number)
        while not service.stopping and queue in run.watchers:
            if run.over.is_set() and queue.empty():
                yield _event("finish", run.view())
                return
            try:
                news = await asyncio.wait_for(queue.get(), _HEARTBEAT_S if not run.over.is_set() else 0.1)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            while news["event"] == "finish" and not (run.over.is_set() or service.stopping):
                await asyncio.sleep(_ENDING_S)  # whoever hears of the end may delete the run at once
            if news["event"] != "round":
                yield _event(news["event"], news)
            elif number < len(run.rows):
                number += 1
                yield _event("round", run.rows[number - 1], number)
            if news["event"] == "finish":
                return
    finally:
        run.watchers.discard(queue)


def _event(kind: str, data: Mapping[str, Any], number: int | None = None) -> str:
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
