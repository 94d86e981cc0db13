"""Ciranda: federated learning. One experiment, one state machine, any wire.

Everything public is here and is imported when it is first used, so that `import ciranda` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ciranda.cli.api import Run, open_run, replay, resume, run
    from ciranda.cli.study.api import baseline, compare, sweep
    from ciranda.core.errors import CirandaError, StopRequested
    from ciranda.core.selection.base import SelectionRule
    from ciranda.core.stages.base import Stage
    from ciranda.core.strategies.base import BaseStrategy
    from ciranda.tasks import datasets as data
    from ciranda.tasks.sklearn_task import SklearnTask
    from ciranda.tasks.table_task import TableTask
    from ciranda.tasks.torch_task import TorchTask

__version__ = "0.1.0"
__all__ = [
    "BaseStrategy",
    "CirandaError",
    "Run",
    "SelectionRule",
    "SklearnTask",
    "Stage",
    "StopRequested",
    "TableTask",
    "TorchTask",
    "baseline",
    "compare",
    "data",
    "open_run",
    "replay",
    "resume",
    "run",
    "sweep",
]

_HOME = {
    "BaseStrategy": "ciranda.core.strategies.base",
    "CirandaError": "ciranda.core.errors",
    "Run": "ciranda.cli.api",
    "SelectionRule": "ciranda.core.selection.base",
    "Stage": "ciranda.core.stages.base",
    "SklearnTask": "ciranda.tasks.sklearn_task",
    "StopRequested": "ciranda.core.errors",
    "TableTask": "ciranda.tasks.table_task",
    "TorchTask": "ciranda.tasks.torch_task",
    "baseline": "ciranda.cli.study.api",
    "compare": "ciranda.cli.study.api",
    "open_run": "ciranda.cli.api",
    "replay": "ciranda.cli.api",
    "resume": "ciranda.cli.api",
    "run": "ciranda.cli.api",
    "sweep": "ciranda.cli.study.api",
}


def __getattr__(name: str) -> Any:
    if name == "data":
        return import_module("ciranda.tasks.datasets")
    if name not in _HOME:
        raise AttributeError(f"module 'ciranda' has no attribute '{name}'")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
