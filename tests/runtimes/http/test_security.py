"""Who gets in, who is shut out, and what is told to whom."""

from __future__ import annotations

import json
import logging
import socket
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ciranda.cli.logs import logging_to
from ciranda.core.message import encode_update
from ciranda.protocol.messages import CloseRule
from ciranda.runtimes.http import connection, guard
from ciranda.runtimes.http.limits import Rates
from ciranda.runtimes.http.link import Link, Rejected
from tests.runtimes.http.harness import House, Toy
from tests.runtimes.http.test_hostile_clients import refused, row_of, spoken, started


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(Toy(tmp_path, clients=3, rounds=1, rule=CloseRule(deadline_s=60.0))) as house:
        yield house


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[House]:
    """A server that lets nobody in without a token."""
    with House(Toy(tmp_path, clients=3, rounds=1), anybody=False) as house:
        yield house


def token(house: House) -> str:
    return str(house.operator.post("/v1/tokens", {"count": 1}).json()["tokens"][0])


def enrol(house: House, name: str, token: str = "") -> Link:
    """The line of a client that is enrolled."""
    link = house.link()
    link.credential = link.post("/v1/enrol", {"name": name, "token": token}).json()["credential"]
    return link


def said(house: House, request: str) -> bytes:
    """What the server says to `request` until it hangs up, or has told an error."""
    with socket.create_connection((house.server.host, house.server.port), timeout=20) as line:
        with suppress(ConnectionError):
            line.sendall(request.encode())
        return _rest(line)


def _rest(line: socket.socket) -> bytes:
    answer = b""
    with suppress(ConnectionError):
        while b"error" not in answer and (more := line.recv(65536)):
            answer += more
    return answer


# --- tokens and credentials


def test_nobody_enrols_without_a_token_or_with_a_made_up_one(closed: House) -> None:
    assert refused(lambda: enrol(closed, "one")) == (401, "denied")
    assert refused(lambda: enrol(closed, "one", "made-up")) == (401, "denied")
    assert closed.access.clients() == []


def test_a_token_that_was_used_enrols_nobody_else(closed: House) -> None:
    once = token(closed)
    link = enrol(closed, "one", once)
    assert refused(lambda: enrol(closed, "two", once)) == (401, "denied")
    again = enrol(closed, "one", once)  # the answer may have been lost: until the first use it is told again
    assert again.credential == link.credential
    assert link.ask("GET", "/v1/runs").json() == {"runs": []}
    assert refused(lambda: enrol(closed, "one", once)) == (409, "denied")


def test_one_token_lets_one_in_however_many_try_at_once(closed: House) -> None:
    once = token(closed)

    def attempt(number: int) -> int:
        try:
            return len(enrol(closed, f"client-{number}", once).credential) and 201
        except Rejected as error:
            return error.status

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(attempt, range(8))) == [201] + [401] * 7
    assert len(closed.access.clients()) == 1


def test_no_secret_lies_on_the_disk_in_the_clear_but_for_the_operators_own_eyes(closed: House, tmp_path: Path) -> None:
    spare, once = token(closed), token(closed)
    credential = enrol(closed, "one", once).credential
    for file in tmp_path.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert not any(secret.encode() in data for secret in (spare, once, credential)), file
            assert file.parent.name != "secrets" or stat.S_IMODE(file.stat().st_mode) == 0o600


def test_secrets_are_not_to_be_cached_and_not_logged(closed: House, tmp_path: Path) -> None:
    with logging_to(tmp_path / "logs", "debug"):
        answer = closed.operator.post("/v1/tokens", {"count": 1})
        once = answer.json()["tokens"][0]
        assert answer.headers["cache-control"] == "no-store"
        enrolled = closed.link().post("/v1/enrol", {"name": "one", "token": once})
        assert enrolled.headers["cache-control"] == "no-store"
        credential = enrolled.json()["credential"]
        refused(lambda: enrol(closed, "two", once))
        refused(lambda: closed.link("wrong-" + once).ask("GET", f"/v1/runs/{once}"))
        closed.link(credential).ask("GET", "/v1/runs")
    logged = (tmp_path / "logs" / "log.jsonl").read_text()
    assert "enrolled" in logged
    for secret in (credential, closed.access.operator_file.read_text()):
        assert secret not in logged
    assert not any(once in json.loads(line)["message"] for line in logged.splitlines())


def test_a_client_may_not_do_what_the_operator_may(house: House) -> None:
    house.begin()
    link = enrol(house, "one")
    for method, path in (("POST", "/v1/runs/toy/stop"), ("DELETE", "/v1/runs/toy"), ("GET", "/v1/clients"), ("DELETE", "/v1/clients/one")):
        assert refused(partial(link.ask, method, path)) == (403, "not-the-operator")
    assert refused(lambda: link.post("/v1/tokens", {})) == (403, "not-the-operator")
    assert house.service.runs["toy"].status == "waiting"


@pytest.mark.parametrize("header", ["", "Basic abc", "Bearer", "Bearer ", "Bearer x", "bearer \xff\xfe", "Bearer " + "x" * 5000])
def test_no_odd_credential_opens_anything(house: House, header: str) -> None:
    answer = house.link()
    with pytest.raises(Rejected) as caught:
        answer.ask("GET", "/v1/runs", headers={"Authorization": header})
    assert caught.value.status == 401


# --- revocation


def test_revocation_ends_an_open_poll_at_once(house: House) -> None:
    link = enrol(house, "one")
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(link.ask, "GET", "/v1/next?wait=60", timeout=70.0)
        watching = house.link()
        while b"ciranda_clients_polling 0" in watching.ask("GET", "/metrics").body:
            assert not poll.done()
        house.operator.ask("DELETE", "/v1/clients/one")
        with pytest.raises(Rejected) as caught:
            poll.result(10)
    assert (caught.value.status, caught.value.code) == (410, "revoked")
    assert refused(lambda: link.ask("GET", "/v1/runs")) == (410, "revoked")
    assert refused(lambda: enrol(house, "one")) == (409, "denied")


def test_a_round_does_not_wait_for_a_client_that_was_revoked_and_counts_nothing_of_it(house: House) -> None:
    (raw,) = started(house)
    instruction = raw.instruction()
    body = encode_update(raw.update(instruction))
    house.operator.ask("DELETE", "/v1/clients/raw-0")
    row = row_of(house)
    assert row["failed"] == {"0": "revoked"}
    assert [name for name, _ in row["accepted"]] == ["1", "2"]
    assert refused(lambda: raw.send(instruction, body)) == (410, "revoked")


def test_later_rounds_do_not_wait_for_a_revoked_client_either(tmp_path: Path) -> None:
    with House(Toy(tmp_path, clients=3, rounds=3, rule=CloseRule(deadline_s=60.0))) as house:
        (raw,) = started(house)
        raw.instruction()
        house.operator.ask("DELETE", "/v1/clients/raw-0")
        run = house.service.runs["toy"]
        assert run.over.wait(30)
        assert [row["failed"] for row in run.rows] == [{"0": "revoked"}] * 3


def test_a_reply_that_is_on_its_way_when_its_sender_is_revoked_is_not_taken(house: House) -> None:
    (raw,) = started(house)
    phase = raw.instruction()["phase"]

    def revoke() -> None:
        house.operator.ask("DELETE", "/v1/clients/raw-0")

    answer = spoken(house, raw, phase, "Content-Length: 1000\r\n", b"half of it", then=revoke, rest=b"x" * 990)
    assert b" 410 " in answer.splitlines()[0]
    assert row_of(house)["failed"] == {"0": "revoked"}


def test_who_was_revoked_stays_so_when_the_server_is_started_again(tmp_path: Path) -> None:
    with House(Toy(tmp_path, clients=3)) as house:
        link = enrol(house, "one")
        house.operator.ask("DELETE", "/v1/clients/one")
    with House(Toy(tmp_path, clients=3)) as house:
        assert refused(lambda: house.link(link.credential).ask("GET", "/v1/next")) == (410, "revoked")
        assert house.service.mail.put("one", {"run": "toy", "type": "instruct", "phase": "x"}) is False


# --- how often, how long


def test_who_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    with House(Toy(tmp_path, clients=3), rates=Rates(address=0.01, address_burst=3)) as house:
        link = house.link()
        for _ in range(3):
            link.ask("GET", "/healthz")
        with pytest.raises(Rejected) as caught:
            link.ask("GET", "/healthz")
        assert (caught.value.status, caught.value.code) == (429, "too-many")
        assert 1 <= caught.value.after <= 100


def test_guessing_costs_more_and_leaves_clients_of_the_same_address_alone(tmp_path: Path) -> None:
    with House(Toy(tmp_path, clients=3), rates=Rates(address=0.01, address_burst=30, refusal=10)) as house:
        link = enrol(house, "one")
        statuses = [refused(lambda: house.link("guess").ask("GET", "/v1/runs"))[0] for _ in range(5)]
        assert statuses == [401, 401, 401, 429, 429]
        for _ in range(100):
            link.ask("GET", "/v1/next")
        assert house.operator.ask("GET", "/v1/runs").status == 200


def test_one_client_that_asks_too_often_keeps_no_other_waiting(tmp_path: Path) -> None:
    with House(Toy(tmp_path, clients=3), rates=Rates(client=0.01, client_burst=5)) as house:
        loud, quiet = enrol(house, "loud"), enrol(house, "quiet")
        for _ in range(5):
            loud.ask("GET", "/v1/next")
        assert refused(lambda: loud.ask("GET", "/v1/next")) == (429, "too-many")
        assert quiet.ask("GET", "/v1/next").status == 200


def test_a_client_waits_as_long_as_it_is_told_and_then_goes_on(tmp_path: Path) -> None:
    rates = Rates(client=20.0, client_burst=3.0, refusal=0.0)
    with House(Toy(tmp_path, clients=3, rounds=2), rates=rates) as house:
        run = house.begin()
        house.everybody()
        assert run.over.wait(60)
        assert (run.status, house.problems) == ("finished", [])
        assert house.service.meter.refused["too-many"] > 0


@pytest.mark.parametrize(
    ("path", "size", "known"), [("/v1/enrol", 17_000, False), ("/v1/runs/toy/join", 300_000, True), ("/v1/tokens", 9_000_000, None)]
)
def test_a_body_longer_than_its_route_needs_is_refused_before_it_is_read(house: House, path: str, size: int, known: bool | None) -> None:
    link = house.operator if known is None else enrol(house, "one") if known else house.link()
    answer = said(house, f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {link.credential}\r\nContent-Length: {size}\r\n\r\n")
    assert b" 413 " in answer.splitlines()[0]


def test_a_declared_body_that_does_not_come_is_not_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from ciranda.runtimes.http import transfer

    monkeypatch.setattr(transfer, "_PATIENCE_S", 0.2)
    answer = said(house, "POST /v1/enrol HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert b" 408 " in answer.splitlines()[0]


@pytest.mark.parametrize("head", ["", "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: a"])
def test_a_head_that_never_ends_is_hung_up_on(house: House, monkeypatch: pytest.MonkeyPatch, head: str) -> None:
    monkeypatch.setattr(connection, "_HEAD_S", 0.2)
    assert not said(house, head)


def test_a_head_without_end_is_hung_up_on_for_its_size(house: House) -> None:
    assert not said(house, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + "a" * 200_000)


def test_a_head_without_end_after_a_refused_body_is_no_way_around(house: House) -> None:
    with socket.create_connection((house.server.host, house.server.port), timeout=20) as line:
        line.sendall(b"PUT /v1/runs/toy/replies/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        assert b" 401 " in line.recv(65536)
        with suppress(ConnectionError):
            line.sendall(b"12345GET /healthz HTTP/1.1\r\nX-Long: ")
            for _ in range(100):
                line.sendall(b"a" * 10_000)
        assert not _rest(line)


def test_a_refused_body_may_still_be_sent_and_the_line_goes_on(house: House) -> None:
    link = house.link("guess")
    assert refused(lambda: link.ask("PUT", "/v1/runs/toy/replies/x", bytes(5_000_000))) == (401, "unknown-credential")
    assert link.ask("GET", "/healthz").status == 200


def test_a_head_that_never_ends_after_a_whole_request_is_hung_up_on_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_HEAD_S", 0.2)
    with socket.create_connection((house.server.host, house.server.port), timeout=20) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 OK" in line.recv(65536)
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost")
        assert not _rest(line)


# --- what is written down


def test_enrolments_revocations_and_refusals_are_on_the_record(house: House, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ciranda.audit"):
        enrol(house, "one")
        refused(lambda: house.link("guess").ask("GET", "/v1/runs/a%0d%0ab%c3%a9"))
        house.operator.ask("DELETE", "/v1/clients/one")
    lines: list[Any] = [record for record in caplog.records if record.name == "ciranda.audit"]
    assert [(line.action, line.client) for line in lines] == [("enrol", "one"), ("refuse", ""), ("revoke", "one")]
    assert (lines[1].status, lines[1].reason, lines[1].address, lines[1].method) == (401, "unknown-credential", "127.0.0.1", "GET")
    assert lines[1].path.isascii()
    assert lines[1].path.isprintable()


def test_junk_does_not_fill_the_log(house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    with caplog.at_level(logging.INFO, "ciranda.audit"):
        link = house.link("guess")
        for _ in range(300):
            refused(lambda: link.ask("GET", "/v1/runs"))
    assert len(caplog.records) <= guard._LINES_BURST + 30
