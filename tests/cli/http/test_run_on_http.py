"""`ciranda run --on http`: a server and a process for each client, the same model as locally, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ciranda.cli.http.serve import resume_with_clients, run_with_clients
from ciranda.cli.result import read_result
from ciranda.core.errors import RunError, StoreError, WorkerDied
from ciranda.experiment.load import resolve

DIGITS = "30501fd8a7d35c87173c5715c41b11f467e439e848d7f999c4c5b9df20528a41"
SMALL = ("federation.clients=3", "rounds.num-rounds=2")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "ciranda", *map(str, arguments)]


def children() -> list[str]:
    """The command lines of the processes that were started here and live."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = status.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() and state != "Z":
                found.append((status.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_twenty_client_processes_end_in_the_model_of_the_local_runtime(tmp_path: Path) -> None:
    subprocess.run(command("run", "digits", "--on", "http", "--out", tmp_path / "run", "--quiet"), check=True, timeout=300)
    result = read_result(tmp_path / "run" / "result.json")
    assert (result.model_sha256, result.reproducible, result.rounds) == (DIGITS, True, 10)


@pytest.mark.slow
def test_a_run_whose_every_process_was_killed_is_resumed_to_the_same_model(tmp_path: Path) -> None:
    out = tmp_path / "run"
    settings = [f"--set={each}" for each in (*SMALL, "rounds.num-rounds=60", "client.local-epochs=3")]
    subprocess.run(command("run", "digits", "--out", tmp_path / "local", "--quiet", *settings), check=True)
    process = subprocess.Popen(command("run", "digits", "--on", "http", "--out", out, "--quiet", *settings))
    lines = out / "metrics.jsonl"
    while not lines.exists() or lines.read_bytes().count(b"\n") < 5:
        assert process.poll() is None
    process.kill()
    process.wait()
    subprocess.run(command("resume", out, "--quiet"), check=True, timeout=200)
    local, resumed = (read_result(folder / "result.json") for folder in (tmp_path / "local", out))
    assert resumed.model_sha256 == local.model_sha256
    assert lines.read_bytes().count(b"\n") == 60


@pytest.mark.slow
def test_a_client_that_dies_ends_the_run_with_its_last_words_and_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = children()
    monkeypatch.setattr("ciranda.cli.http.serve.client_command", lambda *_: ["client", "http://127.0.0.1:1", "--partition=nonsense"])
    with pytest.raises(WorkerDied, match="nonsense"):
        run_with_clients(resolve("digits", SMALL), tmp_path / "run", lambda event: None)
    assert children() == before


def test_a_folder_with_a_run_in_it_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "experiment.toml").write_text("")
    with pytest.raises(StoreError, match="holds a run already"):
        run_with_clients(resolve("digits", SMALL), tmp_path, lambda event: None)


def test_a_servers_run_is_not_resumed_without_its_clients(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="whose clients are elsewhere"):
        resume_with_clients(resolve("digits", SMALL), tmp_path, lambda event: None)
