"""Evaluation, what a row holds, and every way in which a run stops."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ciranda.core.errors import ExperimentError
from ciranda.protocol.messages import EVALUATOR, Close, CloseRule, DeadlinePassed, Failed, Publish, Replied, Started
from ciranda.protocol.plan import Plan, StopRule
from ciranda.protocol.stopping import Progress, available, budget, judge, measured
from tests.protocol.harness import NAMES, Run, asked, closes, kinds, make_plan, only

# --- evaluation


@pytest.mark.parametrize(
    ("where", "names"),
    [("server", [EVALUATOR]), ("clients", ["zoe", "ana"]), ("both", [EVALUATOR, "zoe", "ana"]), ("none", [])],
)
def test_who_evaluates(where: str, names: list[str]) -> None:
    run = Run(make_plan(where=where, evaluators=("zoe", "ana", "zoe"), rounds=1))
    commands = run.train()
    assert asked(commands) == names
    assert only(Publish, commands)[0].version == 1
    if names:
        assert run.rows == []
        commands = run.reply(*names)
        close = only(Close, commands)[0]
        assert (close.kind, close.model, [name for name, _ in close.accepted]) == ("evaluate", "m1", sorted(names))
        run.close("", {"server": {"accuracy": 0.5}}, bytes_up=5)
    assert run.rows[0]["evaluated"] == [[name, f"d-{name}"] for name in sorted(names)]
    assert run.end == ("finished", "rounds")


def test_the_row_adds_up_what_both_phases_brought() -> None:
    run = Run(make_plan(where="server", rounds=1))
    run.train({"train": {"loss": 1.0}}, bytes_up=1, bytes_down=2, seconds=0.25, clients={"ana": {"loss": 1.0}})
    run.reply(EVALUATOR)
    metrics = {"server": {"accuracy": 0.5, "r2": math.nan}}
    run.close("", metrics, bytes_up=10, bytes_down=20, seconds=0.5, clients={"ana": {"accuracy": 1.0}})
    row = run.rows[0]
    assert row["metrics"] == {"train": {"loss": 1.0}, "server": {"accuracy": 0.5, "r2": None}}
    assert row["clients"] == {"ana": {"loss": 1.0, "accuracy": 1.0}}
    assert (row["bytes_up"], row["bytes_down"], row["seconds"]) == (11, 22, 0.75)
    assert (run.state.progress.bytes, run.state.progress.seconds) == (33, 0.75)


def test_evaluation_every_second_round_and_in_the_last_one() -> None:
    run = Run(make_plan(where="server", every=2, rounds=5))
    evaluated = []
    for round in range(1, 6):
        run.train()
        if run.phase.endswith("evaluate"):
            evaluated.append(round)
            run.evaluate({})
    assert evaluated == [2, 4, 5]
    assert len(run.rows) == 5


@pytest.mark.parametrize(
    ("stop", "brought"),
    [
        (StopRule(max_bytes=30), {"bytes_up": 10, "bytes_down": 5}),
        (StopRule(max_seconds=1.0), {"seconds": 0.5}),
        (StopRule(max_epsilon=3.0), {"metrics": {"privacy": {"epsilon": 3.0}}}),
        (StopRule("train.loss", "min", target=0.1), {"metrics": {"train": {"loss": 0.1}}}),
    ],
)
def test_a_run_that_stops_early_evaluates_its_last_version(stop: StopRule, brought: dict[str, Any]) -> None:
    run = Run(make_plan(where="server", every=100, rounds=1000, stop=stop))
    first = {"metrics": {"train": {"loss": 1.0}, "privacy": {"epsilon": 1.0}}}
    run.train(**first | {key: value for key, value in brought.items() if key != "metrics"})
    assert run.phase == "2.1.0.train"
    run.train(**brought)
    assert run.phase == "2.1.1.evaluate"
    run.evaluate({"server": {"accuracy": 0.9}})
    assert run.state.status == "finished"
    assert run.rows[-1]["metrics"]["server"] == {"accuracy": 0.9}


def test_too_few_evaluations_do_not_undo_a_version() -> None:
    run = Run(make_plan(where="both", evaluators=NAMES, evaluate=CloseRule(min_replies=3), rounds=1))
    run.train()
    run.reply(EVALUATOR, "ana")
    assert closes(run.feed(DeadlinePassed("1.1.1.evaluate.0.1"))) == [[EVALUATOR, "ana"]]
    run.close("", {"server": {"accuracy": 0.5}})
    assert run.rows[0]["version"] == 1
    assert run.rows[0]["unevaluated"] == {"bia": "no-answer", "caio": "no-answer"}
    assert run.rows[0]["metrics"] == {"server": {"accuracy": 0.5}}


def test_an_evaluation_without_any_reply_is_recorded_as_such() -> None:
    run = Run(make_plan(where="server", rounds=2))
    run.train({"train": {"loss": 1.0}})
    commands = run.feed(Failed(run.phase, EVALUATOR, "no data"))
    assert closes(commands) == []
    assert run.rows[0]["unevaluated"] == {EVALUATOR: "no data"}
    assert run.phase == "2.1.0.train"


def test_an_evaluation_may_be_extended_or_end_the_run() -> None:
    run = Run(make_plan(where="server", evaluate=CloseRule(too_few="extend")))
    run.train()
    assert kinds(run.feed(DeadlinePassed("1.1.1.evaluate.0.1"))) == ["Arm"]
    run = Run(make_plan(where="server", evaluate=CloseRule(too_few="abort")))
    run.train()
    run.feed(DeadlinePassed("1.1.1.evaluate.0.1"))
    assert run.end == ("aborted", "too-few-replies")
    assert [row["version"] for row in run.rows] == [1]


def test_a_skipped_round_has_nothing_new_to_evaluate() -> None:
    run = Run(make_plan(where="server", train=CloseRule(too_few="skip"), rounds=3))
    run.train()
    run.evaluate({"server": {"accuracy": 0.5}})
    run.feed(DeadlinePassed("2.1.0.train.0.1"))
    assert run.phase == "3.1.0.train"


def test_a_skipped_last_round_evaluates_a_version_that_never_was() -> None:
    run = Run(make_plan(where="server", every=5, train=CloseRule(too_few="skip"), rounds=2))
    run.train()
    run.feed(DeadlinePassed("2.1.0.train.0.1"))
    assert run.phase == "2.1.1.evaluate"
    run.evaluate({"server": {"accuracy": 0.5}})
    assert [(row["version"], row["skipped"]) for row in run.rows] == [(1, False), (1, True)]


def test_a_close_without_a_model_is_an_error() -> None:
    run = Run(make_plan())
    run.reply(*NAMES)
    run.close("")
    assert run.end == ("error", "closing 1.1.0.train gave no model")


# --- stopping


def drive(stop: StopRule, values: list[float], where: str = "server", every: int = 1) -> Run:
    """Rounds whose evaluation gives these accuracies, until the run ends."""
    run = Run(make_plan(rounds=len(values), where=where, every=every, stop=stop))
    for value in values:
        if run.state.status == "running":
            run.train({"train": {"loss": 1 - value}})
        if run.phase.endswith("evaluate"):
            run.evaluate({"server": {"accuracy": value, "loss": 1 - value}})
    return run


@pytest.mark.parametrize(
    ("stop", "values", "rounds", "reason"),
    [
        (StopRule(), [0.9, 0.99, 1.0], 3, "rounds"),
        (StopRule(target=0.95), [0.9, 0.95, 1.0], 2, "target"),
        (StopRule("server.accuracy", target=0.95), [0.9, 0.99, 1.0], 2, "target"),
        (StopRule("loss", "min", target=0.1), [0.5, 0.95, 1.0], 2, "target"),
        (StopRule("train.loss", "min", target=0.1), [0.5, 0.95, 1.0], 2, "target"),
        (StopRule(target=0.95), [0.9, 0.91, 0.95], 3, "target"),
        (StopRule(target=2.0), [0.9, 0.91, 0.95], 3, "rounds"),
        (StopRule(patience=2), [0.5, 0.5, 0.6, 0.5, 0.6, 0.7], 5, "patience"),
        (StopRule(patience=2), [0.1, 0.2, 0.3, 0.4], 4, "rounds"),
        (StopRule(patience=2, min_delta=0.15), [0.1, 0.2, 0.25, 0.3], 3, "patience"),
        (StopRule("loss", "min", patience=1), [0.1, 0.2, 0.1], 3, "patience"),
        (StopRule(patience=2), [math.nan, math.nan, 0.5], 2, "patience"),
        (StopRule(patience=3, target=0.5), [math.nan, 0.5], 2, "target"),
    ],
)
def test_targets_and_patience(stop: StopRule, values: list[float], rounds: int, reason: str) -> None:
    run = drive(stop, values)
    assert run.end == ("finished", reason)
    assert len(run.rows) == rounds


def test_patience_counts_measured_values_only() -> None:
    run = drive(StopRule(patience=2), [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], every=2)
    assert len(run.rows) == 6


def test_a_metric_that_does_not_exist_is_an_error_that_names_those_that_do() -> None:
    run = drive(StopRule("acuracy", target=0.9), [0.5, 0.6])
    assert run.end == ("error", "stop.metric 'acuracy' was not measured in round 1; available: server.accuracy, server.loss, train.loss")
    assert len(run.rows) == 1


def test_a_metric_is_not_missed_where_it_could_not_be_measured() -> None:
    run = Run(make_plan(where="server", stop=StopRule(target=0.9), rounds=3, train=CloseRule(too_few="skip")))
    run.train()
    run.feed(Failed(run.phase, EVALUATOR, "once"))
    assert run.state.status == "running"
    run.feed(DeadlinePassed("2.1.0.train.0.1"))
    run.feed(Failed(run.phase, EVALUATOR, "once"))
    assert run.state.status == "running"


def test_without_evaluation_a_bare_name_means_training() -> None:
    run = Run(make_plan(rounds=9, stop=StopRule("loss", "min", target=0.1)))
    run.train({"train": {"loss": 0.05}})
    assert run.end == ("finished", "target")
    run = Run(make_plan(rounds=9, stop=StopRule("accuracy", target=0.1)))
    run.train({"train": {"loss": 0.05}})
    assert run.end[0] == "error"


def test_an_epsilon_that_is_no_number_counts_as_spent() -> None:
    run = Run(make_plan(rounds=9, stop=StopRule(max_epsilon=8.0)))
    run.train({"privacy": {"epsilon": math.inf}})
    assert run.end == ("finished", "max-epsilon")


def test_measured_prefers_the_group_that_is_named() -> None:
    metrics: dict[str, dict[str, float | None]] = {"train": {"loss": 1.0}, "server": {"loss": 2.0, "top.5": 4.0}, "clients": {"loss": 3.0}}
    found = [measured(StopRule(name), metrics, "both") for name in ("loss", "train.loss", "clients.loss", "top.5", "x.loss", "train.x")]
    assert found == [2.0, 1.0, 3.0, 4.0, None, None]
    assert measured(StopRule("loss"), metrics, "none") == 1.0
    assert available(metrics) == ["clients.loss", "server.loss", "server.top.5", "train.loss"]


def test_budgets_are_used_up_when_reached() -> None:
    rule = StopRule(max_bytes=10, max_seconds=5.0, max_epsilon=1.0)
    assert budget(rule, Progress(9, 4.9, 0.9)) == ""
    assert [budget(rule, Progress(*spent)) for spent in ((10, 0.0, 0.0), (0, 5.0, 0.0), (0, 0.0, 1.0))] == [
        "max-bytes",
        "max-seconds",
        "max-epsilon",
    ]


def test_judging_keeps_what_was_spent() -> None:
    progress, reason = judge(StopRule(patience=1), Progress(1, 2.0, 3.0, 0.5, 0), 0.4)
    assert (progress, reason) == (Progress(1, 2.0, 3.0, 0.5, 1), "patience")


# --- the plan


def pick(round: int, attempt: int, roster: int) -> tuple[str, ...]:
    return NAMES


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"run": ""}, "run"),
        ({"num_rounds": 0}, "rounds.num-rounds"),
        ({"evaluate_every": 0}, "evaluate.every"),
        ({"evaluate_where": "moon"}, "evaluate.where"),
        ({"stop": StopRule(patience=0)}, "stop.patience"),
        ({"stop": StopRule(min_delta=-1.0)}, "stop.min-delta"),
        ({"train": CloseRule(deadline_s=0)}, "rounds.deadline-s"),
        ({"train": CloseRule(deadline_s=math.inf)}, "rounds.deadline-s"),
        ({"train": CloseRule(min_replies=0)}, "rounds.min-replies"),
        ({"train": CloseRule(max_attempts=0)}, "rounds.max-attempts"),
        ({"evaluate": CloseRule(kind="first", first=1, min_replies=2)}, "evaluate.first"),
    ],
)
def test_a_plan_with_which_no_run_could_go_on_is_refused(changes: dict[str, Any], key: str) -> None:
    values: dict[str, Any] = {
        "run": "run",
        "num_rounds": 1,
        "select": pick,
        "select_evaluate": pick,
        "train": CloseRule(),
        "evaluate": CloseRule(),
        "evaluate_where": "none",
    }
    Plan(**values)
    with pytest.raises(ExperimentError, match=key) as caught:
        Plan(**values | changes)
    assert "Allowed" in caught.value.hint


def test_a_reply_to_an_evaluation_is_admitted_once() -> None:
    run = Run(make_plan(where="clients", evaluators=("ana", "bia")))
    run.feed(Started(3, "again"))
    run.train()
    assert kinds(run.reply("ana")) == ["Acknowledge"]
    assert kinds(run.feed(Replied(run.phase, "ana", "other"))) == ["Refuse"]
    assert kinds(run.reply("caio")) == ["Refuse"]
