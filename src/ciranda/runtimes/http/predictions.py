"""Predictions on demand: what may be sent, who computes, and what is answered. The server and every client's own door share it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Query, Request
from pydantic import BaseModel
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from ciranda.runtimes.http.answers import ApiError
from ciranda.runtimes.http.run import Part
from ciranda.runtimes.http.transfer import whole

MAX_BODY = 16 * 1024 * 1024
MAX_PARTS = 256
_WAITING = 16

Which = Annotated[Literal["global", "personal"], Query(description="the model that all learned, or this client's own")]
Top = Annotated[int, Query(ge=1, le=10_000, description="how many classes to tell of, the likeliest first")]
_R = TypeVar("_R")


class Predictions(BaseModel):
    """`model_sha256` says which model answers; `predictions` are in the order of the examples."""

    run: str
    model: str
    model_sha256: str
    predictions: list[dict[str, Any]]


_FILE = {"type": "string", "format": "binary"}
_PARTS = {"type": "object", "properties": {"file": {"type": "array", "items": _FILE}}, "required": ["file"]}
_JSON = {
    "type": "object",
    "properties": {"x": {"type": "array", "items": {}}, "rows": {"type": "array", "items": {"type": "object"}}},
    "example": {"x": [[5.1, 3.5, 1.4, 0.2]]},
}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": (
            "Pictures (PNG or JPEG), each a part of a form or alone; JSON with raw values `x`, or for a table `rows` by column; "
            "a .npy array; or safetensors with a tensor `x`. One example or many."
        ),
        "content": {
            "multipart/form-data": {"schema": _PARTS},
            "application/json": {"schema": _JSON},
            **{kind: {"schema": _FILE} for kind in ("image/png", "image/jpeg", "application/octet-stream")},
        },
    }
}


async def parts_of(request: Request) -> list[Part]:
    """What was sent. Raises ApiError when it is too long, does not go on, or is a form that cannot be read."""
    data = await whole(request, MAX_BODY)
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return [("body", data)]

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": data, "more_body": False}

    try:
        form = await Request(request.scope, receive).form(max_files=MAX_PARTS, max_fields=0)  # type: ignore[arg-type]
    except (MultiPartException, KeyError, ValueError) as error:
        raise ApiError(400, "malformed", "The form cannot be read: {error}.", error=str(error)) from error
    files = [file for _, file in form.multi_items() if isinstance(file, UploadFile)]
    parts = [((file.filename or "part")[:100], await file.read()) for file in files]
    await form.close()
    if not parts:
        raise ApiError(422, "malformed", "The form has no file in it.", hint='With curl: -F "file=@seven.png"')
    return parts


class Desk:
    """Computes one request after another in a thread of its own, so that nothing else waits."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "ciranda-desk")
        self._waiting = 0

    async def do(self, work: Callable[[], _R]) -> _R:
        """The outcome of `work`. Raises ApiError 429 when too many wait; from the event loop's thread."""
        if self._waiting >= _WAITING:
            raise ApiError(429, "busy", "Too many requests wait for an answer.", headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Drop what waits; what is in progress goes on to its end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
