"""What is a file, and how one is loaded."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from ciranda.core.errors import ExperimentError, TaskError
from ciranda.plugins.files import is_file, load_module, split


@pytest.mark.parametrize("name", ["mine.py", "mine.py:Mine", "/a/b.c/mine.py", "a.py.d/mine.py:Mine", "C:\\x\\mine.py:Mine"])
def test_a_file(name: str) -> None:
    assert is_file(name)


@pytest.mark.parametrize("name", ["fedavg", "my.python", "mine.pyc", "py", "a.py/thing", "mine.pyx:Mine"])
def test_no_file(name: str) -> None:
    assert not is_file(name)


def test_file_and_class() -> None:
    assert split("a/mine.py:Mine") == ("a/mine.py", "Mine")
    assert split("a/mine.py") == ("a/mine.py", "")
    assert split("C:\\mine.py") == ("C:\\mine.py", "")
    assert split("C:\\mine.py:Mine") == ("C:\\mine.py", "Mine")


def test_a_module_is_loaded_once_and_its_objects_travel(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text("class One: pass\n")
    module = load_module(path, TaskError)
    assert load_module(path, ExperimentError) is module
    assert type(pickle.loads(pickle.dumps(module.One()))) is module.One  # noqa: S301 - our own bytes


def test_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(f"HERE = {folder!r}\n")
    assert [load_module(tmp_path / folder / "mine.py", TaskError).HERE for folder in ("a", "b")] == ["a", "b"]


def test_neighbours_can_be_imported_and_the_path_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_mine.py").write_text("VALUE = 3\n")
    (tmp_path / "mine.py").write_text("from neighbour_of_mine import VALUE\n")
    before = list(sys.path)
    assert load_module(tmp_path / "mine.py", TaskError).VALUE == 3
    assert sys.path == before


def test_a_file_that_failed_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "later.py"
    path.write_text("raise RuntimeError()\n")
    for _ in range(2):
        with pytest.raises(TaskError, match=r"later\.py, line 1: RuntimeError: no message"):
            load_module(path, TaskError)
