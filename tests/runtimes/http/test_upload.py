"""A reply on its way: small ones within one request, large ones in pieces that go on where a cut line left them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.protocol.envelope import Envelope
from ciranda.runtimes.http import transfer, upload
from ciranda.runtimes.http.link import Answer, Body, Cut, Link, Rejected
from ciranda.runtimes.http.upload import INLINE, deliver

LARGE = bytes(range(256)) * (INLINE // 256) + b"and more"
PHASE = "3.2.0.train"


class Server(Link):
    """The server's side as far as a reply sees it; `carries` says how many bytes of each upload come through before the line is cut."""

    def __init__(self, carries: list[int] | None = None, status: str = "stored") -> None:
        super().__init__("http://127.0.0.1:1")
        self.carries, self.status = list(carries or []), status
        self.kept: dict[str, bytearray] = {}
        self.whole: dict[str, bytes] = {}
        self.replies: list[tuple[str, Envelope, bytes]] = []
        self.asked: list[str] = []
        self.moved = 0

    def ask(
        self,
        method: str,
        path: str,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float | None = None,
        into: bytearray | None = None,
    ) -> Answer:
        self.asked.append(f"{method} {path}")
        place, _, query = path.partition("?")
        if "/replies/" in place:
            return self._reply(place, bytes(body or b""))  # type: ignore[arg-type]
        digest = place.rsplit("/", 1)[1]
        if method == "HEAD":
            if digest in self.whole:
                return Answer(200, {"upload-offset": str(len(self.whole[digest]))}, b"")
            if digest not in self.kept:
                raise Rejected(404, "no-upload", "Nothing of this upload is here.")
            return Answer(200, {"upload-offset": str(len(self.kept[digest]))}, b"")
        told = dict(part.split("=") for part in query.split("&"))
        return self._piece(digest, int(told["offset"]), int(told["length"]), bytes(body or b""))  # type: ignore[arg-type]

    def _reply(self, place: str, frame: bytes) -> Answer:
        size = int.from_bytes(frame[:4], "little")
        envelope, inline = Envelope.from_json(frame[4 : 4 + size]), frame[4 + size :]
        self.replies.append((place, envelope, inline))
        if not inline and envelope.body not in self.whole:
            raise Rejected(428, "not-uploaded", "The body was not uploaded before.")
        return Answer(200, {}, json.dumps({"status": self.status}).encode())

    def _piece(self, digest: str, offset: int, length: int, rest: bytes) -> Answer:
        kept = self.kept.setdefault(digest, bytearray())
        if offset == 0:
            kept.clear()
        assert offset == len(kept), "it goes on where the upload stands"
        assert length == offset + len(rest), "all that is left is sent"
        through = self.carries.pop(0) if self.carries else len(rest)
        kept += rest[:through]
        self.moved += min(through, len(rest))
        if len(kept) < length:
            raise Cut("The line is cut.")
        assert sha256(kept).hexdigest() == digest
        self.whole[digest] = bytes(kept)
        return Answer(201, {"upload-offset": str(length)}, b"")


def give(server: Server, body: bytes) -> str:
    return deliver(server, "run", "0", PHASE, "a" * 64, sha256(body).hexdigest(), body)


def insist(server: Server, body: bytes, attempts: int = 50) -> str:
    """As a client does: again until it is there."""
    for _ in range(attempts):
        try:
            return give(server, body)
        except Cut:
            continue
    raise AssertionError("it never came through")


def test_both_ends_agree_on_what_is_large() -> None:
    assert upload.INLINE == transfer.INLINE


@pytest.mark.parametrize("size", [1, 1000, INLINE])
def test_a_small_reply_is_one_request(size: int) -> None:
    server, body = Server(), LARGE[:size]
    assert give(server, body) == "stored"
    ((place, envelope, inline),) = server.replies
    assert server.asked == [f"PUT /v1/runs/run/replies/{PHASE}"]
    assert place == f"/v1/runs/run/replies/{PHASE}"
    assert inline == body
    assert (envelope.run, envelope.sender, envelope.to, envelope.kind) == ("run", "0", "@server", "reply")
    assert (envelope.round, envelope.attempt, envelope.phase, envelope.model) == (3, 2, PHASE, "a" * 64)
    assert (envelope.body, envelope.length) == (sha256(body).hexdigest(), size)


@pytest.mark.parametrize("more", [1, 8])
def test_a_large_reply_is_uploaded_before_and_its_envelope_comes_alone(more: int) -> None:
    server, body = Server(), LARGE[: INLINE + more]
    assert give(server, body) == "stored"
    ((_, envelope, inline),) = server.replies
    assert inline == b""
    assert (envelope.body, envelope.length) == (sha256(body).hexdigest(), len(body))
    assert server.whole == {envelope.body: body}
    assert [line.split()[0] for line in server.asked] == ["HEAD", "PUT", "PUT"]


@pytest.mark.parametrize(("told", "made_of_it"), [("stored", "stored"), ("duplicate", "duplicate")])
def test_what_became_of_it(told: str, made_of_it: str) -> None:
    assert give(Server(status=told), b"body") == made_of_it


@given(carries=st.lists(st.integers(0, len(LARGE)), max_size=8))
def test_an_upload_cut_anywhere_any_number_of_times_moves_each_byte_once(carries: list[int]) -> None:
    server = Server(carries)
    assert insist(server, LARGE) == "stored"
    assert server.whole == {sha256(LARGE).hexdigest(): LARGE}
    # An upload of which nothing came through begins again; what came is never sent twice.
    assert server.moved == len(LARGE)
    assert len(server.replies) == 1


def test_what_is_whole_already_is_not_uploaded_again() -> None:
    server = Server()
    give(server, LARGE)
    give(server, LARGE)
    assert [line.split()[0] for line in server.asked] == ["HEAD", "PUT", "PUT", "HEAD", "PUT"]
    assert server.moved == len(LARGE)


def test_a_server_that_kept_a_part_and_ended_the_request_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    monkeypatch.setattr(server, "_piece", lambda *_: Answer(204, {"upload-offset": "5"}, b""))
    with pytest.raises(Cut, match="stands at byte 5"):
        give(server, LARGE)
    assert not server.replies


def _errors(status: int, code: str) -> Callable[..., Any]:
    def ask(*_: object, **__: object) -> Answer:
        raise Rejected(status, code, "no")

    return ask


@pytest.mark.parametrize(("status", "code"), [(410, "revoked"), (403, "not-a-member"), (503, "not-begun")])
def test_other_errors_than_that_nothing_is_there_are_told(status: int, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    monkeypatch.setattr(server, "ask", _errors(status, code))
    with pytest.raises(Rejected) as caught:
        give(server, LARGE)
    assert (caught.value.status, caught.value.code) == (status, code)


@pytest.mark.parametrize("offset", ["soon", "", "1.5", "-3", "²"])
def test_an_offset_that_is_none_is_a_cut_line(offset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    monkeypatch.setattr(server, "ask", lambda *_, **__: Answer(200, {"upload-offset": offset}, b""))
    with pytest.raises(Cut):
        give(server, LARGE)


@pytest.mark.parametrize("said", [b"[]", b"null", b'{"state": 1}', b"<html>"])
def test_a_judgement_that_is_none_is_a_cut_line(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    monkeypatch.setattr(server, "ask", lambda *_, **__: Answer(200, {}, said))
    with pytest.raises(Cut):
        give(server, b"small")


def test_a_large_body_has_the_time_that_the_slowest_line_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    times: dict[str, float] = {}
    server = Server()
    ask = server.ask

    def noting(method: str, path: str, *rest: Any, timeout: float = 0.0, **more: Any) -> Answer:
        times[f"{method} {path.split('/')[4]}"] = timeout
        return ask(method, path, *rest, timeout=timeout, **more)

    monkeypatch.setattr(server, "ask", noting)
    give(server, LARGE)
    assert times["PUT uploads"] >= len(LARGE) / (16 * 1024)
    assert times["PUT replies"] > 0
