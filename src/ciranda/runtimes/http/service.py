"""The server as one object: its runs, its clients, and who may do what. Routes translate HTTP to calls of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from fastapi import Request

from ciranda.runtimes.http.access import REGISTRY, Access
from ciranda.runtimes.http.answers import ApiError
from ciranda.runtimes.http.limits import Rates
from ciranda.runtimes.http.mail import Mail
from ciranda.runtimes.http.meter import Meter
from ciranda.runtimes.http.run import Blueprint, HttpRun, Tell

Draft = Callable[[Mapping[str, Any]], Blueprint]
audit = logging.getLogger("ciranda.audit")
_SILENT_S = 75.0  # a poll lasts up to 60


@dataclass(frozen=True)
class Caller:
    """Who makes a request: a client by name, or the operator (name "")."""

    name: str
    operator: bool


class Service:
    """All of the server's state. Methods are for the event loop's thread, unless they say otherwise.

    Args:
        draft: makes the blueprint of a run from the body of `POST /v1/runs`; None if this server takes no further runs.
        rates: how often callers may ask. seed_routes: whether the seeds' routes are there too.
    """

    def __init__(self, access: Access, draft: Draft | None = None, *, rates: Rates | None = None, seed_routes: bool = False) -> None:
        self.access, self.mail, self.draft = access, Mail(), draft
        self.rates, self.meter, self.seed_routes = rates or Rates(), Meter(), seed_routes
        for name in access.revoked():
            self.mail.forget(name)
        self.runs: dict[str, HttpRun] = {}
        self.loop: asyncio.AbstractEventLoop | None = None
        self.stopping = False
        self.ready = False
        self.started = monotonic()
        self.counts: dict[str, int] = {}

    def add(self, blueprint: Blueprint, tell: Tell = lambda event: None) -> HttpRun:
        """A new run, which begins to wait for clients. Raises ApiError when its name is taken."""
        if blueprint.name == REGISTRY or (blueprint.name in self.runs and not self.runs[blueprint.name].over.is_set()):
            raise ApiError(409, "name-taken", "There is a run '{run}' already.", run=blueprint.name)
        assert self.loop is not None
        run = self.runs[blueprint.name] = HttpRun(blueprint, self.mail, self.loop, tell)
        run.start()
        return run

    def caller(self, request: Request) -> Caller:
        """Who makes the request. Raises ApiError 401 or 410."""
        kind, _, credential = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not credential:
            raise ApiError(401, "no-credential", "This needs a credential.", headers={"WWW-Authenticate": "Bearer"})
        name = self.access.client(credential)
        if name is not None:
            if self.access.is_revoked(name):
                raise ApiError(410, "revoked", "The credential of '{client}' was revoked.", client=name)
            return Caller(name, False)
        if self.access.is_operator(credential):
            return Caller("", True)
        raise ApiError(401, "unknown-credential", "The credential is not known here.", headers={"WWW-Authenticate": "Bearer"})

    def client(self, request: Request) -> str:
        """The client that makes the request. Raises ApiError."""
        caller = self.caller(request)
        if caller.operator:
            raise ApiError(403, "not-a-client", "This is for clients; the operator takes no part in runs.")
        return caller.name

    def operator(self, request: Request) -> None:
        """Raises ApiError unless the operator makes the request."""
        if not self.caller(request).operator:
            raise ApiError(403, "not-the-operator", "This is for the operator of the server.")

    def run(self, name: str) -> HttpRun:
        """The run of this name. Raises ApiError 404, or 503 while the server is starting: its runs are not all there yet."""
        run = self.runs.get(name)
        if run is None and not self.ready:
            raise ApiError(503, "starting", "The server is starting.", headers={"Retry-After": "1"})
        if run is None:
            raise ApiError(404, "no-such-run", "There is no run '{run}' here.", run=name)
        return run

    def enrol(self, token: str, client: str) -> str:
        """The credential of a new client; from any thread. Raises Denied."""
        credential = self.access.enrol(token, client)
        audit.info("enrolled", extra={"role": "server", "action": "enrol", "client": client})
        return credential

    def state_of(self, client: str) -> str:
        """What an enrolled client does: working on an instruction, waiting for one, silent for longer than a poll lasts, or revoked."""
        seen = self.mail.seen(client)
        if self.access.is_revoked(client):
            return "revoked"
        if seen is None or seen > _SILENT_S:
            return "silent"
        return "waiting" if self.mail.asked(client) is None else "working"

    def revoke(self, client: str) -> None:
        """Shut a client out for good, at once: its poll ends, and no round waits for it. Raises ApiError 404."""
        if not self.access.revoke(client):
            raise ApiError(404, "no-such-client", "There is no client '{name}'.", name=client)
        for run in self.runs.values():
            run.give_up(client, "revoked")
        self.mail.forget(client)
        audit.info("revoked", extra={"role": "server", "action": "revoke", "client": client})

    def count(self, what: str, number: int = 1) -> None:
        """Count for /metrics."""
        self.counts[what] = self.counts.get(what, 0) + number

    def close(self) -> None:
        """Stop: runs that go on are ended as they stand in the store, polls are answered."""
        self.stopping = True
        self.mail.wake_all()
