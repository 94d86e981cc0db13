"""How errors are answered, and what the OpenAPI description says of credentials: the same for the server and for a client's own door."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ciranda.core.errors import CirandaError, RunError, StoreError
from ciranda.runtimes.http.access import Denied
from ciranda.runtimes.http.service import ApiError

log = logging.getLogger(__name__)
_CODES = {404: "no-such-path", 405: "no-such-method"}


def answer_problems(app: FastAPI) -> None:
    """Answer every error of `app` as JSON, and describe the credential that its routes ask for."""
    app.add_exception_handler(CirandaError, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _unknown)
    app.add_exception_handler(Exception, _failed)
    _describe(app)


def _describe(app: FastAPI) -> None:
    """Add the credential to the OpenAPI description."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        described = plain()
        schemes = described.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["credential"] = {"type": "http", "scheme": "bearer"}
        return described

    app.openapi = openapi  # type: ignore[method-assign]


async def _problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CirandaError)
    status, code, headers = 422, "impossible", {}
    if isinstance(error, ApiError):
        status, code, headers = error.status, error.code, error.headers
    elif isinstance(error, Denied):
        status, code = error.status, "denied"
    elif isinstance(error, StoreError):
        status, code = 507, "not-stored"
    elif isinstance(error, RunError):
        status, code = 409, "not-now"
    return JSONResponse({"error": code, "message": str(error), "hint": error.hint}, status, headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = "; ".join(f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()[:5])
    return JSONResponse({"error": "invalid", "message": faults, "hint": ""}, 422)


async def _unknown(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "error")
    return JSONResponse({"error": code, "message": str(error.detail), "hint": ""}, error.status_code, error.headers)


async def _failed(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s", request.method, request.url.path, exc_info=error)
    return JSONResponse({"error": "internal", "message": f"{type(error).__name__}", "hint": ""}, 500)
