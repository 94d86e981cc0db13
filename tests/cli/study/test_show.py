"""What a study shows on a terminal and elsewhere, with a clock of our own."""

from __future__ import annotations

import io

import pytest

from ciranda.cli.study.show import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("ciranda.cli.study.show.time.monotonic", lambda: now[0])
    monkeypatch.setenv("CIRANDA_LANG", "en")
    monkeypatch.setenv("COLUMNS", "200")
    return now


def test_elsewhere_each_run_that_ends_is_a_line(clock: list[float]) -> None:
    stream = io.StringIO()
    with Progress(stream) as shown:
        shown.expect({"a": 1.0, "b": 3.0})
        shown("a", {"event": "start", "rounds": 2, "done": 0})
        shown("a", {"event": "round", "round": 1})
        shown.ended("a", "fedavg")
        shown.expect({"a": 1.0})
        shown.ended("a", "fedavg, longer")
        shown.line("That was all.")
    assert stream.getvalue().splitlines() == ["1/2  a  fedavg", "2/3  a  fedavg, longer", "That was all."]


def test_quiet_says_nothing(clock: list[float]) -> None:
    stream = Terminal()
    with Progress(stream, quiet=True) as shown:
        shown.expect({"a": 1.0})
        shown.ended("a", "done")
        shown.line("x")
    assert stream.getvalue() == ""


def test_on_a_terminal_the_time_left_counts_long_runs_for_more(clock: list[float]) -> None:
    stream = Terminal()
    with Progress(stream) as shown:
        shown.expect({"short": 1.0, "long": 2.0}, later=1.0)
        shown("short", {"event": "start", "rounds": 2, "done": 0})
        clock[0] = 10.0
        shown("short", {"event": "round", "round": 2})
        # A quarter of the cost took ten seconds: thirty are left.
        assert "0:30 left" in stream.getvalue()
        clock[0] = 20.0
        shown("long", {"event": "progress", "round": 1, "kind": "train", "done": 1, "of": 2, "rounds": 1})
        # 1 + 2 x 0.45 of 4 in 20 s.
        assert "0:22 left" in stream.getvalue()


def test_what_was_done_before_says_nothing_about_the_speed(clock: list[float]) -> None:
    stream = Terminal()
    with Progress(stream) as shown:
        shown.expect({"a": 1.0})
        shown("a", {"event": "start", "rounds": 4, "done": 2})
        clock[0] = 5.0
        shown("a", {"event": "round", "round": 3})
        assert "0:05 left" in stream.getvalue()
