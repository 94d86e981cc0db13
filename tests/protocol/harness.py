"""Short ways to say what happens to a coordinator, for the tables of events in this folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from ciranda.protocol import coordinator
from ciranda.protocol.messages import (
    EVALUATOR,
    Close,
    Closed,
    CloseRule,
    Command,
    Event,
    Finish,
    Instruct,
    Record,
    Replied,
    Started,
)
from ciranda.protocol.plan import Plan, Shortlist, StopRule
from ciranda.protocol.state import State

T = TypeVar("T")
NAMES = ("ana", "bia", "caio")


def make_plan(
    *,
    rounds: int = 2,
    names: Sequence[str] = NAMES,
    train: CloseRule | None = None,
    evaluate: CloseRule | None = None,
    where: Any = "none",
    every: int = 1,
    stop: StopRule | None = None,
    evaluators: Sequence[str] = (),
    shortlist: Shortlist | None = None,
) -> Plan:
    """A plan that asks everybody in every round."""
    return Plan(
        "run",
        rounds,
        lambda round, attempt, roster: names[:roster],
        lambda round, attempt, roster: evaluators,
        train or CloseRule(),
        evaluate or CloseRule(),
        where,
        every,
        stop or StopRule(),
        shortlist,
    )


class Run:
    """A coordinator and all it ever asked for. Every state goes through JSON, so nothing can live beside it."""

    def __init__(self, plan: Plan, *, started: bool = True) -> None:
        self.plan = plan
        self.state = coordinator.initial(plan)
        self.commands: list[Command] = []
        if started:
            self.feed(Started(3, "m0"))

    def feed(self, *events: Event) -> list[Command]:
        """The commands that these events lead to."""
        out: list[Command] = []
        for event in events:
            before = self.state.to_json()
            after, commands = coordinator.step(self.plan, self.state, event)
            assert self.state.to_json() == before
            self.state = State.from_json(after.to_json())
            assert self.state == after
            out += commands
        self.commands += out
        return out

    @property
    def phase(self) -> str:
        """The id of the phase in progress, or ""."""
        return self.state.phase.id if self.state.phase is not None else ""

    def reply(self, *names: str) -> list[Command]:
        """These recipients reply to the phase in progress."""
        return self.feed(*(Replied(self.phase, name, f"d-{name}") for name in names))

    def close(self, model: str = "", metrics: Mapping[str, Mapping[str, float]] | None = None, **more: Any) -> list[Command]:
        """The closing in progress ends."""
        return self.feed(Closed(self.phase, model, metrics or {}, **more))

    def train(self, metrics: Mapping[str, Mapping[str, float]] | None = None, **more: Any) -> list[Command]:
        """Everybody replies and the next version is made."""
        out = self.reply(*NAMES)
        return out + self.close(f"m{self.state.version + 1}", metrics, **more)

    def evaluate(self, metrics: Mapping[str, Mapping[str, float]], **more: Any) -> list[Command]:
        """The evaluator replies and its metrics are known."""
        return self.reply(EVALUATOR) + self.close("", metrics, **more)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows recorded so far, each once however often it was asked for."""
        return [dict(row) for row in {record.id: record.row for record in only(Record, self.commands)}.values()]

    @property
    def end(self) -> tuple[str, str]:
        """(state, reason) of the last Finish."""
        last = only(Finish, self.commands)[-1]
        return last.state, last.reason


def only(kind: type[T], commands: Sequence[Any]) -> list[T]:
    """The commands of this kind."""
    return [command for command in commands if isinstance(command, kind)]


def kinds(commands: Sequence[Command]) -> list[str]:
    """What was asked for, in order."""
    return [type(command).__name__ for command in commands]


def asked(commands: Sequence[Command]) -> list[str]:
    """Who was instructed."""
    return [command.name for command in only(Instruct, commands)]


def closes(commands: Sequence[Command]) -> list[list[str]]:
    """The names in each Close."""
    return [[name for name, _ in command.accepted] for command in only(Close, commands)]
