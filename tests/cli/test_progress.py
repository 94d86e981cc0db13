"""The display: plain lines where there is no terminal, a bar where there is one, rounds kept in both."""

from __future__ import annotations

import io
from typing import Any

import pytest

from ciranda.cli.progress import Display

START = {"event": "start", "rounds": 2, "clients": 20, "done": 0}
PROGRESS = {"event": "progress", "round": 1, "kind": "train", "done": 5, "of": 10}


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "en")


def round_row(number: int) -> dict[str, Any]:
    return {
        "event": "round",
        "round": number,
        "accepted": [["1", "d"]],
        "refused": {"9": "late"},
        "seconds": 1.0,
        "metrics": {"server": {"accuracy": 0.5 + number / 10, "loss": 1.0 / number}},
    }


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, *, quiet: bool = False) -> str:
    with Display(stream, "digits", 1, quiet=quiet) as display:
        for row in (START, PROGRESS, round_row(1), {**PROGRESS, "round": 2, "kind": "evaluate"}, round_row(2), {"event": "finish"}):
            display(row)
    return stream.getvalue()


def test_without_a_terminal_there_are_plain_lines() -> None:
    text = shown(io.StringIO())
    assert text.splitlines() == [
        "digits: 2 rounds, 20 clients, seed 1",
        "Round 1/2  accuracy 0.6000  loss 1.0000  1 client  1.0 s  refused: 9 (late)",
        "Round 2/2  accuracy 0.7000  loss 0.5000  1 client  1.0 s  refused: 9 (late)",
    ]
    assert "\x1b" not in text


def test_on_a_terminal_the_rounds_stay_and_a_bar_moves() -> None:
    text = shown(Terminal())
    assert "Round 1/2  accuracy 0.6000" in text
    assert "Round 2/2  accuracy 0.7000" in text
    assert " left" in text
    assert "%" in text


def test_quiet_shows_nothing() -> None:
    assert shown(io.StringIO(), quiet=True) == ""
    assert shown(Terminal(), quiet=True) == ""


def test_a_resumed_run_goes_on_counting() -> None:
    stream = Terminal()
    with Display(stream, "digits", 1) as display:
        display({**START, "rounds": 4, "done": 3})
        display(round_row(4))
    assert "Round 4/4" in stream.getvalue()
    assert "100 %" in stream.getvalue()


def test_the_bar_is_taken_away_after_an_error() -> None:
    stream = Terminal()

    def fails() -> None:
        with Display(stream, "digits", 1) as display:
            display(START)
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert "\x1b[?25h" in stream.getvalue()  # the cursor is shown again


def test_rows_of_other_kinds_are_passed_over() -> None:
    stream = io.StringIO()
    with Display(stream, "digits", 1) as display:
        display({"event": "something-new"})
    assert stream.getvalue() == ""
