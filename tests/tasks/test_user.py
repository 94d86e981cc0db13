"""A user's task file: found, loaded, and its mistakes told with its own lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ciranda.core.errors import CirandaError, TaskError
from ciranda.core.rng import Draw
from ciranda.core.task import ClientSettings
from ciranda.tasks.registry import TASKS
from ciranda.tasks.user import as_task, is_user_task, load_task

NUMPY = """
from ciranda.tasks.numpy_models import NumpyTask
from ciranda.tasks.datasets import digits

class Small(NumpyTask):
    def __init__(self):
        super().__init__("small", digits, (64, 10))
"""
DIGITS = """import ciranda
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

class Digits(ciranda.TorchTask):
    def model(self): return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    def loss(self, model, batch): return F.cross_entropy(model(batch.x), batch.y)
    def data(self): return ciranda.data.from_arrays(*load_digits(return_X_y=True), test_fraction=0.2)
"""


def write(folder: Path, text: str, name: str = "my_task.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_user_tasks_are_told_from_built_in_ones() -> None:
    assert is_user_task("my_task.py")
    assert is_user_task("dir/my_task.py:Digits")
    assert not is_user_task("digits-mlp")
    assert not is_user_task("python.pyx")


def test_the_only_task_needs_no_name(tmp_path: Path) -> None:
    write(tmp_path, NUMPY)
    for spec in ("my_task.py", "my_task.py:Small"):
        assert load_task(spec, folder=tmp_path).name == "small"
    assert load_task(str(tmp_path / "my_task.py")).name == "small"


def test_a_torch_task_of_at_most_20_lines_trains(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    assert len(DIGITS.splitlines()) <= 20
    write(tmp_path, DIGITS)
    task = load_task("my_task.py:Digits", device="cpu", folder=tmp_path)
    assert (task.name, task.kind) == ("Digits", "classification")
    data = task.data()
    assert len(data.train) + len(data.test) == 1797
    trained = task.train(task.initial(Draw(1)), data.train[:50], ClientSettings(), Draw(1))
    assert task.predict(trained.arrays, data.test.x[:3]).shape == (3, 10)


def test_two_files_of_one_name_are_two_tasks(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write(tmp_path / "a", NUMPY)
    write(tmp_path / "b", NUMPY.replace('"small"', '"other"'))
    names = [load_task(f"{folder}/my_task.py", folder=tmp_path).name for folder in ("a", "b", "a")]
    assert names == ["small", "other", "small"]


def test_a_neighbouring_module_can_be_imported(tmp_path: Path) -> None:
    write(tmp_path, "WIDTHS = (64, 10)\n", "my_widths_for_test.py")
    write(tmp_path, NUMPY.replace("(64, 10)", "WIDTHS").replace("\nfrom", "\nfrom my_widths_for_test import WIDTHS\nfrom", 1))
    assert load_task("my_task.py", folder=tmp_path).initial(Draw(1))["layer1.weight"].shape == (64, 10)


@pytest.mark.parametrize(
    ("text", "spec", "message", "hint"),
    [
        (None, "absent.py", "no task file .*absent.py", "class Digits"),
        ("x = 1\n", "my_task.py", "has no task", "class Digits"),
        (NUMPY, "my_task.py:Large", "no class 'Large'; tasks in it: Small", ""),
        (NUMPY + "\nclass Second(Small): pass\n", "my_task.py", r"several tasks \(Small, Second\)", "my_task.py:Small"),
        ("x = 1\ndef f(:\n", "my_task.py", "my_task.py, line 2: invalid syntax", ""),
        ("x = 1\ny = 1 / 0\n", "my_task.py", "my_task.py, line 2.*ZeroDivisionError: division by zero", ""),
        ("\n\nimport no_such_module\n", "my_task.py", "my_task.py, line 3.*No module named 'no_such_module'", ""),
        (
            NUMPY.replace('super().__init__("small", digits, (64, 10))', "raise ValueError('odd')"),
            "my_task.py",
            "ValueError: odd .*line 7",
            "",
        ),
        ("class Thing: pass\n", "my_task.py:Thing", "class Thing is not a task", "class Digits"),
    ],
)
def test_mistakes_point_at_the_users_file(tmp_path: Path, text: str | None, spec: str, message: str, hint: str) -> None:
    if text is not None:
        write(tmp_path, text)
    with pytest.raises(TaskError, match=message) as caught:
        load_task(spec, folder=tmp_path)
    assert hint in caught.value.hint
    assert "\n" not in str(caught.value)


def test_missing_methods_are_named_with_the_line_of_the_class(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    write(tmp_path, "import ciranda\n\nclass Half(ciranda.TorchTask):\n    def model(self): return None\n")
    with pytest.raises(TaskError, match=r"my_task.py, line 3: class Half lacks data\(\), loss\(\)"):
        load_task("my_task.py", folder=tmp_path)


def test_whatever_is_a_task_is_taken_as_it_is() -> None:
    task = TASKS["digits-softmax"].make()
    assert as_task(task) is task
    with pytest.raises(CirandaError, match="int is not a task"):
        as_task(3)


def test_classes_and_objects_of_torch_tasks_are_wrapped(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from torch import nn

    from ciranda.tasks.torch_engine import TorchEngine
    from ciranda.tasks.torch_task import TorchTask

    class Mine(TorchTask):
        def model(self) -> nn.Module:
            return nn.Linear(2, 2)

        def loss(self, model: nn.Module, batch: object) -> object:  # type: ignore[override]
            raise AssertionError("not needed here")

        def data(self) -> object:  # type: ignore[override]
            raise AssertionError("not needed here")

    for given in (Mine, Mine()):
        wrapped = as_task(given, device="cpu")
        assert isinstance(wrapped, TorchEngine)
        assert np.prod(wrapped.initial(Draw(1))["weight"].shape) == 4
