"""Whatever is thrown at the server, it answers with a 4xx, keeps nothing of it, and goes on."""

from __future__ import annotations

import gzip
import json
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from ciranda.core.message import encode_update
from ciranda.runtimes.http.limits import Rates
from ciranda.runtimes.http.link import Cut, Link, Rejected
from tests.runtimes.http.harness import House, Toy
from tests.runtimes.http.test_hostile_clients import refused, row_of, started
from tests.runtimes.http.test_openapi import UNLIMITED

BAD = ["../../etc/passwd", "a/../../b", "a\\b", "/absolute", "x\r\nSet-Cookie: y=1", "a\x00b", "a" * 81]
NAMES = [*BAD, "..", ".", "\u202eabc", "naïve 张三", "😀"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(Toy(tmp_path / "run", clients=3, rounds=1), rates=UNLIMITED) as house:
        yield house


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip"])
def test_a_compressed_bomb_is_not_unpacked(house: House, encoding: str) -> None:
    (raw,) = started(house)
    instruction = raw.instruction()
    bomb = gzip.compress(gzip.compress(bytes(50_000_000)))
    path = f"/v1/runs/toy/replies/{instruction['phase']}"
    assert refused(lambda: raw.link.ask("PUT", path, bomb, {"Content-Encoding": encoding})) == (415, "encoded")
    assert refused(lambda: house.link().ask("POST", "/v1/enrol", bomb, {"Content-Encoding": encoding})) == (415, "encoded")
    raw.answer(instruction)
    assert [name for name, _ in row_of(house)["accepted"]] == ["0", "1", "2"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_never_a_path_or_a_header(house: House, tmp_path: Path, name: str) -> None:
    house.begin()
    before = {path for path in tmp_path.rglob("*") if "sqlite" not in path.name}
    link = house.link()
    if name in BAD:
        assert refused(lambda: link.post("/v1/enrol", {"name": name})) == (422, "denied" if len(name) <= 80 else "invalid")
        assert house.access.clients() == []
    else:
        answer = link.post("/v1/enrol", {"name": name})
        assert json.loads(answer.body)["name"] == name
        assert "set-cookie" not in answer.headers
        link.credential = answer.json()["credential"]
        assert link.post("/v1/runs/toy/join", {"partition": [0, 3]}).json()["name"] == "0"
        assert house.operator.ask("GET", "/metrics").status == 200
        assert name in house.access.clients()
        house.operator.ask("DELETE", f"/v1/clients/{quote(name, safe='')}")
        assert house.access.is_revoked(name)
    for path in (
        f"/v1/runs/{quote(name, safe='')}",
        f"/v1/runs/{quote(name, safe='')}/model",
        f"/v1/runs/toy/models/{quote(name, safe='')}",
    ):
        with pytest.raises(Rejected) as caught:
            house.operator.ask("GET", path)
        assert caught.value.status in (404, 422)
    assert {path for path in tmp_path.rglob("*") if "sqlite" not in path.name} == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'{"name": "\\ud800"}',
        b'{"\\ud800": 1, "name": "x"}',
        b'{"name": 1e999}',
        b'{"name": "x", "token": {"$ne": ""}}',
        b"[" * 15_000,
        b'{"name": ' + b"9" * 10_000 + b"}",
        b"\x80\x04\x95cposix\nsystem\n",
    ],
)
def test_a_body_that_is_no_enrolment_enrols_nobody(house: House, body: bytes) -> None:
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded", "a" * 200, "multipart/form-data; boundary=x"):
        with pytest.raises(Rejected) as caught:
            house.link().ask("POST", "/v1/enrol", body, {"Content-Type": kind})
        assert caught.value.status in (400, 415, 422)
    assert house.access.clients() == []


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /v1/enrol HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/enrol HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n",
        b"POST /v1/enrol HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\n",
        b"GET /v1/runs/%ff%fe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\nInjected: 1\r\nConnection: close\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET http://169.254.169.254/latest HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n",
    ],
)
def test_what_is_hardly_http_finds_no_server_error(house: House, request_bytes: bytes) -> None:
    with socket.create_connection((house.server.host, house.server.port), timeout=10) as line:
        line.sendall(request_bytes)
        line.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while more := line.recv(65536):
                answer += more
        except ConnectionError:
            pass
    assert b"HTTP/1.1 5" not in answer
    assert house.link().ask("GET", "/healthz").status == 200
    assert house.access.clients() == []


def junk(link: Link, chance: random.Random) -> None:
    """One request that is good for nothing."""
    text = "".join(chr(chance.randrange(33, 126)) for _ in range(chance.randrange(1, 40)))
    method = chance.choice(["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", text[:5]])
    path = chance.choice(["/v1/enrol", "/v1/runs", "/v1/runs/toy/join", "/v1/clients/x", "/v1/next", "/predict", f"/{quote(text)}"])
    headers = {"Authorization": f"Bearer {text}", "Content-Type": chance.choice(["application/json", "image/png", text])}
    try:
        link.ask(method, path, chance.randbytes(chance.randrange(0, 200)), headers)
    except (Rejected, Cut, ValueError):
        link.close()


def _flood(house: House, count: int) -> None:
    chance, link = random.Random(5), house.link()
    for _ in range(count):
        junk(link, chance)


def _kept(house: House) -> tuple[int, ...]:
    service = house.service
    claims = sum(1 for _ in house._registry.claims("@server", ""))
    return claims, len(service.mail._boxes), len(service.runs["toy"].room.members()), len(house.access.clients())


@pytest.mark.parametrize("rates", [UNLIMITED, Rates()])
def test_junk_leaves_the_roster_and_what_is_kept_unchanged(tmp_path: Path, rates: Rates) -> None:
    with House(Toy(tmp_path, clients=3, rounds=1), rates=rates) as house:
        (raw,) = started(house)
        instruction = raw.instruction()
        before = _kept(house)
        _flood(house, 400)
        assert _kept(house) == before
        body = encode_update(raw.update(instruction))
        assert raw.send(instruction, body).json()["status"] == "stored"
        assert [name for name, _ in row_of(house)["accepted"]] == ["0", "1", "2"]


@pytest.mark.slow
def test_ten_thousand_junk_requests_leave_memory_unchanged(house: House) -> None:
    house.begin()
    _flood(house, 2_000)
    before, memory = _kept(house), _resident()
    _flood(house, 10_000)
    assert _kept(house) == before
    assert _resident() - memory < 8 * 1024 * 1024


def _resident() -> int:
    """Bytes of this process, the server's too."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
