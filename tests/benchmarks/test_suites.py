"""The command measures what it is asked, keeps it, and ends with 1 when a target is missed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import environments, machine, suites
from benchmarks.launch import Failed, Outcome
from benchmarks.section import Row, Section, Spread, load
from benchmarks.suites import Options
from benchmarks.work import Work
from tests.benchmarks.conftest import SOFTMAX


def silent(line: str) -> None:
    """Say nothing."""


def section(name: str, *rows: Row) -> Section:
    return Section(name, name, "What.", rows, "now", "a machine", {}, 1)


# --- the command


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["clasic"])
    assert ended.value.code == 2
    assert "no benchmark is called clasic; there are classic, tiny" in capsys.readouterr().err


@pytest.mark.parametrize(("value", "status"), [(0.5, 0), (0.9, 1)])
def test_a_missed_target_is_the_exit_status(value: float, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Row("bare", Spread(1.0, 1.0, 1.0), ratio=Spread(value, value, value), target=0.75)
    monkeypatch.setattr(command, "SUITES", {"tiny": lambda options, say: section("tiny", row)})
    assert command.measure(["tiny"], Options(), tmp_path) == status
    assert list(load(tmp_path)) == ["tiny"]


def test_a_benchmark_that_fails_leaves_the_others_and_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(options: Options, say: object) -> Section:
        raise Failed("it broke")

    known = {"tiny": lambda options, say: section("tiny"), "million": lambda options, say: section("million")}
    monkeypatch.setattr(command, "SUITES", known)
    assert command.measure(["tiny"], Options(), tmp_path) == 0
    monkeypatch.setattr(command, "SUITES", {**known, "tiny": broken})
    assert command.measure(["tiny", "million"], Options(), tmp_path) == 1
    assert list(load(tmp_path)) == ["tiny", "million"]
    assert "tiny: it broke" in capsys.readouterr().err


def test_nothing_is_kept_when_that_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "SUITES", {"tiny": lambda options, say: section("tiny")})
    monkeypatch.setattr("benchmarks.section.HERE", tmp_path)
    assert command.main(["tiny", "--no-write"]) == 0
    assert list(tmp_path.iterdir()) == []


# --- the benchmarks


def test_tiny_holds_each_contender_against_ciranda_with_as_many_processes(small_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {("ciranda", 1): 4.0, ("ciranda", 2): 2.0, ("bare", 1): 8.0, ("flower", 2): 20.0, ("pfl", 1): 16.0}

    def launch(python: Path, module: str, work: object, data: str, processes: int) -> Outcome:
        assert Path(data).is_file()
        return Outcome([seconds[module, processes]], 1.0, 0.9, {}, 0.0)

    monkeypatch.setattr("benchmarks.compare.launch", launch)
    monkeypatch.setattr(suites, "python_of", lambda name: Path(sys.executable))
    found = suites.tiny(Options(repetitions=1), silent)
    assert [row.ratio.median if row.ratio else None for row in found.rows] == [None, None, 0.5, 0.1, 0.25]
    assert [row.target for row in found.rows] == [None, None, 0.8, 0.05, 0.7]


def test_million_reports_growth_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def launch(python: Path, module: str, work: Work, data: str, processes: int) -> Outcome:
        return Outcome([1.1 if work.clients == 1_000_000 else 1.0], 1.0, 0.9, {}, 500.0 if work.clients == 1_000_000 else 50.0)

    monkeypatch.setattr("benchmarks.compare.launch", launch)
    found = suites.million(Options(repetitions=2), silent)
    assert found.rows[1].ratio == Spread(1.1, 1.1, 1.1)
    assert found.rows[2].value == Spread(500.0, 500.0, 500.0)
    assert not any(row.missed for row in found.rows)


def test_the_scripts_of_this_folder_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "benchmarks/exact_sum.py": "7 alternated\n  exact: 0.4 s, extra memory 2.01 models\n  ratio 1.17 (target 2.00)\n",
        "benchmarks/step_speed.py": "classic  eager   560.71 ms   ciranda   382.17 ms   ratio 0.693 (quartiles 0.682 to 0.704, n=12)\n",
        "benchmarks/sweep_speed.py": "median ratio 1.046 (1.010 to 1.130), 5 alternated, target 1.10\n",
        "scripts/import_time.py": "import ciranda: 0.018 s, 0.2 s allowed\nciranda --help: 0.700 s, 0.5 s allowed\n",
        "scripts/install_size.py": "base install: 96.5 MB, 150 MB allowed\n",
    }
    monkeypatch.setattr(suites, "_script", lambda name, python: said[name])
    monkeypatch.setattr(suites, "_demo", lambda python: (0.8, 1.9))
    exact = suites.exact_sum(Options(), silent)
    assert [(row.value, row.missed) for row in exact.rows] == [(Spread(1.17, 1.17, 1.17), False), (Spread(2.01, 2.01, 2.01), False)]
    assert exact.repetitions == 7
    assert suites.step(Options(), silent).rows[0].ratio == Spread(0.693, 0.682, 0.704)
    together = suites.sweep(Options(), silent)
    assert (together.rows[0].value, together.rows[0].missed, together.repetitions) == (Spread(1.046, 1.01, 1.13), False, 5)
    foot = suites.footprint(Options(repetitions=2), silent)
    assert [row.missed for row in foot.rows] == [False, False, True, False, False]


def test_a_number_that_a_script_no_longer_prints_is_a_missed_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "_script", lambda name, python: "all well\n")
    found = suites.exact_sum(Options(), silent)
    assert all(row.missed for row in found.rows)
    assert "not in its output" in found.rows[0].note


def test_a_script_that_ends_over_its_budget_is_read_and_one_that_breaks_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "ROOT", tmp_path)
    (tmp_path / "over.py").write_text("print('base install: 151 MB'); raise SystemExit(1)")
    (tmp_path / "broken.py").write_text("raise ValueError('no such thing')")
    assert suites._script("over.py", Path(sys.executable)) == "base install: 151 MB\n"
    with pytest.raises(Failed, match=r"broken.py: ValueError: no such thing"):
        suites._script("broken.py", Path(sys.executable))


def test_the_demo_is_the_default_experiment() -> None:
    rounds, whole = suites._demo(Path(sys.executable))
    assert 0 < rounds < whole


def test_fewer_rounds_may_be_asked() -> None:
    assert Options(rounds=2).on(SOFTMAX).rounds == 2
    assert Options().on(SOFTMAX) == SOFTMAX


# --- environments


def test_an_environment_is_made_once_with_our_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(given: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        commands.append(given)
        return subprocess.CompletedProcess(given, 0, "", "")

    monkeypatch.setattr("venv.create", lambda folder, with_pip: folder.mkdir(parents=True))
    monkeypatch.setattr("subprocess.run", run)
    for _ in range(2):
        assert environments.python_of("pfl", tmp_path) == tmp_path / "pfl" / "bin" / "python"
    assert len(commands) == 1
    torch = next(word for word in commands[0] if word.startswith("torch=="))
    assert "+" not in torch


def test_what_pip_says_is_told_and_tried_again_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: looking\nERROR: No matching distribution found for pfl\n")
    monkeypatch.setattr("venv.create", lambda folder, with_pip: folder.mkdir(parents=True, exist_ok=True))
    monkeypatch.setattr("subprocess.run", lambda given, **options: failed)
    for _ in range(2):
        with pytest.raises(Failed, match="No matching distribution found for pfl"):
            environments.python_of("pfl", tmp_path)


def test_an_absent_interpreter_imports_nothing(tmp_path: Path) -> None:
    assert not environments.imports(tmp_path / "python", "json")
    assert environments.imports(sys.executable, "json")
    assert not environments.imports(sys.executable, "no_such_package")


# --- the machine


def test_the_machine_is_described_without_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu").write_text("processor\t: 0\nmodel name\t: A Processor\nprocessor\t: 1\nmodel name\t: Another\n")
    (tmp_path / "memory").write_text("MemTotal:       25165824 kB\nMemFree: 1 kB\n")
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpu")
    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "memory")
    text = machine.describe()
    assert text.startswith("A Processor, ")
    assert "24 GiB" in text
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "none")
    assert "Python" in machine.describe()


def test_the_share_of_others_is_what_the_machine_worked_less_what_we_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = tmp_path / "stat"
    monkeypatch.setattr(machine, "STAT", stat)
    monkeypatch.setattr("os.sysconf", lambda name: 100)
    clock = iter([0.0, 10.0])
    ours = iter([1.0, 4.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    monkeypatch.setattr(machine, "_ours", lambda: next(ours))
    stat.write_text("cpu  100 0 0 5000 0 0 0 0 0 0\ncpu0 1 1 1 1\n")
    watch = machine.Watch()
    stat.write_text("cpu  500 100 100 9000 50 50 50 100 0 0\ncpu0 1 1 1 1\n")
    assert watch.others() == pytest.approx(0.5)  # 8 s more work in 10 s, 3 of them ours


def test_a_system_that_does_not_tell_is_not_guessed_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "STAT", tmp_path / "none")
    assert machine.Watch().others() is None
