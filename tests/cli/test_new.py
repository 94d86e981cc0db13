"""`ciranda new` makes a project that checks and runs at once, with torch and without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ciranda.cli import new
from ciranda.cli.app import main


@pytest.mark.parametrize("torch", [True, False])
def test_a_new_project_checks_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], torch: bool
) -> None:
    monkeypatch.setattr(new, "find_spec", lambda name: torch or None)
    monkeypatch.chdir(tmp_path)
    assert main(["new", "project"]) == 0
    monkeypatch.chdir("project")
    assert main(["check", "my_task.py"]) == 0
    assert "2,410 numbers in all" in capsys.readouterr().out
    assert main(["run", "experiment.toml", "--json", "--workers", "1"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["metrics"]["server"]["accuracy"] > 0.8
    assert main(["predict", "my-experiment-001", "test:0"]) == 0


@pytest.mark.parametrize("text", [new.TORCH_TASK, new.NUMPY_TASK])
def test_the_task_takes_at_most_twenty_lines(text: str) -> None:
    assert len(text.splitlines()) <= 20
    assert "NumpyTask" in text or "TorchTask" in text


def test_the_readme_speaks_the_users_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "pt")
    assert main(["new", str(tmp_path / "a")]) == 0
    assert "Meu projeto" in (tmp_path / "a" / "README.md").read_text()


def test_what_is_there_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    assert main(["new", str(tmp_path)]) == 1
    assert "not empty" in capsys.readouterr().err
    assert main(["new", str(tmp_path / "mine.txt")]) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
