"""A user's own task: found in their file, or made from the object they hand in."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from ciranda.core.errors import CirandaError, TaskError, blame
from ciranda.core.task import FederatedData, Task
from ciranda.core.texts import Text
from ciranda.plugins.files import first_line, is_file, load_module, split
from ciranda.tasks.table_task import TableTask

_EXAMPLE = "A task is a class such as `class Digits(ciranda.TorchTask)` with model(), loss(model, batch) and data()."
_PROTOCOL = ("data", "initial", "part_of", "train", "evaluate", "predict")


def is_user_task(name: str) -> bool:
    """Whether an experiment's `task` names a file ("my_task.py:Digits") and not a built-in task."""
    return is_file(name)


def has_task(spec: str) -> bool:
    """Whether "FILE.py" defines a task, or "FILE.py:CLASS" is one. Raises TaskError for an error in the file."""
    file, wanted = split(spec)
    module = load_module(Path(file).resolve(), TaskError)
    return any(_is_task_class(value, module) for name, value in vars(module).items() if wanted in ("", name))


def load_task(spec: str, device: str = "auto", folder: Path | None = None) -> Task:
    """The task in "FILE.py:CLASS"; ":CLASS" may be left out if the file defines one task only.

    Args:
        spec: the file and the class; a relative file is looked for in `folder`, by default the working folder.
        device: where torch tasks compute.

    Raises:
        TaskError: no such file or class, or an error in the file, with its line.
    """
    file, wanted = split(spec)
    path = ((folder or Path.cwd()) / file).resolve()
    if not path.is_file():
        raise TaskError("There is no task file {path}.", hint=_EXAMPLE, path=path)
    module = load_module(path, TaskError)
    found = {name: value for name, value in vars(module).items() if _is_task_class(value, module)}
    if wanted and wanted not in vars(module):
        names = ", ".join(found) or Text("none")
        raise TaskError("{file} has no class '{wanted}'; tasks in it: {names}.", hint=_EXAMPLE, file=path.name, wanted=wanted, names=names)
    if not wanted and len(found) != 1:
        if not found:
            raise TaskError("{file} has no task.", hint=_EXAMPLE, file=path.name)
        first, names = next(iter(found)), ", ".join(found)
        raise TaskError("{file} has several tasks ({names}).", hint="Name one: {file}:{first}", file=path.name, names=names, first=first)
    kind = vars(module)[wanted] if wanted else next(iter(found.values()))
    return as_task(make(kind), device)


def make(kind: type[Any]) -> object:
    """An instance of a user's class, which must need no arguments. Raises TaskError."""
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    if missing:
        line = inspect.getsourcelines(kind)[1]
        raise TaskError(
            "{file}, line {line}: class {kind} lacks {methods}.",
            hint=_EXAMPLE,
            file=_file(kind),
            line=line,
            kind=kind.__name__,
            methods=", ".join(f"{name}()" for name in missing),
        )
    try:
        return kind()
    except CirandaError:
        raise
    except Exception as error:
        raise TaskError(
            "{task}() failed: {kind}: {error} ({place})",
            task=kind.__name__,
            kind=type(error).__name__,
            error=first_line(error),
            place=blame(error),
        ) from error


def as_task(task: object, device: str = "auto") -> Task:
    """The engine's task for whatever a user may hand in: a Task, a TorchTask, the class of one, or a data set made of a table.

    Raises:
        TaskError: it is none of them.
    """
    if isinstance(task, type):
        task = make(task)
    if isinstance(task, FederatedData):
        return TableTask(task)
    if all(callable(getattr(task, name, None)) for name in _PROTOCOL) and hasattr(task, "kind"):
        return cast(Task, task)
    if "torch" in sys.modules:
        # Whoever made a TorchTask has imported torch.
        from ciranda.tasks.torch_engine import TorchEngine
        from ciranda.tasks.torch_task import TorchTask

        if isinstance(task, TorchTask):
            return TorchEngine(task, device)
    raise TaskError("An object of class {kind} is not a task.", hint=_EXAMPLE, kind=type(task).__name__)


def _is_task_class(value: object, module: ModuleType) -> bool:
    """A class defined in the file itself that looks like a task."""
    if not isinstance(value, type) or value.__module__ != module.__name__:
        return False
    return any(base.__name__ == "TorchTask" for base in value.__mro__[1:]) or all(hasattr(value, name) for name in _PROTOCOL)


def _file(kind: type[Any]) -> str:
    return Path(inspect.getfile(kind)).name
