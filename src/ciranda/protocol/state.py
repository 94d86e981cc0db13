"""The coordinator's state: names, numbers and digests; a value that is never changed, only replaced.

Its size is O(cohort) whatever was sent: reasons are cut, and strangers that are refused are listed up to a limit and counted beyond.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ciranda.protocol.jsonable import dumps, loads
from ciranda.protocol.messages import Finish, PhaseKind, Publish, Record
from ciranda.protocol.stopping import Progress

Status = Literal["pending", "running", "paused", "finished", "aborted", "error"]
Pairs = tuple[tuple[str, str], ...]
Kept = Publish | Record | Finish


@dataclass(frozen=True)
class Cohort:
    """The recipients of a phase, in the order drawn, with their set for membership in O(1)."""

    names: tuple[str, ...]
    members: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", frozenset(self.names))

    @classmethod
    def of(cls, names: Iterable[str]) -> Cohort:
        """A cohort of these names, each once."""
        return cls(tuple(dict.fromkeys(names)))


@dataclass(frozen=True)
class Phase:
    """A phase in progress.

    replies: name -> digest of the accepted reply. absent: name -> why no reply is expected, "" for a client that is merely lost
    and may come back; disjoint from replies. arming counts how often the deadline was armed. closing: Close was asked for.
    """

    id: str
    kind: PhaseKind
    model: str
    cohort: Cohort
    arming: int = 1
    closing: bool = False
    replies: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)

    def unanswered(self) -> list[str]:
        """The recipients that have neither replied nor failed: those still waited for, and the lost."""
        return [name for name in self.cohort.names if name not in self.replies and not self.absent.get(name)]

    def accepted(self) -> Pairs:
        """(name, digest) of the accepted replies, sorted by name."""
        return tuple(sorted(self.replies.items()))

    def without_reply(self) -> dict[str, str]:
        """Recipient -> why it is not among the accepted."""
        return {
            name: (self.absent[name] or "lost") if name in self.absent else "no-answer"
            for name in self.cohort.names
            if name not in self.replies
        }


@dataclass(frozen=True)
class Tally:
    """What a round has come to; becomes the round's row. All values are JSON.

    candidates, unheard: those whose loss the cohort was chosen by, and why the others' was not heard.
    """

    skipped: bool
    previous: str
    candidates: Pairs = ()
    unheard: Mapping[str, str] = field(default_factory=dict)
    accepted: Pairs = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    evaluated: Pairs = ()
    unevaluated: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    clients: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    bytes_up: int = 0
    bytes_down: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class State:
    """Everything the coordinator knows.

    round is the one in progress or last begun, `completed` the number of rounds recorded; attempt counts the tries of this round
    over the whole run, tries those since it was begun or reopened. roster and epoch hold for this round, next_* from the next on.
    heard is what the round has come to before its training closed, tally since then.
    evaluated is the last version that was evaluated (-1: none). refused (name -> last reason) and refusals (reason -> count) are those of
    the round in progress. outbox: Publish, Record and Finish since the last but one Record, to be carried out again after a crash.
    """

    run: str
    schema: Literal[1] = 1
    status: Status = "pending"
    reason: str = ""
    term: int = 0
    roster: int = 0
    epoch: int = 0
    next_roster: int = 0
    next_epoch: int = 0
    round: int = 0
    attempt: int = 1
    tries: int = 1
    completed: int = 0
    version: int = 0
    model: str = ""
    evaluated: int = -1
    progress: Progress = field(default_factory=Progress)
    pausing: bool = False
    stopping: str = ""
    phase: Phase | None = None
    heard: Tally | None = None
    tally: Tally | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    refusals: Mapping[str, int] = field(default_factory=dict)
    outbox: tuple[Kept, ...] = ()

    def to_json(self) -> str:
        """Canonical JSON: equal states give equal text."""
        return dumps(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> State:
        """The state that `to_json` wrote. Raises CodecError."""
        return loads(cls, text)

    @property
    def deadline(self) -> str:
        """The id of the deadline of the phase in progress; the term is part of it, so a new controller's is a new one."""
        return f"{self.phase.id}.{self.term}.{self.phase.arming}" if self.phase else ""


def row(state: State, tally: Tally) -> dict[str, Any]:
    """The round's line in the run's history."""
    return {
        "event": "round",
        "round": state.round,
        "attempt": state.attempt,
        "version": state.version,
        "model": state.model,
        "previous": tally.previous,
        "skipped": tally.skipped,
        "roster": state.roster,
        "epoch": state.epoch,
        "candidates": [list(pair) for pair in tally.candidates],
        "unheard": dict(tally.unheard),
        "accepted": [list(pair) for pair in tally.accepted],
        "failed": dict(tally.failed),
        "refused": dict(state.refused),
        "refusals": dict(state.refusals),
        "evaluated": [list(pair) for pair in tally.evaluated],
        "unevaluated": dict(tally.unevaluated),
        "metrics": {group: dict(values) for group, values in tally.metrics.items()},
        "clients": {name: dict(values) for name, values in tally.clients.items()},
        "bytes_up": tally.bytes_up,
        "bytes_down": tally.bytes_down,
        "seconds": tally.seconds,
    }
