"""The coordinator by tables of events: who is asked, what is admitted, when a phase closes."""

from __future__ import annotations

from typing import Any

import pytest

from ciranda.protocol import coordinator
from ciranda.protocol.messages import (
    Acknowledge,
    Arm,
    Cancel,
    Close,
    CloseRule,
    Command,
    DeadlinePassed,
    Disarm,
    Event,
    Failed,
    Finish,
    Instruct,
    Joined,
    Left,
    Lost,
    Publish,
    Record,
    Refuse,
    Replied,
    Seen,
    Started,
)
from ciranda.protocol.state import State
from tests.protocol.harness import NAMES, Run, asked, closes, kinds, make_plan, only


def test_a_started_run_instructs_every_selected_name_and_arms_the_deadline() -> None:
    run = Run(make_plan(train=CloseRule(deadline_s=5.0)), started=False)
    commands = run.feed(Started(3, "m0"))
    assert commands == [
        *(Instruct(f"run/0/1.1.0.train/instruct/{name}", name, "1.1.0.train", "train", 1, "m0") for name in NAMES),
        Arm("run/0/1.1.0.train/arm/1", "1.1.0.train.0.1", 5.0),
    ]
    assert run.state.status == "running"


def test_the_roster_of_the_start_is_what_selection_gets() -> None:
    run = Run(make_plan(), started=False)
    assert asked(run.feed(Started(2, "m0"))) == ["ana", "bia"]


def test_a_whole_round_in_commands() -> None:
    run = Run(make_plan(rounds=1))
    commands = run.reply("caio", "ana", "bia")
    assert kinds(commands) == ["Acknowledge"] * 3 + ["Disarm", "Close"]
    assert only(Close, commands)[0].accepted == (("ana", "d-ana"), ("bia", "d-bia"), ("caio", "d-caio"))
    assert only(Disarm, commands)[0].deadline == "1.1.0.train.0.1"
    commands = run.close("m1", {"train": {"loss": 0.5}}, bytes_up=10, bytes_down=20, seconds=1.5)
    assert kinds(commands) == ["Publish", "Record", "Finish"]
    assert only(Publish, commands)[0] == Publish("run/0/1.1/publish", 1, "m1")
    assert only(Finish, commands)[0].reason == "rounds"
    assert run.rows == [
        {
            "event": "round",
            "round": 1,
            "attempt": 1,
            "version": 1,
            "model": "m1",
            "previous": "m0",
            "skipped": False,
            "roster": 3,
            "epoch": 0,
            "candidates": [],
            "unheard": {},
            "accepted": [["ana", "d-ana"], ["bia", "d-bia"], ["caio", "d-caio"]],
            "failed": {},
            "refused": {},
            "refusals": {},
            "evaluated": [],
            "unevaluated": {},
            "metrics": {"train": {"loss": 0.5}},
            "clients": {},
            "bytes_up": 10,
            "bytes_down": 20,
            "seconds": 1.5,
        }
    ]


@pytest.mark.parametrize("rounds", [1, 2, 10])
def test_the_number_of_rounds_is_exact(rounds: int) -> None:
    run = Run(make_plan(rounds=rounds))
    for _ in range(rounds):
        assert run.state.status == "running"
        run.train()
    assert [row["round"] for row in run.rows] == list(range(1, rounds + 1))
    assert [row["version"] for row in run.rows] == list(range(1, rounds + 1))
    assert run.end == ("finished", "rounds")
    assert run.state.phase is None


# --- what is admitted


def test_a_second_start_changes_nothing() -> None:
    run = Run(make_plan())
    assert run.feed(Started(1, "other")) == []
    assert run.state.model == "m0"


@pytest.mark.parametrize(
    ("event", "answer"),
    [
        (Replied("1.1.0.train", "ana", "d-ana"), "duplicate"),
        (Replied("1.1.0.train", "ana", "other"), "conflicting"),
        (Replied("1.1.0.train", "ana", "d-ana", refused="oversized"), "oversized"),
        (Replied("1.1.0.train", "stranger", "x"), "not-selected"),
        (Replied("1.2.0.train", "bia", "x"), "late"),
        (Replied("1.1.1.evaluate", "bia", "x"), "late"),
        (Replied("7.1.0.train", "bia", "x"), "wrong-round"),
        (Replied("", "bia", "x"), "wrong-round"),
        (Replied("1.1.0.train", "bia", "x", refused="non-finite"), "non-finite"),
        (Replied("1.1.0.train", "bia", "x"), "stored"),
    ],
)
def test_every_reply_is_answered_with_its_reason(event: Replied, answer: str) -> None:
    run = Run(make_plan())
    run.reply("ana")
    commands = run.feed(event)
    assert len(commands) == 1
    command: Any = commands[0]
    assert isinstance(command, Acknowledge | Refuse)
    assert (command.status if isinstance(command, Acknowledge) else command.reason) == answer
    assert (command.name, command.phase, command.digest) == (event.name, event.phase, event.digest)


def test_what_was_refused_is_counted_and_listed_in_the_row() -> None:
    run = Run(make_plan())
    run.reply("ana", "stranger")
    run.feed(Replied("1.1.0.train", "ana", "other"), Replied("9.1.0.train", "bia", "x"), Replied("1.1.0.train", "ana", "third"))
    run.train()
    row = run.rows[0]
    assert row["refused"] == {"stranger": "not-selected", "ana": "conflicting", "bia": "wrong-round"}
    assert row["refusals"] == {"not-selected": 1, "conflicting": 2, "wrong-round": 1}
    assert [name for name, _ in row["accepted"]] == list(NAMES)
    run.train()
    assert run.rows[1]["refused"] == {}


def test_while_closing_a_known_reply_is_a_duplicate_and_a_new_one_is_late() -> None:
    run = Run(make_plan(train=CloseRule(kind="first", first=2)))
    run.reply("ana", "caio")
    assert only(Acknowledge, run.reply("ana"))[0].status == "duplicate"
    assert only(Refuse, run.reply("bia"))[0].reason == "late"
    assert only(Refuse, run.feed(Replied(run.phase, "ana", "other")))[0].reason == "conflicting"
    run.close("m1")
    assert run.rows[0]["accepted"] == [["ana", "d-ana"], ["caio", "d-caio"]]


def test_a_training_reply_repeated_during_evaluation_is_a_duplicate() -> None:
    run = Run(make_plan(where="server"))
    run.train()
    assert run.phase == "1.1.1.evaluate"
    assert only(Acknowledge, run.feed(Replied("1.1.0.train", "ana", "d-ana")))[0].status == "duplicate"
    assert only(Refuse, run.feed(Replied("1.1.0.train", "ana", "other")))[0].reason == "late"


def test_a_refused_reply_does_not_block_a_good_one() -> None:
    run = Run(make_plan())
    run.feed(Replied(run.phase, "ana", "bad", refused="wrong-shape"))
    assert only(Acknowledge, run.reply("ana"))[0].status == "stored"


def test_strangers_cannot_make_the_state_grow() -> None:
    run = Run(make_plan())
    for number in range(500):
        run.feed(Replied("1.1.0.train", f"stranger-{number}", "x", refused="r" * 10_000 + str(number)))
    assert run.state.refusals["not-selected"] == 500
    assert len(run.state.refused) < 100
    for number in range(500):
        run.feed(Replied(run.phase, "ana", "x", refused=f"{number} " + "r" * 10_000), Failed(run.phase, "bia", "f" * 10_000))
    assert sum(run.state.refusals.values()) == 1000
    assert len(run.state.to_json()) < 32 * 1024


def test_replies_after_the_end_are_refused_and_counted() -> None:
    run = Run(make_plan(rounds=1))
    run.train()
    assert only(Refuse, run.feed(Replied("1.1.0.train", "ana", "d-ana")))[0].reason == "late"
    assert run.state.refusals == {"late": 1}


# --- when a phase closes


DEADLINE = DeadlinePassed("1.1.0.train.0.1")


def replies(*names: str) -> list[Event]:
    return [Replied("1.1.0.train", name, f"d-{name}") for name in names]


@pytest.mark.parametrize(
    ("rule", "events", "closed"),
    [
        (CloseRule(), replies("ana", "bia"), []),
        (CloseRule(), replies("ana", "bia", "caio"), [["ana", "bia", "caio"]]),
        (CloseRule(), [*replies("ana"), DEADLINE], [["ana"]]),
        (CloseRule(), [*replies("ana"), DEADLINE, DEADLINE], [["ana"]]),
        (CloseRule(), [*replies("ana"), DeadlinePassed("1.1.0.train.0.2"), DeadlinePassed("")], []),
        (CloseRule(), [*replies("ana", "bia"), Failed("1.1.0.train", "caio", "no memory")], [["ana", "bia"]]),
        (CloseRule(), [*replies("ana", "bia"), Failed("1.2.0.train", "caio", "other phase")], []),
        (CloseRule(), [*replies("ana", "bia"), Failed("1.1.0.train", "stranger", "who")], []),
        (CloseRule(), [*replies("ana", "bia"), Failed("1.1.0.train", "bia", "too late to say")], []),
        (CloseRule(), [*replies("ana", "bia"), Lost("caio")], [["ana", "bia"]]),
        (CloseRule(), [*replies("ana"), Lost("caio"), Seen("caio"), *replies("bia")], []),
        (CloseRule(), [*replies("ana"), Lost("caio"), Seen("caio"), *replies("bia", "caio")], [["ana", "bia", "caio"]]),
        (CloseRule(), [Lost("caio"), *replies("caio", "ana", "bia")], [["ana", "bia", "caio"]]),
        (CloseRule(), [*replies("ana"), Lost("bia"), Left("caio", 2, 1)], [["ana"]]),
        (CloseRule(), [*replies("ana", "bia"), Lost("ana"), Lost("stranger")], []),
        (CloseRule(kind="all"), [*replies("ana", "bia"), DEADLINE], []),
        (CloseRule(kind="all"), [*replies("ana", "bia"), DEADLINE, *replies("caio")], [["ana", "bia", "caio"]]),
        (CloseRule(kind="first", first=2), replies("caio"), []),
        (CloseRule(kind="first", first=2), replies("caio", "ana", "bia"), [["ana", "caio"]]),
        (CloseRule(kind="first", first=2), [*replies("caio"), DEADLINE], [["caio"]]),
        (CloseRule(kind="first", first=3), [*replies("caio", "ana"), Lost("bia")], [["ana", "caio"]]),
        (CloseRule(min_replies=2), [*replies("ana", "bia"), DEADLINE], [["ana", "bia"]]),
        (CloseRule(min_replies=2), [*replies("ana"), Lost("bia"), Lost("caio")], []),
        (CloseRule(min_replies=2), [*replies("ana"), Lost("bia"), Lost("caio"), Seen("bia"), *replies("bia")], [["ana", "bia"]]),
        (CloseRule(), [Replied("1.1.0.train", "ana", "x", refused="late"), *replies("bia", "caio")], [["bia", "caio"]]),
    ],
)
def test_close_rules(rule: CloseRule, events: list[Event], closed: list[list[str]]) -> None:
    run = Run(make_plan(train=rule))
    assert closes(run.feed(*events)) == closed


def test_all_arms_no_deadline() -> None:
    run = Run(make_plan(train=CloseRule(kind="all")))
    run.train()
    assert not only(Arm, run.commands)
    assert not only(Disarm, run.commands)


def test_whoever_did_not_reply_is_cancelled_and_listed_with_the_reason() -> None:
    run = Run(make_plan(names=(*NAMES, "davi", "eva"), rounds=1), started=False)
    run.feed(Started(5, "m0"))
    run.reply("bia")
    run.feed(Failed(run.phase, "ana", "no memory"), Lost("caio"), Left("davi", 4, 1))
    commands = run.feed(DEADLINE)
    assert [command.name for command in only(Cancel, commands)] == ["caio", "eva"]
    run.close("m1")
    assert run.rows[0]["failed"] == {"ana": "no memory", "caio": "lost", "davi": "left", "eva": "no-answer"}
    assert run.rows[0]["accepted"] == [["bia", "d-bia"]]


def test_what_is_heard_while_closing_changes_nothing() -> None:
    run = Run(make_plan(train=CloseRule(kind="first", first=2)))
    run.reply("ana", "bia")
    before = run.state
    assert run.feed(Failed(run.phase, "caio", "no memory"), Lost("caio"), Left("caio", 3, 0), Seen("caio"), DEADLINE) == []
    assert run.state == before


def test_a_client_seen_again_is_told_again() -> None:
    run = Run(make_plan())
    first = only(Instruct, run.commands)
    run.feed(Lost("bia"))
    assert run.feed(Seen("bia")) == [first[1]]
    assert run.feed(Seen("bia")) == []
    run.reply("ana")
    assert run.feed(Seen("ana")) == []


# --- too few replies


def test_extend_arms_the_deadline_anew_and_the_old_one_is_stale() -> None:
    run = Run(make_plan(train=CloseRule(too_few="extend", min_replies=2)))
    run.reply("ana")
    assert run.feed(DEADLINE) == [Arm("run/0/1.1.0.train/arm/2", "1.1.0.train.0.2", 3600.0)]
    run.reply("bia")
    assert run.feed(DEADLINE) == []
    assert closes(run.feed(DeadlinePassed("1.1.0.train.0.2"))) == [["ana", "bia"]]


def test_extend_is_no_help_when_nobody_can_answer_any_more() -> None:
    run = Run(make_plan(train=CloseRule(too_few="extend")))
    commands = run.feed(*(Failed("1.1.0.train", name, "broken") for name in NAMES))
    assert {command.phase for command in only(Instruct, commands)} == {"1.2.0.train"}


def test_retry_draws_another_cohort_and_calls_the_first_one_off() -> None:
    run = Run(make_plan(train=CloseRule(min_replies=2)))
    run.reply("ana")
    commands = run.feed(DEADLINE)
    assert [command.name for command in only(Cancel, commands)] == ["bia", "caio"]
    assert [command.phase for command in only(Instruct, commands)] == ["1.2.0.train"] * 3
    assert [command.model for command in only(Instruct, commands)] == ["m0"] * 3
    run.reply("bia", "caio")
    run.feed(DeadlinePassed("1.2.0.train.0.1"))
    run.close("m1")
    row = run.rows[0]
    assert (row["round"], row["attempt"], row["version"]) == (1, 2, 1)
    assert [name for name, _ in row["accepted"]] == ["bia", "caio"]
    assert row["refused"] == {"ana": "abandoned"}
    assert run.phase == "2.1.0.train"


def test_a_reply_of_an_abandoned_attempt_is_counted_but_not_held_against_a_later_one() -> None:
    run = Run(make_plan(train=CloseRule(min_replies=2)))
    run.reply("ana")
    run.feed(DEADLINE)
    run.train()
    assert run.rows[0]["refused"] == {}
    assert run.rows[0]["refusals"] == {"abandoned": 1}


def test_retry_gives_up_after_its_attempts() -> None:
    run = Run(make_plan(train=CloseRule(max_attempts=3)))
    for attempt in (1, 2, 3):
        assert run.phase == f"1.{attempt}.0.train"
        run.feed(DeadlinePassed(f"1.{attempt}.0.train.0.1"))
    assert run.end == ("aborted", "too-few-replies")
    assert run.rows == []
    assert run.state.version == 0


def test_every_round_has_all_its_attempts() -> None:
    run = Run(make_plan(train=CloseRule(max_attempts=2)))
    run.feed(DEADLINE)
    run.train()
    run.feed(DeadlinePassed("2.1.0.train.0.1"))
    assert run.phase == "2.2.0.train"


def test_skip_records_a_row_and_keeps_the_version() -> None:
    run = Run(make_plan(train=CloseRule(too_few="skip", min_replies=2)))
    run.reply("ana")
    commands = run.feed(DEADLINE)
    assert kinds(commands)[:4] == ["Disarm", "Cancel", "Cancel", "Record"]
    row = run.rows[0]
    assert (row["round"], row["version"], row["model"], row["previous"]) == (1, 0, "m0", "m0")
    assert row["skipped"]
    assert row["accepted"] == []
    assert row["failed"] == {"ana": "abandoned", "bia": "no-answer", "caio": "no-answer"}
    assert row["refusals"] == {"abandoned": 1}
    run.train()
    assert (run.rows[1]["round"], run.rows[1]["version"], run.rows[1]["skipped"]) == (2, 1, False)
    assert run.end == ("finished", "rounds")


def test_abort_ends_the_run() -> None:
    run = Run(make_plan(train=CloseRule(too_few="abort")))
    run.feed(DEADLINE)
    assert run.end == ("aborted", "too-few-replies")


# --- the roster


def test_the_roster_changes_between_rounds_only() -> None:
    run = Run(make_plan(names=(*NAMES, "davi"), rounds=3))
    run.feed(Joined("davi", 4, 7))
    assert run.state.roster == 3
    assert only(Refuse, run.reply("davi"))[0].reason == "not-selected"
    commands = run.train()
    assert asked(commands) == [*NAMES, "davi"]
    assert (run.state.roster, run.state.epoch) == (4, 7)
    run.feed(Left("davi", 3, 8), Joined("late news", 9, 7))
    commands = run.train()
    assert asked(commands) == list(NAMES)
    assert [(row["roster"], row["epoch"]) for row in run.rows] == [(3, 0), (4, 7)]


# --- purity and totality


def test_a_step_leaves_its_input_alone_and_many_steps_are_as_one_after_the_other() -> None:
    plan = make_plan(names=[f"c{number}" for number in range(50)], train=CloseRule(min_replies=20), rounds=3)
    start, _ = coordinator.step(plan, coordinator.initial(plan), Started(50, "m0"))
    before = start.to_json()
    events: list[Event] = [Replied("1.1.0.train", f"c{number}", f"d{number}") for number in range(0, 60, 2)]
    events += [Lost("c1"), Lost("c3"), Seen("c1"), Failed("1.1.0.train", "c5", "no"), Replied("0", "c1", "x")]
    state = start
    commands: list[Command] = []
    for event in events:
        held = state.to_json()
        following, some = coordinator.step(plan, state, event)
        assert state.to_json() == held
        state = following
        commands += some
    batch = coordinator.step_many(plan, start, events)
    assert batch == (state, tuple(commands))
    assert start.to_json() == before
    again = coordinator.step_many(plan, start, events)
    assert again == batch


def test_nothing_at_all_changes_nothing() -> None:
    plan = make_plan()
    state = coordinator.initial(plan)
    assert coordinator.step_many(plan, state, []) == (state, ())
    unknown: Any = object()
    assert coordinator.step(plan, state, unknown) == (state, ())


@pytest.mark.parametrize("roster", [0, -1])
def test_an_empty_cohort_is_an_error_not_a_crash(roster: int) -> None:
    plan = make_plan(names=())
    run = Run(plan, started=False)
    run.feed(Started(roster, "m0"))
    assert run.end == ("error", "no client was selected for round 1")


def test_a_selection_that_raises_ends_the_run_with_its_message() -> None:
    def broken(round: int, attempt: int, roster: int) -> list[str]:
        raise ZeroDivisionError("by hand")

    plan = make_plan()
    object.__setattr__(plan, "select", broken)
    run = Run(plan)
    assert run.end == ("error", "selecting clients for round 1 failed: by hand")


def test_a_cohort_of_a_thousand_fits_the_state() -> None:
    names = [f"client-{number}" for number in range(1000)]
    plan = make_plan(names=names)
    state, _ = coordinator.step(plan, coordinator.initial(plan), Started(1000, "0" * 64))
    events: list[Event] = [Replied("1.1.0.train", name, "f" * 64) for name in names]
    state, commands = coordinator.step_many(plan, state, events)
    assert len(only(Close, commands)[0].accepted) == 1000
    text = state.to_json()
    assert State.from_json(text) == state
    assert len(text) < 64 * 1024 + 200 * 1000
    assert not only(Record, commands)
