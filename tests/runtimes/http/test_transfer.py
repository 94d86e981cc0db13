"""Bodies in and out: ranges are exact, limits hold while a body streams, and an upload cut anywhere ends in the same bytes."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn, TypeVar

import pytest
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import StoreError
from ciranda.runtimes.http import transfer
from ciranda.runtimes.http.answers import ApiError
from ciranda.runtimes.http.models import Content
from ciranda.runtimes.http.transfer import Uploads, chunks, declared, send, whole

T = TypeVar("T")
SIZE = 100
DATA = bytes(range(SIZE))
ETAG = "abc"


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 20))


def asked(headers: dict[str, str] | None = None, body: Sequence[bytes] = (), *, cut: bool = False, hang: bool = False) -> Request:
    """A request whose body comes in these pieces; then its line is cut, or nothing comes any more, or it is whole."""
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in body]
    if cut:
        messages.append({"type": "http.disconnect"})
    elif not hang:
        messages.append({"type": "http.request", "body": b"", "more_body": False})
    coming = iter(messages)

    async def receive() -> dict[str, Any]:
        for message in coming:
            return message
        await asyncio.Event().wait()
        raise AssertionError

    told = [(name.encode(), value.encode("latin-1", "replace")) for name, value in (headers or {}).items()]
    return Request({"type": "http", "method": "PUT", "path": "/", "query_string": b"", "headers": told}, receive)


def sent(pieces: Iterable[bytes], *, cut: bool = False, hang: bool = False, length: int | None = None) -> Request:
    """A request with a body, which declares its length, or another one."""
    body = list(pieces)
    count = sum(map(len, body)) if length is None else length
    return asked({"content-length": str(count)}, body, cut=cut, hang=hang)


def content_of(answer: Response) -> bytes:
    """What the answer says, streamed or not."""
    if not isinstance(answer, StreamingResponse):
        return bytes(answer.body)

    async def read() -> bytes:
        return b"".join([bytes(piece) async for piece in answer.body_iterator])  # type: ignore[arg-type]

    return run(read())


@pytest.fixture(params=["memory", "file"])
def content(request: pytest.FixtureRequest, tmp_path: Path) -> Content:
    if request.param == "memory":
        return Content(SIZE, DATA, None)
    file = tmp_path / "model"
    file.write_bytes(DATA)
    return Content(SIZE, None, file)


# --- ranges


def test_all_of_it(content: Content) -> None:
    answer, count = send(asked(), content, ETAG)
    assert (answer.status_code, count) == (200, SIZE)
    assert content_of(answer) == DATA
    assert answer.headers["etag"] == '"abc"'
    assert answer.headers["content-length"] == str(SIZE)
    assert "content-range" not in answer.headers


@pytest.mark.parametrize(
    ("wanted", "begin", "end"),
    [
        ("0-0", 0, 1),
        ("0-", 0, SIZE),
        ("0-99", 0, SIZE),
        ("0-100", 0, SIZE),
        ("99-", 99, SIZE),
        ("99-99", 99, SIZE),
        ("99-999999999999999999", 99, SIZE),
        ("10-19", 10, 20),
        ("-1", 99, SIZE),
        ("-99", 1, SIZE),
        ("-100", 0, SIZE),
        ("-101", 0, SIZE),
    ],
)
def test_a_range(content: Content, wanted: str, begin: int, end: int) -> None:
    answer, count = send(asked({"range": f"bytes={wanted}"}), content, ETAG)
    assert answer.status_code == 206
    assert content_of(answer) == DATA[begin:end]
    assert count == end - begin
    assert answer.headers["content-length"] == str(count)
    assert answer.headers["content-range"] == f"bytes {begin}-{end - 1}/{SIZE}"


@pytest.mark.parametrize(
    "wanted",
    [
        "bytes=100-",
        "bytes=100-100",
        "bytes=-0",
        "bytes=-",
        "bytes=5-4",
        "bytes=0-1,3-4",
        "bytes=a-b",
        "bytes=-5-",
        "lines=1-2",
        "bytes=٣-٤",
    ],
)
def test_a_range_that_is_none(content: Content, wanted: str) -> None:
    with pytest.raises(ApiError) as caught:
        send(asked({"range": wanted}), content, ETAG)
    assert (caught.value.status, caught.value.code) == (416, "no-such-range")
    assert caught.value.headers["Content-Range"] == f"bytes */{SIZE}"


@given(first=st.integers(0, 130), last=st.integers(0, 130))
def test_any_range_is_a_slice_or_refused(first: int, last: int) -> None:
    content = Content(SIZE, DATA, None)
    request = asked({"range": f"bytes={first}-{last}"})
    expected = DATA[first : last + 1]
    if not expected:
        with pytest.raises(ApiError):
            send(request, content, ETAG)
    else:
        answer, count = send(request, content, ETAG)
        assert content_of(answer) == expected
        assert count == len(expected)


@given(cuts=st.lists(st.integers(0, SIZE - 1), max_size=6))
def test_a_download_that_goes_on_after_every_cut_is_whole(cuts: list[int]) -> None:
    got = b""
    for cut in [*cuts, SIZE]:
        if len(got) == SIZE:
            break
        answer, _ = send(asked({"range": f"bytes={len(got)}-"}), Content(SIZE, DATA, None), ETAG)
        got += content_of(answer)[:cut]
    assert got == DATA


@pytest.mark.parametrize(("told", "status"), [('"abc"', 304), ("*", 304), (' "abc" ', 304), ('"other"', 200), ("abc", 200)])
def test_revalidation(content: Content, told: str, status: int) -> None:
    answer, count = send(asked({"if-none-match": told, "range": "bytes=0-"} if status == 304 else {"if-none-match": told}), content, ETAG)
    assert answer.status_code == status
    assert answer.headers["etag"] == '"abc"'
    assert content_of(answer) == (b"" if status == 304 else DATA)
    assert count == (0 if status == 304 else SIZE)


@pytest.mark.parametrize(("told", "status"), [('"abc"', 206), ('"other"', 200)])
def test_a_range_of_another_model_is_the_whole_of_this_one(content: Content, told: str, status: int) -> None:
    answer, _ = send(asked({"range": "bytes=1-2", "if-range": told}), content, ETAG)
    assert answer.status_code == status
    assert content_of(answer) == (DATA[1:3] if status == 206 else DATA)


def test_a_model_that_is_replaced_while_it_is_sent_comes_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_bytes(DATA)
    answer, _ = send(asked(), Content(SIZE, None, file), ETAG)
    file.unlink()
    assert content_of(answer) == DATA


# --- bodies


@pytest.mark.parametrize(
    ("told", "status"),
    [(None, 411), ("", 411), ("-1", 411), ("1e3", 411), ("٣", 411), ("101", 413), ("9" * 30, 413)],
)
def test_a_length_that_is_not_declared_or_too_long(told: str | None, status: int) -> None:
    with pytest.raises(ApiError) as caught:
        declared(asked({} if told is None else {"content-length": told}), 100)
    assert caught.value.status == status


@pytest.mark.parametrize("length", [0, 1, 100])
def test_a_length_up_to_the_limit(length: int) -> None:
    assert declared(asked({"content-length": str(length)}), 100) == length


@given(pieces=st.lists(st.binary(max_size=20), max_size=8))
def test_a_body_is_the_sum_of_its_pieces(pieces: list[bytes]) -> None:
    assert run(whole(sent(pieces), 1000)) == b"".join(pieces)


def test_a_body_that_is_longer_than_declared_is_cut_off_where_it_is() -> None:
    async def read() -> list[bytes]:
        return [piece async for piece in chunks(sent([b"abc", b"def"], length=4), 4)]

    with pytest.raises(ApiError) as caught:
        run(read())
    assert (caught.value.status, caught.value.code) == (413, "oversized")


def test_a_body_that_does_not_go_on_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_PATIENCE_S", 0.01)
    with pytest.raises(ApiError, match="7 of 20 bytes came") as caught:
        run(whole(sent([b"sentence"[:7]], hang=True, length=20), 100))
    assert (caught.value.status, caught.value.code) == (408, "too-slow")


# --- uploads: one body, cut into requests as it comes

BODY = bytes(range(256)) * 3
DIGEST = sha256(BODY).hexdigest()
WHOLE = len(BODY)


class Site:
    """Uploads of one client in a folder; `restart` is another start of the server."""

    def __init__(self, folder: Path, digest: str = DIGEST, length: int = WHOLE) -> None:
        self.target, self.digest, self.length = folder / "reply", digest, length
        self.partial = folder / "reply.upload"
        self.uploads = Uploads()

    def restart(self) -> None:
        self.uploads = Uploads()

    async def offset(self) -> int | None:
        return await self.uploads.offset("run", "0", self.target, self.digest)

    async def write(self, offset: int, *pieces: bytes, cut: bool = False, length: int | None = None) -> tuple[int, bool]:
        request = sent(pieces, cut=cut, length=self.length - offset if cut else None)
        return await self.uploads.write(request, "run", "0", self.target, self.digest, offset, length or self.length)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_in_one_piece(site: Site) -> None:
    assert run(site.offset()) is None
    assert run(site.write(0, BODY)) == (WHOLE, True)
    assert site.target.read_bytes() == BODY
    assert not site.partial.exists()
    assert run(site.offset()) == WHOLE


def test_what_is_whole_is_not_written_again(site: Site) -> None:
    run(site.write(0, BODY))
    assert run(site.write(0, b"something else")) == (WHOLE, True)
    assert site.target.read_bytes() == BODY


_REQUESTS = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(0, WHOLE - 1)), st.integers(0, WHOLE), st.booleans(), st.integers(1, WHOLE), st.booleans()),
    max_size=12,
)


@given(requests=_REQUESTS)
def test_any_cutting_in_any_order_ends_in_the_same_bytes_or_says_where_it_stands(
    requests: list[tuple[int | None, int, bool, int, bool]],
) -> None:
    """Each request: where it goes on (None: where the upload stands), how much comes, whether cut, in which pieces, a restart before."""

    async def work(site: Site) -> None:
        stands = 0
        for wanted, count, cut, step, restarted in requests:
            if site.target.exists():
                break
            if restarted:
                site.restart()
                assert await site.offset() in (stands, stands or None)
            offset = stands if wanted is None else wanted
            comes = BODY[offset : offset + count]
            pieces = [comes[at : at + step] for at in range(0, len(comes), step)]
            refused = None
            try:
                stands, done = await site.write(offset, *pieces, cut=cut)
            except ApiError as error:
                refused = error
            if refused is not None:
                assert (refused.status, refused.code) == (409, "wrong-offset")
                assert offset not in (0, stands)
                assert refused.headers["Upload-Offset"] == str(stands)
                continue
            assert stands == offset + len(comes)
            assert done == (stands == WHOLE)
            if not done and site.partial.exists():
                assert site.partial.read_bytes() == BODY[:stands]
        if not site.target.exists():
            assert await site.write(stands, BODY[stands:]) == (WHOLE, True)
        assert site.target.read_bytes() == BODY

    with TemporaryDirectory() as folder:
        run(work(Site(Path(folder))))


def test_a_request_that_begins_again_throws_away_what_came(site: Site) -> None:
    run(site.write(0, b"spoilt", cut=True))
    assert run(site.write(0, BODY)) == (WHOLE, True)
    assert site.target.read_bytes() == BODY


def test_another_length_begins_again(site: Site) -> None:
    run(site.write(0, BODY[:10], cut=True))
    with pytest.raises(ApiError) as caught:
        run(site.write(10, BODY[10:20], length=20))
    assert caught.value.headers["Upload-Offset"] == "0"


def test_bytes_with_another_digest_are_dropped_and_the_upload_may_begin_again(site: Site) -> None:
    with pytest.raises(ApiError) as caught:
        run(site.write(0, BODY[::-1]))
    assert (caught.value.status, caught.value.code) == (422, "wrong-digest")
    assert not site.target.exists()
    assert not site.partial.exists()
    assert run(site.offset()) is None
    assert run(site.write(0, BODY)) == (WHOLE, True)


def test_a_piece_that_is_longer_than_what_is_left_is_refused_before_it_is_read(site: Site) -> None:
    run(site.write(0, BODY[:700], cut=True))
    with pytest.raises(ApiError) as caught:
        run(site.write(700, BODY))
    assert caught.value.status == 413
    assert run(site.offset()) == 700


def test_a_client_has_one_upload_at_a_time(tmp_path: Path) -> None:
    first = Site(tmp_path)
    run(first.write(0, BODY[:10], cut=True))
    other = b"another reply"
    second = Site(tmp_path, sha256(other).hexdigest(), len(other))
    second.uploads, second.target, second.partial = first.uploads, tmp_path / "second", tmp_path / "second.upload"
    assert run(second.offset()) is None
    assert run(second.write(0, other)) == (len(other), True)
    assert not first.partial.exists()
    assert run(first.offset()) is None


def test_an_older_request_whose_line_is_dead_writes_nothing_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_BLOCK", 1)

    async def work() -> None:
        await site.write(0, BODY[:5], cut=True)
        go_on = asyncio.Event()
        messages = iter([BODY[5:9], BODY[9:]])

        async def receive() -> dict[str, Any]:
            piece = next(messages)
            if piece != BODY[5:9]:
                await go_on.wait()
            return {"type": "http.request", "body": piece, "more_body": piece == BODY[5:9]}

        scope = {"type": "http", "headers": [(b"content-length", str(WHOLE - 5).encode())]}
        older = asyncio.ensure_future(
            site.uploads.write(Request(scope, receive), "run", "0", site.target, DIGEST, 5, WHOLE),
        )
        while await site.offset() != 9:
            await asyncio.sleep(0.001)
        assert await site.write(9, BODY[9:20], cut=True) == (20, False)
        go_on.set()
        with pytest.raises(ApiError) as caught:
            await older
        assert (caught.value.status, caught.value.code) == (409, "superseded")
        assert await site.write(20, BODY[20:]) == (WHOLE, True)
        assert site.target.read_bytes() == BODY

    run(work())


def _full(*_: object) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_says_so_and_the_upload_goes_on_when_there_is_room(site: Site, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run(site.write(0, BODY[:300], cut=True))
    with monkeypatch.context() as patched:
        patched.setattr(os, call, _full)
        with pytest.raises(StoreError, match="No room to write"):
            run(site.write(300, BODY[300:]))
    assert not site.target.exists()
    kept = run(site.offset())
    assert kept is not None
    if kept < WHOLE:
        assert run(site.write(kept, BODY[kept:])) == (WHOLE, True)
    assert site.target.read_bytes() == BODY


def test_a_write_that_takes_less_than_it_was_given_is_repeated(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, memoryview(data)[:7]))
    assert run(site.write(0, BODY)) == (WHOLE, True)
    assert site.target.read_bytes() == BODY


def test_a_large_body_is_brought_to_the_disk_on_the_way(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(transfer, "_BLOCK", 100)
    monkeypatch.setattr(transfer, "_SYNC", 300)
    monkeypatch.setattr(os, "fdatasync", synced.append)
    run(site.write(0, *(BODY[at : at + 50] for at in range(0, WHOLE, 50))))
    assert len(synced) == WHOLE // 300


def test_what_was_whole_when_the_server_was_killed_gets_its_place_at_the_next_start(site: Site) -> None:
    """The kill came between the last byte and the renaming: the client has nothing left to send."""
    site.partial.write_bytes(BODY)
    assert run(site.offset()) == WHOLE
    assert site.target.read_bytes() == BODY
    assert not site.partial.exists()


def test_what_a_power_cut_spoilt_is_found_out(site: Site) -> None:
    site.partial.write_bytes(bytes(100))
    assert run(site.offset()) == 100
    with pytest.raises(ApiError) as caught:
        run(site.write(100, BODY[100:]))
    assert caught.value.code == "wrong-digest"
    assert run(site.offset()) is None
    assert run(site.write(0, BODY)) == (WHOLE, True)


def test_an_upload_that_cannot_be_read_back_is_named(site: Site) -> None:
    site.partial.mkdir()
    with pytest.raises(StoreError, match=r"Cannot read .*reply\.upload"):
        run(site.offset())


def test_asking_while_the_last_request_is_finishing_does_no_harm(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that lost its line asks how far it is just as the server renames the file."""

    async def work() -> None:
        asked_again: list[asyncio.Future[int | None]] = []
        fsync, loop = os.fsync, asyncio.get_running_loop()

        def slowly(descriptor: int) -> None:
            if not asked_again:
                asked_again.append(asyncio.run_coroutine_threadsafe(site.offset(), loop))  # type: ignore[arg-type]
                with suppress(TimeoutError):
                    asked_again[0].result(0.05)  # type: ignore[call-arg]
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", slowly)
        assert await site.write(0, BODY) == (WHOLE, True)
        assert await asyncio.wrap_future(asked_again[0]) == WHOLE

    run(work())
    assert site.target.read_bytes() == BODY
