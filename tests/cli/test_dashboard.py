"""The live picture: a function of event rows, drawn into a terminal that is a string."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ciranda.cli.app import main
from ciranda.cli.dashboard import MOST_NAMES, Dashboard, wanted
from tests.report.history import rows

START = {"event": "start", "rounds": 6, "clients": 8, "workers": 2, "parameters": 10, "done": 0, "out": "x"}


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "en")


def terminal(width: int = 100) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=40, color_system=None, legacy_windows=False)


def seen(dashboard: Dashboard, width: int = 100) -> str:
    console = terminal(width)
    console.print(dashboard.picture(width))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def fed(*events: dict[str, Any]) -> Dashboard:
    with Dashboard(sys.stdout, "digits", 1, console=terminal()) as dashboard:
        for event in events:
            dashboard(event)
    return dashboard


def answered(number: int, done: int, of: int, *names: tuple[str, str], kind: str = "train") -> dict[str, Any]:
    return {"event": "progress", "round": number, "kind": kind, "done": done, "of": of, "answered": list(names)}


def test_before_anything_it_says_what_is_awaited() -> None:
    shown = seen(fed())
    assert "The curve begins with the first evaluation." in shown
    assert "The first round begins." in shown
    assert "-:-- left" in shown


def test_it_shows_the_curve_the_numbers_and_the_last_rounds() -> None:
    history = rows()
    shown = seen(fed(START, *history))
    last = history[-1]
    assert "digits: 6 rounds, 8 clients, seed 1" in shown
    assert f"{last['metrics']['server']['accuracy']:.4f}" in shown
    assert "6 / 6" in shown
    assert "100%" in shown
    assert "Accuracy" in shown
    assert any(0x2801 <= ord(char) < 0x2900 for char in shown)
    worst = min(values["accuracy"] for values in last["clients"].values())
    assert f"{worst:.4f}" in shown
    assert "46.0 kB ↑ 96.0 kB ↓" in shown
    assert "Round 2/6" in shown
    assert "Round 1/6" not in shown
    assert "not counted" in shown


def test_it_shows_who_has_answered_and_who_has_not() -> None:
    dashboard = fed(START, answered(1, 1, 4, ("3", "")), answered(1, 2, 4, ("7", "deadline")))
    shown = seen(dashboard)
    assert "Round 1, training: 2 of 4 clients" in shown
    assert "✓ 3" in shown
    assert "✗ 7" in shown
    assert shown.count("· ") >= 2


def test_a_new_phase_begins_with_nobody() -> None:
    dashboard = fed(START, answered(1, 1, 2, ("3", "")), answered(1, 2, 2, ("@evaluator", ""), ("4", ""), kind="evaluate"))
    shown = seen(dashboard)
    assert "Round 1, evaluating: 1 of 2 clients" in shown
    assert "✓ server" in shown
    assert "✓ 3" not in shown


def test_a_wire_that_names_nobody_is_counted() -> None:
    assert "Round 2, training: 5 of 9 clients" in seen(fed(START, {"event": "progress", "round": 2, "kind": "train", "done": 5, "of": 9}))


def test_a_thousand_answers_fit() -> None:
    names = [(str(n), "") for n in range(1000)]
    shown = seen(fed(START, answered(1, 1000, 1000, *names)))
    assert f"+{1000 - MOST_NAMES}" in shown
    assert shown.count("\n") < 40


def test_a_resumed_run_goes_on_where_it_was() -> None:
    assert " 50%" in seen(fed({**START, "done": 3}))


@pytest.mark.parametrize("width", [60, 80, 200])
def test_nothing_runs_over_the_edge(width: int) -> None:
    shown = seen(fed(START, *rows(), answered(1, 1, 4, ("a-very-long-name-of-a-client", ""))), width)
    assert max(map(len, shown.splitlines())) <= width


def test_what_it_showed_last_stays() -> None:
    console = terminal()
    with Dashboard(sys.stdout, "digits", 1, console=console) as dashboard:
        for event in (START, *rows()):
            dashboard(event)
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Round 6/6" in written
    assert written.rstrip().endswith(("╯", "\x1b[?25h"))


def test_findings_stay_above_the_picture() -> None:
    console = terminal()
    with Dashboard(sys.stdout, "digits", 1, console=console) as dashboard:
        for event in (START, rows()[0], {"event": "finding", "line": "The loss grows.", "code": "divergence", "evidence": "x"}, rows()[1]):
            dashboard(event)
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "! The loss grows." in written
    assert "The loss grows." not in seen(dashboard)
    assert "Round 2/6" in seen(dashboard)


def test_without_a_terminal_there_are_plain_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not wanted(io.StringIO())
    assert main(["run", "digits", "--set", "rounds.num-rounds=1", "--workers", "1", "--dashboard", "--out", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr().out
    assert "Round 1/1" in shown
    assert "╭" not in shown
