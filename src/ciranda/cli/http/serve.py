"""`ciranda server`, and `ciranda run --on http`: a server with an experiment, and perhaps the clients too."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from ciranda.cli.compose import assemble
from ciranda.cli.errors import tell
from ciranda.cli.fleet.up import OUTPUT, client_command
from ciranda.cli.folder import RunFolder, free_folder
from ciranda.cli.http.blueprint import ExperimentBlueprint
from ciranda.cli.http.posted import Posted
from ciranda.cli.http.security import Door
from ciranda.cli.logs import logging_to
from ciranda.cli.result import Result
from ciranda.cli.session import OnEvent, begin, stops
from ciranda.core.errors import ExperimentError, RunError, StoreError, WorkerDied
from ciranda.experiment.load import load, resolve
from ciranda.experiment.schema import Experiment
from ciranda.i18n import _
from ciranda.runtimes.http.access import Access
from ciranda.runtimes.http.run import HttpRun
from ciranda.runtimes.http.server import Server
from ciranda.runtimes.http.service import Draft, Service
from ciranda.store.files import make_folder, write_whole
from ciranda.store.sqlite import SqliteStore
from ciranda.tasks.recipe import prepare_worker

log = logging.getLogger(__name__)
_LOOK_S, _LEAVE_S = 0.5, 20.0
_PLAIN = Door()


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
    door: Door = _PLAIN
    seed_routes: bool = False
    allow: Sequence[Path] = ()


def server(what: str | None, overrides: Sequence[str], out: Path | None, asked: Asked, *, log_level: str) -> int:
    """Serve runs until Ctrl-C; with `once` until all are over.

    Args:
        what: the experiment to begin with. With the run in `out` there the server goes on with it instead; with neither, it waits for
            experiments to be posted.
    """
    own = RunFolder(out) if out is not None else None
    resuming = own is not None and own.experiment.is_file()
    if not resuming and what is None:
        path, blueprint = out if out is not None else free_folder("server"), None
    else:
        experiment = load(own.experiment, overrides) if resuming and own is not None else resolve(what or "", overrides)
        path = out if out is not None else free_folder(experiment.experiment.name)
        blueprint = _own(experiment, RunFolder(path), asked, resuming=resuming)
    if blueprint is None and overrides:
        raise ExperimentError("--set goes with an experiment.", hint="Name one, or put the settings into the experiment that is posted.")
    ending = Event()
    with ExitStack() as stack:
        stack.enter_context(logging_to(path, log_level))
        stack.enter_context(prepare_worker(blueprint is not None and bool(getattr(blueprint.assembly.task, "device", ""))))
        taken = [blueprint.name] if blueprint is not None else []
        posted = Posted(path, asked.allow, asked.max_examples, stack, taken)
        served, access = stack.enter_context(_opened(path / "http", asked, posted.draft))
        if asked.tokens:
            write_whole(
                path / "http" / "tokens.txt", ["".join(f"{token}\n" for token in access.make_tokens(asked.tokens)).encode()], mode=0o600
            )
        write_whole(path / "http" / "address", [f"{served.url}\n".encode()])
        tell(f"{_('Listening on')}: {served.url}")
        tell(f"{_('Folder')}: {path}")
        stack.enter_context(stops(lambda by: ending.set()))
        served.add_all([*([blueprint] if blueprint is not None else []), *posted.stored()])
        while not ending.is_set() and not (asked.once and served.idle):
            ending.wait(0.2)
    return 0


def _own(experiment: Experiment, folder: RunFolder, asked: Asked, *, resuming: bool) -> ExperimentBlueprint:
    """The run that the server was started with."""
    assembly = assemble(experiment)
    if not resuming:
        begin(folder, assembly)
    return ExperimentBlueprint(
        experiment.experiment.name,
        folder,
        assembly,
        minimum=asked.min_clients,
        maximum=asked.max_clients,
        wait_s=asked.wait_s,
        max_examples=asked.max_examples,
    )


def _opened(folder: Path, asked: Asked, draft: Draft) -> AbstractContextManager[tuple[Server, Access]]:
    if asked.anybody:
        asked.door.check_anybody(asked.host)
    return serving(folder, asked.host, asked.port, anybody=asked.anybody, door=asked.door, seed_routes=asked.seed_routes, draft=draft)


@contextmanager
def serving(
    folder: Path, host: str, port: int, *, anybody: bool, door: Door = _PLAIN, seed_routes: bool = False, draft: Draft | None = None
) -> Iterator[tuple[Server, Access]]:
    """A server whose registry and secrets lie in `folder`, for its owner only, while inside."""
    tls = door.tls()
    make_folder(folder)
    folder.chmod(0o700)
    store = SqliteStore(folder / "registry")
    try:
        access = Access(store, folder, anybody=anybody)
        server = Server(Service(access, draft, seed_routes=seed_routes), host, port, tls, insecure=door.insecure)
        server.start()
        try:
            yield server, access
        finally:
            server.halt()
            server.stop()
    finally:
        store.close()


def run_with_clients(experiment: Experiment, out: Path, on_event: OnEvent, *, resuming: bool = False) -> Result:
    """Run an experiment over HTTP on this machine, or go on with it: the server here, each client a process of its own.

    Raises:
        CirandaError: what ended the run.
    """
    folder = RunFolder(out)
    if not resuming and folder.experiment.exists():
        raise StoreError("{out} holds a run already.", hint="Choose another --out, or go on with: ciranda resume {out}", out=out)
    assembly = assemble(experiment)
    begin(folder, assembly)
    blueprint = ExperimentBlueprint(experiment.experiment.name, folder, assembly)
    with prepare_worker(bool(getattr(assembly.task, "device", ""))), serving(out / "http", "127.0.0.1", 0, anybody=True) as (server, _):
        run = server.add(blueprint, on_event)
        with stops(run.stop), _clients(server.url, out, assembly.population.size, experiment) as processes:
            while not run.over.wait(_LOOK_S):
                _check(processes, out)
    return ended(run, blueprint)


def resume_with_clients(experiment: Experiment, out: Path, on_event: OnEvent) -> Result:
    """Go on with a run of `run_with_clients`. Raises RunError for one of a server whose clients are elsewhere."""
    if not _state(out, 0).is_dir():
        raise RunError(
            "The run in {out} belongs to a server, whose clients are elsewhere.", hint="Go on with: ciranda server --out {out}", out=out
        )
    return run_with_clients(experiment, out, on_event, resuming=True)


def ended(run: HttpRun, blueprint: ExperimentBlueprint) -> Result:
    """The result of a run that is over. Raises the CirandaError that ended it."""
    if run.error is not None:
        raise run.error
    if blueprint.result is None:
        raise RunError("The run '{run}' left no result.", run=run.name)
    return blueprint.result


@contextmanager
def _clients(url: str, out: Path, count: int, experiment: Experiment) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The clients, each a process with a partition of its own; they end with this one, however it ends."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(count):
            state = _state(out, number)
            state.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "ciranda", *client_command(url, number, count, state, experiment), "--tied"]
            with (state / OUTPUT).open("ab") as output:
                processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output))
        yield processes
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LEAVE_S)
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


def _check(processes: Sequence[subprocess.Popen[bytes]], out: Path) -> None:
    """Raises WorkerDied when a client has ended while its run goes on."""
    for number, process in enumerate(processes):
        code = process.poll()
        if code:
            said = (_state(out, number) / OUTPUT).read_text(encoding="utf-8", errors="replace").strip()
            raise WorkerDied(
                "Client {number} (process {process}) ended with exit code {code}: {said}",
                hint="Go on with: ciranda resume {out}",
                number=number,
                process=process.pid,
                code=code,
                said=said[-500:],
                out=out,
            )


def _state(out: Path, number: int) -> Path:
    """Where client `number` keeps what it must not forget."""
    return out / "http" / "clients" / str(number)
