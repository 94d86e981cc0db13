"""The commands for a run whose processes are all on this machine: options and help. Each imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Run = Annotated[str | None, typer.Option("--run", metavar="RUN", help="A run's folder, or its name under runs/.")]
Which = Annotated[str | None, typer.Argument(metavar="RUN", help="A run's folder, or its name under runs/; by default the only one up.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("up", help="Bring up a server and all its clients on this machine, in the background.")(_up)
    app.command("ps", help="What is up: each process, what it does, and when it was last heard.")(_ps)
    app.command("logs", help="What the processes of a run wrote down.")(_logs)
    app.command("stop", help="End a run as it stands; its processes stay up.")(_stop)
    app.command("down", help="End the processes of a run.")(_down)


def _up(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="An experiment file, a preset, my_task.py:Class, or data.csv.")] = "digits",
    clients: Annotated[int | None, typer.Option("-n", "--clients", min=1, help="How many clients, each a process.")] = None,
    on: Annotated[str, typer.Option("--on", metavar="WIRE", help="What they talk over.")] = "http",
    target: Annotated[str | None, typer.Option("--target", metavar="COLUMN", help="The column of a CSV file to predict.")] = None,
    client_column: Annotated[
        str | None, typer.Option("--client-column", metavar="COLUMN", help="The column that says whose row it is.")
    ] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the experiment. Repeatable.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The run's folder; one that has a run is gone on with.")] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The server's port; 0 takes a free one.")] = 0,
    serve: Annotated[bool, typer.Option("--serve", help="Let each client answer /predict and /train too, on a port of its own.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return when the run is over, and say how it ended.")] = False,
    debug: Debug = False,
) -> int:
    from ciranda.cli.fleet import up

    return up.up(up.Asked(what, clients, on, sets or [], target, client_column, out, port, serve, wait))


def _ps(
    run: Which = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: Debug = False,
) -> None:
    from ciranda.cli.fleet import look

    look.ps(run, as_json=json)


def _logs(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="server, or a client's number; by default all.")] = None,
    run: Run = None,
    lines: Annotated[int, typer.Option("--lines", "-l", min=0, help="Only so many of the last lines; 0 for all.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more is written, until Ctrl-C or all have ended.")] = False,
    debug: Debug = False,
) -> None:
    from ciranda.cli.fleet import journal

    journal.logs(name, run, lines=lines, follow=follow)


def _stop(run: Which = None, debug: Debug = False) -> None:
    from ciranda.cli.fleet import up

    up.stop(run)


def _down(
    run: Which = None,
    everything: Annotated[bool, typer.Option("--all", help="All runs that are up under runs/.")] = False,
    grace: Annotated[
        float, typer.Option("--grace", metavar="SECONDS", min=0, help="How long a process may take before it is killed.")
    ] = 10,
    debug: Debug = False,
) -> None:
    from ciranda.cli.fleet import up

    up.down(run, everything=everything, patience=grace)
