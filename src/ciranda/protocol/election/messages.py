"""What peers say to each other in an election: signed, self-contained, and harmless when repeated."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ciranda.core.errors import CodecError
from ciranda.core.params import digest_of
from ciranda.protocol.election.electorate import MAX_VOTE, Config, Electorate, nameable
from ciranda.protocol.envelope import MAX_INTEGER, MAX_NAME
from ciranda.protocol.jsonable import dumps, from_plain, parse, to_plain

MAX_SIGNATURE = 1024  # characters

_SIGNATURE = re.compile(rf"[\x21-\x7e]{{1,{MAX_SIGNATURE}}}")
_NONCE = re.compile(r"[0-9a-f]{32,128}")
_SEAL = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Suspect:
    """The sender does without the controller of `term`."""

    sender: str
    term: int
    signature: str = ""


@dataclass(frozen=True)
class Commit:
    """The sender's vote in `term` is fixed. evidence: voter -> signature of Suspect(term - 1), of a majority."""

    sender: str
    term: int
    seal: str
    evidence: Mapping[str, str]
    signature: str = ""


@dataclass(frozen=True)
class Reveal:
    """What the sender's seal hides."""

    sender: str
    term: int
    vote: int
    nonce: str
    signature: str = ""


@dataclass(frozen=True)
class Support:
    """The sender supports `candidate`, and nobody else in this term."""

    sender: str
    term: int
    candidate: str
    signature: str = ""


@dataclass(frozen=True)
class Certificate:
    """`candidate` controls `term`. supports: voter -> signature of its Support, of a majority. Anyone may pass it on."""

    sender: str
    term: int
    candidate: str
    supports: Mapping[str, str]
    signature: str = ""


@dataclass(frozen=True)
class Ask:
    """The sender knows nothing beyond `term` and has heard that there is something."""

    sender: str
    term: int
    signature: str = ""


Message = Suspect | Commit | Reveal | Support | Certificate | Ask


def seal_of(run: str, term: int, voter: str, vote: int, nonce: str) -> str:
    """The hash that fixes a vote without telling it."""
    return digest_of(dumps([run, term, voter, vote, nonce]).encode())


def encode(message: Message) -> str:
    """Canonical JSON."""
    return dumps(message)


def decode(electorate: Electorate, data: str | bytes) -> Message:
    """A message that is well formed; its signatures are not looked at. Raises CodecError."""
    limit = 4096 + len(electorate.voters) * (MAX_SIGNATURE + MAX_NAME)
    if len(data) > limit:
        raise CodecError("election message: {size} bytes, {limit} are allowed", size=len(data), limit=limit)
    message: Message = from_plain(Message, parse(data, "election message"), "election message")
    problem = _problem(electorate, message)
    if problem:
        raise CodecError("election message: '{field}' is impossible", field=problem)
    return message


def signed(config: Config, message: Message) -> Message:
    """The message with this peer's signature."""
    return replace(message, signature=config.sign(_signing_bytes(config.electorate, message)))


def genuine(config: Config, message: Message) -> bool:
    """Whether its sender signed it, for this run."""
    return config.verify(message.sender, _signing_bytes(config.electorate, message), message.signature)


def enough_suspicion(config: Config, term: int, signatures: Mapping[str, str]) -> bool:
    """Whether a majority signed Suspect(term)."""
    return _majority(config, signatures, lambda name, signature: Suspect(name, term, signature))


def enough_support(config: Config, certificate: Certificate) -> bool:
    """Whether a majority signed Support for its candidate in its term."""
    term, candidate = certificate.term, certificate.candidate
    return _majority(config, certificate.supports, lambda name, signature: Support(name, term, candidate, signature))


def _majority(config: Config, signatures: Mapping[str, str], statement: Callable[[str, str], Message]) -> bool:
    right = sum(name in config.electorate.voters and genuine(config, statement(name, signatures[name])) for name in signatures)
    return right >= config.electorate.majority


def _signing_bytes(electorate: Electorate, message: Message) -> bytes:
    return dumps({"run": electorate.run, "message": to_plain(replace(message, signature=""))}).encode()


def _problem(electorate: Electorate, message: Message) -> str:
    """The name of a field that no honest peer would fill so, or ""."""
    if not nameable(message.sender):
        return "sender"
    if not (0 if isinstance(message, Suspect | Ask) else 1) <= message.term <= MAX_INTEGER:
        return "term"
    if not _SIGNATURE.fullmatch(message.signature):
        return "signature"
    match message:
        case Commit() if not _SEAL.fullmatch(message.seal):
            return "seal"
        case Commit() if not _signatures(electorate, message.evidence):
            return "evidence"
        case Reveal() if not _NONCE.fullmatch(message.nonce):
            return "nonce"
        case Reveal() if not 0 <= message.vote <= MAX_VOTE:
            return "vote"
        case Support() | Certificate() if message.candidate not in electorate.candidates:
            return "candidate"
        case Certificate() if not _signatures(electorate, message.supports):
            return "supports"
    return ""


def _signatures(electorate: Electorate, signatures: Mapping[str, str]) -> bool:
    return all(name in electorate.voters and _SIGNATURE.fullmatch(text) for name, text in signatures.items())
