"""Jobs side by side: what comes back, how they fail, that they stop when asked and die with whoever began them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ciranda.cli.study.jobs import Job, Tell, alone_in, cores, side_by_side
from ciranda.core.errors import CirandaError, DataError, RunError, StoreError, WorkerDied
from ciranda.testing.processes import Child

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="jobs are forked")


def square(number: int, workers: int, tell: Tell) -> tuple[int, int, int]:
    tell({"event": "start", "rounds": 1})
    tell({"event": "round", "round": 1})
    return number * number, workers, os.getpid()


def fail(error: BaseException, workers: int, tell: Tell) -> None:
    raise error


def meet(barrier: Any, workers: int, tell: Tell) -> bool:
    """Ends only when as many jobs as the barrier wants are at work at once."""
    barrier.wait(60)
    return True


def linger(file: Path, workers: int, tell: Tell) -> str:
    """Says where it is and goes on until it is told to stop."""
    file.write_text(str(os.getpid()))
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        file.write_text("stopped")
        raise


def wait_for(file: Path, text: str = "") -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if file.is_file() and (found := file.read_text()) and text in found:
            return found
    raise AssertionError(f"{file} was never written")


def gone(pid: int) -> bool:
    """Whether the process ended; a zombie that nobody has waited for yet counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_every_job_gives_its_outcome(workers: int) -> None:
    found = dict(side_by_side([Job(str(number), partial(square, number)) for number in range(5)], workers))
    assert {key: value[0] for key, value in found.items()} == {str(number): number * number for number in range(5)}
    here = {value[2] == os.getpid() for value in found.values()}
    assert here == {workers == 1}
    assert {value[1] for value in found.values()} == {1}


def test_a_single_job_gets_all_workers_and_no_process() -> None:
    assert dict(side_by_side([Job("only", partial(square, 3))], 4))["only"] == (9, 4, os.getpid())


def test_no_jobs_are_done_at_once() -> None:
    assert list(side_by_side([], 4)) == []


def test_jobs_really_run_at_the_same_time() -> None:
    barrier = multiprocessing.get_context("fork").Barrier(3)
    assert dict(side_by_side([Job(str(number), partial(meet, barrier)) for number in range(3)], 3)) == dict.fromkeys("012", True)


def test_the_longest_are_begun_first() -> None:
    together = multiprocessing.get_context("fork").Barrier(2)
    jobs = [Job("short", partial(square, 1), 1.0), Job("long", partial(meet, together), 9.0), Job("middle", partial(meet, together), 5.0)]
    ended = [key for key, _ in side_by_side(jobs, 2)]
    assert sorted(ended[:2]) == ["long", "middle"]
    assert ended[2] == "short"


def test_a_process_does_one_job_after_another() -> None:
    found = dict(side_by_side([Job(str(number), partial(square, number)) for number in range(9)], 2))
    assert len({value[2] for value in found.values()}) <= 2


def test_a_process_that_died_is_replaced() -> None:
    jobs = [Job("dead", die, 9.0), Job("dead too", die, 8.0), *(Job(str(number), partial(square, number)) for number in range(4))]
    found = dict(side_by_side(jobs, 2))
    assert isinstance(found["dead"], WorkerDied)
    assert isinstance(found["dead too"], WorkerDied)
    assert [found[str(number)][0] for number in range(4)] == [0, 1, 4, 9]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_is_an_outcome_and_the_others_go_on(workers: int) -> None:
    error = DataError("The column '{column}' is missing.", column="age", hint="It has: {columns}.", columns="a, b")
    found = dict(side_by_side([Job("bad", partial(fail, error)), Job("good", partial(square, 2))], workers))
    assert isinstance(found["bad"], DataError)
    assert str(found["bad"]) == "The column 'age' is missing."
    assert found["bad"].hint == "It has: a, b."
    assert found["good"][0] == 4


def test_an_unexpected_error_is_told_with_its_kind() -> None:
    found = dict(side_by_side([Job("bad", partial(fail, ZeroDivisionError("by nought"))), Job("good", partial(square, 2))], 2))
    assert isinstance(found["bad"], RunError)
    assert str(found["bad"]) == "ZeroDivisionError: by nought"


def die(workers: int, tell: Tell) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_dies_is_told_with_its_exit_code() -> None:
    found = dict(side_by_side([Job("dead", die), Job("good", partial(square, 2))], 2))
    assert isinstance(found["dead"], WorkerDied)
    assert "'dead' ended with exit code -9" in str(found["dead"])
    assert found["good"][0] == 4


def test_events_reach_the_parent_as_plain_rows() -> None:
    rows: list[tuple[str, Mapping[str, Any]]] = []
    list(side_by_side([Job("a", partial(square, 1)), Job("b", partial(square, 2))], 2, lambda key, row: rows.append((key, row))))
    assert ("a", {"event": "start", "rounds": 1}) in rows
    assert ("b", {"event": "start", "rounds": 1}) in rows


def test_ctrl_c_asks_every_job_to_stop(tmp_path: Path) -> None:
    files = [tmp_path / "a", tmp_path / "b"]

    def work(report: Any) -> None:
        try:
            for _ in side_by_side([Job(file.name, partial(linger, file)) for file in files], 2):
                pass
        except KeyboardInterrupt:
            report("interrupted")

    child = Child(work)
    for file in files:
        wait_for(file)
    os.kill(child.pid, signal.SIGINT)
    assert list(child.reports()) == ["interrupted"]
    assert child.join() == 0
    assert [file.read_text() for file in files] == ["stopped", "stopped"]


def test_jobs_die_with_whoever_began_them(tmp_path: Path) -> None:
    files = [tmp_path / "a", tmp_path / "b"]

    def work(report: Any) -> None:
        list(side_by_side([Job(file.name, partial(linger, file)) for file in files], 2))

    child = Child(work)
    pids = [int(wait_for(file)) for file in files]
    child.kill()
    assert child.join() == -signal.SIGKILL
    deadline = time.monotonic() + 60
    while not all(map(gone, pids)) and time.monotonic() < deadline:
        pass
    left = [pid for pid in pids if not gone(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def test_two_processes_cannot_work_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ciranda.cli.study.jobs._PATIENCE_S", 0.0)
    with (
        alone_in(tmp_path / "study"),
        pytest.raises(StoreError, match="Another process is at work") as caught,
        alone_in(tmp_path / "study"),
    ):
        pass
    assert "--out" in caught.value.hint


def test_the_lock_goes_with_its_holder(tmp_path: Path) -> None:
    file = tmp_path / "held"

    def work(report: Any) -> None:
        with alone_in(tmp_path / "study"):
            linger(file, 1, lambda row: None)

    child = Child(work)
    wait_for(file)
    child.kill()
    child.join()
    with alone_in(tmp_path / "study"):
        assert (tmp_path / "study").is_dir()


def test_there_is_a_core() -> None:
    assert cores() >= 1


def test_errors_that_are_no_fault_of_a_job_are_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt):
        list(side_by_side([Job("only", partial(fail, KeyboardInterrupt()))], 1))
    assert issubclass(WorkerDied, CirandaError)
