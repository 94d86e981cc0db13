"""S1, S2, S3 and L1 of the protocol under a hostile scheduler, and proof that the scheduler notices when they do not hold."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciranda.protocol import coordinator
from ciranda.protocol.messages import (
    EVALUATOR,
    Acknowledge,
    Closed,
    CloseRule,
    Command,
    Event,
    Record,
    Recovered,
    Replied,
)
from ciranda.protocol.plan import Plan, Shortlist
from ciranda.protocol.state import State
from ciranda.testing.scheduler import World

NAMES = tuple(f"c{number}" for number in range(5))
ROUNDS = 4
MANY = 10**6  # attempts: a hostile clock uses up any small number of them


def select(round: int, attempt: int, roster: int) -> list[str]:
    population = NAMES[:roster]
    return random.Random(f"{round}.{attempt}").sample(population, min(len(population), 3))


def shortlist(round: int, attempt: int, roster: int) -> list[str]:
    population = NAMES[:roster]
    return random.Random(f"list {round}.{attempt}").sample(population, min(len(population), 4))


def highest(round: int, attempt: int, roster: int, losses: Mapping[str, float]) -> list[str]:
    return sorted(losses, key=lambda name: -losses[name])[:3]


def any_plan(pick: random.Random, by_loss: bool = False) -> Plan:
    def rule() -> CloseRule:
        kind: Any = pick.choice(["all", "all-or-deadline", "first"])
        too_few: Any = pick.choice(["extend", "retry", "skip"])
        return CloseRule(kind, 10.0, pick.choice([1, 2]), 2, too_few, MANY)

    where: Any = pick.choice(["server", "clients", "both", "none"])
    every = pick.choice([1, 2, 3])
    return Plan("run", ROUNDS, select, select, rule(), rule(), where, every, shortlist=Shortlist(shortlist, highest) if by_loss else None)


def live_through(world: World, turns: int) -> None:
    """Trouble, then none: the run must come to its end with one row per round."""
    try:
        world.be_hostile(turns)
        world.be_fair()
    except AssertionError as error:
        error.add_note("\n".join(world.trail[-30:]))
        raise
    assert sorted(world.ledger.rows) == list(range(1, ROUNDS + 1))
    # A stop or a full disk in the very last round leaves nothing to redo.
    assert world.state.status == "finished" or world.state.reason in ("stop-asked:s", "disk full")


def generator(seed: int) -> Callable[[int], int]:
    return random.Random(seed).randrange


@pytest.mark.parametrize("block", range(10))
def test_seeded_trouble(block: int) -> None:
    for seed in range(block * 20, block * 20 + 20):
        pick = random.Random(seed)
        live_through(World(any_plan(pick), NAMES, pick.randrange, smallest=3), pick.randrange(600))


@pytest.mark.parametrize("block", range(10))
def test_seeded_trouble_with_selection_by_loss(block: int) -> None:
    for seed in range(5000 + block * 20, 5000 + block * 20 + 20):
        pick = random.Random(seed)
        live_through(World(any_plan(pick, by_loss=True), NAMES, pick.randrange, smallest=3), pick.randrange(600))


@pytest.mark.slow
@pytest.mark.parametrize("block", range(5))
def test_long_trouble(block: int) -> None:
    for seed in range(10_000 + block * 10, 10_000 + block * 10 + 10):
        pick = random.Random(seed)
        live_through(World(any_plan(pick, by_loss=seed % 2 == 1), NAMES, pick.randrange, smallest=3), 2000)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 719), max_size=250))
def test_drawn_trouble(seed: int, schedule: list[int]) -> None:
    draws = iter(schedule)
    # 720 is divisible by most small numbers of choices, so every one of them can be drawn.
    live_through(World(any_plan(random.Random(seed)), NAMES, lambda n: next(draws, 0) % n, smallest=3), len(schedule))


# --- a crash at any persisted step


class Line(World):
    """A world without trouble but for one crash, after a given number of persisted steps and carried out commands."""

    def __init__(self, plan: Plan, crash: tuple[int, int] | None) -> None:
        self.at = crash
        self.done = 0
        super().__init__(plan, NAMES, lambda n: 0, fickle=False)

    def feed(self, event: Event) -> None:
        super().feed(event)
        self.done = 0
        self._perhaps_crash()

    def carry_out(self) -> None:
        super().carry_out()
        self.done += 1
        self._perhaps_crash()

    def _perhaps_crash(self) -> None:
        if self.at == (self.steps, self.done):
            self.at = None
            self.crash()


def history(world: World) -> list[tuple[Any, ...]]:
    """What must not depend on crashes: not how often a reply had to be repeated."""
    world.be_fair()
    rows = world.ledger.rows.values()
    return [
        (row["round"], row["attempt"], row["version"], row["model"], row["previous"], row["candidates"], row["accepted"], row["metrics"])
        for row in rows
    ]


@pytest.mark.parametrize("where", ["none", "both"])
@pytest.mark.parametrize("kind", ["all-or-deadline", "first"])
@pytest.mark.parametrize("by_loss", [False, True])
def test_a_crash_at_any_persisted_step_leads_to_the_same_history(where: Any, kind: Any, by_loss: bool) -> None:
    # first = 3 of 3, so that who comes first does not matter.
    chosen = Shortlist(shortlist, highest) if by_loss else None
    plan = Plan("run", 2, select, select, CloseRule(kind, first=3), CloseRule(), where, shortlist=chosen)
    unbroken = Line(plan, None)
    expected = history(unbroken)
    assert len(expected) == 2
    for step in range(1, unbroken.steps + 1):
        for done in range(6):
            broken = Line(plan, (step, done))
            assert history(broken) == expected, f"crash after step {step} and {done} commands"
            assert broken.finish == unbroken.finish


# --- the scheduler can see


def forgets_on_recovery(plan: Plan, state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    if isinstance(event, Recovered) and state.phase is not None and not state.phase.closing:
        state = replace(state, phase=replace(state.phase, replies={}))
    return coordinator.step(plan, state, event)


def loses_what_was_outstanding(plan: Plan, state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    after, commands = coordinator.step(plan, state, event)
    return after, () if isinstance(event, Recovered) else commands


def admits_twice(plan: Plan, state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    if isinstance(event, Replied) and state.phase is not None and event.name in state.phase.replies:
        state = replace(state, phase=replace(state.phase, replies={**state.phase.replies, event.name: "another"}))
    return coordinator.step(plan, state, event)


def commits_twice(plan: Plan, state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    after, commands = coordinator.step(plan, state, event)
    if isinstance(event, Closed) and after.version > state.version:
        after = replace(after, version=after.version + 1)
    return after, commands


def records_twice(plan: Plan, state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    after, commands = coordinator.step(plan, state, event)
    extra = [replace(record, row={**record.row, "round": record.row["round"] + 1}) for record in commands if isinstance(record, Record)]
    return after, (*commands, *extra)


def says_stored_without_storing(plan: Plan, state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    after, commands = coordinator.step(plan, state, event)
    if len(commands) == 1 and isinstance(commands[0], Acknowledge):
        return state, commands
    return after, commands


def counts_no_refusals(plan: Plan, state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    after, commands = coordinator.step(plan, state, event)
    return replace(after, refusals={}), commands


def ignores_deadlines(plan: Plan, state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    if type(event).__name__ == "DeadlinePassed":
        return state, ()
    return coordinator.step(plan, state, event)


FAULTS = [
    forgets_on_recovery,
    loses_what_was_outstanding,
    admits_twice,
    commits_twice,
    records_twice,
    says_stored_without_storing,
    counts_no_refusals,
    ignores_deadlines,
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_coordinator_is_found_out(fault: Any) -> None:
    plan = Plan("run", ROUNDS, select, select, CloseRule(too_few="extend"), CloseRule(), "both")
    for seed in range(100):
        world = World(plan, NAMES, generator(seed), step=fault)
        if fault is ignores_deadlines:
            world.clients[NAMES[0]].feed = lambda event: None  # type: ignore[method-assign]
        try:
            world.be_hostile(200)
            world.be_fair(5000)
        except AssertionError:
            return
    pytest.fail("a hundred schedules and nothing was noticed")


def test_a_silent_client_does_not_stop_a_run_with_deadlines() -> None:
    plan = Plan("run", ROUNDS, select, select, CloseRule(), CloseRule(), "server")
    world = World(plan, NAMES, generator(1))
    world.clients["c0"].feed = lambda event: None  # type: ignore[method-assign]
    world.be_fair()
    assert world.state.reason == "rounds"
    assert any(row["failed"] == {"c0": "no-answer"} for row in world.ledger.rows.values())


def test_a_silent_evaluator_leaves_every_version_committed() -> None:
    plan = Plan("run", ROUNDS, select, select, CloseRule(), CloseRule(), "server")
    world = World(plan, NAMES, generator(1))
    world.clients[EVALUATOR].feed = lambda event: None  # type: ignore[method-assign]
    world.be_fair()
    assert world.state.version == ROUNDS
