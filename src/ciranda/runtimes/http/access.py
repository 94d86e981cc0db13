"""Who may talk to the server: one-time tokens, the credentials they yield, and the operator's own.

Only hashes are stored. A credential is derived from the server's secret, the token and the name, so that an enrolment whose answer
was lost can be repeated until the credential was used for the first time.
"""

from __future__ import annotations

import hmac
import os
import re
from hashlib import sha256
from pathlib import Path
from secrets import token_urlsafe

from ciranda.core.errors import CirandaError
from ciranda.store.base import Store
from ciranda.store.files import make_folder, write_whole

REGISTRY = "@server"
"""The name under which the server's own claims lie in its store; no run can have it."""

_NAME = re.compile(r"[^\x00-\x20\x7f@/\\][^\x00-\x1f\x7f/\\]{0,79}")
_TOKEN, _USED, _CLIENT, _ACTIVE, _REVOKED = "token/", "used/", "client/", "active/", "revoked/"


class Denied(CirandaError):
    """A token or a name that does not enrol anybody. `status` is the HTTP status that says so."""

    def __init__(self, status: int, message: str, /, *, hint: str = "", **fields: object) -> None:
        super().__init__(message, hint=hint, **fields)
        self.status = status


class Access:
    """The registry of clients in `store`; the secrets of the server in `folder`, readable by their owner only.

    With `anybody`, a client without a token may enrol too, under a name that is free: for a server that only this machine reaches.
    """

    def __init__(self, store: Store, folder: Path, *, anybody: bool = False) -> None:
        make_folder(folder)
        self._store, self._anybody = store, anybody
        self._secret = bytes.fromhex(secret_of(folder / "server.secret"))
        self.operator_file = folder / "operator.token"
        self._operator = _hash(secret_of(self.operator_file))
        self._names = {record.decode(): key.removeprefix(_CLIENT) for key, record in store.claims(REGISTRY, _CLIENT)}
        self._active = {key.removeprefix(_ACTIVE) for key, _ in store.claims(REGISTRY, _ACTIVE)}
        self._revoked = {key.removeprefix(_REVOKED) for key, _ in store.claims(REGISTRY, _REVOKED)}

    def make_tokens(self, count: int) -> list[str]:
        """New one-time tokens. They cannot be read from the server again."""
        tokens = [token_urlsafe(24) for _ in range(count)]
        for token in tokens:
            self._store.claim(REGISTRY, _TOKEN + _hash(token), b"")
        return tokens

    def enrol(self, token: str, name: str) -> str:
        """The credential of a new client. Raises Denied."""
        if not _NAME.fullmatch(name):
            raise Denied(422, "'{name}' cannot be a client's name.", hint="Up to 80 characters, no slash, and no @ in front.", name=name)
        if name in self._revoked:
            raise Denied(409, "The client '{name}' was revoked.", hint="Enrol under another name.", name=name)
        if token:
            known = _hash(token)
            if not any(hmac.compare_digest(key, _TOKEN + known) for key, _ in self._store.claims(REGISTRY, _TOKEN + known)):
                raise Denied(401, "This token enrols nobody.", hint="The operator of the server gives tokens out.")
            if self._store.claim(REGISTRY, _USED + known, name.encode()) != name.encode():
                raise Denied(401, "This token was used by another client.", hint="Each client needs a token of its own.")
        elif not self._anybody:
            raise Denied(401, "A token is needed to enrol.", hint="The operator of the server gives tokens out.")
        credential = hmac.new(self._secret, f"{token}\0{name}".encode(), sha256).hexdigest()
        hashed = _hash(credential)
        if name in self._active or self._store.claim(REGISTRY, _CLIENT + name, hashed.encode()).decode() != hashed:
            raise Denied(409, "The name '{name}' is taken.", hint="Choose another one.", name=name)
        self._names[hashed] = name
        return credential

    def client(self, credential: str) -> str | None:
        """The client with this credential, or None. Its first use ends the time in which enrolment may be repeated."""
        name = self._names.get(_hash(credential))
        if name is not None and name not in self._active:
            self._active.add(name)
            self._store.claim(REGISTRY, _ACTIVE + name, b"")
        return name

    def known(self, credential: str) -> str | None:
        """The name of the client with this credential, "" for the operator, None for nobody; it does not count as a use."""
        hashed = _hash(credential)
        return self._names.get(hashed) or ("" if hmac.compare_digest(hashed, self._operator) else None)

    def is_operator(self, credential: str) -> bool:
        return hmac.compare_digest(_hash(credential), self._operator)

    def is_revoked(self, name: str) -> bool:
        return name in self._revoked

    def revoke(self, name: str) -> bool:
        """Shut a client out for good; False if there is none of that name."""
        if name not in self.clients():
            return False
        self._store.claim(REGISTRY, _REVOKED + name, b"")
        self._revoked.add(name)
        return True

    def revoked(self) -> frozenset[str]:
        return frozenset(self._revoked)

    def clients(self) -> list[str]:
        """The names of all that enrolled, sorted."""
        return sorted(self._names.values())


def _hash(secret: str) -> str:
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def secret_of(file: Path) -> str:
    """The text of a secret file, made with a fresh secret when there is none."""
    if not file.exists():
        write_whole(file, [os.urandom(32).hex().encode()], mode=0o600)
    return file.read_text().strip()
