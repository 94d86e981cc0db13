"""Errors: one tree, which survives the way between processes and says where the user's own code failed."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import types
from pathlib import Path

import pytest

from ciranda.core import errors
from ciranda.core.errors import CirandaError, MissingExtra, RefusedUpdate, SignatureError, TaskError, blame

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]


def make(kind: type[CirandaError]) -> CirandaError:
    if kind is MissingExtra:
        return MissingExtra("torch", "torch", "The task 'mnist-cnn'")
    if kind is RefusedUpdate:
        return RefusedUpdate("late", "The update of client 3 is late.")
    return kind("It went wrong.", hint="Do it right.")


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_in_the_tree_and_in_its_drawing(kind: type[CirandaError]) -> None:
    assert issubclass(kind, CirandaError)
    assert kind.__name__ in (errors.__doc__ or "")
    assert str(make(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_the_way_between_processes(kind: type[CirandaError]) -> None:
    error = make(kind)
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own bytes
        assert type(other) is kind
        assert (str(other), other.hint, other.__dict__) == (str(error), error.hint, error.__dict__)


def test_a_hint_is_optional() -> None:
    assert CirandaError("Only this.").hint == ""


def test_a_missing_extra_says_how_to_install_it() -> None:
    error = make(MissingExtra)
    assert "'torch', which is not installed" in str(error)
    assert error.hint == "Install it with: pip install 'ciranda[torch]'"


def test_a_refusal_carries_its_reason() -> None:
    error = make(RefusedUpdate)
    assert isinstance(error, RefusedUpdate)
    assert error.reason == "late"


def test_a_signature_error_is_a_task_error() -> None:
    assert issubclass(SignatureError, TaskError)


def load(path: Path, code: str) -> types.ModuleType:
    path.write_text(code)
    module = types.ModuleType(path.stem)
    exec(compile(code, str(path), "exec"), module.__dict__)
    return module


def test_blame_finds_the_innermost_line_of_the_users_own_code(tmp_path: Path) -> None:
    user = load(
        tmp_path / "my_task.py",
        "import json\n\ndef inner(text):\n    return json.loads(text)\n\ndef outer(text):\n    return inner(text)\n",
    )
    with pytest.raises(json.JSONDecodeError) as caught:
        user.outer("{")
    assert blame(caught.value) == f"{tmp_path / 'my_task.py'}, line 4"


def test_blame_passes_over_installed_packages(tmp_path: Path) -> None:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    package = load(folder / "library.py", "def fail():\n    raise ValueError('deep inside')\n")
    user = load(tmp_path / "mine.py", "def call(library):\n    library.fail()\n")
    with pytest.raises(ValueError, match="deep inside") as caught:
        user.call(package)
    assert blame(caught.value) == f"{tmp_path / 'mine.py'}, line 2"


def test_nobody_is_to_blame_for_an_error_that_was_never_raised() -> None:
    assert blame(ValueError("made, not raised")) == ""
