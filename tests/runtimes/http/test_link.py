"""A client's line: what it sends, when it calls again by itself, and what it makes of every way in which an answer can fail."""

from __future__ import annotations

import json
import random
import socket
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import ExperimentError
from ciranda.runtimes.http.link import Answer, Backoff, Cut, Link, Rejected
from tests.runtimes.http.script import Say, Script, answer

FINE = Say(answer(b'{"fine": 1}'))
STALE = Say(answer(b'{"fine": 1}'), cut=True)


@pytest.mark.parametrize(
    "url", ["", "example.org", "ftp://example.org", "http://", "https:///x", "http://example.org/path", "http://example.org?x=1", "//x"]
)
def test_what_is_not_a_servers_address(url: str) -> None:
    with pytest.raises(ExperimentError, match="is not a server's address"):
        Link(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8642", "http://127.0.0.1:8642/", "https://example.org"])
def test_a_servers_address(url: str) -> None:
    assert Link(url).url == url.rstrip("/")


def test_a_request_as_it_is_heard() -> None:
    with Script([FINE, FINE]) as script:
        link = script.link()
        assert link.ask("GET", "/one", headers={"Range": "bytes=1-"}).json() == {"fine": 1}
        link.credential = "secret"
        assert link.post("/two", {"ü": [1, None]}).status == 200
    one, two = script.heard
    assert one.line == "GET /one HTTP/1.1"
    assert one.headers["range"] == "bytes=1-"
    assert "authorization" not in one.headers
    assert two.line == "POST /two HTTP/1.1"
    assert two.headers["authorization"] == "Bearer secret"
    assert two.headers["content-type"] == "application/json"
    assert json.loads(two.body) == {"ü": [1, None]}


def test_names_of_headers_are_lower_case_in_an_answer() -> None:
    with Script([Say(answer(headers="Upload-Offset: 7\r\n"))]) as script:
        link = script.link()
        assert link.ask("HEAD", "/x").headers["upload-offset"] == "7"


def test_one_connection_serves_many_requests() -> None:
    with Script([FINE] * 5) as script:
        link = script.link()
        for _ in range(5):
            link.ask("GET", "/")
    assert script.connections == 1


def test_a_connection_that_the_server_ends_is_opened_again() -> None:
    closing = Say(answer(headers="Connection: close\r\n"), cut=True)
    with Script([closing], [FINE]) as script:
        link = script.link()
        link.ask("GET", "/one")
        link.ask("GET", "/two")
    assert [heard.line for heard in script.heard] == ["GET /one HTTP/1.1", "GET /two HTTP/1.1"]


def test_a_line_that_was_kept_open_and_is_dead_is_called_again_once_with_the_same_bytes() -> None:
    with Script([STALE], [FINE]) as script:
        link = script.link()
        link.ask("GET", "/one")
        assert link.ask("PUT", "/two", b"body").json() == {"fine": 1}
    assert script.connections == 2
    assert script.heard[-1].body == b"body"


def test_a_line_that_is_dead_twice_is_cut() -> None:
    with Script([STALE], [Say(cut=True)], [FINE]) as script:
        link = script.link()
        link.ask("GET", "/one")
        with pytest.raises(Cut, match="cannot be reached"):
            link.ask("GET", "/two")
        assert script.connections == 2
        assert link.ask("GET", "/three").status == 200


def test_a_new_line_that_is_cut_before_the_answer_is_not_called_again() -> None:
    with Script([Say(cut=True)], [FINE]) as script:
        link = script.link()
        with pytest.raises(Cut):
            link.ask("PUT", "/once", b"body")
    assert len(script.heard) == 1


def test_an_answer_that_had_begun_is_not_asked_for_again() -> None:
    with Script([FINE, Say(answer(b"half", length=8), cut=True)], [FINE]) as script:
        link = script.link()
        link.ask("GET", "/one")
        with pytest.raises(Cut):
            link.ask("GET", "/two")
    assert script.connections == 1


@pytest.mark.parametrize(
    "said", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n"]
)
def test_something_else_than_http_is_a_cut_line(said: bytes) -> None:
    with Script([Say(said, cut=True)]) as script, pytest.raises(Cut):
        script.link().ask("GET", "/")


def test_nobody_there_is_a_cut_line_that_names_the_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(Cut, match=f"{url} cannot be reached"):
        Link(url).ask("GET", "/")


def test_a_server_that_says_nothing_is_given_up_after_the_timeout() -> None:
    with Script([Say(wait=True)]) as script:
        link = script.link()
        with pytest.raises(Cut, match="timed out"):
            link.ask("GET", "/", timeout=0.05)


@pytest.mark.parametrize("body", [b"", b"<html>Sign in to the hotel's network</html>", b"\xff\xfe", b'{"cut'])
def test_an_answer_that_is_not_json_is_a_cut_line(body: bytes) -> None:
    with pytest.raises(Cut, match="not JSON"):
        Answer(200, {}, body).json()


# --- bodies that are poured


@pytest.mark.parametrize("came", [0, 1, 500, 999])
def test_what_had_come_of_a_download_stays(came: int) -> None:
    body = bytes(random.Random(came).randbytes(1000))
    rest = answer(body[came:], "206 Partial Content")
    with Script([Say(answer(body[:came], length=1000), cut=True)], [Say(rest)]) as script:
        link = script.link()
        into = bytearray(b"before")
        with pytest.raises(Cut):
            link.ask("GET", "/", into=into)
        assert bytes(into) == b"before" + body[:came]
        got = link.ask("GET", "/", into=into)
    assert bytes(into) == b"before" + body
    assert got.body == b""


def test_an_error_is_not_poured_into_a_download() -> None:
    into = bytearray()
    with Script([Say(answer(b'{"error": "no-such-model"}', "404 Not Found"))]) as script, pytest.raises(Rejected) as caught:
        script.link().ask("GET", "/", into=into)
    assert caught.value.code == "no-such-model"
    assert not into


# --- errors


@pytest.mark.parametrize(
    ("status", "passing"),
    [
        *((status, False) for status in (400, 401, 403, 404, 409, 410, 413, 422, 428)),
        *((status, True) for status in (408, 425, 429, 500, 502, 503, 504, 507)),
    ],
)
def test_which_errors_may_pass(status: int, passing: bool) -> None:
    with Script([Say(answer(b"{}", f"{status} Text"))]) as script, pytest.raises(Rejected) as caught:
        script.link().ask("GET", "/")
    assert (caught.value.status, caught.value.passing) == (status, passing)


def rejected(body: bytes, headers: str = "") -> Rejected:
    with Script([Say(answer(body, "409 Conflict", headers=headers))]) as script, pytest.raises(Rejected) as caught:
        script.link().ask("GET", "/")
    return caught.value


def test_an_error_as_the_server_tells_it() -> None:
    error = rejected(
        b'{"error": "wrong-offset", "message": "It stands at 7.", "hint": "Go on."}', "Retry-After: 12\r\nUpload-Offset: 7\r\n"
    )
    assert (error.code, error.after, error.offset) == ("wrong-offset", 12.0, 7)
    assert str(error) == "The server answers 409: It stands at 7."
    assert error.hint == "Go on."


def test_the_reason_of_a_refused_reply_is_its_code() -> None:
    assert rejected(b'{"status": "refused", "reason": "late", "message": "too late"}').code == "late"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1, 2]", b"null", b'"text"', b"\xff"])
def test_an_error_that_somebody_between_tells(body: bytes) -> None:
    error = rejected(body)
    assert (error.code, error.hint, error.after, error.offset) == ("", "", 0.0, -1)
    assert str(error) == "The server answers 409: Conflict"


@pytest.mark.parametrize("nonsense", ["", "soon", "-1", "1.5", "²", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_headers_that_are_no_numbers_count_as_none(nonsense: str) -> None:
    error = rejected(b"{}", f"Retry-After: {nonsense}\r\nUpload-Offset: {nonsense}\r\n")
    assert (error.after, error.offset) == (0.0, -1)


def test_after_an_error_the_same_line_goes_on() -> None:
    with Script([Say(answer(b"{}", "404 Not Found")), FINE]) as script:
        link = script.link()
        with pytest.raises(Rejected):
            link.ask("GET", "/one")
        assert link.ask("GET", "/two").status == 200
    assert script.connections == 1


# --- hanging up


def test_hanging_up_ends_a_request_that_waits_in_another_thread_and_every_later_one() -> None:
    problems: list[BaseException] = []
    with Script([Say(wait=True)], [FINE]) as script:
        link = script.link()

        def wait() -> None:
            try:
                link.ask("GET", "/", timeout=30)
            except Cut as problem:
                problems.append(problem)

        thread = Thread(target=wait)
        thread.start()
        assert script.got_one.wait(10)
        link.cut()
        thread.join(10)
        assert not thread.is_alive()
        assert len(problems) == 1
        with pytest.raises(Cut, match="hung up"):
            link.ask("GET", "/")
    assert script.connections == 1


def test_hanging_up_before_the_first_call() -> None:
    link = Link("http://127.0.0.1:1")
    link.cut()
    with pytest.raises(Cut, match="hung up"):
        link.ask("GET", "/")
    link.close()


# --- waiting


class _Spread:
    """In place of the system's randomness: always the same share of what is allowed."""

    def __init__(self, share: float) -> None:
        self.share = share

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.share


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "SystemRandom", lambda: _Spread(1.0))


@pytest.mark.usefixtures("longest")
def test_the_longest_waits_double_up_to_the_limit_and_begin_again_when_the_line_works() -> None:
    backoff = Backoff(first=0.25, most=3.0)
    assert [backoff.next() for _ in range(6)] == [0.25, 0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.reset()
    assert backoff.next() == 0.25


def test_the_shortest_wait_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "SystemRandom", lambda: _Spread(0.0))
    backoff = Backoff()
    assert {backoff.next() for _ in range(10)} == {0.0}


@given(first=st.floats(0.001, 10), most=st.floats(0.001, 100), tries=st.integers(1, 40))
def test_every_wait_is_within_its_bounds(first: float, most: float, tries: int) -> None:
    backoff = Backoff(first=first, most=most)
    for number in range(tries):
        assert 0.0 <= backoff.next() <= min(most, first * 2.0**number)


def test_a_thousand_clients_do_not_come_back_at_once() -> None:
    waits = [Backoff(first=1.0).next() for _ in range(1000)]
    assert len(set(waits)) > 900
    assert all(sum(begin <= wait < begin + 0.25 for wait in waits) > 150 for begin in (0.0, 0.25, 0.5, 0.75))


@pytest.mark.usefixtures("longest")
def test_a_day_without_a_line_does_not_overflow() -> None:
    backoff = Backoff(most=30.0)
    assert max(backoff.next() for _ in range(5000)) == 30.0
