"""How errors are answered, and what the OpenAPI description says of credentials: the same for the server and for a client's own door."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from ciranda.core.errors import CirandaError, RunError, StoreError
from ciranda.runtimes.http.access import Denied
from ciranda.runtimes.http.answers import ApiError
from ciranda.runtimes.http.describe import complete

log = logging.getLogger(__name__)
REASON = "ciranda.reason"
"""The key of a request's scope under which the code of its error stands, for the guard to count."""

_CODES = {400: "malformed", 404: "no-such-path", 405: "no-such-method"}


def problem(
    scope: MutableMapping[str, Any], status: int, code: str, message: str, hint: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The answer to a request that is refused."""
    scope[REASON] = code
    # What a client said may stand in the message, and not everything that JSON can say is text.
    told = {"error": code, "message": _text(message), "hint": _text(hint)}
    return JSONResponse(told, status, headers)


def refusal(scope: MutableMapping[str, Any], error: CirandaError) -> JSONResponse:
    """The answer that says `error`."""
    status, code, headers = 422, "impossible", {}
    if isinstance(error, ApiError):
        status, code, headers = error.status, error.code, error.headers
    elif isinstance(error, Denied):
        status, code = error.status, "denied"
    elif isinstance(error, StoreError):
        status, code = 507, "not-stored"
    elif isinstance(error, RunError):
        status, code = 409, "not-now"
    return problem(scope, status, code, str(error), error.hint, headers)


def answer_problems(app: FastAPI) -> None:
    """Answer every error of `app` as JSON, and describe the credential that its routes ask for."""
    app.add_exception_handler(CirandaError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _unknown)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _failed)
    _describe(app)


def _describe(app: FastAPI) -> None:
    """Complete the OpenAPI description."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        return complete(plain())

    app.openapi = openapi  # type: ignore[method-assign]


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, CirandaError)
    return refusal(request.scope, error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = "; ".join(f"{'.'.join(str(part)[:100] for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()[:5])
    return problem(request.scope, 422, "invalid", faults)


async def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "error")
    return problem(request.scope, error.status_code, code, str(error.detail), headers=error.headers)


async def _gone(request: Request, error: Exception) -> Response:
    return problem(request.scope, 408, "hung-up", "The line was cut before the body ended.")


async def _failed(request: Request, error: Exception) -> Response:
    log.error("%s %a", request.method, request.url.path[:200], exc_info=error)
    return problem(request.scope, 500, "internal", type(error).__name__)


def _text(said: str) -> str:
    return said.encode("utf-8", "replace").decode()
