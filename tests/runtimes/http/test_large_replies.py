"""Models and replies of a megabyte and more over real connections: in ranges, in pieces, across a restart, and counted right."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ciranda.core.codec import decode
from ciranda.core.message import encode_update
from ciranda.core.params import digest_of, model_sha256
from ciranda.core.task import Examples, FederatedData
from ciranda.runtimes.http import transfer, upload
from ciranda.runtimes.http.link import Answer, Rejected
from ciranda.testing.toys import MeanTask
from tests.runtimes.http.harness import House, RawClient, Toy

WIDTH = 300_000  # 1.2 MB: more than goes within a request, and than is held in memory


class Wide(MeanTask):
    """Two clients with examples of that width, between 0 and 1."""

    def __init__(self) -> None:
        super().__init__(2, width=WIDTH)

    def data(self) -> FederatedData:
        data = super().data()
        train, test = (Examples(part.x / np.float32(WIDTH * 6), part.y) for part in (data.train, data.test))
        return replace(data, train=train, test=test)


def toy(folder: Path, rounds: int = 2) -> Toy:
    return Toy(folder, clients=2, rounds=rounds, task=Wide())


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(toy(tmp_path)) as house:
        yield house


@pytest.fixture
def raws(house: House) -> list[RawClient]:
    house.begin()
    return [RawClient(house, rank) for rank in range(2)]


def ask(raw: RawClient, digest: str, **headers: str) -> Answer:
    return raw.link.ask("GET", f"/v1/runs/toy/models/{digest}", headers=headers)


def put(raw: RawClient, body: bytes, begin: int, end: int | None = None) -> Answer:
    path = f"/v1/runs/toy/uploads/{digest_of(body)}?offset={begin}&length={len(body)}"
    return raw.link.ask("PUT", path, body[begin:end])


def kept(raw: RawClient, body: bytes) -> Mapping[str, str]:
    return raw.link.ask("HEAD", f"/v1/runs/toy/uploads/{digest_of(body)}").headers


def large(raw: RawClient) -> tuple[dict[str, str], bytes]:
    instruction = raw.instruction()
    return instruction, encode_update(raw.update(instruction))


def begun(house: House, raw: RawClient, body: bytes, count: int) -> socket.socket:
    """A line on which only the first `count` bytes of an upload have come."""
    path = f"/v1/runs/toy/uploads/{digest_of(body)}?offset=0&length={len(body)}"
    head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {raw.link.credential}\r\nContent-Length: {len(body)}\r\n\r\n"
    line = socket.create_connection((house.server.host, house.server.port), timeout=20)
    line.sendall(head.encode() + body[:count])
    return line


def test_a_model_is_fetched_whole_in_ranges_and_not_again(raws: list[RawClient]) -> None:
    digest = raws[0].instruction()["model"]
    whole = ask(raws[0], digest)
    assert model_sha256(decode(whole.body)[0]) == digest
    parts = [ask(raws[0], digest, Range=asked) for asked in ("bytes=0-99", "bytes=100-199999", "bytes=200000-")]
    assert b"".join(part.body for part in parts) == whole.body
    assert [part.status for part in parts] == [206] * 3
    assert ask(raws[0], digest, **{"If-None-Match": f'"{digest}"'}).status == 304
    assert raws[0].link.ask("GET", "/v1/runs/toy/model").body == whole.body


def test_a_large_reply_goes_on_where_the_line_was_cut_and_counts(house: House, raws: list[RawClient]) -> None:
    instruction, body = large(raws[0])
    begun(house, raws[0], body, 500_000).close()
    offset = 0
    while offset < 500_000:
        try:
            offset = int(kept(raws[0], body)["upload-offset"])
        except Rejected:
            continue
    assert upload.deliver(raws[0].link, "toy", "0", instruction["phase"], instruction["model"], digest_of(body), body) == "stored"
    other, answer = large(raws[1])
    upload.deliver(raws[1].link, "toy", "1", other["phase"], other["model"], digest_of(answer), answer)
    after = raws[0].instruction()
    means = [house.toy.population.train(rank).x.mean(0, dtype=np.float32) for rank in range(2)]
    np.testing.assert_allclose(raws[0].model(after["model"])["w"], np.mean(means, axis=0) / 2, rtol=1e-5)


def test_a_piece_that_does_not_go_on_keeps_what_came(raws: list[RawClient], house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_PATIENCE_S", 0.2)
    _, body = large(raws[0])
    with begun(house, raws[0], body, 70_000) as line:
        assert b" 408 " in line.recv(1000).splitlines()[0]
    assert kept(raws[0], body)["upload-offset"] == "70000"


def test_an_envelope_without_its_upload_asks_for_it(raws: list[RawClient]) -> None:
    instruction, body = large(raws[0])
    text = raws[0].envelope(instruction, body).to_json().encode()
    with pytest.raises(Rejected) as caught:
        raws[0].link.ask("PUT", f"/v1/runs/toy/replies/{instruction['phase']}", len(text).to_bytes(4, "little") + text)
    assert (caught.value.status, caught.value.code) == (428, "not-uploaded")


def test_a_body_that_no_model_can_need_is_refused_before_it_comes(raws: list[RawClient]) -> None:
    _, body = large(raws[0])
    put(raws[0], body, 0, 1000)
    limit = int(kept(raws[0], body)["upload-limit"])
    assert len(body) <= limit < 3 * len(body)
    with pytest.raises(Rejected) as caught:
        raws[0].link.ask("PUT", f"/v1/runs/toy/uploads/{'0' * 64}?offset=0&length={limit + 1}", b"x")
    assert (caught.value.status, caught.value.code) == (413, "oversized")


def test_an_upload_survives_the_restart_of_the_server(tmp_path: Path) -> None:
    with House(toy(tmp_path, rounds=1)) as house:
        house.begin()
        raws = [RawClient(house, rank) for rank in range(2)]
        instruction, body = large(raws[0])
        put(raws[0], body, 0, 400_000)
        credential = raws[0].link.credential
    with House(toy(tmp_path, rounds=1)) as house:
        run = house.begin()
        link = house.link(credential)
        while run.host is None:
            run.over.wait(0.01)
        head = link.ask("HEAD", f"/v1/runs/toy/uploads/{digest_of(body)}").headers
        assert head["upload-offset"] == "400000"
        assert upload.deliver(link, "toy", "0", instruction["phase"], instruction["model"], digest_of(body), body) == "stored"


def test_real_clients_send_large_replies_and_the_server_keeps_none_when_they_are_recorded(house: House) -> None:
    run = house.begin()
    house.everybody()
    assert run.over.wait(30)
    assert (run.status, [len(row["accepted"]) for row in run.rows]) == ("finished", [2, 2])
    assert all(row["bytes_up"] >= 2 * 4 * WIDTH and row["bytes_down"] >= 2 * 4 * WIDTH for row in run.rows)
    assert not list(run.replies.files.iterdir())
