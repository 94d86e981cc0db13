"""The server's ASGI application, and the server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from ciranda.runtimes.http.guard import Guard
from ciranda.runtimes.http.listener import Listener
from ciranda.runtimes.http.predictions import Desk
from ciranda.runtimes.http.problems import answer_problems
from ciranda.runtimes.http.routes_clients import client_routes
from ciranda.runtimes.http.routes_health import health_routes
from ciranda.runtimes.http.routes_predict import predict_routes
from ciranda.runtimes.http.routes_runs import run_routes
from ciranda.runtimes.http.routes_transfer import transfer_routes
from ciranda.runtimes.http.run import Blueprint, HttpRun, Tell
from ciranda.runtimes.http.seed_routes import seed_routes
from ciranda.runtimes.http.service import Service


def create_app(service: Service) -> FastAPI:
    """The application of `service`; its event loop becomes the service's when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.loop = asyncio.get_running_loop()
        yield
        service.close()
        desk.close()

    desk = Desk()
    app = FastAPI(title="Ciranda", version=version("ciranda"), lifespan=lifespan, docs_url=None, redoc_url=None)
    for routes in (client_routes, transfer_routes, run_routes, health_routes):
        routes(app, service)  # and no router in between, which every request would pay for
    predict_routes(app, service, desk)
    if service.seed_routes:
        seed_routes(app, service)
    answer_problems(app)
    app.add_middleware(Guard, service=service)
    return app


class Server:
    """Serves `service` from a thread of its own.

    Args:
        host, port, tls, insecure: see `Listener`.

    Raises:
        CirandaError: the address cannot be listened on, or not without TLS.
    """

    def __init__(
        self, service: Service, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None, *, insecure: bool = False
    ) -> None:
        self.service = service
        self._listener = Listener(create_app(service), host, port, tls, insecure=insecure)
        self.host, self.port, self.url = self._listener.host, self._listener.port, self._listener.url

    def start(self) -> None:
        """Serve; returns when requests are taken."""
        self._listener.start()

    def add(self, blueprint: Blueprint, tell: Tell = lambda event: None) -> HttpRun:
        """A new run; from any thread but the server's."""
        return self.add_all([blueprint], tell)[0]

    def add_all(self, blueprints: Sequence[Blueprint], tell: Tell = lambda event: None) -> list[HttpRun]:
        """All the runs that the server begins with; until then it is starting. From any thread but the server's."""
        assert self.service.loop is not None

        async def added() -> list[HttpRun]:
            runs = [self.service.add(blueprint, tell) for blueprint in blueprints]
            self.service.ready = True
            return runs

        return asyncio.run_coroutine_threadsafe(added(), self.service.loop).result()

    @property
    def idle(self) -> bool:
        """Whether there were runs, and all are over."""
        runs = list(self.service.runs.values())
        return bool(runs) and all(run.over.is_set() for run in runs)

    def halt(self) -> None:
        """End the runs' threads; runs that are not over go on with the next start. From any thread but the server's."""
        runs = list(self.service.runs.values())
        for run in runs:
            run.halt()
        for run in runs:
            run.join()

    def stop(self) -> None:
        """End the service: polls are answered, requests in progress get some seconds. From any thread but the server's."""
        if self.service.loop is not None and not self.service.loop.is_closed():
            self.service.loop.call_soon_threadsafe(self.service.close)
        self._listener.stop()
