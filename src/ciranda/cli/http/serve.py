"""`ciranda server`, and `ciranda run --on http`: a server with an experiment, and perhaps the clients too."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from ciranda.cli.compose import Assembly, assemble
from ciranda.cli.errors import tell
from ciranda.cli.fleet.up import client_command
from ciranda.cli.folder import RunFolder, free_folder
from ciranda.cli.http.blueprint import ExperimentBlueprint
from ciranda.cli.logs import logging_to
from ciranda.cli.result import Result
from ciranda.cli.session import OnEvent, begin, stops
from ciranda.core.errors import RunError
from ciranda.experiment.load import load, resolve
from ciranda.experiment.schema import Experiment
from ciranda.i18n import _
from ciranda.runtimes.http.access import Access
from ciranda.runtimes.http.run import HttpRun
from ciranda.runtimes.http.server import Server
from ciranda.runtimes.http.service import Service
from ciranda.store.files import write_whole
from ciranda.store.sqlite import SqliteStore
from ciranda.tasks.recipe import prepare_worker

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """The options of `ciranda server`."""

    host: str = "127.0.0.1"
    port: int = 8642
    min_clients: int | None = None
    max_clients: int | None = None
    wait_s: float | None = None
    max_examples: int | None = None
    tokens: int = 0
    anybody: bool = False
    once: bool = False


def server(what: str, overrides: Sequence[str], out: Path | None, asked: Asked, *, log_level: str) -> int:
    """Serve an experiment, or go on with the one in `out`, until Ctrl-C; with `once` until its run is over."""
    resuming = out is not None and RunFolder(out).experiment.is_file()
    experiment = load(RunFolder(out).experiment, overrides) if resuming and out else resolve(what, overrides)
    path = out if out is not None else free_folder(experiment.experiment.name)
    folder = RunFolder(path)
    assembly = assemble(experiment)
    if not resuming:
        begin(folder, assembly)
    limits = {"minimum": asked.min_clients, "maximum": asked.max_clients, "wait_s": asked.wait_s, "max_examples": asked.max_examples}
    blueprint = ExperimentBlueprint(experiment.experiment.name, folder, assembly, **limits)  # type: ignore[arg-type]
    ending = Event()
    with ExitStack() as stack:
        stack.enter_context(logging_to(path, log_level))
        stack.enter_context(prepare_worker(bool(getattr(assembly.task, "device", ""))))
        served, access = stack.enter_context(serving(path / "http", asked.host, asked.port, anybody=asked.anybody))
        if asked.tokens:
            write_whole(path / "http" / "tokens.txt", ["".join(f"{token}\n" for token in access.make_tokens(asked.tokens)).encode()])
        write_whole(path / "http" / "address", [f"{served.url}\n".encode()])
        tell(f"{_('Listening on')}: {served.url}")
        tell(f"{_('Folder')}: {path}")
        stack.enter_context(stops(lambda by: ending.set()))
        run = served.add(blueprint)
        while not ending.is_set() and not (asked.once and run.over.is_set()):
            ending.wait(0.2)
        served.halt()
    return 0


@contextmanager
def serving(folder: Path, host: str, port: int, *, anybody: bool) -> Iterator[tuple[Server, Access]]:
    """A server whose registry and secrets lie in `folder`, while inside."""
    store = SqliteStore(folder / "registry")
    try:
        access = Access(store, folder, anybody=anybody)
        server = Server(Service(access), host, port)
        server.start()
        try:
            yield server, access
        finally:
            server.stop()
    finally:
        store.close()


def run_with_clients(experiment: Experiment, out: Path, on_event: OnEvent, *, resuming: bool = False) -> Result:
    """Run an experiment over HTTP on this machine: the server here, each client a process of its own.

    Raises:
        CirandaError: what ended the run.
    """
    folder = RunFolder(out)
    assembly = assemble(experiment)
    if not resuming:
        begin(folder, assembly)
    blueprint = ExperimentBlueprint(experiment.experiment.name, folder, assembly)
    with prepare_worker(bool(getattr(assembly.task, "device", ""))), serving(out / "http", "127.0.0.1", 0, anybody=True) as (server, _):
        run = server.add(blueprint, on_event)
        with stops(run.stop), _clients(server.url, out, assembly):
            run.over.wait()
    return ended(run, blueprint)


def ended(run: HttpRun, blueprint: ExperimentBlueprint) -> Result:
    """The result of a run that is over. Raises the CirandaError that ended it."""
    if run.error is not None:
        raise run.error
    if blueprint.result is None:
        raise RunError("The run '{run}' left no result.", run=run.name)
    return blueprint.result


@contextmanager
def _clients(url: str, out: Path, assembly: Assembly) -> Iterator[None]:
    """The clients, each a process with a partition of its own; they end with this one, however it ends."""
    count = assembly.population.size
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(count):
            state = out / "clients" / str(number)
            state.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "ciranda", *client_command(url, number, count, state), "--tied"]
            with (state / "client.log").open("ab") as output:
                processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output))
        yield
        for process in processes:
            process.wait(20)
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
