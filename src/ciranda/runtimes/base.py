"""The seam between the coordinator and whatever moves bytes: a Wire carries commands out and brings events in.

The host (`ciranda.runtimes.host`) drives the coordinator, the store and the model; a wire never decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ciranda.core.metrics import Sums
from ciranda.core.task import Arrays
from ciranda.core.update import Contract, Total
from ciranda.protocol.messages import Close, Command, Event


@dataclass(frozen=True)
class Published:
    """A committed model, what updates of it must satisfy, and what the strategy sends beside it."""

    digest: str
    arrays: Arrays
    contract: Contract
    broadcast: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class Gathered:
    """What a closed phase amounts to.

    Attributes:
        total: the exact sum of the accepted updates; None after an evaluation.
        metrics: name -> metric sums of each accepted reply.
        bytes_up, bytes_down: payload moved by the phase, in bytes.
        seconds: from the first instruction to the gathering.
    """

    total: Total | None
    metrics: Mapping[str, Sums] = field(default_factory=dict)
    bytes_up: int = 0
    bytes_down: int = 0
    seconds: float = 0.0


class Wire(Protocol):
    """What a runtime implements. `ciranda.testing.wires` checks it."""

    repeatable: bool
    """Replies lost in a crash are computed again bit for bit, so a round in progress need not be stored, and the next round's
    instructions may come before the Record of the last."""

    def publish(self, model: Published) -> None:
        """Make the model available to clients under its digest; the last two published stay so."""

    def carry(self, commands: Sequence[Command]) -> None:
        """Carry out Instruct, Acknowledge, Refuse, Arm, Disarm and Cancel; the rest is the host's. Does not wait.

        A Record comes once its row is stored, and again after a crash: the accepted clients' tentative states of that round now hold,
        and the others' are dropped.
        """

    def events(self) -> Sequence[Event]:
        """Wait until something happened and tell it. Raises RunError when the wire itself cannot go on."""

    def gather(self, close: Close) -> Gathered:
        """Combine exactly the replies that `close` names."""

    def close(self) -> None:
        """Stop what was started; idempotent."""
