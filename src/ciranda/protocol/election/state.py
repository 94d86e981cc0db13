"""What a peer remembers of an election, what happens to it (events) and what it asks for (commands)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ciranda.protocol.election.messages import Message
from ciranda.protocol.jsonable import dumps, loads

Phase = Literal["vacant", "sealing", "revealing", "supporting", "following", "leading"]
ELECTING: frozenset[Phase] = frozenset({"sealing", "revealing", "supporting"})
Reason = Literal[
    "malformed",  # not a message, or one that no honest peer would write
    "stranger",  # the sender is no voter
    "forged",  # the signature is not the sender's, or is of another run
    "old-term",  # answered with what is known of a higher one
    "no-evidence",  # a higher term without the suspicions that lead there; answered by asking for them
    "calm",  # a suspicion of a controller that this peer trusts
    "repeated",
    "conflicting",  # a second, different seal
    "late",  # its phase is over here
    "no-seal",  # a reveal whose seal was not known in time
    "wrong-seal",  # a reveal that does not fit its seal
    "misdirected",  # a support of somebody else
    "weak-certificate",  # supports of less than a majority
    "second-controller",  # a valid certificate beside another one: some voters supported twice
]

# --- events


@dataclass(frozen=True)
class Started:
    """Begin to take part. Once is enough; a peer with a stored state says Recovered instead."""


@dataclass(frozen=True)
class Received:
    """Something arrived, from whomever."""

    data: str | bytes


@dataclass(frozen=True)
class TimerFired:
    """The time of an Arm is over."""

    id: str


@dataclass(frozen=True)
class Suspected:
    """The controller of `term` was silent for the heartbeat's timeout, its last will came, or its time is over by plan."""

    term: int


@dataclass(frozen=True)
class Heard:
    """A genuine heartbeat of the controller of `term`; needed after Suspected, and for terms above one's own."""

    term: int


@dataclass(frozen=True)
class Recovered:
    """The state was read back after a crash: everything outstanding is asked for again."""


Event = Started | Received | TimerFired | Suspected | Heard | Recovered

# --- commands


@dataclass(frozen=True)
class Send:
    """Send `message` to one peer, or to all where `to` is ""."""

    to: str
    message: Message


@dataclass(frozen=True)
class Arm:
    """Say TimerFired(id) after `seconds`. It replaces the timer armed before."""

    id: str
    seconds: float


@dataclass(frozen=True)
class Vacate:
    """`term` has begun: no controller of a lower term is obeyed any more, and whoever was one stops."""

    term: int


@dataclass(frozen=True)
class Lead:
    """This peer is the controller of `term`, and follows nobody any more: send heartbeats."""

    term: int


@dataclass(frozen=True)
class Follow:
    """`controller` controls `term`, and nobody a lower one: watch its heartbeats, say Suspected when they stop."""

    term: int
    controller: str


@dataclass(frozen=True)
class Refuse:
    """A message of `sender` ("" if that is unknown) changed nothing, for this reason: count it, and log what is not merely late."""

    sender: str
    reason: Reason


Command = Send | Arm | Vacate | Lead | Follow | Refuse


@dataclass(frozen=True)
class State:
    """O(voters) in size.

    arming counts the timers of the term. suspects: voter -> signature of Suspect(term), of others only while this peer suspects as well.
    evidence: those of term - 1, by which the term was entered ({} if a certificate led here). seals, frozen from "revealing" on, and
    votes: what counts in the rule; dropped when it has spoken. supported: whom this peer supports ("": nobody yet). supports: voter ->
    signature of its Support of this peer; certificate: of the controller. settled: the last term whose controller was known.
    """

    schema: Literal[1] = 1
    term: int = 0
    phase: Phase = "vacant"
    arming: int = 0
    suspects: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, str] = field(default_factory=dict)
    seals: Mapping[str, str] = field(default_factory=dict)
    votes: Mapping[str, int] = field(default_factory=dict)
    supported: str = ""
    supports: Mapping[str, str] = field(default_factory=dict)
    controller: str = ""
    certificate: Mapping[str, str] = field(default_factory=dict)
    settled: int = 0

    def to_json(self) -> str:
        """Canonical JSON: equal states give equal text."""
        return dumps(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> State:
        """The state that `to_json` wrote. Raises CodecError."""
        return loads(cls, text)

    @property
    def timer(self) -> str:
        """The id of the timer armed last."""
        return f"{self.term}.{self.arming}"
