"""The envelope that every wire carries: who says what to whom, about which phase, and what the body must be.

Read from foreign bytes with limits checked first. Signing and verifying are handed in; the signature covers all other fields,
and through the body's digest and length the body.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from ciranda.core.errors import CodecError
from ciranda.core.params import digest_of
from ciranda.protocol.jsonable import dumps, from_plain, parse

SCHEMA = 1
MAX_ENVELOPE = 16 * 1024  # bytes of JSON
MAX_NAME = 256  # characters of a name, an id or a phase
MAX_SIGNATURE = 8 * 1024
MAX_INTEGER = 2**53 - 1  # what every JSON reader keeps exactly

Kind = Literal["instruct", "reply", "failed", "acknowledge", "refuse", "cancel", "publish", "record", "ask-record", "seen", "finish"]
Sign = Callable[[bytes], str]
Verify = Callable[[str, bytes, str], bool]

_DIGEST = re.compile(r"(?:[0-9a-f]{64})?")
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]*")


@dataclass(frozen=True)
class Envelope:
    """One message without its body.

    model, body: SHA-256 in lower-case hex, or "" where there is none. length: bytes of the body. id names the message, the same
    when it is sent again; in_reply_to the one it answers. Raises CodecError when a field is beyond its limits.
    """

    run: str
    sender: str
    to: str
    kind: Kind
    id: str
    term: int = 0
    round: int = 0
    attempt: int = 0
    phase: str = ""
    in_reply_to: str = ""
    model: str = ""
    body: str = ""
    length: int = 0
    signature: str = ""
    schema: Literal[1] = 1

    def __post_init__(self) -> None:
        for name in ("run", "sender", "to", "id", "phase", "in_reply_to"):
            text = getattr(self, name)
            if len(text) > MAX_NAME or not _PRINTABLE.fullmatch(text):
                raise CodecError(
                    "envelope: '{name}' is longer than {max_name} characters or has control characters in it", name=name, max_name=MAX_NAME
                )
        for name in ("run", "sender", "to", "id"):
            if not getattr(self, name):
                raise CodecError("envelope: '{name}' is empty", name=name)
        for name in ("term", "round", "attempt", "length"):
            if not 0 <= getattr(self, name) <= MAX_INTEGER:
                raise CodecError(
                    "envelope: '{name}' is {number}; 0 to {max_integer} is possible",
                    name=name,
                    number=getattr(self, name),
                    max_integer=MAX_INTEGER,
                )
        for name in ("model", "body"):
            if not _DIGEST.fullmatch(getattr(self, name)):
                raise CodecError("envelope: '{name}' is not a SHA-256 in hex", name=name)
        if bool(self.length) and not self.body:
            raise CodecError("envelope: a body of {length} bytes is announced without its digest", length=self.length)
        if len(self.signature) > MAX_SIGNATURE:
            raise CodecError("envelope: the signature is longer than {max_signature} characters", max_signature=MAX_SIGNATURE)

    def to_json(self) -> str:
        """Canonical JSON."""
        return dumps(self)

    @classmethod
    def from_json(cls, data: str | bytes, *, max_bytes: int = MAX_ENVELOPE) -> Envelope:
        """Read an envelope. Raises CodecError: too long, not JSON, another schema, a key or type that does not belong."""
        size = len(data) if isinstance(data, bytes) else len(data.encode())
        if size > max_bytes:
            raise CodecError("envelope: {size} bytes, {max_bytes} are allowed", size=size, max_bytes=max_bytes)
        plain: Any = parse(data, "envelope")
        schema = plain.get("schema") if isinstance(plain, dict) else None
        if type(schema) is not int or schema != SCHEMA:
            raise CodecError(
                "envelope: schema {schema!r} is unknown; this version reads schema {other_schema}.",
                hint="Use the same version of Ciranda on every side.",
                schema=schema,
                other_schema=SCHEMA,
            )
        missing = sorted({each.name for each in fields(cls)} - set(plain))
        if missing:
            raise CodecError("envelope: missing keys {missing}", missing=missing)
        envelope: Envelope = from_plain(cls, plain, "envelope")
        return envelope

    def signed(self, sign: Sign) -> Envelope:
        """The same envelope with a signature; `sign` gets the bytes of `signing_bytes`."""
        return replace(self, signature=sign(self.signing_bytes()))

    def signing_bytes(self) -> bytes:
        """What is signed: the canonical JSON with an empty signature."""
        return dumps(replace(self, signature="")).encode()

    def check_signature(self, verify: Verify) -> None:
        """Raises CodecError unless `verify(sender, bytes, signature)` holds for a signature that is there."""
        if not self.signature or not verify(self.sender, self.signing_bytes(), self.signature):
            problem = "envelope {id}: wrong signature of '{sender}'" if self.signature else "envelope {id}: no signature of '{sender}'"
            raise CodecError(problem, id=self.id, sender=self.sender)

    def check_length(self, max_bytes: int) -> None:
        """Raises CodecError if the announced body is longer than `max_bytes`: before anything of it is read."""
        if self.length > max_bytes:
            raise CodecError(
                "envelope {id}: a body of {length} bytes is announced, {max_bytes} are allowed",
                id=self.id,
                length=self.length,
                max_bytes=max_bytes,
            )

    def check_body(self, body: bytes) -> None:
        """Raises CodecError unless the body has the announced length and digest."""
        if len(body) != self.length:
            raise CodecError(
                "envelope {id}: the body has {count} bytes, {length} were announced", id=self.id, count=len(body), length=self.length
            )
        if self.body and digest_of(body) != self.body:
            raise CodecError("envelope {id}: the body does not have the announced digest", id=self.id)


def enclose(envelope: Envelope, body: bytes) -> Envelope:
    """The envelope with the digest and length of `body`."""
    return replace(envelope, body=digest_of(body), length=len(body))
