"""What is a file, and how one is loaded."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"x = 1\nimport sys\nsys.exit(3)\n", r"odd\.py, line 3: the file ends the process"),
        (b"x = 1\nexit()\n", r"odd\.py, line 2: the file ends the process"),
        (b"raise SystemExit\n", r"odd\.py, line 1: the file ends the process"),
        (b"x = 1\0\n", r"odd\.py, line 1: .*null bytes"),
        (b"\xff\xfe x\n", r"odd\.py, line 1: .*utf-8"),
        (b"x = 1\ndef f(:\n    pass\n", r"odd\.py, line 2: .*def f\(:"),
        (b"x = 1\n\tif\n", r"odd\.py, line 2"),
        (b"def f():\n    return 1 / 0\n\nf()\n", r"odd\.py, line 2: ZeroDivisionError: division by zero"),
        (b"import no_such_module_here\n", r"odd\.py, line 1: ModuleNotFoundError: No module named 'no_such_module_here'"),
        (b"raise ValueError('first\\nsecond')\n", r"ValueError: first$"),
    ],
)
def test_a_file_that_cannot_be_executed_is_named_with_the_line(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "odd.py").write_bytes(content)
    before = list(sys.path)
    with pytest.raises(TaskError, match=words):
        load_module(tmp_path / "odd.py", TaskError)
    assert sys.path == before


def test_a_changed_file_is_another_module_and_the_same_bytes_are_not(tmp_path: Path) -> None:
    path = tmp_path / "changing.py"
    path.write_text("VALUE = 1\n")
    first = load_module(path, TaskError)
    path.write_text("VALUE = 2\n")
    assert load_module(path, TaskError).VALUE == 2
    assert load_module(path, TaskError) is not first


@given(st.text("abc/\\:.py", max_size=15))
def test_a_name_of_a_file_is_its_file_and_its_class_again(name: str) -> None:
    file, wanted = split(name)
    assert name in (f"{file}:{wanted}", file)
    if is_file(name):
        assert file.endswith(".py")
