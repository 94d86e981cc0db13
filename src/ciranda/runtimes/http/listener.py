"""An address, and the thread in which an ASGI application is served there."""

from __future__ import annotations

import asyncio
import socket
import ssl
from threading import Event, Thread

import uvicorn
from fastapi import FastAPI

from ciranda.core.errors import ExperimentError, RunError
from ciranda.runtimes.http.connection import Connection
from ciranda.runtimes.http.tls import is_loopback


class Listener:
    """Serves `app` from a thread of its own.

    Args:
        host, port: where to listen; port 0 takes a free one. tls: how to be reached over TLS, None for plain HTTP.
        insecure: plain HTTP may be reached from other machines too.

    Raises:
        ExperimentError: other machines would reach it over plain HTTP. RunError: the address cannot be listened on.
    """

    def __init__(
        self, app: FastAPI, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None, *, insecure: bool = False
    ) -> None:
        if tls is None and not insecure and not is_loopback(host):
            raise ExperimentError(
                "On {host} other machines can read along: without TLS a server listens on 127.0.0.1 only.",
                hint="Give --tls-cert and --tls-key, or say --insecure-plain-http on a network that you trust.",
                host=host,
            )
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
            app,
            log_config=None,
            access_log=False,
            timeout_keep_alive=90,
            timeout_graceful_shutdown=3,
            ws="none",
            http=Connection,
        )
        config.load()
        config.ssl = tls
        self._server = uvicorn.Server(config)
        self._ready = Event()
        self._thread = Thread(target=self._serve, name="ciranda-http", daemon=True)

    def start(self) -> None:
        """Serve; returns when requests are taken."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """End the service: requests in progress get some seconds. From any thread but its own."""
        if self._thread.is_alive():
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
