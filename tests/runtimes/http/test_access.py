"""Who may talk to the server: a token enrols one name, a credential is one client's, and both outlive a restart."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ciranda.runtimes.http.access import REGISTRY, Access, Denied, secret_of
from ciranda.store.base import Store
from ciranda.store.memory import MemoryStore


class Gate:
    """One registry and its secrets; `access` is another start of the server at each `open`."""

    def __init__(self, folder: Path, *, anybody: bool = False) -> None:
        self.store: Store = MemoryStore()
        self.folder, self.anybody = folder, anybody
        self.access = self.open()

    def open(self) -> Access:
        self.access = Access(self.store, self.folder, anybody=self.anybody)
        return self.access

    def token(self) -> str:
        (token,) = self.access.make_tokens(1)
        return token


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "secrets")


@pytest.fixture
def open_gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "secrets", anybody=True)


def denied(gate: Gate, token: str, name: str) -> int:
    with pytest.raises(Denied) as caught:
        gate.access.enrol(token, name)
    assert caught.value.hint
    return caught.value.status


def test_a_token_lets_one_client_in(gate: Gate) -> None:
    credential = gate.access.enrol(gate.token(), "ana")
    assert gate.access.client(credential) == "ana"
    assert gate.access.clients() == ["ana"]


def test_tokens_are_many_and_different(gate: Gate) -> None:
    assert len(set(gate.access.make_tokens(50))) == 50


@pytest.mark.parametrize("token", ["", "made-up", "token/", "\ud800"])
def test_without_a_token_of_the_operator_nobody_comes_in(gate: Gate, token: str) -> None:
    gate.token()
    assert denied(gate, token, "ana") == 401
    assert gate.access.clients() == []


def test_a_beginning_of_a_token_is_none(gate: Gate) -> None:
    token = gate.token()
    assert denied(gate, token[:-1], "ana") == 401
    gate.access.enrol(token, "ana")


def test_a_token_is_used_up_by_the_first_name(gate: Gate) -> None:
    token = gate.token()
    gate.access.enrol(token, "ana")
    assert denied(gate, token, "bia") == 401
    gate.open()
    assert denied(gate, token, "bia") == 401


@pytest.mark.parametrize("restart", [False, True])
def test_an_enrolment_whose_answer_was_lost_is_repeated_until_the_credential_was_used(gate: Gate, restart: bool) -> None:
    token = gate.token()
    credential = gate.access.enrol(token, "ana")
    if restart:
        gate.open()
    assert gate.access.enrol(token, "ana") == credential
    assert gate.access.client(credential) == "ana"
    if restart:
        gate.open()
    assert denied(gate, token, "ana") == 409


def test_a_look_at_a_credential_does_not_use_it(gate: Gate) -> None:
    token = gate.token()
    credential = gate.access.enrol(token, "ana")
    assert gate.access.known(credential) == "ana"
    assert gate.access.enrol(token, "ana") == credential


def test_a_name_belongs_to_whoever_came_first(gate: Gate) -> None:
    gate.access.enrol(gate.token(), "ana")
    assert denied(gate, gate.token(), "ana") == 409


def test_anybody_may_come_in_under_a_free_name_where_the_server_says_so(open_gate: Gate) -> None:
    credential = open_gate.access.enrol("", "ana")
    assert open_gate.access.enrol("", "ana") == credential
    assert open_gate.access.client(credential) == "ana"
    assert denied(open_gate, "", "ana") == 409
    assert denied(open_gate, "made-up", "bia") == 401, "a token that is shown must be one"


@pytest.mark.parametrize(
    "name",
    ["", "@server", "@ana", "a/b", "a\\b", "/", "a\nb", "a\x00", " ana", "\tana", "x" * 81, "ana\x7f"],
)
def test_what_cannot_be_a_name(open_gate: Gate, name: str) -> None:
    assert denied(open_gate, "", name) == 422
    assert open_gate.access.clients() == []


@pytest.mark.parametrize("name", ["a", "Zoë's laptop", "client-0", "7", "x" * 80, "a@b", "..", "用户"])
def test_what_can_be_a_name(open_gate: Gate, name: str) -> None:
    credential = open_gate.access.enrol("", name)
    open_gate.open()
    assert open_gate.access.client(credential) == name


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.from_regex(r"[a-z0-9][a-z0-9 @.]{0,10}", fullmatch=True), min_size=2, max_size=6, unique=True))
def test_credentials_never_meet(tmp_path: Path, names: list[str]) -> None:
    gate = Gate(tmp_path / "secrets", anybody=True)
    credentials = {name: gate.access.enrol("", name) for name in names}
    assert len(set(credentials.values())) == len(names)
    gate.open()
    assert {name: gate.access.client(credential) for name, credential in credentials.items()} == {name: name for name in names}
    assert gate.access.clients() == sorted(names)


def test_another_server_does_not_know_a_credential(gate: Gate, tmp_path: Path) -> None:
    other = Gate(tmp_path / "other", anybody=True)
    credential = other.access.enrol("", "ana")
    assert gate.access.client(credential) is None
    assert gate.access.known(credential) is None


@pytest.mark.parametrize("credential", ["", "x", "0" * 64, "\ud800", "@server"])
def test_a_credential_of_nobody(gate: Gate, credential: str) -> None:
    assert gate.access.client(credential) is None
    assert gate.access.known(credential) is None
    assert not gate.access.is_operator(credential)


def test_the_operator_is_whoever_can_read_the_file(gate: Gate) -> None:
    secret = gate.access.operator_file.read_text().strip()
    assert gate.access.is_operator(secret)
    assert gate.access.known(secret) == ""
    assert gate.access.client(secret) is None
    assert gate.open().is_operator(secret)
    assert not gate.access.is_operator(secret[:-1])


def test_a_client_is_not_the_operator(open_gate: Gate) -> None:
    assert not open_gate.access.is_operator(open_gate.access.enrol("", "ana"))


def test_who_was_revoked_is_so_for_good_and_its_name_with_it(open_gate: Gate) -> None:
    credential = open_gate.access.enrol("", "ana")
    assert open_gate.access.revoke("ana")
    for access in (open_gate.access, open_gate.open()):
        assert access.is_revoked("ana")
        assert access.revoked() == {"ana"}
        assert access.client(credential) == "ana", "so that it can be told that it was revoked"
        assert denied(open_gate, "", "ana") == 409
    open_gate.access.enrol("", "ana-2")


def test_nobody_revokes_a_stranger(gate: Gate) -> None:
    assert not gate.access.revoke("ana")
    assert not gate.access.is_revoked("ana")


def test_secrets_are_made_once_and_are_their_owners(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    first = secret_of(file)
    assert secret_of(file) == first
    assert len(bytes.fromhex(first)) == 32
    assert secret_of(tmp_path / "other") != first
    if os.name != "nt":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_no_secret_is_in_the_registry(gate: Gate) -> None:
    token = gate.token()
    credential = gate.access.enrol(token, "ana")
    gate.access.client(credential)
    written = b"\n".join(key.encode() + b"=" + record for key, record in gate.store.claims(REGISTRY, ""))
    for secret in (token, credential, gate.access.operator_file.read_text().strip(), (gate.folder / "server.secret").read_text().strip()):
        assert secret.encode() not in written
