"""Processes are known by more than their number: a stranger that bears it is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ciranda.cli.fleet import processes
from ciranda.cli.fleet.processes import Process, born, end, start

SLEEPER = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def stubborn() -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_a_living_process_has_a_birth_that_stays(child: subprocess.Popen[bytes]) -> None:
    first = born(child.pid)
    assert first
    assert born(child.pid) == first
    assert Process(child.pid, first).alive
    assert born(os.getpid()) != first


def test_the_birth_is_told_without_proc_too(child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    first = born(child.pid)
    assert first
    assert Process(child.pid, first).alive
    child.kill()
    assert not Process(child.pid, first).alive or child.wait() is not None
    child.wait()
    assert born(child.pid) == ""


def test_a_process_that_ended_is_not_alive_though_nobody_waited_for_it(child: subprocess.Popen[bytes]) -> None:
    process = Process(child.pid, born(child.pid))
    os.kill(child.pid, 9)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is a zombie
    assert not process.alive


def test_whoever_bears_the_number_of_an_ended_process_is_left_alone(child: subprocess.Popen[bytes]) -> None:
    assert end([Process(child.pid, "another boot/1"), Process(child.pid, "")], 0.0) == []
    assert child.poll() is None
    assert Process(child.pid, born(child.pid)).alive


@pytest.mark.parametrize("descriptors", [True, False])
def test_asked_to_end_first_then_killed(descriptors: bool, monkeypatch: pytest.MonkeyPatch, child: subprocess.Popen[bytes]) -> None:
    if not descriptors:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    deaf = stubborn()
    willing, unwilling = Process(child.pid, born(child.pid)), Process(deaf.pid, born(deaf.pid))
    # Half a second is what the willing one is given; the other is killed after it.
    killed = end([willing, unwilling], 0.5)
    assert killed == [unwilling]
    assert not willing.alive
    assert not unwilling.alive
    deaf.wait()
    assert deaf.stdout is not None
    deaf.stdout.close()


def test_nothing_is_done_about_nobody() -> None:
    assert end([], 1.0) == []


def test_what_is_started_outlives_its_terminal_and_writes_to_its_file(tmp_path: Path) -> None:
    process = start(["--version"], tmp_path / "deep" / "out.log")
    assert process.pid
    os.waitpid(process.pid, 0)
    assert (tmp_path / "deep" / "out.log").read_text().strip()
    assert not process.alive
    process = start(["list", "wires"], tmp_path / "out.log", tmp_path)
    assert os.getsid(process.pid) == process.pid  # a session of its own
    os.waitpid(process.pid, 0)


def test_a_signal_to_a_process_that_is_gone_meanwhile_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(2**22 + 1, "x")
    assert not processes._signal(process, 15)
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    assert not processes._signal(process, 15)
