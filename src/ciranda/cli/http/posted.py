"""Runs that are posted to a server: each in a folder beneath the server's, from which it is taken up after a restart."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import Any

from ciranda.cli.compose import assemble
from ciranda.cli.folder import RunFolder, free_folder
from ciranda.cli.http.blueprint import ExperimentBlueprint, name_in_path
from ciranda.cli.http.consent import check_files
from ciranda.cli.session import begin
from ciranda.core.errors import CirandaError
from ciranda.core.texts import Text
from ciranda.experiment.load import load, loads
from ciranda.experiment.schema import Experiment
from ciranda.runtimes.host import Host
from ciranda.runtimes.http.answers import ApiError
from ciranda.runtimes.http.roster import Roster
from ciranda.runtimes.http.run import Tell
from ciranda.store.base import Store
from ciranda.store.files import make_folder, sync_folder, write_whole
from ciranda.tasks.recipe import prepare_worker

log = logging.getLogger(__name__)
_ROOM, _OVER = "room.json", "over"


class PostedBlueprint(ExperimentBlueprint):
    """A run that leaves a mark when it is over: a server that is started again takes up those without."""

    def open_store(self) -> Store:
        (self.folder / _OVER).unlink(missing_ok=True)  # a run that is opened goes on, also one that was stopped
        return super().open_store()

    def finish(self, host: Host | None, roster: Roster | None, error: CirandaError | None, tell: Tell) -> None:
        super().finish(host, roster, error, tell)
        write_whole(self.folder / _OVER, [b""])

    def forget(self) -> None:
        """Move the folder out of the way, so that the name is free and no start takes it up."""
        run = self.folder.parent
        deleted = run.parent.parent / "deleted"
        make_folder(deleted)
        os.replace(run, free_folder(run.name, deleted))
        sync_folder(run.parent)


class Posted:
    """The posted runs in `folder`/runs.

    Args:
        allowed: the files of this machine that a posted experiment may name.
        max_examples: see `ExperimentBlueprint`.
        stack: keeps the process prepared for torch once a run needs it.
        taken: names that no posted run may have.
    """

    def __init__(self, folder: Path, allowed: Sequence[Path], max_examples: int | None, stack: ExitStack, taken: Collection[str]) -> None:
        self._folder, self._allowed, self._max_examples, self._stack = folder / "runs", tuple(allowed), max_examples, stack
        self._taken, self._lock = frozenset(taken), Lock()
        self._prepared = False

    def draft(self, told: Mapping[str, Any]) -> PostedBlueprint:
        """The run that the body of `POST /v1/runs` asks for, stored so that a restart knows it; from any thread.

        Raises:
            ExperimentError: the experiment is none, or names a file that nobody allowed.
            ApiError: 409, the name is taken.
        """
        check_files(told["experiment"], self._allowed)
        experiment = loads(told["experiment"], Text("the posted experiment"))
        name = name_in_path(told["run"] or experiment.experiment.name)
        path = self._folder / name
        room = {key: told[key] for key in ("min_clients", "max_clients", "wait_s")}
        with self._lock:  # data are loaded once at a time, and nobody takes a name in between
            if RunFolder(path).experiment.is_file() or name in self._taken:
                raise ApiError(409, "name-taken", "There is a run '{run}' already.", run=name)
            blueprint = self._blueprint(name, experiment, room)
            make_folder(path / "http")
            write_whole(path / "http" / _ROOM, [json.dumps(room).encode()])
            begin(RunFolder(path), blueprint.assembly)
        return blueprint

    def stored(self) -> list[PostedBlueprint]:
        """The runs that are not over. One that cannot be taken up is logged and left alone."""
        found = []
        for file in sorted(self._folder.glob("*/experiment.toml")):
            http = file.parent / "http"
            if (http / _OVER).exists():
                continue
            try:
                found.append(self._blueprint(file.parent.name, load(file), json.loads((http / _ROOM).read_bytes())))
            except (CirandaError, OSError, ValueError) as error:
                log.error("the run in %s cannot be taken up: %s", file.parent, error)
        return found

    def _blueprint(self, name: str, experiment: Experiment, room: Mapping[str, Any]) -> PostedBlueprint:
        assembly = assemble(experiment)
        if getattr(assembly.task, "device", "") and not self._prepared:
            self._stack.enter_context(prepare_worker(True))
            self._prepared = True
        limits = {"minimum": room["min_clients"], "maximum": room["max_clients"], "wait_s": room["wait_s"]}
        return PostedBlueprint(name, RunFolder(self._folder / name), assembly, max_examples=self._max_examples, **limits)
