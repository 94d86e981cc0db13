"""What clients ask of the server: to enrol, to join a run, news, records."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from ciranda.protocol.envelope import MAX_NAME
from ciranda.protocol.messages import Failed
from ciranda.runtimes.http.answers import ApiError
from ciranda.runtimes.http.describe import CLIENT, errors
from ciranda.runtimes.http.service import Service

Round = Annotated[int, Field(ge=0, lt=2**31)]
Name = Annotated[str, Field(max_length=MAX_NAME)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Enrolment(_Body):
    """Who a client wants to be, and the one-time token that lets it in."""

    token: Annotated[str, Field(max_length=200)] = ""
    name: Annotated[str, Field(min_length=1, max_length=80)]


class Credential(_Body):
    name: str
    credential: str


class Joining(_Body):
    """What a client tells about itself when it joins a run; of its data, no more than this."""

    partition: Annotated[list[int], Field(min_length=2, max_length=2)] | None = None
    examples: Annotated[int, Field(ge=1, lt=2**53)] | None = None
    data_schema: dict[str, Any] = Field(default_factory=dict, alias="schema")
    probe: Annotated[str, Field(max_length=MAX_NAME)] = ""
    versions: dict[str, str] = Field(default_factory=dict, max_length=32)


class Joined(_Body):
    run: str
    name: str
    seed: int
    status: str


class ExperimentView(_Body):
    """`data`: what clients with data of their own must know of the run's."""

    run: str
    experiment: str
    data: dict[str, Any]


class News(_Body):
    cursor: str
    events: list[dict[str, Any]]


class Failure(_Body):
    reason: Annotated[str, Field(max_length=2000)]


class RecordView(_Body):
    round: int
    model: str
    accepted: str


def client_routes(app: FastAPI, service: Service) -> None:
    """The routes under /v1 that clients use, but for those that move models and replies."""

    @app.post("/v1/enrol", status_code=201, responses=errors(401, 409, 422))
    def enrol(body: Enrolment) -> Credential:
        """Become a client: the credential goes into the header `Authorization: Bearer` of every other request."""
        return Credential(name=body.name, credential=service.enrol(body.token, body.name))

    @app.post("/v1/runs/{run}/join", responses=errors(401, 403, 404, 409, 410, 422), **CLIENT)
    def join(request: Request, run: str, body: Joining) -> Joined:
        """Take part in a run, or take part again after a restart."""
        client = service.client(request)
        it = service.run(run)
        partition = (body.partition[0], body.partition[1]) if body.partition else None
        told = {"examples": body.examples, "probe": body.probe, "schema": body.data_schema, "versions": body.versions}
        if it.over.is_set() and it.room.roster is None:
            raise ApiError(409, "over", "The run '{run}' is over.", run=run)
        it.blueprint.admit(body.data_schema)
        member = it.room.join(client, partition, **told)
        return Joined(run=run, name=member.name, status=it.status, seed=it.blueprint.seed(member))

    @app.get("/v1/runs/{run}/experiment", responses=errors(401, 404, 410), **CLIENT)
    async def experiment(request: Request, run: str) -> ExperimentView:
        """The experiment of a run as TOML, without its seed."""
        service.caller(request)
        it = service.run(run).blueprint
        return ExperimentView(run=run, experiment=it.experiment, data=dict(it.described()))

    @app.get("/v1/next", responses=errors(401, 403, 410, 422), response_model=News, **CLIENT)
    async def following(
        request: Request, after: Annotated[str, Query(max_length=64)] = "", wait: Annotated[float, Query(ge=0, le=60)] = 0.0
    ) -> Response:
        """News for this client after `after`; waits up to `wait` seconds for some."""
        client = service.client(request)
        cursor, events = await service.mail.next(client, after, 0.0 if service.stopping else wait)
        return JSONResponse({"cursor": cursor, "events": events})

    @app.post("/v1/runs/{run}/failures/{phase}", status_code=204, responses=errors(401, 403, 404, 409, 410, 422), **CLIENT)
    async def failure(request: Request, run: str, phase: Name, body: Failure) -> None:
        """Say that this client cannot do what `phase` asks."""
        client = service.client(request)
        it = service.run(run)
        member = it.member(client)
        if member is None:
            raise ApiError(409, "not-a-member", "The client '{client}' takes no part in the run '{run}'.", client=client, run=run)
        it.wire.tell(Failed(phase, member.name, body.reason))
        service.mail.answered(client, run, phase)

    @app.get("/v1/runs/{run}/records/{round}", responses=errors(401, 404, 410, 422), **CLIENT)
    async def record(request: Request, run: str, round: Round) -> RecordView:
        """What was recorded of a round, and which reply of this client was accepted in it."""
        caller = service.caller(request)
        it = service.run(run)
        row = it.record(round)
        if row is None:
            raise ApiError(404, "not-recorded", "Round {round} of the run '{run}' is not recorded.", round=round, run=run)
        member = it.member(caller.name)
        accepted = dict(row["accepted"]).get(member.name, "") if member is not None else ""
        return RecordView(round=round, model=row["model"], accepted=accepted)
