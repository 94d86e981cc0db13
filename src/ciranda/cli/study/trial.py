"""One run of a study: begun, gone on with, or already there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from ciranda.cli import compose
from ciranda.cli.folder import RunFolder
from ciranda.cli.result import Result, read_result
from ciranda.cli.study.jobs import Tell
from ciranda.core.errors import RunError, StoreError
from ciranda.core.task import FederatedData, Task
from ciranda.experiment.explain import Origin
from ciranda.experiment.load import check, dump
from ciranda.experiment.schema import Experiment
from ciranda.store.files import make_folder, write_whole


class Shared:
    """A task whose data is read once, for all the runs that are begun from this process; in everything else the task itself."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._data: FederatedData | None = None

    @classmethod
    def of(cls, task: Task) -> Task:
        return cast("Task", cls(task))

    def data(self) -> FederatedData:
        if self._data is None:
            self._data = self._task.data()
        return self._data

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # asked for while it is unpickled, before there is a task to ask
            raise AttributeError(name)
        return getattr(self._task, name)

    def __getstate__(self) -> dict[str, Any]:
        return {"_task": self._task, "_data": None}  # a process that does not share our memory reads its own


def ensure(experiment: Experiment, folder: Path, *, workers: int, tell: Tell, task: Task | None = None, until: int | None = None) -> Result:
    """The result of this run in this folder, after round `until` if that is given: what is there is kept, what is missing is done.

    Raises:
        CirandaError: what ended the run. StoreError: the folder holds another experiment's run. KeyboardInterrupt: it was asked to stop.
    """
    run = RunFolder(folder)
    if run.experiment.is_file() and run.experiment.read_text(encoding="utf-8") != dump(experiment):
        raise StoreError("{folder} holds the run of another experiment.", folder=folder, hint="Choose another --out.")
    wanted = min(until or experiment.rounds.num_rounds, experiment.rounds.num_rounds)
    if not run.experiment.is_file():
        result = compose.run(experiment, folder, workers=workers, on_event=tell, task=task, until=until)
    elif run.result.is_file() and _done(result := read_result(run.result), wanted):
        return result
    else:
        result = compose.resume(folder, workers=workers, on_event=tell, task=task, until=until)
    if result.stop_reason.startswith("stop-asked:"):
        raise KeyboardInterrupt
    if result.state != "finished":
        raise RunError("The run ended before its last round: {reason}.", reason=result.stop_reason)
    return result


def _done(result: Result, wanted: int) -> bool:
    """A run that stopped by a rule of its own is done however few its rounds."""
    return result.state == "finished" and (result.stop_reason != "rounds" or result.rounds >= wanted)


def ask(folder: Path, name: str, question: dict[str, Any]) -> None:
    """Write down what a study asks, or see that it asks what it asked before.

    Raises:
        StoreError: the folder holds the answer to another question, or something else.
    """
    file = folder / name
    if file.is_file():
        before = json.loads(file.read_text(encoding="utf-8"))  # compared as text: the order of a grid's keys numbers its candidates
        changed = sorted(key for key in {*before, *question} if json.dumps(before.get(key)) != json.dumps(question.get(key)))
        if changed:
            raise StoreError(
                "{folder} holds another study: it differs in {changed}.",
                folder=folder,
                changed=", ".join(changed),
                hint="Choose another --out.",
            )
        return
    make_folder(folder)
    if any(not each.name.startswith(".") for each in folder.iterdir()):
        raise StoreError("{folder} is not empty.", folder=folder, hint="Choose another --out.")
    write_whole(file, [(json.dumps(question, indent=1) + "\n").encode()])


def changed(experiment: Experiment, changes: dict[str, dict[str, Any]], origin: Origin | None = None) -> Experiment:
    """The experiment with some keys set (or, where the value is None, left to their defaults) and checked anew.

    Raises:
        ExperimentError: the keys do not go together.
    """
    table = {section: dict(keys) for section, keys in experiment.sections().items()}
    for section, keys in changes.items():
        table[section] = {key: value for key, value in (table.get(section, {}) | keys).items() if value is not None}
    return check(table, origin or Origin(experiment.experiment.name))
