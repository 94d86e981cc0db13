"""The program as a user meets it: commands end to end, on one worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ciranda.cli.app import main
from ciranda.cli.progress import Display

QUICK = ["--set", "rounds.num-rounds=2", "--set", "client.local-epochs=1", "--workers", "1"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ciranda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in an empty folder; gives (status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CIRANDA_LANG", "en")

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_a_run_shows_its_rounds_and_where_the_result_lies(ciranda: Run) -> None:
    status, out, err = ciranda("run", "digits", *QUICK)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "digits: 2 rounds, 20 clients, seed 1"
    assert lines[1].startswith("Round 1/2  accuracy 0.")
    assert lines[2].startswith("Round 2/2  accuracy 0.")
    assert lines[3] == "Finished after 2 rounds: all rounds done"
    assert "Result: runs/digits-001" in lines
    assert {"experiment.toml", "metrics.jsonl", "model.safetensors", "result.json", "log.jsonl"} <= set(os.listdir("runs/digits-001"))


def test_digits_is_the_default_and_runs_do_not_overwrite_each_other(ciranda: Run) -> None:
    assert ciranda("run", "--quiet", *QUICK) == (0, "runs/digits-001\n", "")
    assert ciranda("run", "--quiet", *QUICK) == (0, "runs/digits-002\n", "")
    status, _, err = ciranda("run", "--quiet", *QUICK, "--out", "runs/digits-001")
    assert status == 1
    assert "holds a run already" in err


def test_json_is_exactly_result_json(ciranda: Run) -> None:
    status, out, err = ciranda("run", "digits", "--json", *QUICK)
    assert status == 0
    assert out == Path("runs/digits-001/result.json").read_text()
    assert json.loads(out)["state"] == "finished"
    assert "Round 2/2" in err
    assert ciranda("run", "digits", "--json", "--quiet", *QUICK)[2] == ""


def test_the_log_names_roles_and_rounds(ciranda: Run) -> None:
    ciranda("run", "digits", *QUICK)
    lines = [json.loads(line) for line in Path("runs/digits-001/log.jsonl").read_text().splitlines()]
    assert [line["round"] for line in lines if line.get("role") == "coordinator" and "round" in line] == [1, 2]
    assert "round 1 committed" in ciranda("run", "digits", "--log-level", "info", *QUICK)[2]


def test_replay_gives_the_model_again_and_resume_extends(ciranda: Run) -> None:
    ciranda("run", "digits", *QUICK)
    status, out, err = ciranda("replay", "digits-001", "--workers", "1")
    assert status == 0
    assert "The model is the same" in err
    assert "Result: runs/digits-001-replay-001" in out
    status, out, _ = ciranda("resume", "digits-001", "--set", "rounds.num-rounds=3", "--workers", "1")
    assert status == 0
    assert "Round 3/3" in out
    assert "Round 2/3" not in out
    assert json.loads(Path("runs/digits-001/result.json").read_text())["rounds"] == 3


def test_a_replay_that_differs_says_so_and_fails(ciranda: Run) -> None:
    ciranda("run", "digits", *QUICK)
    rows = Path("runs/digits-001/metrics.jsonl")
    last = json.loads(rows.read_text().splitlines()[-1])
    rows.write_text(rows.read_text().replace(last["model"], "0" * 64))
    status, _, err = ciranda("replay", "digits-001", "--workers", "1")
    assert status == 1
    assert "NOT the same" in err


def test_predict_and_plot_use_the_run(ciranda: Run, tmp_path: Path) -> None:
    ciranda("run", "digits", *QUICK)
    status, out, _ = ciranda("predict", "digits-001", "test:0-2")
    assert status == 0
    assert [line.split(":")[1] for line in out.splitlines()] == ["0", "1", "2"]
    assert all("class" in line and "true" in line for line in out.splitlines())
    np.save("x.npy", np.zeros((8, 8)))
    answers = json.loads(ciranda("predict", "runs/digits-001", "x.npy", "--json")[1])
    assert sum(answers[0]["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert "true" not in answers[0]
    status, out, _ = ciranda("plot")
    assert status == 0
    assert all((tmp_path / file).is_file() for file in out.split())


def test_a_csv_file_with_owners_trains(ciranda: Run) -> None:
    rows = [f"{n % 7},{n % 3},{'north' if n % 2 else 'south'},{n % 7 + n % 3}" for n in range(120)]
    Path("h.csv").write_text("a,b,hospital,y\n" + "\n".join(rows))
    status, out, err = ciranda("run", "h.csv", "--target", "y", "--client-column", "hospital", *QUICK)
    assert (status, err) == (0, "")
    assert "2 clients" in out
    Path("new.csv").write_text("a,b\n1,2\n")
    status, out, _ = ciranda("predict", "h-001", "new.csv")
    assert status == 0
    assert out.startswith("0:")


def test_a_regression_is_told_in_its_own_terms(ciranda: Run) -> None:
    Path("e.toml").write_text('[experiment]\ntask = "diabetes-linear"\n[federation]\nclients = 4\n')
    assert "RMSE" in ciranda("run", "e.toml", *QUICK)[1]
    status, out, _ = ciranda("predict", "diabetes-linear-001", "test:0")
    assert status == 0
    assert "value" in out
    assert ciranda("plot")[0] == 0


def test_check_lists_what_is_there(ciranda: Run) -> None:
    status, out, _ = ciranda("check", "iris-mlp")
    assert status == 0
    for words in (
        "train: 120",
        "3 classes",
        "layer1.weight  float32  (4, 10)",
        "numbers in all",
        "trained on 32",
        "predicted: float32 (32, 3)",
    ):
        assert words in out


BROKEN = """
import torch.nn.functional as F
from torch import nn
import ciranda
class T(ciranda.TorchTask):
    def model(self): return nn.Sequential(nn.Flatten(), nn.Linear(WIDTH, 10))
    def loss(self, model, batch): return LOSS
    def data(self): return DATA
"""
GOOD = {"WIDTH": "64", "LOSS": "F.cross_entropy(model(batch.x), batch.y)", "DATA": "ciranda.data.digits()"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"WIDTH": "63"}, ["Linear", "64", "63"]),
        ({"LOSS": "F.nope(model(batch.x))"}, ["my_task.py, line 7", "nope"]),
        ({"LOSS": "model(batch.x).sum() * float('nan')"}, ["finite"]),
        ({"DATA": "1 / 0"}, ["my_task.py, line 8", "ZeroDivisionError"]),
        ({"DATA": "ciranda.data.from_arrays([], [])"}, ["example"]),
        ({"DATA": ")"}, ["line 8"]),
    ],
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_the_first_error_of_a_task_comes_with_its_line(ciranda: Run, command: str, changes: Mapping[str, str], words: list[str]) -> None:
    text = BROKEN
    for name, value in {**GOOD, **changes}.items():
        text = text.replace(name, value)
    Path("my_task.py").write_text(text)
    status, _, err = ciranda(command, "my_task.py:T", *(QUICK if command == "run" else []))
    assert status == 1
    assert "Traceback" not in err
    assert len(err.splitlines()) < 20
    for word in words:
        assert word in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "digts"], ["did you mean 'digits'", "classic-mnist"]),
        (["run", "none.toml"], ["none.toml"]),
        (["run", "digits", "--set", "rounds.num-round=1"], ["--set rounds.num-round=1", "did you mean 'num-rounds'?"]),
        (["run", "digits", "--set", "rounds.fraction-train=1.5"], ["fraction-train is 1.5", "at most 1"]),
        (["run", "digits", "--set", "experiment.task=digits-mpl"], ["did you mean 'digits-mlp'?"]),
        (
            ["run", "digits", "--set", "federation.partitioner=pathological", "--set", "federation.num-classes-per-partition=11"],
            ["11", "classes"],
        ),
        (["run", "digits", "--set", "federation.clients=5000"], ["5000 clients"]),
        (["run", "digits", "--on", "mqtt"], ["not built yet", "local, http"]),
        (["run", "digits", "--on", "carrier-pigeon"], ["no wire", "mqtt"]),
        (["run", "digits", "--log-level", "loud"], ["--log-level", "warning"]),
        (["resume"], ["no run"]),
        (["replay", "nothing"], ["not a run"]),
        (["predict", "nothing", "test:0"], ["not a run"]),
        (["plot", "nothing"], ["not a run"]),
        (["check", "none.py"], ["none.py"]),
        (["check", "nothing"], ["no task"]),
        (["list", "strategy"], ["strategies"]),
    ],
)
def test_bad_input_ends_in_plain_words_and_leaves_nothing(ciranda: Run, tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    status, out, err = ciranda(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith("Error: ")
    assert "Traceback" not in err
    assert len(err.splitlines()) < 25
    for word in words:
        assert word in err
    assert not list(tmp_path.rglob("*.toml"))


def test_debug_shows_the_traceback(ciranda: Run) -> None:
    assert "Traceback" in ciranda("run", "digts", "--debug")[2]


@pytest.mark.parametrize("arguments", [["--nope"], ["digits", "--workers", "0"], ["digits", "--workers", "many"]])
def test_wrong_usage_is_told_with_status_2(ciranda: Run, arguments: list[str]) -> None:
    status, _, err = ciranda("run", *arguments)
    assert status == 2
    assert next(word for word in arguments if word.startswith("--")) in err


def test_ctrl_c_leaves_a_whole_result_and_exits_with_130(ciranda: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Display.__call__

    def interrupted(self: Display, row: Mapping[str, Any]) -> None:
        real(self, row)
        if row["event"] == "round" and row["round"] == 1:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Display, "__call__", interrupted)
    status, out, _ = ciranda("run", "digits", "--set", "rounds.num-rounds=50", "--workers", "1")
    assert status == 130
    assert "stop asked by ctrl-c" in out
    assert "ciranda resume runs/digits-001" in out
    result = json.loads(Path("runs/digits-001/result.json").read_text())
    assert result["state"] == "aborted"
    assert 1 <= result["rounds"] < 50


def test_help_and_version_load_nothing_heavy() -> None:
    code = (
        "import sys; from ciranda.cli.app import main; assert main(['--help']) == 0;"
        "heavy = {'numpy', 'torch', 'matplotlib', 'ciranda.cli.compose'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("run", "resume", "replay", "predict", "plot", "check", "new", "list", "doctor"):
        assert command in done.stdout


def test_help_speaks_portuguese() -> None:
    code = "from ciranda.cli.app import main; main(['run', '--help'])"
    environment = {**os.environ, "CIRANDA_LANG": "pt"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert "Treina um modelo federado" in done.stdout


def test_a_reader_that_stops_early_is_no_fault() -> None:
    code = "import sys; from ciranda.cli.app import main; sys.exit(main(['list']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        process.wait()
    assert err == b""


@pytest.mark.parametrize(("arguments", "status"), [(["list", "wires"], 0), (["list", "nothing"], 1), (["list", "--nope"], 2)])
def test_the_module_is_the_program_with_its_exit_status(arguments: list[str], status: int) -> None:
    done = subprocess.run([sys.executable, "-m", "ciranda", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
