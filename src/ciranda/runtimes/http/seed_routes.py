"""The six routes that clients of the seeds speak, on the same runs: state dicts as safetensors instead of pickle, and telling statuses.

`/subscribe` gives out the next partition of the run, with the credential that every other route asks for in `Authorization: Bearer`.
What is sent is a whole trained model; the server takes its difference from the round's, and counts it as any other reply.
"""

from __future__ import annotations

import json
from secrets import token_hex
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ciranda.core.codec import decode
from ciranda.core.errors import CodecError
from ciranda.core.message import encode_update
from ciranda.core.params import digest_of
from ciranda.core.task import Arrays, Part
from ciranda.core.update import Contract, Update, difference
from ciranda.protocol.envelope import Envelope
from ciranda.protocol.messages import Failed, ResumeAsked
from ciranda.runtimes.http.access import Denied
from ciranda.runtimes.http.answers import ApiError
from ciranda.runtimes.http.describe import CLIENT, errors
from ciranda.runtimes.http.roster import Member
from ciranda.runtimes.http.routes_transfer import REFUSED, answer_to, judged, limit_of
from ciranda.runtimes.http.run import HttpRun
from ciranda.runtimes.http.service import Service
from ciranda.runtimes.http.transfer import send, whole

_OCTETS = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
_MODEL = {"requestBody": {"required": True, **_OCTETS}, **CLIENT["openapi_extra"]}


class Who(BaseModel):
    model_config = ConfigDict(strict=True)
    client_id: Annotated[int, Field(ge=0, lt=2**31)]


class Subscribed(BaseModel):
    """`credential` goes into the header `Authorization: Bearer` of every other request."""

    id: int
    credential: str


class Indices(BaseModel):
    """`dict_user`: a list of indices as text, as the seeds' clients expect it; it is JSON."""

    dict_user: str


class Turn(BaseModel):
    """`epoch`: the round to train for, 0 for none; `done`: the run is over, and there will be no other."""

    train: bool
    epoch: int = 0
    done: bool = False


class Training(BaseModel):
    run: str
    status: str
    epoch: int
    epochs: int


def seed_routes(app: FastAPI, service: Service) -> None:
    """The seeds' routes, about the latest run."""
    _taking_part(app, service)
    _rounds(app, service)


def _taking_part(app: FastAPI, service: Service) -> None:
    @app.post("/subscribe", status_code=201, responses=errors(401, 409, 422, 503))
    def subscribe(authorization: Annotated[str, Header(max_length=300)] = "") -> Subscribed:
        """Take part with the next free partition; a one-time token, where one is needed, is the request's `Authorization: Bearer`."""
        it = _latest(service)
        name = f"seed-{token_hex(6)}"
        free = sorted(set(range(it.blueprint.partitions)) - {member.partition for member in it.room.members()})
        if it.room.roster is not None or not free:
            raise ApiError(409, "full", "The run '{run}' has begun, or has all of its clients.", run=it.name)
        credential = service.enrol(authorization.partition(" ")[2].strip(), name)
        for partition in free:
            try:
                it.room.join(name, (partition, it.blueprint.partitions), examples=len(it.blueprint.indices(partition)) or None)
            except Denied:
                continue  # somebody else was quicker
            return Subscribed(id=partition, credential=credential)
        raise ApiError(409, "full", "The run '{run}' has begun, or has all of its clients.", run=it.name)

    @app.post("/get_data", responses=errors(401, 403, 409, 410, 422, 503), **CLIENT)
    async def get_data(request: Request, who: Who) -> Indices:
        """The indices of this client's examples in the data set."""
        it, _, _ = _member(service, request, who.client_id)
        indices = it.blueprint.indices(who.client_id)
        if not indices:
            raise ApiError(409, "no-partitions", "The run '{run}' has no partitions to hand out.", run=it.name)
        return Indices(dict_user=json.dumps(list(indices)))

    @app.post("/start_training", status_code=202, responses=errors(401, 403, 409, 410, 503), **CLIENT)
    async def start_training(request: Request) -> Training:
        """Go on with the run, if it was paused; it begins by itself once its clients have subscribed."""
        service.operator(request)
        it = _latest(service)
        if it.over.is_set():
            raise ApiError(409, "over", "The run '{run}' is over.", hint="POST /v1/runs begins another.", run=it.name)
        if it.status == "paused":
            it.wire.tell(ResumeAsked("operator"))
        view = it.view()
        return Training(run=it.name, status=view["status"], epoch=view["round"], epochs=view["rounds"])


def _rounds(app: FastAPI, service: Service) -> None:
    @app.post("/get_model", response_class=Response, responses={200: _OCTETS, **errors(401, 410, 416, 503)}, **CLIENT)
    async def get_model(request: Request) -> Response:
        """The global model as safetensors."""
        service.caller(request)
        it = _latest(service)
        offer = it.models.get(it.models.latest)
        if offer is None:
            raise ApiError(503, "not-begun", "The run '{run}' has not begun.", run=it.name, headers={"Retry-After": "1"})
        response, count = send(request, offer.model, offer.published.digest)
        it.wire.sent(count)
        response.headers["Clients-Number"] = str(it.blueprint.maximum)
        return response

    @app.post("/get_clients_to_train", responses=errors(401, 403, 409, 410, 422, 503), **CLIENT)
    async def get_clients_to_train(request: Request, who: Who) -> Turn:
        """Whether it is this client's turn; it stays so until the model was sent, or the round went on without it."""
        it, member, client = _member(service, request, who.client_id)
        service.mail.heard(client)
        if it.over.is_set():
            return Turn(train=False, done=True)
        asked = service.mail.asked(client, it.name)
        if asked is None:
            return Turn(train=False)
        if asked["kind"] != "train":  # there is no route for what such a client could answer
            it.wire.tell(Failed(asked["phase"], member.name, "it only trains"))
            service.mail.answered(client, it.name, asked["phase"])
            return Turn(train=False)
        return Turn(train=True, epoch=asked["round"])

    @app.post("/send_model", responses={**errors(401, 403, 408, 410, 411, 503, 507), **REFUSED}, openapi_extra=_MODEL)
    async def send_model(request: Request, client_id: Annotated[int, Header(ge=0, lt=2**31)]) -> dict[str, str]:
        """The model after this client's training, as safetensors; its examples' number is known."""
        it, member, client = _member(service, request, client_id)
        asked = service.mail.asked(client, it.name)
        offer = it.models.get(asked["model"]) if asked is not None else None
        if asked is None or offer is None or asked["kind"] != "train":
            raise ApiError(409, "not-selected", "It is not this client's turn.", hint="Ask /get_clients_to_train.")
        trained = _read(await whole(request, limit_of(it)), offer.published.arrays)
        parts = difference(offer.published.arrays, trained, _parts(offer.published.contract).__getitem__)
        body = encode_update(Update(parts, len(it.blueprint.indices(client_id)) or 1, {}))
        verdict = await judged(it, member, _envelope(it, member, asked, body), body)
        service.count(f"replies_{verdict.status}")
        if verdict.status != "failed":
            service.mail.answered(client, it.name, asked["phase"])
        if verdict.status not in ("stored", "duplicate"):
            return answer_to(verdict)  # type: ignore[return-value]
        return {}


def _latest(service: Service) -> HttpRun:
    for run in reversed(service.runs.values()):
        return run
    raise ApiError(503, "starting", "There is no run yet.", headers={"Retry-After": "1"})


def _member(service: Service, request: Request, number: int) -> tuple[HttpRun, Member, str]:
    """The latest run, the caller's place in it, and the caller. Raises ApiError when `number` is another's."""
    client = service.client(request)
    it = _latest(service)
    member = next((member for member in it.room.members() if member.client == client), None)
    if member is None or member.partition != number:
        raise ApiError(403, "not-your-number", "The client {number} of the run '{run}' is somebody else.", number=number, run=it.name)
    return it, member, client


def _read(body: bytes, model: Arrays) -> Arrays:
    """A state dict like `model`. Raises ApiError 422."""
    try:
        arrays, _ = decode(body)
    except CodecError as error:
        raise ApiError(422, "malformed", "{error}", hint="Send safetensors: pickle is never loaded here.", error=error) from error
    if {name: (array.dtype, array.shape) for name, array in arrays.items()} != {name: (a.dtype, a.shape) for name, a in model.items()}:
        raise ApiError(422, "wrong-shape", "The tensors' names, types or shapes are not those of the model.")
    return arrays


def _parts(contract: Contract) -> dict[str, Part]:
    """Which part each tensor of the model belongs to; what is in none stays with its client."""
    parts: dict[str, Any] = dict.fromkeys(contract.local.names, "private")
    parts.update((name, part) for part, held in contract.parts.items() for name in held.signature.names)
    return parts


def _envelope(run: HttpRun, member: Member, asked: Any, body: bytes) -> Envelope:
    return Envelope(
        run=run.name,
        sender=member.name,
        to="@server",
        kind="reply",
        id=f"{run.name}/{asked['phase']}/{member.name}/reply",
        phase=asked["phase"],
        round=asked["round"],
        model=asked["model"],
        body=digest_of(body),
        length=len(body),
    )
