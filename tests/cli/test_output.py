"""The lines a run prints, from its rows."""

from __future__ import annotations

from typing import Any

import pytest

from ciranda.cli.output import (
    bytes_text,
    choose,
    heading,
    main_metrics,
    reason_text,
    result_lines,
    round_line,
    seconds_text,
    stopped_by_interrupt,
)
from ciranda.core.errors import CirandaError
from ciranda.core.texts import Text

RESULT: dict[str, Any] = {
    "state": "finished",
    "stop_reason": "rounds",
    "rounds": 10,
    "metrics": {"server": {"loss": 0.12, "accuracy": 0.96, "macro_f1": 0.95}},
    "model_sha256": "ab" * 32,
    "reproducible": True,
}


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "en")


def row(**changes: Any) -> dict[str, Any]:
    base = {
        "event": "round",
        "round": 3,
        "accepted": [["1", "d"], ["2", "e"]],
        "refused": {},
        "metrics": {"train": {"loss": 0.5}, "server": {"loss": 0.25, "accuracy": 0.9375}},
        "seconds": 1.25,
    }
    return {**base, **changes}


def test_a_round_is_one_line() -> None:
    assert round_line(row(), 10) == "Round  3/10  accuracy 0.9375  loss 0.2500  2 clients  1.2 s"
    assert round_line(row(accepted=[["1", "d"]]), 3) == "Round 3/3  accuracy 0.9375  loss 0.2500  1 client  1.2 s"


def test_a_round_in_portuguese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "pt")
    assert round_line(row(), 10) == "Rodada  3/10  acurácia 0,9375  perda 0,2500  2 clientes  1,2 s"


def test_refused_replies_are_named_with_their_reason_but_not_without_end() -> None:
    assert "refused: 4 (late)" in round_line(row(refused={"4": "late"}), 10)
    many = round_line(row(refused={str(number): "late" for number in range(99)}), 10)
    assert many.endswith(", ...")
    assert len(many) < 200


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"train": {"loss": 1.0}}, {"loss": 1.0}),
        ({"train": {"loss": 1.0}, "clients": {"accuracy": 0.5}}, {"accuracy": 0.5}),
        ({"server": {"r2": 0.5, "mse": 4.0, "rmse": 2.0}}, {"rmse": 2.0, "r2": 0.5}),
        ({"server": {"loss": None}, "train": {"loss": 2.0}}, {"loss": 2.0}),
        ({}, {}),
    ],
)
def test_the_main_metrics_are_those_of_the_best_evaluation_there_is(metrics: dict[str, Any], expected: dict[str, float]) -> None:
    assert main_metrics({"metrics": metrics}) == expected


def test_a_round_without_metrics_still_has_a_line() -> None:
    assert round_line(row(metrics={}, accepted=[]), 10) == "Round  3/10  0 clients  1.2 s"


def test_the_heading_counts() -> None:
    assert heading("x", 7, {"rounds": 1, "clients": 1_000_000}) == "x: 1 round, 1,000,000 clients, seed 7"


def test_a_result_says_what_where_and_what_next() -> None:
    lines = result_lines(RESULT, "runs/x-001")
    assert lines[0] == "Finished after 10 rounds: all rounds done"
    assert lines[1] == "accuracy 0.9600  loss 0.1200"
    assert lines[2] == f"Model: {'ab' * 32} (reproducible)"
    assert lines[3] == "Result: runs/x-001"
    assert any("ciranda predict runs/x-001" in line for line in lines)
    assert any("ciranda plot runs/x-001" in line for line in lines)


def test_an_unfinished_result_says_how_to_go_on() -> None:
    lines = result_lines({**RESULT, "state": "aborted", "stop_reason": "stop-asked:ctrl-c", "rounds": 1, "reproducible": False}, "r")
    assert lines[0] == "Stopped early after 1 round: stop asked by ctrl-c"
    assert "(not reproducible)" in lines[2]
    assert lines[-1] == "Next: ciranda resume r"


def test_only_ctrl_c_counts_as_an_interrupt() -> None:
    assert stopped_by_interrupt({"stop_reason": "stop-asked:ctrl-c"})
    assert not stopped_by_interrupt({"stop_reason": "stop-asked:client 3"})
    assert not stopped_by_interrupt(RESULT)


def test_reasons_without_a_text_of_their_own_stand_as_they_are() -> None:
    assert reason_text("target") == "target reached"
    assert reason_text("The disk is full.") == "The disk is full."


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2_000_000, "2.0 MB"), (3.2e12, "3.2 TB")])
def test_bytes(count: float, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.0432, "43 ms"), (0.9999, "1.0 s"), (1.7, "1.7 s"), (99.96, "100 s"), (3600, "3,600 s")])
def test_seconds(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_choose_names_the_choices() -> None:
    assert choose("a", ("a", "b"), Text("kind")) == "a"
    with pytest.raises(CirandaError, match="no kind 'c'") as caught:
        choose("c", ("a", "b"), Text("kind"))
    assert "a, b" in caught.value.hint
