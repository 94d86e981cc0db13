"""How commands end: one screen, plain words, the right exit status."""

from __future__ import annotations

import errno

import pytest
import typer

from ciranda.cli.errors import guarded
from ciranda.core.errors import CirandaError, DataError


def ending(error: BaseException | None, *, debug: bool = False, result: object = None) -> int:
    def command() -> object:
        if error is not None:
            raise error
        return result

    return guarded(command, debug=debug)


def test_success_is_zero_and_a_status_is_passed_on() -> None:
    assert ending(None) == 0
    assert ending(None, result=130) == 130


def test_our_errors_show_message_and_hint_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(DataError("The file is torn.", hint="Fetch it again.")) == 1
    captured = capsys.readouterr()
    assert captured.err == "Error: The file is torn.\nFetch it again.\n"
    assert captured.out == ""


def test_debug_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(CirandaError("No."), debug=True) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_fault_of_ours_is_told_in_a_line_and_points_to_debug(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(ZeroDivisionError("division by zero")) == 1
    shown = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in shown
    assert "--debug" in shown
    assert "Traceback" not in shown


def test_a_full_disk_names_the_file_and_the_way_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(OSError(errno.ENOSPC, "No space left on device", "/runs/x")) == 1
    shown = capsys.readouterr().err
    assert "No space left on device: /runs/x" in shown
    assert "ciranda resume" in shown


def test_too_little_memory_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(MemoryError()) == 1
    assert "memory" in capsys.readouterr().err


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), typer.Abort()])
def test_interrupts_exit_with_130(interrupt: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(interrupt) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_wrong_usage_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(typer.BadParameter("not this")) == 2
    assert "not this" in capsys.readouterr().err


def test_typer_exit_keeps_its_status() -> None:
    assert ending(typer.Exit(3)) == 3
