"""Simulated parts of a run for `ciranda.testing.scheduler`: a client with a disk, and what must always hold."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from typing import Any

from ciranda.protocol import participant
from ciranda.protocol.messages import Acknowledge, Close, Event, Publish, Record, Recovered, Refuse
from ciranda.protocol.messages import Command as Order
from ciranda.protocol.participant import (
    Abandon,
    AskRecord,
    Forget,
    Participant,
    Report,
    Send,
    Settle,
    Work,
    Worked,
)
from ciranda.protocol.state import State


def digest(*parts: object) -> str:
    """A stand-in for the digest of what is made from `parts`."""
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()


class SimulatedClient:
    """A participant, its disk (which a crash spares) and its memory (which it does not).

    With `fickle` work gives another result every time, so that a reply made twice cannot pass unnoticed.
    """

    def __init__(self, name: str, fickle: bool) -> None:
        self.name = name
        self.fickle = fickle
        self.stored = Participant(name).to_json()
        self.disk: set[str] = set()
        self.settled: dict[int, bool] = {}
        self.made: dict[tuple[int, str, str], int] = {}
        self.state = Participant(name)
        self.pending: deque[participant.Command] = deque()
        self.working: Work | None = None

    def feed(self, event: participant.Event) -> None:
        """One event: step, store, queue the commands."""
        before = self.state
        self.state, commands = participant.step(before, event)
        self.stored = self.state.to_json()
        self.pending.extend(commands)

    def crash(self) -> None:
        """Forget what is not on disk, and come back."""
        self.pending.clear()
        self.working = None
        self.state = Participant.from_json(self.stored)
        for kept in self.state.kept:
            assert kept.digest in self.disk, f"{self.name} lost the reply {kept.digest} it had stored"
        self.feed(Recovered())

    def carry_out(self) -> Send | Report | AskRecord | None:
        """Do the next command; what has to be sent is returned."""
        command = self.pending.popleft()
        match command:
            case Work():
                assert not self.undecided(command.round), f"{self.name} works on round {command.round} from undecided state"
                self.working = command
            case Abandon():
                if self.working is not None and self.working.phase == command.phase:
                    self.working = None
            case Settle():
                assert command.commit or not self.settled.get(command.round), f"{self.name} drops what it had committed"
                self.settled[command.round] = command.commit
            case Forget():
                if not any(kept.digest == command.digest for kept in self.state.kept):
                    self.disk.discard(command.digest)
            case Send():
                assert command.digest in self.disk or not self._keeps(command.digest), f"{self.name} sends what it has not"
                return command
            case Report() | AskRecord():
                return command
        return None

    def finish_work(self) -> None:
        """The work in progress comes to its end: its reply is on disk before the participant hears of it."""
        work = self.working
        if work is None:
            return
        self.working = None
        key = (work.round, work.kind, work.model)
        made = digest(self.name, *key, self.made.get(key, 0) if self.fickle else 0)
        self.disk.add(made)
        before = self.state.kept
        self.feed(Worked(work.phase, made))
        if self.state.kept != before:
            self.made[key] = self.made.get(key, 0) + 1
            assert self.made[key] == 1, f"{self.name} worked twice for {key[:2]}"

    def undecided(self, before: int) -> set[int]:
        """The rounds before `before` that left tentative state which was neither committed nor dropped."""
        return {round for round, kind, _ in self.made if kind == "train" and round < before} - self.settled.keys()

    def _keeps(self, wanted: str) -> bool:
        return any(kept.digest == wanted for kept in self.state.kept)


class Ledger:
    """What an outsider writes down about a coordinator, and checks: S1, S2, S3, one row per round."""

    def __init__(self, first: str) -> None:
        self.models = [first]
        self.accepted: dict[int, tuple[tuple[str, str], ...]] = {}
        self.stored: dict[int, int] = {}
        self.refusals = 0
        self.phases: set[str] = set()
        self.sent: dict[str, dict[str, str]] = {}
        self.rows: dict[int, dict[str, Any]] = {}
        self.published: dict[int, str] = {}

    def transition(self, before: State, event: Event, after: State, commands: Sequence[Order]) -> None:
        """One persisted step."""
        assert after.version - before.version in (0, 1), "a step commits at most one version"
        assert after.completed - before.completed in (0, 1), "a step records at most one round"
        if after.version > before.version:
            assert before.phase is not None
            assert after.version == len(self.models), "a version was committed twice"
            self.models.append(after.model)
            self.accepted[after.version] = before.phase.accepted()
            assert after.model == digest("model", before.model, before.phase.accepted()), "another set was combined than is committed"
            for name, made in self.sent.get(before.phase.id, {}).items():
                assert before.phase.replies.get(name) == made, f"the acknowledged reply of {name} is not in the committed set"
        assert after.model == self.models[after.version] or after.version == 0
        phase = after.phase
        if phase is not None:
            assert set(phase.replies) <= phase.cohort.members, "somebody was admitted who was not asked"
            if before.phase is None or before.phase.id != phase.id:
                assert phase.id not in self.phases, f"{phase.id} was opened twice"
                self.phases.add(phase.id)
            else:
                assert before.phase.replies.items() <= phase.replies.items(), "a stored reply went missing or changed"
        round = before.round
        for command in commands:
            if isinstance(command, Acknowledge) and command.status == "stored":
                self.stored[round] = self.stored.get(round, 0) + 1
            self.refusals += isinstance(command, Refuse)
        self._acknowledged(after)

    def recovered(self, state: State) -> None:
        """A coordinator came back with this state."""
        assert state.version == len(self.models) - 1, "a committed version is gone, or one came from nowhere"
        self._acknowledged(state)

    def acknowledged(self, command: Acknowledge) -> None:
        """An acknowledgement left the house."""
        self.sent.setdefault(command.phase, {})[command.name] = command.digest

    def _acknowledged(self, state: State) -> None:
        if state.phase is not None:
            for name, made in self.sent.get(state.phase.id, {}).items():
                assert state.phase.replies.get(name) == made, f"the acknowledged reply of {name} is gone"

    def close(self, command: Close) -> str:
        """The model that closing makes: a function of its predecessor and the accepted replies."""
        assert list(command.accepted) == sorted(command.accepted)
        assert len(dict(command.accepted)) == len(command.accepted), "a name is in the accepted set twice"
        return digest("model", command.model, command.accepted)

    def publish(self, command: Publish) -> None:
        """S1: one digest per version."""
        assert self.published.setdefault(command.version, command.model) == command.model == self.models[command.version]

    def record(self, command: Record) -> None:
        """One row per round, in order, that agrees with what was committed."""
        row = dict(command.row)
        round = row["round"]
        if round in self.rows:
            assert self.rows[round] == row, f"round {round} was recorded twice, differently"
            return
        assert round == len(self.rows) + 1, f"row {round} follows row {len(self.rows)}"
        self.rows[round] = row
        version = row["version"]
        assert row["model"] == self.models[version]
        assert row["previous"] == (row["model"] if row["skipped"] else self.models[version - 1])
        accepted = tuple((name, made) for name, made in row["accepted"])
        assert accepted == (() if row["skipped"] else self.accepted[version])
        names = [name for name, _ in accepted]
        assert len(set(names)) == len(names)
        assert not set(names) & set(row["failed"])
        counted = len(accepted) + len(row["candidates"]) + len(row["evaluated"]) + row["refusals"].get("abandoned", 0)
        assert counted == self.stored.get(round, 0), f"round {round}: {self.stored.get(round, 0)} replies stored, {counted} accounted for"

    def finished(self, state: State) -> None:
        """Nothing is missing at the end."""
        assert len(self.rows) == state.completed
        refused = [row["refusals"] for row in self.rows.values()] + [state.refusals]
        total = sum(count for reasons in refused for reason, count in reasons.items() if reason != "abandoned")
        assert total == self.refusals, f"{self.refusals} refused, {total} counted"

    def settled(self, client: SimulatedClient) -> None:
        """Client state was committed in the rounds whose accepted set has the client, dropped in the others, and left open in none."""
        assert not client.undecided(len(self.rows) + 1), f"{client.name} never settled rounds {client.undecided(len(self.rows) + 1)}"
        for round, commit in client.settled.items():
            names = {name for name, _ in self.rows[round]["accepted"]} if round in self.rows else set()
            assert commit == (client.name in names), f"{client.name} settled round {round} with {commit}"
