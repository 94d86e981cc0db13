"""While a run goes on: each thing once, as soon as it shows. After it: all of it, the worst first."""

from __future__ import annotations

from typing import Any

from ciranda.diagnosis import History, Watch, examine
from ciranda.i18n import speaking
from tests.diagnosis.curves_of import history, row, rows

FINISHED = {"state": "finished", "stop_reason": "rounds"}


def test_each_thing_is_told_once_and_at_once() -> None:
    watch = Watch()
    told = [[finding.code for finding in watch.take(each)] for each in rows(loss=[1.0, None, None, None], accuracy=[0.5] * 4)]
    assert told == [[], ["diverged"], [], []]


def test_what_was_told_before_an_interruption_is_not_told_again() -> None:
    made = rows(loss=[2.3] * 9, accuracy=[0.1] * 9)
    fresh = Watch(made[:4])
    assert [finding.code for finding in fresh.take(made[4])] == ["stalled"]
    resumed = Watch(made[:6])
    assert [finding for each in made[6:] for finding in resumed.take(each)] == []


def test_failing_clients_are_told_when_they_are_many() -> None:
    watch = Watch()
    assert watch.take(row(1)) == []
    (finding,) = watch.take(row(2, failed={"7": "wrong-shape"}))
    assert finding.code == "tensor-size"
    (other,) = watch.take(row(3, failed={"7": "wrong-shape", "8": "wrong-round"}))
    assert other.code == "out-of-step"


def test_the_replies_of_a_round_that_ended_the_run_are_looked_at() -> None:
    watch = Watch()
    assert watch.ended({}) == []
    (finding,) = watch.ended({"0": "out-of-range", "1": "out-of-range"})
    assert (finding.code, finding.severity) == ("out-of-range", "error")


def test_other_events_are_passed_over() -> None:
    known = History()
    known.take({"event": "paused"})
    assert known.rounds == 0


def examined(made: list[dict[str, Any]], **result: Any) -> list[str]:
    return [finding.code for finding in examine(history(made), {**FINISHED, **result})]


def test_a_good_run_has_nothing() -> None:
    made = rows(loss=[1.0, 0.5, 0.3, 0.26, 0.25, 0.25], accuracy=[0.5, 0.7, 0.9, 0.91, 0.92, 0.92], train=[1.1, 0.5, 0.3, 0.25, 0.24, 0.24])
    assert examined(made) == []
    assert examined([], state="running") == []


def test_a_spoilt_curve_hides_the_finer_points() -> None:
    spread = {"accuracy.p10": 0.0, "accuracy.median": 0.5}
    assert examined(rows(loss=[1.0, None], accuracy=[0.5, 0.1], spread=spread)) == ["diverged"]
    assert examined(rows(loss=[1.0, 0.99], accuracy=[0.5, 0.51], spread=spread)) == ["unfair"]


def test_how_it_ended_is_part_of_it() -> None:
    assert examined([row(1)], state="aborted", stop_reason="too-few-replies") == ["too-few-replies"]
    assert examined([row(1)], state="error", stop_reason="The disk is full.\nmore") == ["error"]
    (finding,) = examine(History(), {"state": "error", "stop_reason": "The disk is full.\nmore"})
    assert str(finding.evidence) == "after round 0: The disk is full."
    assert "ciranda resume RUN" in str(finding.advice)


def test_an_error_of_a_known_kind_has_its_advice() -> None:
    errors = {
        "The weights here are out of step: they have digest a, the round's model is b.": "load the round's model",
        "digits: tensor 'layer1.weight' has shape (64, 32), expected (64, 10).": "same model code",
        "The model predicts a score that is not a finite number.": "learning-rate",
    }
    for reason, advice in errors.items():
        (finding,) = examine(History(), {"state": "error", "stop_reason": reason})
        assert (finding.code, finding.severity) == ("error", "error")
        assert advice in str(finding.advice)


def test_going_on_is_advised_only_where_the_rounds_ran_out() -> None:
    made = rows(loss=[2.0 - 0.15 * place for place in range(10)], accuracy=[0.1 + 0.05 * place for place in range(10)])
    assert examined(made) == ["unfinished"]
    assert examined(made, stop_reason="target") == []


def test_the_worst_comes_first() -> None:
    made = rows(loss=[2.4] * 6, accuracy=[0.1] * 6)
    made[0]["failed"] = {"7": "late"}
    assert examined(made) == ["stalled", "no-answer"]


def test_a_finding_is_told_in_the_readers_language_and_english_to_programs() -> None:
    (finding,) = examine(history(rows(loss=[1.0, None])), FINISHED)
    with speaking("pt"):
        line, plain = finding.line(), finding.as_json()
    assert plain["what"] == "Training diverged"
    assert line.endswith(".")
