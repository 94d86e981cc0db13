"""A run while it goes on: what it tells, the files that it leaves, and how it is asked to stop."""

from __future__ import annotations

import json
import platform
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ciranda import __version__
from ciranda.cli.diagnose import events, expected_losses, warnings_of
from ciranda.cli.doctor import cores
from ciranda.cli.folder import RunFolder
from ciranda.cli.result import Result, best_round, make_result, model_card
from ciranda.core.codec import encode
from ciranda.core.task import Arrays
from ciranda.diagnosis import Watch
from ciranda.experiment.load import dump
from ciranda.protocol.state import State
from ciranda.store.base import Store
from ciranda.store.files import make_folder
from ciranda.tasks.recipe import recipe

if TYPE_CHECKING:
    from ciranda.cli.compose import Assembly

OnEvent = Callable[[Mapping[str, Any]], None]


def begin(folder: RunFolder, assembly: Assembly) -> None:
    """Write what is known before the first round: the partition first, the experiment last, which makes the folder a run's."""
    make_folder(folder.path)
    data = assembly.population.data
    manifest = assembly.population.partition.manifest(data.train.y)
    if data.classes:
        manifest["classes"] = list(data.classes)
    folder.write(folder.manifest, json.dumps(manifest, indent=1) + "\n")
    if (record := data.record) is not None:
        folder.write(folder.data, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    folder.write(folder.experiment, dump(assembly.experiment))


class Session:
    """What a run tells while it goes on, and the files that it leaves."""

    def __init__(self, folder: RunFolder, store: Store, assembly: Assembly, on_event: OnEvent, rows: list[dict[str, Any]]) -> None:
        self._folder, self._store, self._assembly, self._on_event, self._rows = folder, store, assembly, on_event, rows
        self._watch = Watch(rows, expected_losses(assembly.experiment))

    def row(self, row: Mapping[str, Any], blob: str) -> None:
        """A round is stored: write its line, name its checkpoint, tell it on."""
        self._rows.append(dict(row))
        self._folder.append_metrics(row)
        self._folder.checkpoint(row["round"], self._store, blob, best_round(self._rows, self._assembly.plan.stop))
        self._on_event(row)
        self._tell(events(self._watch.take(row)))

    def begin(self) -> None:
        """Tell what may go wrong."""
        self._tell(warnings_of(self._assembly))

    def _tell(self, findings: Iterable[Mapping[str, Any]]) -> None:
        for finding in findings:
            self._on_event(finding)

    def progress(self, round: int, kind: str, done: int, asked: int, answered: Sequence[tuple[str, str]] = ()) -> None:
        self._on_event({"event": "progress", "round": round, "kind": kind, "done": done, "of": asked, "answered": answered})

    def finish(self, state: State, model: Arrays | None, reason: str, probes: list[str]) -> Result:
        """Write the result; the model too when the run came to an end of its own."""
        result = make_result(
            state,
            self._rows,
            reason,
            probes,
            self._assembly.experiment,
            {**_versions(), **recipe(self._assembly.task)},
            str(self._folder.path),
            failed=model is None,
            survey=(self._assembly.population.data.record or {}).get("survey", {}),
        )
        if model is not None:
            self._folder.write(self._folder.model, encode(model, {"model_sha256": result.model_sha256, "format": "pt"}))
            self._folder.write(self._folder.card, model_card(result, self._assembly.experiment))
        self._folder.write(self._folder.result, result.text())
        self._tell(events(self._watch.ended(state.refused)))
        self._on_event({"event": "finish", **result.as_json()})
        return result


def _versions() -> dict[str, str]:
    ours = {"ciranda": __version__, "python": platform.python_version(), "system": platform.system()}
    return {**ours, "cpu": _cpu(), "cores": str(cores())}


def _cpu() -> str:
    """What the processor is called, "" if the system does not tell."""
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
        return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return platform.processor()


@contextmanager
def stops(request_stop: Callable[[str], None]) -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into a stop that leaves a whole result; a second Ctrl-C ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, before[signal.SIGINT])
        request_stop("ctrl-c" if number == signal.SIGINT else "sigterm")

    try:
        for number in before:
            signal.signal(number, stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
