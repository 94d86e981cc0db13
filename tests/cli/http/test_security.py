"""TLS, mutual TLS and revocation from the command line."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ciranda.cli.http.revoke import revoke
from ciranda.cli.http.security import Door, Trust
from ciranda.cli.result import read_result
from ciranda.core.errors import ExperimentError, Missing
from ciranda.runtimes.http.link import Rejected, Untrusted
from tests.runtimes.http.certificates import Authority, Pair

SMALL = ["--set", "federation.clients=2", "--set", "rounds.num-rounds=1", "--set", "rounds.fraction-train=1.0"]


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pem")


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A ciranda process, ended on leaving."""
    process = subprocess.Popen([sys.executable, "-m", "ciranda", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def server(out: Path, own: Pair, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`ciranda server` over TLS and its address."""
    tls = ["--tls-cert", str(own.cert), "--tls-key", str(own.key)]
    with started("server", "digits", *SMALL, "--out", str(out), "--port", "0", *tls, *more) as process:
        assert process.stdout is not None
        url = next(line.split(": ", 1)[1].strip() for line in process.stdout if "https://" in line)
        yield process, url


def test_a_run_over_mutual_tls_from_the_command_line(tmp_path: Path, ca: Authority) -> None:
    own, mine = ca.issue("server"), ca.issue("client", server=False)
    out = tmp_path / "run"
    trust = ["--ca", str(ca.file), "--cert", str(mine.cert), "--key", str(mine.key)]
    with server(out, own, "--tls-client-ca", str(ca.file), "--tokens", "2", "--once") as (process, url), ExitStack() as stack:
        tokens = (out / "http" / "tokens.txt").read_text().split()
        assert (out / "http" / "tokens.txt").stat().st_mode & 0o777 == 0o600
        assert (out / "http").stat().st_mode & 0o777 == 0o700
        clients = []
        for number, token in enumerate(tokens):
            (tmp_path / f"token-{number}").write_text(token)
            where = ["--state", str(tmp_path / f"client-{number}"), "--token-file", str(tmp_path / f"token-{number}")]
            clients.append(stack.enter_context(started("client", url, "--partition", f"{number}/2", *where, *trust)))
        assert [client.wait(60) for client in clients] == [0, 0]
        assert process.wait(60) == 0
    assert read_result(out / "result.json").state == "finished"


def test_a_client_is_revoked_and_strangers_are_not_even_heard(tmp_path: Path, ca: Authority) -> None:
    own = ca.issue("server")
    out = tmp_path / "run"
    with server(out, own, "--anybody") as (process, url):
        link = Trust(ca.file).link(url)
        link.credential = link.post("/v1/enrol", {"name": "ab"}).json()["credential"]
        with pytest.raises(Untrusted):
            revoke("ab", str(out), Trust())
        with pytest.raises(Missing, match="There is no client 'somebody'"):
            revoke("somebody", str(out), Trust(ca.file))
        assert link.ask("GET", "/v1/runs").status == 200
        revoke("ab", str(out), Trust(ca.file))
        with pytest.raises(Rejected, match="revoked"):
            link.ask("GET", "/v1/runs")
        link.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    logged = (out / "log.jsonl").read_text()
    assert '"action": "enrol"' in logged
    assert '"action": "revoke"' in logged
    assert link.credential not in logged


def test_a_run_without_a_server_has_nobody_to_revoke(tmp_path: Path) -> None:
    (tmp_path / "experiment.toml").write_text("")
    with pytest.raises(ExperimentError, match="No server was started"):
        revoke("x", str(tmp_path), Trust())


def test_options_that_do_not_fit_each_other_are_named(tmp_path: Path, ca: Authority) -> None:
    for door in (Door(key=ca.file), Door(client_ca=ca.file)):
        with pytest.raises(ExperimentError, match="TLS needs a certificate"):
            door.tls()
    assert Door().tls() is None
    Door().check_anybody("127.0.0.1")
    Door(client_ca=ca.file).check_anybody("0.0.0.0")
    with pytest.raises(ExperimentError, match=r"whoever reaches 0\.0\.0\.0") as caught:
        Door(insecure=True).check_anybody("0.0.0.0")
    assert "--tokens" in caught.value.hint


def test_a_server_for_other_machines_needs_tls_or_to_be_told(tmp_path: Path) -> None:
    command = ["server", "digits", "--host", "0.0.0.0", "--port", "0", "--out", str(tmp_path / "run")]
    with started(*command) as process:
        said = process.communicate(timeout=60)[0]
    assert process.returncode != 0
    assert "--insecure-plain-http" in said
