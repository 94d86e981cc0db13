"""`ciranda up` and `ciranda down`: the server and the clients of a run, all on this machine, in the background."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from ciranda.cli.errors import tell
from ciranda.cli.fleet.processes import end, start
from ciranda.cli.fleet.state import SERVER, Fleet, Started, fleets, one_fleet
from ciranda.cli.folder import RunFolder, free_folder
from ciranda.cli.http.consent import allow_options
from ciranda.cli.output import result_lines
from ciranda.cli.wires import check_wire
from ciranda.core.errors import ExperimentError, RunError
from ciranda.experiment.load import dump, load, resolve
from ciranda.experiment.schema import Experiment
from ciranda.i18n import _
from ciranda.runtimes.http.link import Cut
from ciranda.store.files import make_folder, write_whole

PATIENCE_S = 10.0
OUTPUT = "output.log"
_START_S = 120.0
_POLL_S = 0.1
_NO_ROWS = 2**31 - 1
_OVER = ("finished", "aborted", "error")


@dataclass(frozen=True)
class Asked:
    """The options of `ciranda up`."""

    what: str = "digits"
    clients: int | None = None
    on: str = "http"
    overrides: Sequence[str] = ()
    target: str | None = None
    client_column: str | None = None
    out: Path | None = None
    port: int = 0
    serve: bool = False
    wait: bool = False


def up(asked: Asked) -> int:
    """Bring up whatever of the run is not up; returns the exit status: with `wait` 1 if the run did not finish.

    Raises:
        CirandaError: the server did not come up; nothing that was started here is left behind then.
    """
    check_wire(asked.on)
    if asked.on != "http":
        raise ExperimentError("On the wire '{on}' there is nothing to bring up.", hint="Train with: ciranda run", on=asked.on)
    path, experiment = _begin(asked)
    fleet = Fleet.read(path)
    before = {one.name for one in fleet.alive()}
    try:
        _server(fleet, experiment, asked)
        _clients(fleet, experiment, asked)
    except BaseException:
        end([one.process for one in fleet.alive() if one.name not in before], PATIENCE_S)
        if not fleet.alive():
            fleet.forget()
        raise
    tell(f"{_('Listening on')}: {fleet.url}")
    tell(_("{clients} clients started; look with: ciranda ps, ciranda logs", clients=len(fleet.started) - 1))
    print(path)
    return _followed(fleet, experiment) if asked.wait else 0


def down(name: str | None, *, everything: bool, patience: float) -> None:
    """End all processes of a run, or of all runs here."""
    for fleet in list(fleets()) if everything else [one_fleet(name)]:
        alive = fleet.alive()
        killed = end([one.process for one in alive], patience)
        fleet.forget()
        tell(_("{run}: {count} processes ended, {killed} of them killed", run=fleet.path.name, count=len(alive), killed=len(killed)))


def stop(name: str | None) -> None:
    """Ask the server to end a run as it stands. Its processes stay."""
    fleet = one_fleet(name)
    link = fleet.server()
    if link is None:
        raise RunError("No server is up for {run}.", run=fleet.path)
    run = load(RunFolder.existing(fleet.path).experiment).experiment.name
    try:
        view = link.post(f"/v1/runs/{run}/stop", None).json()
        last = monotonic() + PATIENCE_S
        while view["status"] not in _OVER and monotonic() < last:
            sleep(_POLL_S)
            view = link.ask("GET", f"/v1/runs/{run}").json()
    finally:
        link.close()
    tell(f"{fleet.path.name}: {view['status']}")


def client_command(url: str, number: int, count: int, state: Path, experiment: Experiment) -> list[str]:
    """What starts a client with a partition of the experiment's own data."""
    return ["client", url, f"--partition={number}/{count}", f"--state={state}", *allow_options(experiment)]


def _begin(asked: Asked) -> tuple[Path, Experiment]:
    """The folder and the experiment: a new one, or the one that lies in the folder."""
    overrides = list(asked.overrides)
    if asked.clients is not None:
        overrides.append(f"federation.clients={asked.clients}")
    if asked.out is not None and RunFolder(asked.out).experiment.is_file():
        return asked.out.resolve(), load(RunFolder(asked.out).experiment, overrides)
    experiment = resolve(asked.what, overrides, target=asked.target, client_column=asked.client_column)
    path = asked.out if asked.out is not None else free_folder(experiment.experiment.name)
    make_folder(path / "http")
    return path.resolve(), experiment


def _server(fleet: Fleet, experiment: Experiment, asked: Asked) -> None:
    """Start the server if it is not up, and wait until it takes requests."""
    known = fleet.started.get(SERVER)
    if known is not None and known.process.alive and fleet.url:
        return
    folder, address = fleet.path / "http", fleet.path / "http" / "address"
    # Clients that live know the server by the port that it had.
    port = asked.port or int(fleet.url.rpartition(":")[2] or 0)
    address.unlink(missing_ok=True)
    write_whole(folder / "asked.toml", [dump(experiment).encode()])
    command = ["server", str(folder / "asked.toml"), f"--out={fleet.path}", f"--port={port}", "--log-level=error"]
    server = start(command, folder / OUTPUT)
    fleet.add(Started(SERVER, server, "."))
    last = monotonic() + _START_S
    while not address.is_file():
        if not server.alive or monotonic() > last:
            said = (folder / OUTPUT).read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
            raise RunError("The server did not come up: {said}", said="\n".join(said))
        sleep(_POLL_S)
    fleet.url = address.read_text(encoding="utf-8").strip()


def _clients(fleet: Fleet, experiment: Experiment, asked: Asked) -> None:
    """Start the clients that are not up, each with a one-time token of its own."""
    link = fleet.server()
    assert link is not None
    # The data may say how many clients there are.
    count = int(link.ask("GET", f"/v1/runs/{experiment.experiment.name}/room").json()["maximum"])
    missing = [number for number in range(count) if not _is_alive(fleet, str(number))]
    tokens = link.post("/v1/tokens", {"count": max(1, len(missing))}).json()["tokens"]
    link.close()
    for number, token in zip(missing, tokens, strict=False):
        state = fleet.path / "clients" / str(number)
        make_folder(state)
        state.chmod(0o700)
        write_whole(state / "token", [token.encode()])
        command = [*client_command(fleet.url, number, count, state, experiment), f"--token-file={state / 'token'}", "--log-level=error"]
        if asked.serve:
            command.append("--serve=0")
        fleet.add(Started(str(number), start(command, state / OUTPUT), f"clients/{number}"))


def _is_alive(fleet: Fleet, name: str) -> bool:
    return name in fleet.started and fleet.started[name].process.alive


def _followed(fleet: Fleet, experiment: Experiment) -> int:
    """Wait for the run to be over and tell how it ended."""
    link = fleet.server()
    assert link is not None
    run = experiment.experiment.name
    while True:
        try:
            link.ask("GET", f"/v1/runs/{run}/events?after={_NO_ROWS}", timeout=60.0)  # it ends with the run
            view = link.ask("GET", f"/v1/runs/{run}").json()
            break
        except Cut as error:
            if not _is_alive(fleet, SERVER):
                raise RunError("The server ended before the run did.", hint="ciranda logs server says why.") from error
            sleep(_POLL_S)
    link.close()
    folder = RunFolder(fleet.path)
    if view["status"] == "error" or not folder.result.is_file():
        raise RunError("The run failed: {reason}", reason=view["reason"])
    print("\n".join(result_lines(json.loads(folder.result.read_text(encoding="utf-8")), str(fleet.path))))
    return 0 if view["status"] == "finished" else 1
