"""What moves models and replies."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from ciranda.core.errors import CodecError
from ciranda.core.message import max_reply_bytes
from ciranda.core.params import digest_of
from ciranda.core.update import REASONS
from ciranda.protocol.envelope import MAX_ENVELOPE, MAX_NAME, Envelope
from ciranda.runtimes.http.answers import ApiError
from ciranda.runtimes.http.describe import CLIENT, Problem, errors
from ciranda.runtimes.http.models import Content, Offer
from ciranda.runtimes.http.problems import REASON
from ciranda.runtimes.http.roster import Member
from ciranda.runtimes.http.run import HttpRun
from ciranda.runtimes.http.service import Service
from ciranda.runtimes.http.transfer import INLINE, Uploads, send, whole
from ciranda.runtimes.http.wire import Arrival, Verdict

Digest = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
PhaseId = Annotated[str, Path(max_length=MAX_NAME)]
_STATE = ("late", "duplicate", "conflicting", "wrong-round", "not-selected")
_BINARY = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
_BODY = {"requestBody": {"required": True, **_BINARY}}


class Judgement(BaseModel):
    """What became of a reply: stored, duplicate, or refused for a reason."""

    status: str
    reason: str = ""
    message: str = ""


REFUSED: dict[int | str, dict[str, Any]] = {
    status: {"model": Judgement | Problem, "description": "refused, for the reason that is told"} for status in (409, 413, 422)
}
"""How a reply is refused."""


def transfer_routes(app: FastAPI, service: Service) -> None:
    """The routes under /v1 that move bodies of any size."""
    downloaded: dict[int | str, dict[str, Any]] = {
        200: _BINARY,
        206: _BINARY,
        304: {"description": "as it was"},
        **errors(401, 404, 410, 416, 422, 503),
    }

    @app.get("/v1/runs/{run}/models/{digest}", response_class=Response, responses=downloaded, **CLIENT)
    async def model(request: Request, run: str, digest: Digest) -> Response:
        """A published model: the last two are there."""
        it, offer = _offer(service, request, run, digest)
        return sent(request, it, offer.model, digest)

    @app.get("/v1/runs/{run}/model", response_class=Response, responses=downloaded, **CLIENT)
    async def latest(request: Request, run: str) -> Response:
        """The latest committed model."""
        it, offer = _offer(service, request, run, service.run(run).models.latest)
        return sent(request, it, offer.model, offer.published.digest)

    @app.get("/v1/runs/{run}/models/{digest}/broadcast", response_class=Response, responses=downloaded, **CLIENT)
    async def broadcast(request: Request, run: str, digest: Digest) -> Response:
        """What the strategy sends beside the model."""
        it, offer = _offer(service, request, run, digest)
        if offer.broadcast is None:
            raise ApiError(404, "no-broadcast", "The strategy sends nothing beside the model.")
        return sent(request, it, offer.broadcast, f"{digest}-broadcast")

    _reply_route(app, service)
    _upload_routes(app, service)


def _reply_route(app: FastAPI, service: Service) -> None:
    judgements: dict[int | str, dict[str, Any]] = {
        **errors(401, 403, 404, 408, 410, 411, 428, 503, 507),
        **REFUSED,
    }

    @app.put(
        "/v1/runs/{run}/replies/{phase}", response_model=Judgement, responses=judgements, openapi_extra={**_BODY, **CLIENT["openapi_extra"]}
    )
    async def reply(request: Request, run: str, phase: PhaseId) -> Response:
        """A reply: 4 bytes with the envelope's length, the envelope, the body unless it was uploaded before."""
        client = service.client(request)
        it = service.run(run)
        member = member_of(it, client)
        envelope, body = _open(await whole(request, 4 + MAX_ENVELOPE + min(INLINE, limit_of(it))), run, member.name, phase)
        if body is None and not it.replies.upload(member.name, envelope.body).exists():
            raise ApiError(428, "not-uploaded", "The body {digest} was not uploaded before.", digest=envelope.body[:12])
        verdict = await judged(it, member, envelope, body)
        service.count(f"replies_{verdict.status}")
        request.scope[REASON] = verdict.reason
        if verdict.status != "failed":
            service.mail.answered(client, run, phase)
        return answer_to(verdict)


def _upload_routes(app: FastAPI, service: Service) -> None:
    """Large replies, in pieces."""
    uploads = Uploads()

    @app.head("/v1/runs/{run}/uploads/{digest}", responses=errors(401, 403, 404, 410, 422, 503), **CLIENT)
    async def kept(request: Request, run: str, digest: Digest) -> Response:
        """How much of an upload the server has."""
        it = service.run(run)
        member = member_of(it, service.client(request))
        offset = await uploads.offset(run, member.name, it.replies.upload(member.name, digest), digest)
        if offset is None:
            raise ApiError(404, "no-upload", "Nothing of this upload is here.")
        return Response(headers={"Upload-Offset": str(offset), "Upload-Limit": str(limit_of(it))})

    @app.put(
        "/v1/runs/{run}/uploads/{digest}",
        status_code=204,
        responses={201: {"description": "whole and durable"}, **errors(401, 403, 404, 408, 409, 410, 411, 413, 422, 503, 507)},
        openapi_extra={**_BODY, **CLIENT["openapi_extra"]},
    )
    async def upload(
        request: Request,
        run: str,
        digest: Digest,
        length: Annotated[int, Query(ge=1, lt=2**53)],
        offset: Annotated[int, Query(ge=0, lt=2**53)] = 0,
    ) -> Response:
        """A piece of a large reply's body, from `offset` on."""
        it = service.run(run)
        member = member_of(it, service.client(request))
        if length > limit_of(it):
            raise ApiError(
                413, "oversized", "A reply of {length} bytes is of no use; at most {limit} are.", length=length, limit=limit_of(it)
            )
        if offset >= length:
            raise ApiError(422, "wrong-offset", "The upload ends before byte {offset}.", offset=offset)
        target = it.replies.upload(member.name, digest)
        got, done = await uploads.write(request, run, member.name, target, digest, offset, length)
        return Response(status_code=201 if done else 204, headers={"Upload-Offset": str(got)})


def _offer(service: Service, request: Request, run: str, digest: str) -> tuple[HttpRun, Offer]:
    service.caller(request)
    it = service.run(run)
    offer = it.models.get(digest)
    if offer is None and it.host is None and not it.over.is_set():
        raise _not_begun(it)
    if offer is None:
        raise ApiError(404, "no-such-model", "The run '{run}' does not offer this model.", run=run)
    return it, offer


def sent(request: Request, run: HttpRun, content: Content, etag: str) -> Response:
    answer, count = send(request, content, etag)
    run.wire.sent(count)
    return answer


def member_of(run: HttpRun, client: str) -> Member:
    member = run.member(client)
    if member is None:
        raise ApiError(403, "not-a-member", "The client '{client}' takes no part in the run '{run}'.", client=client, run=run.name)
    return member


def limit_of(run: HttpRun) -> int:
    """The longest body of a reply. Raises ApiError before there is a model."""
    offer = run.models.get(run.models.latest)
    if offer is None:
        raise _not_begun(run)
    return max_reply_bytes(offer.published.contract)


def _not_begun(run: HttpRun) -> ApiError:
    return ApiError(503, "not-begun", "The run '{run}' has not begun, or not begun again.", run=run.name, headers={"Retry-After": "1"})


def _open(frame: bytes, run: str, name: str, phase: str) -> tuple[Envelope, bytes | None]:
    """The envelope and the body (None: uploaded before) of a reply. Raises ApiError."""
    try:
        size = int.from_bytes(frame[:4], "little")
        if len(frame) < 4 or size > len(frame) - 4:
            raise CodecError("The envelope is cut short.")
        envelope = Envelope.from_json(frame[4 : 4 + size])
        body = frame[4 + size :] or None
        told = (envelope.run, envelope.sender, envelope.phase, envelope.kind)
        if told != (run, name, phase, "reply"):
            raise CodecError("The envelope is of another run, client, phase or kind than the request.")
        if body is not None:
            envelope.check_length(len(body))
            if len(body) != envelope.length or digest_of(body) != envelope.body:
                raise CodecError("The body does not have the length and the digest that the envelope tells.")
        elif not envelope.length:
            raise CodecError("The reply has no body.")
    except CodecError as error:
        raise ApiError(422, "malformed", "{error}", error=error) from error
    return envelope, body


async def judged(run: HttpRun, member: Member, envelope: Envelope, body: bytes | None) -> Verdict:
    """What the coordinator says of the reply, once that is stored."""
    if run.over.is_set():
        return Verdict("refused", "late")
    verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

    def answer(value: Verdict) -> None:
        if not verdict.done():
            verdict.set_result(value)

    run.wire.tell(Arrival(envelope.phase, member.name, envelope.body, envelope.model, envelope.length, body, answer))
    return await verdict


def answer_to(verdict: Verdict) -> Response:
    if verdict.status == "failed":
        raise ApiError(507, "not-stored", "The reply could not be stored: {reason}", hint="Send it again later.", reason=verdict.reason)
    if verdict.status != "refused":
        return JSONResponse({"status": verdict.status})
    status = 413 if verdict.reason == "oversized" else 409 if verdict.reason in _STATE else 422
    message = str(REASONS.get(verdict.reason, verdict.reason))
    return JSONResponse({"status": "refused", "reason": verdict.reason, "message": message}, status)
