"""Pausing, stopping, resuming, crashing, elections and commands that fail."""

from __future__ import annotations

import json

import pytest

from ciranda.core.errors import CodecError
from ciranda.protocol import coordinator
from ciranda.protocol.messages import (
    EVALUATOR,
    Arm,
    Cancel,
    Close,
    Closed,
    CloseRule,
    CommandFailed,
    DeadlinePassed,
    Elected,
    Finish,
    Instruct,
    Joined,
    PauseAsked,
    Publish,
    Record,
    Recovered,
    Refuse,
    Replied,
    ResumeAsked,
    Started,
    StopAsked,
)
from ciranda.protocol.plan import StopRule
from ciranda.protocol.state import State
from tests.protocol.harness import NAMES, Run, asked, kinds, make_plan, only

# --- pause


def test_a_pause_waits_for_the_end_of_the_round() -> None:
    run = Run(make_plan(where="server"))
    assert run.feed(PauseAsked("ana")) == []
    run.train()
    assert run.phase == "1.1.1.evaluate"
    run.evaluate({})
    assert run.state.status == "paused"
    assert run.phase == ""
    assert only(Refuse, run.feed(Replied("2.1.0.train", "ana", "x")))[0].reason == "wrong-round"
    assert asked(run.feed(ResumeAsked("ana"))) == list(NAMES)
    assert run.phase == "2.1.0.train"


def test_a_pause_can_be_taken_back_and_ends_with_the_run() -> None:
    run = Run(make_plan())
    run.feed(PauseAsked("ana"), ResumeAsked("ana"))
    run.train()
    assert run.phase == "2.1.0.train"
    run.feed(PauseAsked("ana"))
    run.train()
    assert run.state.status == "finished"
    assert run.feed(PauseAsked("ana")) == []


def test_the_roster_may_change_during_a_pause() -> None:
    run = Run(make_plan(names=(*NAMES, "davi")))
    run.feed(PauseAsked("ana"))
    run.train()
    run.feed(Joined("davi", 4, 1))
    assert len(asked(run.feed(ResumeAsked("ana")))) == 4


# --- stop


def test_a_stop_in_mid_round_cancels_what_is_outstanding() -> None:
    run = Run(make_plan())
    run.reply("bia")
    commands = run.feed(StopAsked("ana"))
    assert kinds(commands) == ["Disarm", "Cancel", "Cancel", "Finish"]
    assert [command.name for command in only(Cancel, commands)] == ["ana", "caio"]
    assert run.end == ("aborted", "stop-asked:ana")
    assert run.rows == []
    assert run.feed(StopAsked("bia")) == []


def test_a_stop_while_closing_lets_the_version_be_committed_without_evaluation() -> None:
    run = Run(make_plan(where="server"))
    run.reply(*NAMES)
    assert run.feed(StopAsked("ana"), StopAsked("bia")) == []
    assert kinds(run.close("m1")) == ["Publish", "Record", "Finish"]
    assert run.end == ("aborted", "stop-asked:ana")
    assert run.rows[0]["version"] == 1


def test_a_stop_during_evaluation_keeps_the_committed_version_and_its_row() -> None:
    run = Run(make_plan(where="both", evaluators=NAMES))
    run.train()
    run.reply("ana")
    commands = run.feed(StopAsked("ana"))
    assert [command.name for command in only(Cancel, commands)] == [EVALUATOR, "bia", "caio"]
    assert run.rows[0]["version"] == 1
    assert run.rows[0]["unevaluated"] == {"ana": "abandoned", EVALUATOR: "no-answer", "bia": "no-answer", "caio": "no-answer"}
    assert run.end == ("aborted", "stop-asked:ana")
    run.feed(ResumeAsked("ana"))
    assert run.phase == "2.1.0.train"


@pytest.mark.parametrize("status", ["pending", "paused"])
def test_a_stop_between_rounds(status: str) -> None:
    run = Run(make_plan(), started=status == "paused")
    if status == "paused":
        run.feed(PauseAsked("ana"))
        run.train()
    assert run.state.status == status
    assert kinds(run.feed(StopAsked("ana"))) == ["Finish"]
    assert run.end == ("aborted", "stop-asked:ana")


# --- resume


def test_a_stopped_round_is_redone_as_a_new_attempt() -> None:
    run = Run(make_plan(rounds=2))
    run.train()
    run.feed(StopAsked("ana"))
    commands = run.feed(ResumeAsked("ana"))
    assert [command.phase for command in only(Instruct, commands)] == ["2.2.0.train"] * 3
    assert only(Refuse, run.feed(Replied("2.1.0.train", "ana", "d-ana")))[0].reason == "late"
    run.train()
    assert [(row["round"], row["attempt"]) for row in run.rows] == [(1, 1), (2, 2)]
    assert run.end == ("finished", "rounds")


def test_a_stopped_round_is_taken_up_with_the_cohort_it_had() -> None:
    plan = make_plan(train=CloseRule(max_attempts=3))
    object.__setattr__(plan, "select", lambda round, attempt, roster: [NAMES[attempt - 1]])
    run = Run(plan)
    run.feed(DeadlinePassed("1.1.0.train.0.1"), StopAsked("ana"))
    assert run.phase == ""
    assert asked(run.feed(ResumeAsked("ana"))) == ["ana"]
    assert run.phase == "1.3.0.train"
    assert asked(run.feed(DeadlinePassed("1.3.0.train.0.1"))) == ["bia"]


def test_a_reopened_round_has_all_its_attempts_again() -> None:
    run = Run(make_plan(train=CloseRule(max_attempts=2)))
    run.feed(DeadlinePassed("1.1.0.train.0.1"), DeadlinePassed("1.2.0.train.0.1"))
    assert run.state.status == "aborted"
    run.feed(ResumeAsked("ana"), DeadlinePassed("1.3.0.train.0.1"))
    assert run.phase == "1.4.0.train"


def test_a_finished_run_goes_on_when_the_plan_has_more_rounds() -> None:
    run = Run(make_plan(rounds=1))
    run.train()
    finish = only(Finish, run.commands)
    assert only(Finish, run.feed(ResumeAsked("ana"))) == finish
    run.plan = make_plan(rounds=3)
    run.feed(ResumeAsked("ana"))
    run.train()
    run.train()
    assert [row["version"] for row in run.rows if row["round"] > 1] == [2, 3]
    assert run.end == ("finished", "rounds")


def test_patience_starts_anew_and_budgets_do_not() -> None:
    run = Run(make_plan(rounds=9, stop=StopRule("train.loss", "min", patience=1)))
    run.train({"train": {"loss": 1.0}})
    run.train({"train": {"loss": 1.0}})
    assert run.end == ("finished", "patience")
    run.feed(ResumeAsked("ana"))
    run.train({"train": {"loss": 0.5}})
    assert run.state.status == "running"
    run = Run(make_plan(rounds=9, stop=StopRule(max_bytes=1)))
    run.train(bytes_up=1)
    assert only(Instruct, run.feed(ResumeAsked("ana"))) == []
    assert run.end == ("finished", "max-bytes")


def test_a_run_stopped_before_its_start_can_still_be_started() -> None:
    run = Run(make_plan(), started=False)
    run.feed(StopAsked("ana"), ResumeAsked("ana"))
    assert run.state.status == "pending"
    assert len(asked(run.feed(Started(3, "m0")))) == 3
    assert run.feed(ResumeAsked("ana")) == []


# --- recovery


def outstanding(run: Run) -> list[str]:
    """The ids of what a recovery asks for."""
    before = run.state
    commands = run.feed(Recovered())
    assert run.state == before, "recovering twice is recovering once"
    return [command.id for command in commands]


def test_recovery_asks_again_for_everything_outstanding_and_nothing_else() -> None:
    run = Run(make_plan(where="server", rounds=2), started=False)
    assert outstanding(run) == []
    started = run.feed(Started(3, "m0"))
    assert outstanding(run) == [command.id for command in started]
    run.reply("bia")
    assert outstanding(run) == [command.id for command in started if getattr(command, "name", "") != "bia"]
    close = run.reply("ana", "caio")[-1]
    assert isinstance(close, Close)
    assert outstanding(run) == [close.id]
    assert only(Close, run.feed(Recovered())) == [close]
    committed = run.close("m1")
    assert kinds(committed) == ["Publish", "Instruct", "Arm"]
    assert outstanding(run) == [command.id for command in committed]
    recorded = run.evaluate({})
    assert outstanding(run) == [committed[0].id, *(command.id for command in recorded[3:])]
    assert kinds(recorded[3:]) == ["Record", "Instruct", "Instruct", "Instruct", "Arm"]
    run.train()
    run.evaluate({})
    assert kinds(run.feed(Recovered())) == ["Publish", "Record", "Finish"]


def test_a_record_is_repeated_word_for_word() -> None:
    run = Run(make_plan())
    run.train()
    run.reply("ana")
    run.feed(Elected(5))
    assert only(Record, run.feed(Recovered())) == only(Record, run.commands)[:1]


def test_an_election_renames_what_is_outstanding() -> None:
    run = Run(make_plan())
    run.reply("ana")
    commands = run.feed(Elected(3))
    assert [command.id for command in only(Instruct, commands)] == ["run/3/1.1.0.train/instruct/bia", "run/3/1.1.0.train/instruct/caio"]
    assert only(Arm, commands)[0].deadline == "1.1.0.train.3.1"
    assert run.feed(DeadlinePassed("1.1.0.train.0.1")) == []
    assert run.feed(Elected(3)) == run.feed(Elected(2)) == []
    assert kinds(run.feed(DeadlinePassed("1.1.0.train.3.1")))[-1] == "Close"


# --- commands that fail


def test_a_closing_that_fails_is_an_error_and_can_be_tried_again() -> None:
    run = Run(make_plan())
    close = run.reply(*NAMES)[-1]
    assert run.feed(CommandFailed("run/0/1.9.0.train/close", "stale")) == []
    run.feed(CommandFailed(close.id, "disk full"))
    assert run.end == ("error", "disk full")
    assert run.feed(Closed("1.1.0.train", "m1")) == []
    run.feed(ResumeAsked("ana"))
    run.train()
    assert run.rows[0]["attempt"] == 2
    assert run.rows[0]["refusals"] == {"abandoned": 3}


def test_an_evaluation_whose_closing_fails_keeps_the_version() -> None:
    run = Run(make_plan(where="server"))
    run.train()
    run.reply(EVALUATOR)
    run.feed(CommandFailed(f"run/0/{run.phase}/close", "disk full"))
    assert [row["version"] for row in run.rows] == [1]
    assert run.end == ("error", "disk full")


@pytest.mark.parametrize("kind", [Publish, Record])
def test_a_run_whose_history_cannot_be_written_stops(kind: type[Publish] | type[Record]) -> None:
    run = Run(make_plan(rounds=1))
    run.train()
    command = only(kind, run.commands)[0]
    run.feed(CommandFailed(command.id, "disk full"))
    assert run.end == ("error", "disk full")
    assert kinds(run.feed(Recovered())) == ["Publish", "Record", "Finish"]
    assert run.feed(CommandFailed(command.id, "again")) == []


def test_after_a_failed_record_resuming_writes_it_again() -> None:
    run = Run(make_plan(rounds=2))
    run.train()
    record = only(Record, run.commands)[0]
    run.feed(CommandFailed(record.id, "disk full"))
    assert run.phase == ""
    assert only(Record, run.feed(ResumeAsked("ana"))) == [record]
    assert run.phase == "2.2.0.train"


def test_a_clock_that_cannot_be_armed_is_an_error() -> None:
    run = Run(make_plan())
    run.feed(CommandFailed("run/0/1.1.0.train/arm/1", "no timer"))
    assert run.end == ("error", "no timer")


def test_an_instruction_that_cannot_be_delivered_is_a_recipient_that_failed() -> None:
    run = Run(make_plan())
    run.reply("ana", "bia")
    commands = run.feed(CommandFailed("run/0/1.1.0.train/instruct/caio", "unreachable"))
    assert kinds(commands) == ["Disarm", "Close"]
    run.close("m1")
    assert run.rows[0]["failed"] == {"caio": "unreachable"}


def test_other_failures_change_nothing() -> None:
    run = Run(make_plan())
    before = run.state
    for command in ("run/0/1.1.0.train/acknowledge/ana", "run/0/1.1.0.train/cancel/ana", ""):
        run.feed(CommandFailed(command, "gone"))
    assert run.state == before


def test_closed_is_heard_once_and_only_for_what_is_closing() -> None:
    run = Run(make_plan())
    assert run.feed(Closed("1.1.0.train", "m9")) == []
    run.reply(*NAMES)
    assert run.feed(Closed("1.1.1.evaluate", "m9"), Closed("2.1.0.train", "m9")) == []
    run.close("m1")
    assert run.feed(Closed("1.1.0.train", "m1")) == []
    assert run.state.version == 1


# --- the state as text


def test_the_state_is_canonical_json_and_reads_back() -> None:
    run = Run(make_plan(where="server"))
    run.train({"train": {"loss": 0.1}})
    run.evaluate({"server": {"accuracy": 1 / 3}})
    run.reply("caio")
    text = run.state.to_json()
    assert State.from_json(text) == run.state
    assert State.from_json(text).to_json() == text
    assert json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False) == text
    assert json.loads(text)["schema"] == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"schema":1', '"schema":2', "schema"),
        ('"status":"running"', '"status":"dancing"', "status"),
        ('"round":1', '"round":"1"', "round"),
        ('"round":1', '"round":true', "round"),
        ('"term":0', '"term":0,"extra":1', "extra"),
        ('"run":"run",', "", "run"),
        ('"term":0', '"term":NaN', "JSON"),
        ('"term":0', '"term":0,"term":1', "twice"),
        ("{", "", "JSON"),
    ],
)
def test_another_text_is_refused_with_its_place(old: str, new: str, said: str) -> None:
    text = Run(make_plan()).state.to_json()
    assert old in text
    with pytest.raises(CodecError, match=said):
        State.from_json(text.replace(old, new, 1))


def test_the_state_of_a_finished_run_stays_as_it_is() -> None:
    plan = make_plan(rounds=1)
    run = Run(plan)
    run.train()
    for event in (DeadlinePassed("1.1.0.train.0.1"), Closed("1.1.0.train", "m2"), PauseAsked("ana"), StopAsked("ana"), Started(9, "m9")):
        assert coordinator.step(plan, run.state, event) == (run.state, ())
