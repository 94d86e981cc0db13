"""One transition in the making: the state being replaced and the commands it leads to.

A Draft lives inside one call of `step` and copies a mapping before it first writes into it, so the state it was given never changes
and a batch of replies costs one copy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ciranda.protocol.messages import Command, Finish, Publish, Record
from ciranda.protocol.plan import Plan
from ciranda.protocol.state import Phase, State

REASON_LIMIT = 200  # characters kept of a reason that somebody else wrote
STRANGERS_LIMIT = 64  # names outside the cohort listed per round; the others are counted only
REASONS_LIMIT = 32  # different reasons counted per round; the others are counted as "other"


class Draft:
    """The mutable side of `step`. `then` holds what follows in the same transition, so that nothing recurses."""

    def __init__(self, plan: Plan, state: State) -> None:
        self.plan = plan
        self.state = state
        self.out: list[Command] = []
        self.then: Callable[[Draft], None] | None = None
        self._replies: dict[str, str] | None = None
        self._absent: dict[str, str] | None = None

    def set(self, **changes: Any) -> None:
        """Replace fields of the state."""
        self.state = replace(self.state, **changes)

    def open(self, phase: Phase) -> None:
        """Put a new phase, whose mappings are new as well, in place."""
        self._replies, self._absent = {}, {}
        self.set(phase=replace(phase, replies=self._replies, absent=self._absent))

    def own(self, phase: Phase) -> tuple[dict[str, str], dict[str, str]]:
        """The replies and absent of `phase`, the one in progress, for writing."""
        if self._replies is None or self._absent is None:
            self._replies, self._absent = dict(phase.replies), dict(phase.absent)
            self.set(phase=replace(phase, replies=self._replies, absent=self._absent))
        return self._replies, self._absent

    def id(self, scope: str, kind: str, recipient: str = "") -> str:
        """A command's id. `scope` is a phase id or "ROUND.ATTEMPT"."""
        return f"{self.state.run}/{self.state.term}/{scope}/{kind}" + (f"/{recipient}" if recipient else "")

    def round_scope(self) -> str:
        """The scope of commands that concern the round and no phase of it."""
        return f"{self.state.round}.{self.state.attempt}"

    def keep(self, command: Publish | Record | Finish) -> None:
        """Emit a command that must survive a crash; see `State.outbox`."""
        outbox = self.state.outbox
        if isinstance(command, Record):
            last = max((place for place, kept in enumerate(outbox) if isinstance(kept, Record)), default=-1)
            outbox = outbox[last + 1 :]
        if isinstance(command, Finish):
            outbox = tuple(kept for kept in outbox if not isinstance(kept, Finish))
        self.set(outbox=(*outbox, command))
        self.out.append(command)

    def count_refusal(self, name: str, reason: str) -> None:
        """Count a refusal, and list the name unless too many strangers are listed already."""
        state = self.state
        reason = reason[:REASON_LIMIT]
        kind = reason if reason in state.refusals or len(state.refusals) < REASONS_LIMIT else "other"
        refusals = {**state.refusals, kind: state.refusals.get(kind, 0) + 1}
        refused = state.refused
        known = name in refused or (state.phase is not None and name in state.phase.cohort.members)
        if known or len(refused) < STRANGERS_LIMIT + (len(state.phase.cohort.names) if state.phase else 0):
            refused = {**refused, name: reason}
        self.set(refused=refused, refusals=refusals)
