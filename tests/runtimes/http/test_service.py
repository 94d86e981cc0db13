"""The server as one object: who a request comes from, what clients do, and what shutting one out means for its runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request

from ciranda.runtimes.http import service as module
from ciranda.runtimes.http.access import REGISTRY, Access
from ciranda.runtimes.http.answers import ApiError
from ciranda.runtimes.http.mail import Mail
from ciranda.runtimes.http.service import Caller, Service
from ciranda.store.memory import MemoryStore
from tests.runtimes.http.harness import Toy


class Hall:
    """A service without a line to it."""

    def __init__(self, folder: Path) -> None:
        self.store, self.folder = MemoryStore(), folder
        self.open()

    def open(self) -> None:
        """Another start of the server."""
        self.access = Access(self.store, self.folder / "secrets", anybody=True)
        self.service = Service(self.access)

    @property
    def operator(self) -> str:
        return self.access.operator_file.read_text().strip()


@pytest.fixture
def hall(tmp_path: Path) -> Hall:
    return Hall(tmp_path)


def showing(credential: str | None, kind: str = "Bearer") -> Request:
    headers = [] if credential is None else [(b"authorization", f"{kind} {credential}".encode("latin-1"))]
    return Request({"type": "http", "headers": headers})


def refused(attempt: Callable[[], object]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        attempt()
    return caught.value


class Played:
    """A run as the service sees it."""

    def __init__(self) -> None:
        self.given_up: list[tuple[str, str]] = []

    def give_up(self, client: str, reason: str) -> None:
        self.given_up.append((client, reason))


# --- who asks


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_a_client_is_known_by_its_credential(hall: Hall, kind: str) -> None:
    credential = hall.service.enrol("", "ana")
    assert hall.service.caller(showing(credential, kind)) == Caller("ana", False)
    assert hall.service.client(showing(credential)) == "ana"


def test_the_operator_is_known_and_takes_no_part(hall: Hall) -> None:
    request = showing(hall.operator)
    assert hall.service.caller(request) == Caller("", True)
    hall.service.operator(request)
    error = refused(lambda: hall.service.client(request))
    assert (error.status, error.code) == (403, "not-a-client")


def test_a_client_is_not_the_operator(hall: Hall) -> None:
    request = showing(hall.service.enrol("", "ana"))
    error = refused(lambda: hall.service.operator(request))
    assert (error.status, error.code) == (403, "not-the-operator")


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (showing(None), "no-credential"),
        (showing(""), "no-credential"),
        (showing("x", "Basic"), "no-credential"),
        (showing("x", ""), "no-credential"),
        (showing("x"), "unknown-credential"),
        (showing("\xff\xfe"), "unknown-credential"),
    ],
)
def test_nobody_else_is_let_in(hall: Hall, request_: Request, code: str) -> None:
    for attempt in (hall.service.caller, hall.service.client, hall.service.operator):
        error = refused(lambda attempt=attempt: attempt(request_))  # type: ignore[misc]
        assert (error.status, error.code) == (401, code)
        assert error.headers == {"WWW-Authenticate": "Bearer"}


def test_who_was_revoked_is_told_so_now_and_after_another_start(hall: Hall) -> None:
    credential = hall.service.enrol("", "ana")
    hall.service.revoke("ana")
    for _ in range(2):
        error = refused(lambda: hall.service.client(showing(credential)))
        assert (error.status, error.code) == (410, "revoked")
        assert "'ana'" in str(error)
        hall.open()


# --- revocation


def test_a_revocation_reaches_every_run_and_ends_the_poll(hall: Hall) -> None:
    hall.service.enrol("", "ana")
    runs = {name: Played() for name in ("one", "two")}
    hall.service.runs = dict(runs)  # type: ignore[arg-type]

    async def work() -> None:
        poll = asyncio.ensure_future(hall.service.mail.next("ana", "", 60))
        await asyncio.sleep(0)
        hall.service.revoke("ana")
        assert (await poll)[1] == []

    asyncio.run(asyncio.wait_for(work(), 10))
    assert [run.given_up for run in runs.values()] == [[("ana", "revoked")]] * 2
    assert not hall.service.mail.put("ana", {"run": "one", "type": "record", "round": 1})


def test_runs_are_told_of_a_revocation_while_it_is_still_known_what_was_asked(hall: Hall) -> None:
    """Whoever gives up on a client looks up what it was asked."""
    hall.service.enrol("", "ana")
    instruct = {"run": "one", "type": "instruct", "phase": "1.1.0.train"}
    hall.service.mail.put("ana", instruct)
    found: list[Any] = []

    class Looking(Played):
        def give_up(self, client: str, reason: str) -> None:
            found.append(hall.service.mail.asked(client, "one"))

    hall.service.runs = {"one": Looking()}  # type: ignore[dict-item]
    hall.service.revoke("ana")
    assert found == [instruct]


def test_a_stranger_cannot_be_revoked(hall: Hall) -> None:
    error = refused(lambda: hall.service.revoke("ana"))
    assert (error.status, error.code) == (404, "no-such-client")


def test_no_mail_is_kept_for_who_was_revoked_before_a_restart(hall: Hall) -> None:
    hall.service.enrol("", "ana")
    hall.service.revoke("ana")
    hall.open()
    assert not hall.service.mail.put("ana", {"run": "one", "type": "record", "round": 1})


def test_who_comes_and_who_goes_is_on_the_record(hall: Hall, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ciranda.audit"):
        credential = hall.service.enrol("", "ana")
        hall.service.revoke("ana")
    assert [(record.action, record.client) for record in caplog.records] == [("enrol", "ana"), ("revoke", "ana")]  # type: ignore[attr-defined]
    assert credential not in caplog.text


# --- what clients do


def test_what_a_client_does(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("ciranda.runtimes.http.mail.monotonic", lambda: now)
    service, mail = hall.service, hall.service.mail
    service.enrol("", "ana")
    assert service.state_of("ana") == "silent"
    mail.heard("ana")
    assert service.state_of("ana") == "waiting"
    mail.put("ana", {"run": "one", "type": "instruct", "phase": "1.1.0.train"})
    assert service.state_of("ana") == "working"
    mail.answered("ana", "one", "1.1.0.train")
    assert service.state_of("ana") == "waiting"
    now += module._SILENT_S
    assert service.state_of("ana") == "waiting", "a poll may last so long"
    now += 1
    assert service.state_of("ana") == "silent"
    service.revoke("ana")
    assert service.state_of("ana") == "revoked"


# --- runs


def test_a_run_that_is_not_there_yet_is_asked_for_later_and_one_that_never_was_is_not(hall: Hall) -> None:
    error = refused(lambda: hall.service.run("toy"))
    assert (error.status, error.code, error.headers) == (503, "starting", {"Retry-After": "1"})
    hall.service.ready = True
    error = refused(lambda: hall.service.run("toy"))
    assert (error.status, error.code) == (404, "no-such-run")
    hall.service.runs = {"toy": Played()}  # type: ignore[dict-item]
    assert hall.service.run("toy") is hall.service.runs["toy"]


def test_a_name_is_one_runs_until_that_is_over(hall: Hall, tmp_path: Path) -> None:
    async def work() -> None:
        hall.service.loop = asyncio.get_running_loop()
        first = hall.service.add(Toy(tmp_path / "first"))
        assert not hall.service.ready, "there may be more runs to begin with"
        assert first.status == "waiting"
        error = refused(lambda: hall.service.add(Toy(tmp_path / "second")))
        assert (error.status, error.code) == (409, "name-taken")
        assert hall.service.run("toy") is first
        first.halt()
        await asyncio.to_thread(first.join, 20)
        second = hall.service.add(Toy(tmp_path / "second"))
        assert hall.service.run("toy") is second
        second.halt()
        await asyncio.to_thread(second.join, 20)

    asyncio.run(asyncio.wait_for(work(), 60))


def test_the_servers_own_name_is_no_runs(hall: Hall, tmp_path: Path) -> None:
    blueprint = Toy(tmp_path)
    blueprint.name = REGISTRY
    assert refused(lambda: hall.service.add(blueprint)).code == "name-taken"


def test_counts_add_up(hall: Hall) -> None:
    for number in (1, 2, 5):
        hall.service.count("replies_stored", number)
    hall.service.count("other")
    assert hall.service.counts == {"replies_stored": 8, "other": 1}


def test_the_end_answers_every_poll(hall: Hall) -> None:
    async def work() -> None:
        mail: Mail = hall.service.mail
        polls = [asyncio.ensure_future(mail.next(name, "", 60)) for name in ("ana", "bia")]
        await asyncio.sleep(0)
        assert mail.polling == 2
        hall.service.close()
        assert [events for _, events in await asyncio.gather(*polls)] == [[], []]

    asyncio.run(asyncio.wait_for(work(), 10))
    assert hall.service.stopping
