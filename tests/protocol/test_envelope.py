"""The envelope: strict reading, limits, body and signature."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import CodecError
from ciranda.protocol.envelope import MAX_ENVELOPE, MAX_INTEGER, MAX_NAME, Envelope, enclose

DIGEST = "ab" * 32
BODY = b"some bytes"
KEY = b"secret"


def envelope(**changes: Any) -> Envelope:
    values: dict[str, Any] = {
        "run": "run",
        "sender": "ana",
        "to": "@coordinator",
        "kind": "reply",
        "id": "run/0/1.1.0.train/reply/ana",
        "term": 1,
        "round": 2,
        "attempt": 3,
        "phase": "1.1.0.train",
        "in_reply_to": "run/0/1.1.0.train/instruct/ana",
        "model": DIGEST,
    }
    return Envelope(**values | changes)


def sign(data: bytes) -> str:
    return hmac.new(KEY, data, hashlib.sha256).hexdigest()


def verify(sender: str, data: bytes, signature: str) -> bool:
    return sender == "ana" and hmac.compare_digest(signature, sign(data))


def test_an_envelope_reads_back() -> None:
    whole = enclose(envelope(), BODY).signed(sign)
    assert Envelope.from_json(whole.to_json()) == whole
    assert Envelope.from_json(whole.to_json().encode()) == whole
    assert (whole.length, whole.body) == (10, hashlib.sha256(BODY).hexdigest())


printable = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=MAX_NAME)


@given(printable, printable, st.integers(0, MAX_INTEGER), st.binary(max_size=64))
def test_any_envelope_within_the_limits_reads_back(name: str, id: str, number: int, body: bytes) -> None:
    whole = enclose(envelope(sender=name, id=id, term=number), body)
    again = Envelope.from_json(whole.to_json(), max_bytes=10 * MAX_ENVELOPE)
    assert again == whole
    again.check_body(body)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"run": ""}, "'run' is empty"),
        ({"sender": ""}, "'sender' is empty"),
        ({"to": ""}, "'to' is empty"),
        ({"id": ""}, "'id' is empty"),
        ({"sender": "x" * (MAX_NAME + 1)}, "'sender' is longer"),
        ({"phase": "a\nb"}, "control characters"),
        ({"round": -1}, "'round' is -1"),
        ({"length": MAX_INTEGER + 1, "body": DIGEST}, "'length'"),
        ({"model": DIGEST.upper()}, "'model' is not a SHA-256"),
        ({"body": "../../etc/passwd"}, "'body' is not a SHA-256"),
        ({"length": 5}, "without its digest"),
        ({"signature": "x" * 10_000}, "signature is longer"),
    ],
)
def test_limits(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(CodecError, match=said):
        envelope(**changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema": 2}, "schema 2 is unknown"),
        ({"schema": True}, "schema True is unknown"),
        ({"schema": None}, "schema None is unknown"),
        ({"kind": "pickle"}, "envelope.kind"),
        ({"term": 1.5}, "envelope.term"),
        ({"term": True}, "envelope.term"),
        ({"term": "1"}, "envelope.term"),
        ({"run": 7}, "envelope.run"),
        ({"run": ["run"]}, "envelope.run"),
        ({"surprise": 1}, "surprise"),
        ({"type": "Other"}, "is not Envelope"),
    ],
)
def test_strict_reading(changes: dict[str, Any], said: str) -> None:
    plain = json.loads(envelope().to_json()) | changes
    with pytest.raises(CodecError, match=said):
        Envelope.from_json(json.dumps(plain))


@pytest.mark.parametrize("key", ["run", "body", "signature", "term"])
def test_every_key_must_be_there(key: str) -> None:
    plain = json.loads(envelope().to_json())
    del plain[key]
    with pytest.raises(CodecError, match=key):
        Envelope.from_json(json.dumps(plain))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"1", b'{"schema":1}', b"[" * 10_000, b'{"schema":1,"schema":1}'])
def test_what_is_no_envelope_at_all(data: bytes) -> None:
    with pytest.raises(CodecError):
        Envelope.from_json(data)


@given(st.binary(max_size=200))
def test_foreign_bytes_do_no_more_than_fail(data: bytes) -> None:
    with pytest.raises(CodecError):
        Envelope.from_json(data)


def test_an_oversized_envelope_is_refused_before_it_is_read() -> None:
    with pytest.raises(CodecError, match="are allowed"):
        Envelope.from_json(b"[" * (MAX_ENVELOPE + 1))
    whole = envelope().to_json()
    with pytest.raises(CodecError, match="are allowed"):
        Envelope.from_json(whole, max_bytes=len(whole) - 1)


def test_the_body_is_checked_by_length_and_digest() -> None:
    whole = enclose(envelope(), BODY)
    whole.check_body(BODY)
    with pytest.raises(CodecError, match="9 bytes, 10 were announced"):
        whole.check_body(BODY[:-1])
    with pytest.raises(CodecError, match="digest"):
        whole.check_body(BODY[::-1])
    with pytest.raises(CodecError, match="were announced"):
        envelope().check_body(b"x")
    envelope().check_body(b"")
    whole.check_length(10)
    with pytest.raises(CodecError, match="9 are allowed"):
        whole.check_length(9)


@pytest.mark.parametrize("field", ["run", "sender", "to", "id", "phase", "in_reply_to"])
def test_a_signature_covers_every_text(field: str) -> None:
    whole = enclose(envelope(), BODY).signed(sign)
    whole.check_signature(verify)
    forged = Envelope.from_json(json.dumps(json.loads(whole.to_json()) | {field: "other"}))
    with pytest.raises(CodecError, match="wrong signature"):
        forged.check_signature(verify)


@pytest.mark.parametrize(
    ("field", "value"),
    [("term", 9), ("round", 9), ("attempt", 9), ("length", 9), ("model", ""), ("body", DIGEST), ("kind", "failed")],
)
def test_a_signature_covers_everything_else(field: str, value: Any) -> None:
    whole = enclose(envelope(), BODY).signed(sign)
    forged = Envelope.from_json(json.dumps(json.loads(whole.to_json()) | {field: value}))
    with pytest.raises(CodecError, match="wrong signature"):
        forged.check_signature(verify)


def test_a_missing_signature_is_none() -> None:
    with pytest.raises(CodecError, match="no signature"):
        envelope().check_signature(lambda sender, data, signature: True)
