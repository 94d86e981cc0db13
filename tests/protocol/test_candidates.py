"""Selection by loss: candidates are asked first, and the cohort follows from what they say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from ciranda.protocol.messages import (
    LOSS,
    Acknowledge,
    Arm,
    Closed,
    CloseRule,
    Command,
    CommandFailed,
    DeadlinePassed,
    Elected,
    Failed,
    Instruct,
    Recovered,
    Refuse,
    Replied,
    ResumeAsked,
    StopAsked,
)
from ciranda.protocol.plan import Plan, Shortlist
from tests.protocol.harness import NAMES, Run, asked, closes, kinds, make_plan, only

LOSSES = {"ana": 0.5, "bia": 2.0, "caio": 1.0}


def two_worst(round: int, attempt: int, roster: int, losses: Mapping[str, float]) -> Sequence[str]:
    return sorted(sorted(losses, key=lambda name: -losses[name])[:2])


def by_loss(**more: Any) -> Plan:
    return make_plan(shortlist=Shortlist(lambda round, attempt, roster: NAMES[:roster], two_worst), **more)


def hear(run: Run, losses: Mapping[str, float] = LOSSES, **more: Any) -> list[Command]:
    """Everybody in `losses` answers, and the closing in progress brings their losses."""
    out = run.reply(*losses)
    clients = {name: {LOSS: loss} for name, loss in losses.items()}
    return out + run.feed(Closed(run.phase, "", {"candidates": {"loss": 1.0}}, clients, **more))


def test_a_whole_round() -> None:
    run = Run(by_loss(rounds=1, where="server"))
    assert asked(run.commands) == list(NAMES)
    assert {(order.phase, order.kind, order.model) for order in only(Instruct, run.commands)} == {("1.1.0.candidates", "candidates", "m0")}
    heard = hear(run)
    assert closes(heard) == [["ana", "bia", "caio"]]
    assert asked(heard) == ["bia", "caio"]
    assert run.phase == "1.1.1.train"
    trained = run.reply("bia", "caio") + run.close("m1")
    assert run.phase == "1.1.2.evaluate"
    assert closes(trained) == [["bia", "caio"]]
    run.evaluate({"server": {"accuracy": 0.5}})
    assert run.end == ("finished", "rounds")
    (row,) = run.rows
    assert row["candidates"] == [["ana", "d-ana"], ["bia", "d-bia"], ["caio", "d-caio"]]
    assert row["accepted"] == [["bia", "d-bia"], ["caio", "d-caio"]]
    assert row["unheard"] == row["failed"] == row["refused"] == {}
    assert row["clients"]["ana"] == {LOSS: 0.5}
    assert row["metrics"]["candidates"] == {"loss": 1.0}


def test_the_candidates_bytes_and_seconds_are_the_rounds() -> None:
    run = Run(by_loss(rounds=1))
    hear(run, bytes_up=5, bytes_down=7, seconds=0.25)
    assert run.state.progress.bytes == 12
    run.reply("bia", "caio")
    run.close("m1", bytes_up=10, bytes_down=20, seconds=1.0)
    assert (run.rows[0]["bytes_up"], run.rows[0]["bytes_down"], run.rows[0]["seconds"]) == (15, 27, 1.25)
    assert run.state.progress.bytes == 42


def test_candidates_that_do_not_answer_are_left_out() -> None:
    run = Run(by_loss(rounds=1))
    run.feed(Failed(run.phase, "bia", "no memory"))
    assert asked(hear(run, {"ana": 0.5, "caio": 1.0})) == ["ana", "caio"]
    run.reply("ana", "caio")
    run.close("m1")
    assert run.rows[0]["unheard"] == {"bia": "no memory"}
    assert run.rows[0]["failed"] == {}


def test_the_deadline_closes_with_those_that_were_heard() -> None:
    run = Run(by_loss(rounds=1, train=CloseRule(deadline_s=7.0)))
    assert only(Arm, run.commands)[0].seconds == 7.0
    run.reply("ana")
    out = run.feed(DeadlinePassed(run.state.deadline))
    assert closes(out) == [["ana"]]
    assert asked(run.feed(Closed(run.phase, clients={"ana": {LOSS: 1.0}}))) == ["ana"]
    assert run.phase == "1.1.1.train"


@pytest.mark.parametrize("bad", [math.nan, math.inf, None])
def test_a_loss_that_is_no_finite_number_does_not_count(bad: Any) -> None:
    run = Run(by_loss())
    run.reply(*NAMES)
    clients = {"ana": {LOSS: 0.5}, "bia": {} if bad is None else {LOSS: bad}, "caio": {LOSS: 1.0}}
    assert asked(run.feed(Closed(run.phase, clients=clients))) == ["ana", "caio"]


def test_without_any_loss_there_is_nobody_to_train() -> None:
    run = Run(by_loss())
    run.reply(*NAMES)
    run.feed(Closed(run.phase))
    assert run.end == ("error", "no client was selected for round 1")


def test_a_rule_that_raises_ends_the_run_with_its_reason() -> None:
    def breaks(round: int, attempt: int, roster: int, losses: Mapping[str, float]) -> Sequence[str]:
        raise ValueError("no such client")

    run = Run(make_plan(shortlist=Shortlist(lambda round, attempt, roster: NAMES, breaks)))
    hear(run)
    assert run.end[0] == "error"
    assert "no such client" in run.end[1]


def test_a_retry_asks_candidates_again_and_counts_the_old_answers() -> None:
    run = Run(by_loss(rounds=1, train=CloseRule(min_replies=2, max_attempts=3)))
    hear(run)
    run.feed(Failed(run.phase, "bia", "lost its disk"), Failed(run.phase, "caio", "lost its disk"))
    assert run.phase == "1.2.0.candidates"
    assert run.state.refusals == {"abandoned": 3}
    hear(run)
    assert run.phase == "1.2.1.train"
    run.reply("bia", "caio")
    run.close("m1")
    (row,) = run.rows
    assert row["attempt"] == 2
    assert row["refusals"] == {"abandoned": 3}
    assert len(row["candidates"]) == 3


def test_too_few_candidates_are_retried_and_then_given_up() -> None:
    run = Run(by_loss(train=CloseRule(min_replies=2, max_attempts=2)))
    for _ in range(2):
        run.reply("ana")
        run.feed(Failed(run.phase, "bia", "x"), Failed(run.phase, "caio", "x"))
    assert run.end == ("aborted", "too-few-replies")
    assert run.rows == []


def test_a_skipped_round_says_who_was_not_heard() -> None:
    run = Run(by_loss(rounds=1, train=CloseRule(min_replies=2, too_few="skip")))
    run.reply("ana")
    run.feed(Failed(run.phase, "bia", "x"), Failed(run.phase, "caio", "y"))
    (row,) = run.rows
    assert row["skipped"]
    assert row["unheard"] == {"ana": "abandoned", "bia": "x", "caio": "y"}
    assert row["failed"] == {}
    assert row["candidates"] == []
    assert row["refusals"] == {"abandoned": 1}


def test_a_round_skipped_in_training_keeps_its_candidates() -> None:
    run = Run(by_loss(rounds=1, train=CloseRule(too_few="skip")))
    hear(run)
    run.feed(Failed(run.phase, "bia", "x"), Failed(run.phase, "caio", "y"))
    (row,) = run.rows
    assert row["skipped"]
    assert len(row["candidates"]) == 3
    assert row["failed"] == {"bia": "x", "caio": "y"}


def test_too_few_candidates_may_get_more_time() -> None:
    run = Run(by_loss(train=CloseRule(too_few="extend")))
    before = run.state.deadline
    assert kinds(run.feed(DeadlinePassed(before))) == ["Arm"]
    assert run.state.deadline != before
    assert run.phase == "1.1.0.candidates"


def test_every_candidate_is_waited_for_when_the_first_trainers_suffice() -> None:
    run = Run(by_loss(train=CloseRule("first", first=1)))
    assert closes(run.reply("ana", "bia")) == []
    hear(run, {"caio": 1.0})
    run = Run(by_loss(train=CloseRule("first", first=1)))
    hear(run)
    assert closes(run.reply("caio")) == [["caio"]]


def test_a_late_repetition_is_known_and_a_new_answer_is_late() -> None:
    run = Run(by_loss())
    hear(run)
    (again,) = run.feed(Replied("1.1.0.candidates", "ana", "d-ana"))
    assert isinstance(again, Acknowledge)
    assert again.status == "duplicate"
    (other,) = run.feed(Replied("1.1.0.candidates", "ana", "another"))
    assert isinstance(other, Refuse)
    assert other.reason == "late"


def test_a_stop_while_losses_are_gathered_ends_there_and_can_be_taken_up() -> None:
    run = Run(by_loss(rounds=1))
    run.reply(*NAMES)
    assert run.feed(StopAsked("me")) == []
    run.feed(Closed(run.phase, clients={name: {LOSS: 1.0} for name in NAMES}))
    assert run.end == ("aborted", "stop-asked:me")
    assert run.rows == []
    assert asked(run.feed(ResumeAsked("me"))) == list(NAMES)
    assert run.phase == "1.2.0.candidates"
    hear(run)
    run.reply("bia", "caio")
    run.close("m1")
    assert run.rows[0]["refusals"] == {"abandoned": 3}
    assert run.end == ("finished", "rounds")


def test_a_stop_in_training_can_be_taken_up() -> None:
    run = Run(by_loss(rounds=1))
    hear(run)
    run.feed(StopAsked("me"), ResumeAsked("me"))
    assert run.phase == "1.2.0.candidates"


@pytest.mark.parametrize("event", [Recovered(), Elected(3)])
def test_what_is_outstanding_is_asked_again(event: Any) -> None:
    run = Run(by_loss())
    run.reply("ana")
    assert asked(run.feed(event)) == ["bia", "caio"]
    run.reply("bia", "caio")
    assert closes(run.feed(Recovered())) == [["ana", "bia", "caio"]]
    run.feed(Closed(run.phase, clients={name: {LOSS: loss} for name, loss in LOSSES.items()}))
    assert asked(run.feed(Recovered())) == ["bia", "caio"]


def test_a_closing_that_fails_ends_the_run() -> None:
    run = Run(by_loss())
    (close,) = [command for command in run.reply(*NAMES) if type(command).__name__ == "Close"]
    run.feed(CommandFailed(close.id, "disk full"))
    assert run.end == ("error", "disk full")


def test_a_plan_that_no_longer_selects_by_loss_goes_on() -> None:
    run = Run(by_loss(rounds=1))
    run.reply(*NAMES)
    run.plan = replace(run.plan, shortlist=None)
    assert asked(run.feed(Closed(run.phase, clients={}))) == list(NAMES)
    assert run.phase == "1.1.0.train"
