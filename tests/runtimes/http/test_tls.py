"""TLS with real certificates: who is trusted, who is not, and that nothing goes without it to other machines."""

from __future__ import annotations

import datetime
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ciranda.core.errors import ExperimentError
from ciranda.runtimes.http.access import Access
from ciranda.runtimes.http.client import HttpClient, Told, Trainer
from ciranda.runtimes.http.disk import Disk
from ciranda.runtimes.http.link import Cut, Link, Untrusted
from ciranda.runtimes.http.server import Server
from ciranda.runtimes.http.service import Service
from ciranda.runtimes.http.tls import client_tls, is_loopback, server_tls
from ciranda.store.memory import MemoryStore
from tests.runtimes.http.certificates import Authority
from tests.runtimes.http.harness import House, Toy


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pem")


@contextmanager
def serving(folder: Path, tls: ssl.SSLContext) -> Iterator[Server]:
    """A server without runs."""
    server = Server(Service(Access(MemoryStore(), folder / "secrets")), tls=tls)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def status(link: Link) -> object:
    try:
        return link.ask("GET", "/healthz").json()["status"]
    finally:
        link.close()


def test_a_client_that_trusts_the_ca_is_served(tmp_path: Path, ca: Authority) -> None:
    own = ca.issue("server")
    with serving(tmp_path, server_tls(own.cert, own.key)) as server:
        assert server.url.startswith("https://")
        assert status(Link(server.url, client_tls(ca.file))) == "ok"


def test_a_server_of_another_ca_is_sent_nothing(tmp_path: Path, ca: Authority) -> None:
    own = Authority(tmp_path / "other", "other").issue("server")
    with serving(tmp_path, server_tls(own.cert, own.key)) as server:
        for tls in (client_tls(ca.file), client_tls(), None):
            with pytest.raises(Untrusted, match="certificate"):
                status(Link(server.url, tls))
        assert server.service.meter.requests == {}


def test_an_expired_certificate_is_not_trusted(tmp_path: Path, ca: Authority) -> None:
    own = ca.issue("server", until=-datetime.timedelta(hours=1))
    with serving(tmp_path, server_tls(own.cert, own.key)) as server, pytest.raises(Untrusted, match="expired"):
        status(Link(server.url, client_tls(ca.file)))


def test_a_certificate_for_another_host_is_not_trusted(tmp_path: Path, ca: Authority) -> None:
    own = ca.issue("server")
    with serving(tmp_path, server_tls(own.cert, own.key)) as server, pytest.raises(Untrusted, match="match"):
        status(Link(f"https://localhost:{server.port}", client_tls(ca.file)))


def test_plain_http_is_not_spoken_on_a_tls_port(tmp_path: Path, ca: Authority) -> None:
    own = ca.issue("server")
    with serving(tmp_path, server_tls(own.cert, own.key)) as server:
        with pytest.raises(Cut):
            status(Link(f"http://127.0.0.1:{server.port}"))
        assert server.service.meter.requests == {}


def test_mutual_tls_lets_in_who_has_a_certificate_of_the_ca_and_nobody_else(tmp_path: Path, ca: Authority) -> None:
    own, mine = ca.issue("server"), ca.issue("client", server=False)
    stranger = Authority(tmp_path / "other", "other").issue("stranger", server=False)
    old = ca.issue("old", until=-datetime.timedelta(hours=1), server=False)
    with serving(tmp_path, server_tls(own.cert, own.key, ca.file)) as server:
        for tls in (client_tls(ca.file), client_tls(ca.file, stranger.cert, stranger.key), client_tls(ca.file, old.cert, old.key)):
            with pytest.raises(Cut):
                status(Link(server.url, tls))
        assert server.service.meter.requests == {}
        assert status(Link(server.url, client_tls(ca.file, mine.cert, mine.key))) == "ok"


def test_old_versions_of_tls_are_not_spoken(tmp_path: Path, ca: Authority) -> None:
    own = ca.issue("server")
    with serving(tmp_path, server_tls(own.cert, own.key)) as server:
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.load_verify_locations(ca.file)
        old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection((server.host, server.port)) as line, pytest.raises(ssl.SSLError):
            old.wrap_socket(line, server_hostname="127.0.0.1")


def test_a_client_ends_at_once_when_the_certificates_never_fitted(tmp_path: Path, ca: Authority) -> None:
    own = Authority(tmp_path / "other", "other").issue("server")
    disk = Disk(tmp_path / "client")
    with serving(tmp_path, server_tls(own.cert, own.key)) as server:
        client = HttpClient(lambda: Link(server.url, client_tls(ca.file)), disk, _nothing, name="one", token="t")
        with pytest.raises(Untrusted):
            client.work()
    disk.close()


def _nothing(told: Told) -> Trainer:
    raise AssertionError("it was told something")


def test_a_whole_run_over_mutual_tls_ends_as_one_without(tmp_path: Path, ca: Authority) -> None:
    own, mine = ca.issue("server"), ca.issue("client", server=False)
    ends = []
    for name, tls in (("plain", None), ("tls", server_tls(own.cert, own.key, ca.file))):
        with House(Toy(tmp_path / name, clients=3, rounds=2), tls=tls, trust=client_tls(ca.file, mine.cert, mine.key)) as house:
            run = house.begin()
            house.everybody()
            assert run.over.wait(30)
            assert (run.status, house.problems) == ("finished", [])
            ends.append(run.rows[-1]["model"])
    assert ends[0] == ends[1]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_without_tls_only_loopback_is_listened_on(tmp_path: Path, host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(ExperimentError, match="other machines can read along") as caught:
        Server(Service(Access(MemoryStore(), tmp_path)), host)
    assert "--insecure-plain-http" in caught.value.hint


def test_told_so_in_so_many_words_it_listens_without_tls(tmp_path: Path) -> None:
    server = Server(Service(Access(MemoryStore(), tmp_path)), "0.0.0.0", insecure=True)
    server.start()
    assert status(Link(f"http://127.0.0.1:{server.port}")) == "ok"
    server.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_is_known_by_any_of_its_names(host: str) -> None:
    assert is_loopback(host)


def test_files_that_do_not_fit_are_explained(tmp_path: Path, ca: Authority) -> None:
    one, other = ca.issue("one"), ca.issue("two")
    junk = tmp_path / "junk.pem"
    junk.write_text("hello")
    attempts: list[Callable[[], ssl.SSLContext]] = [
        lambda: server_tls(one.cert, other.key),
        lambda: server_tls(tmp_path / "none.pem", one.key),
        lambda: server_tls(junk, junk),
        lambda: server_tls(one.cert, one.key, junk),
        lambda: client_tls(tmp_path / "none.pem"),
        lambda: client_tls(ca.file, one.cert, other.key),
    ]
    for attempt in attempts:
        with pytest.raises(ExperimentError, match="cannot be used") as caught:
            attempt()
        assert "PEM" in caught.value.hint
