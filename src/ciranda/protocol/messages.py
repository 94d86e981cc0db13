"""The coordinator's vocabulary: what a runtime tells it (events) and what it asks of a runtime (commands).

Plain frozen dataclasses of names, numbers and digests. No arrays, no clock readings, no transport ids.
`Phase.id` is "ROUND.ATTEMPT.INDEX.KIND"; a command's id adds run, term, recipient and kind, so that carrying a command
out twice is carrying it out once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

PhaseKind = Literal["probe", "candidates", "train", "evaluate", "advertise-keys", "share-keys", "unmask", "custom"]
EVALUATOR = "@evaluator"
LOSS = "candidate_loss"
"""The metric of each client in the Closed of a phase "candidates": the mean loss of the round's model on its training examples."""


@dataclass(frozen=True)
class CloseRule:
    """When a phase closes, and what happens when its deadline passes with fewer than `min_replies` replies.

    kind: "all" waits for every recipient whatever the time; "all-or-deadline" until the deadline; "first" closes as soon as
    `first` recipients have replied, or at the deadline. `too_few`: "extend" re-arms the deadline, "retry" redraws the cohort
    as attempt + 1 (at most `max_attempts`, then aborts), "skip" gives the round up and goes on, "abort" ends the run.
    """

    kind: Literal["all-or-deadline", "all", "first"] = "all-or-deadline"
    deadline_s: float = 3600.0
    min_replies: int = 1
    first: int = 0
    too_few: Literal["extend", "retry", "skip", "abort"] = "retry"
    max_attempts: int = 3


# --- events: runtime -> coordinator


@dataclass(frozen=True)
class Started:
    """The declared roster of `roster` clients is complete; `model` is the digest of version 0."""

    roster: int
    model: str
    epoch: int = 0


@dataclass(frozen=True)
class Joined:
    """A client was added to the roster (counted from the next round on)."""

    name: str
    roster: int
    epoch: int


@dataclass(frozen=True)
class Left:
    """A client was removed from the roster (counted from the next round on)."""

    name: str
    roster: int
    epoch: int


@dataclass(frozen=True)
class Seen:
    """A client that was absent is heard again."""

    name: str


@dataclass(frozen=True)
class Lost:
    """A client misses its heartbeat: absent, not gone."""

    name: str


@dataclass(frozen=True)
class Replied:
    """A reply to `phase` is stored (or, with refused set, was examined and not admitted for that reason)."""

    phase: str
    name: str
    digest: str
    weight: int = 0
    refused: str = ""


@dataclass(frozen=True)
class Failed:
    """A recipient says it cannot answer."""

    phase: str
    name: str
    reason: str


@dataclass(frozen=True)
class DeadlinePassed:
    deadline: str


@dataclass(frozen=True)
class Closed:
    """The runtime carried a Close out. `model` is the new model's digest (train), or "" (candidates, evaluate).

    metrics: group -> metric -> value ("train", "server", "clients", "privacy"); clients: name -> metric -> value.
    """

    phase: str
    model: str = ""
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    clients: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    bytes_up: int = 0
    bytes_down: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class CommandFailed:
    command: str
    reason: str


@dataclass(frozen=True)
class PauseAsked:
    by: str


@dataclass(frozen=True)
class ResumeAsked:
    """Go on after a pause, or reopen an aborted or finished run whose plan now has rounds left."""

    by: str


@dataclass(frozen=True)
class StopAsked:
    by: str


@dataclass(frozen=True)
class Elected:
    term: int


@dataclass(frozen=True)
class Recovered:
    """The state was read back after a crash, or by a new controller: everything outstanding is asked for again."""


Event = (
    Started
    | Joined
    | Left
    | Seen
    | Lost
    | Replied
    | Failed
    | DeadlinePassed
    | Closed
    | CommandFailed
    | PauseAsked
    | ResumeAsked
    | StopAsked
    | Elected
    | Recovered
)


# --- commands: coordinator -> runtime


@dataclass(frozen=True)
class Instruct:
    """Ask `name` (a client or EVALUATOR) to do `kind` on the model with digest `model`."""

    id: str
    name: str
    phase: str
    kind: PhaseKind
    round: int
    model: str


@dataclass(frozen=True)
class Acknowledge:
    id: str
    name: str
    phase: str
    digest: str
    status: Literal["stored", "duplicate"]


@dataclass(frozen=True)
class Refuse:
    id: str
    name: str
    phase: str
    digest: str
    reason: str


@dataclass(frozen=True)
class Arm:
    """Send DeadlinePassed(deadline) after `seconds`."""

    id: str
    deadline: str
    seconds: float


@dataclass(frozen=True)
class Disarm:
    id: str
    deadline: str


@dataclass(frozen=True)
class Close:
    """Combine exactly these replies, (name, digest) sorted by name, and answer Closed."""

    id: str
    phase: str
    kind: PhaseKind
    round: int
    model: str
    accepted: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Publish:
    """Model version `version` with this digest is committed; `to` is "all" for now."""

    id: str
    version: int
    model: str
    to: str = "all"


@dataclass(frozen=True)
class Cancel:
    id: str
    name: str
    phase: str


@dataclass(frozen=True)
class Record:
    """Append one line to the run's history. `row` is JSON."""

    id: str
    row: Mapping[str, Any]


@dataclass(frozen=True)
class Finish:
    id: str
    state: Literal["finished", "aborted", "error"]
    reason: str


Command = Instruct | Acknowledge | Refuse | Arm | Disarm | Close | Publish | Cancel | Record | Finish


# --- phase ids


def phase_id(round: int, attempt: int, index: int, kind: PhaseKind) -> str:
    """The id of a phase; `index` is its place in the round."""
    return f"{round}.{attempt}.{index}.{kind}"


def parse_phase(phase: str) -> tuple[int, int, int, str] | None:
    """(round, attempt, index, kind) of a phase id, or None if it is none."""
    parts = phase.split(".")
    numbers = parts[:3]
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) < 16 for part in numbers):
        return None
    return int(numbers[0]), int(numbers[1]), int(numbers[2]), parts[3]
