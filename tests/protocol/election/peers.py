"""Peers with toy keys for the elections in this folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256

from ciranda.protocol.election import Config, Electorate, Message
from ciranda.protocol.election.messages import Support, Suspect, signed

Draw = Callable[[str, int], int]


@lru_cache(maxsize=100_000)
def signature(name: str, data: bytes) -> str:
    """What only `name` can make, by agreement."""
    return sha256(name.encode() + b"\0" + data).hexdigest()


def verify(name: str, data: bytes, given: str) -> bool:
    return signature(name, data) == given


def any_vote(name: str, term: int) -> int:
    return int(sha256(f"vote {name} {term}".encode()).hexdigest()[:13], 16)


def config(electorate: Electorate, me: str, vote: Draw = any_vote) -> Config:
    def draw(term: int) -> tuple[int, str]:
        return vote(me, term), sha256(f"nonce {me} {term}".encode()).hexdigest()

    return Config(electorate, me, lambda data: signature(me, data), verify, draw)


def electorate(size: int, rule: str = "highest-vote", candidates: int | None = None) -> Electorate:
    """Voters "a", "b", ...; the first ones are the candidates."""
    names = tuple("abcdefghi"[:size])
    return Electorate("run", names, names[:candidates], rule)


def all_configs(voters: Electorate, vote: Draw = any_vote) -> Mapping[str, Config]:
    return {name: config(voters, name, vote) for name in voters.voters}


def suspicions(voters: Electorate, term: int, *names: str) -> dict[str, str]:
    """Signatures of Suspect(term) by these voters, or by all."""
    return {name: sign(voters, Suspect(name, term)).signature for name in names or voters.voters}


def supports(voters: Electorate, term: int, candidate: str, *names: str) -> dict[str, str]:
    """Signatures of Support by these voters, or by all."""
    return {name: sign(voters, Support(name, term, candidate)).signature for name in names or voters.voters}


def sign(voters: Electorate, message: Message, *, key: str = "", run: str = "") -> Message:
    """The message with its sender's signature, or with that of `key`, or for another run."""
    electorate = replace(voters, run=run or voters.run)
    return signed(config(electorate, key or message.sender) if (key or message.sender) in voters.voters else _outsider(electorate), message)


def _outsider(electorate: Electorate) -> Config:
    return replace(config(electorate, electorate.voters[0]), sign=lambda data: signature("outsider", data))
