"""Which run is meant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ciranda.cli.find import find_run
from ciranda.core.errors import Missing


def make(root: Path, name: str, age: int) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "experiment.toml").write_text("")
    os.utime(folder / "experiment.toml", (1_000_000 - age, 1_000_000 - age))
    return folder


def test_without_a_name_it_is_the_latest(tmp_path: Path) -> None:
    make(tmp_path, "old", 10)
    latest = make(tmp_path, "new", 1)
    make(tmp_path, "older", 20)
    assert find_run(None, tmp_path) == latest


def test_a_name_is_a_path_or_below_the_root(tmp_path: Path) -> None:
    folder = make(tmp_path / "runs", "x-001", 0)
    assert find_run("x-001", tmp_path / "runs") == folder
    assert find_run(str(folder), tmp_path / "elsewhere") == folder


def test_what_is_no_run_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="no run"):
        find_run(None, tmp_path)
    make(tmp_path, "x-001", 0)
    with pytest.raises(Missing, match="'y' is not") as caught:
        find_run("y", tmp_path)
    assert "x-001" in caught.value.hint
