"""The ASGI application, and the thread in which it is served."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from threading import Event, Thread
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ciranda.core.errors import CirandaError, RunError, StoreError
from ciranda.runtimes.http.access import Denied
from ciranda.runtimes.http.routes_clients import client_routes
from ciranda.runtimes.http.routes_health import health_routes
from ciranda.runtimes.http.routes_runs import run_routes
from ciranda.runtimes.http.routes_transfer import transfer_routes
from ciranda.runtimes.http.run import Blueprint, HttpRun, Tell
from ciranda.runtimes.http.service import ApiError, Service

log = logging.getLogger(__name__)
_CODES = {404: "no-such-path", 405: "no-such-method"}


def create_app(service: Service) -> FastAPI:
    """The application of `service`; its event loop becomes the service's when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.loop = asyncio.get_running_loop()
        yield
        service.close()

    app = FastAPI(title="Ciranda", version=version("ciranda"), lifespan=lifespan, docs_url=None, redoc_url=None)
    for routes in (client_routes, transfer_routes, run_routes, health_routes):
        routes(app, service)  # and no router in between, which every request would pay for
    app.add_exception_handler(CirandaError, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _unknown)
    app.add_exception_handler(Exception, _failed)
    _describe(app)
    return app


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


class Server:
    """Serves `service` from a thread of its own.

    Args:
        host, port: where to listen; port 0 takes a free one. tls: how to be reached over TLS, None for plain HTTP.

    Raises:
        RunError: the address cannot be listened on.
    """

    def __init__(self, service: Service, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.service = service
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, port), family=family, backlog=2048)
        except OSError as error:
            raise RunError(
                "Cannot listen on {host}, port {port}: {error}.",
                hint="Choose another --port, or end the program that listens there.",
                host=host,
                port=port,
                error=error.strerror or str(error),
            ) from error
        self.host, self.port = host, self._socket.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}"
        config = uvicorn.Config(
            create_app(service),
            log_config=None,
            access_log=False,
            timeout_keep_alive=90,
            timeout_graceful_shutdown=3,
            ws="none",
            ssl_context_factory=(lambda config, default: tls) if tls is not None else None,
        )
        self._server = uvicorn.Server(config)
        self._ready = Event()
        self._thread = Thread(target=self._serve, name="ciranda-http", daemon=True)

    def start(self) -> None:
        """Serve; returns when requests are taken."""
        self._thread.start()
        self._ready.wait()

    def add(self, blueprint: Blueprint, tell: Tell = lambda event: None) -> HttpRun:
        """A new run; from any thread but the server's."""
        assert self.service.loop is not None

        async def added() -> HttpRun:
            return self.service.add(blueprint, tell)

        return asyncio.run_coroutine_threadsafe(added(), self.service.loop).result()

    def halt(self) -> None:
        """End the runs' threads; runs that are not over go on with the next start. From any thread but the server's."""
        runs = list(self.service.runs.values())
        for run in runs:
            run.halt()
        for run in runs:
            run.join()

    def stop(self) -> None:
        """End the service: polls are answered, requests in progress get some seconds. From any thread but the server's."""
        if self._thread.is_alive():
            assert self.service.loop is not None
            self.service.loop.call_soon_threadsafe(self.service.close)
            self._server.should_exit = True
            self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=self._server.config.get_loop_factory()) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        serving = asyncio.ensure_future(self._server.serve(sockets=[self._socket]))
        while not self._server.started and not serving.done():
            await asyncio.sleep(0.005)
        self._ready.set()
        await serving
