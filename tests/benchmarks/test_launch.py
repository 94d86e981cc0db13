"""A contender's run is what it reports, or a failure that says what went wrong."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from benchmarks import launch as module
from benchmarks.launch import Failed, launch, outcome
from benchmarks.work import CLASSIC, MILLION, TEN_THOUSAND, TINY, Job, Report
from tests.benchmarks.conftest import SOFTMAX

SAID = Report([10.0, 11.0, 13.0, 16.0], SOFTMAX.cohort * SOFTMAX.examples, 0.5, {"torch": "2"}, 7.0)


def test_rounds_lie_between_marks_and_startup_before_the_first() -> None:
    found = outcome(SAID, SOFTMAX, 4.0, "bare")
    assert list(found.rounds) == [1.0, 2.0, 3.0]
    assert found.median == 2.0
    assert found.startup == 4.0  # six seconds to the first mark, of which a median round took two
    assert (found.accuracy, found.peak_mib, found.versions) == (0.5, 7.0, {"torch": "2"})


def test_other_rounds_than_asked_are_a_failure() -> None:
    with pytest.raises(Failed, match="bare: 3 rounds, 4 asked"):
        outcome(Report([1.0, 2.0, 3.0], SAID.examples, 0.5), SOFTMAX, 0.0, "bare")


def test_other_work_than_asked_is_a_failure() -> None:
    with pytest.raises(Failed, match="bare: 59 examples in a round, 60 asked"):
        outcome(Report(SAID.marks, 59, 0.5), SOFTMAX, 0.0, "bare")


def test_a_contender_that_is_not_there_says_so() -> None:
    with pytest.raises(Failed, match="no_such_contender"):
        launch(sys.executable, "no_such_contender", SOFTMAX, "", 1)


def test_the_last_line_of_an_error_is_told(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"bare ended with 1: FileNotFoundError: .*absent.npz"):
        launch(sys.executable, "bare", SOFTMAX, str(tmp_path / "absent.npz"), 1)


def test_output_that_is_no_report_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    for output in ("", "done\n", '{"marks": []}\n', "[1]\n"):
        monkeypatch.setattr(module, "_run", lambda command, text, timeout, output=output: output)
        with pytest.raises(Failed, match="no report"):
            launch(sys.executable, "bare", SOFTMAX, "", 1)


def test_what_a_contender_started_ends_with_it(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = f"import subprocess; child = subprocess.Popen(['sleep', '600']); open({str(note)!r}, 'w').write(str(child.pid)); child.wait()"
    with pytest.raises(Failed, match="not done after 2 s"):
        module._run([sys.executable, "-c", code], "", 2)
    assert not alive(int(note.read_text()))


def test_a_contender_reads_its_job_and_frameworks_are_told_not_to_call_home(tmp_path: Path) -> None:
    code = "import os, sys; print(sys.stdin.read(), os.environ['FLWR_TELEMETRY_ENABLED'], os.environ['RAY_USAGE_STATS_ENABLED'])"
    assert module._run([sys.executable, "-c", code], "the job", 60) == "the job 0 0\n"


@pytest.mark.parametrize("work", [CLASSIC, TINY, TEN_THOUSAND, MILLION])
def test_messages_come_back_as_they_were_sent(work: object) -> None:
    job = Job(work, "mnist.npz", 2, "folder")  # type: ignore[arg-type]
    assert Job.read(job.text()) == job
    assert Report.read(SAID.text()) == SAID


def test_the_works_are_those_of_the_targets() -> None:
    assert (CLASSIC.clients * CLASSIC.examples, CLASSIC.steps) == (60_000, 940)
    assert (TINY.clients * TINY.examples, TINY.steps) == (60_000, 600)
    assert (MILLION.clients, MILLION.cohort, TEN_THOUSAND.clients) == (1_000_000, 1000, 10_000)


def alive(pid: int) -> bool:
    """Whether the process runs; one that waits only to be collected does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
