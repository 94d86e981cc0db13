"""The commands that talk over a network: options and help. Each imports what it needs when it runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a key of the experiment (repeatable).")]
Out = Annotated[Path | None, typer.Option("--out", help="The folder to write into.")]
LogLevel = Annotated[str, typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")]
Ca = Annotated[Path | None, typer.Option("--ca", metavar="PEM", help="The CA of the server's certificate, if not one of this machine's.")]
Cert = Annotated[Path | None, typer.Option("--cert", metavar="PEM", help="The client's own certificate, for a server that asks for one.")]
Key = Annotated[Path | None, typer.Option("--key", metavar="PEM", help="The key of --cert.")]

TlsCert = Annotated[Path | None, typer.Option("--tls-cert", metavar="PEM", help="The certificate to be reached with, with its chain.")]
TlsKey = Annotated[Path | None, typer.Option("--tls-key", metavar="PEM", help="The key of --tls-cert.")]
Insecure = Annotated[
    bool, typer.Option("--insecure-plain-http", help="Be reached from other machines without TLS: all of it can be read along.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("server", help="Serve an experiment to clients on other machines, over HTTP.")(_server)
    app.command("client", help="Take part in a server's run with the data of this machine.")(_client)
    app.command("revoke", help="Shut a client out of a server for good.")(_revoke)


def _server(
    what: Annotated[
        str | None,
        typer.Argument(metavar="WHAT", help="A preset, an experiment file or my_task.py:Class; without it, what is posted to the server."),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port to listen on; 0 takes a free one.")] = 8642,
    out: Out = None,
    sets: Sets = None,
    min_clients: Annotated[int | None, typer.Option("--min-clients", min=1, help="Begin with so many when the wait is over.")] = None,
    max_clients: Annotated[int | None, typer.Option("--max-clients", min=1, help="Begin as soon as so many have come.")] = None,
    wait: Annotated[float | None, typer.Option("--wait", metavar="SECONDS", help="How long to wait for clients.")] = None,
    max_examples: Annotated[int | None, typer.Option("--max-examples", min=1, help="The most examples of one client.")] = None,
    tokens: Annotated[int, typer.Option("--tokens", min=0, help="Write so many new one-time tokens to OUT/tokens.txt.")] = 0,
    open_door: Annotated[bool, typer.Option("--anybody", help="Let clients enrol without a token.")] = False,
    once: Annotated[bool, typer.Option("--once", help="End when the runs are over.")] = False,
    allow: Annotated[list[Path] | None, typer.Option("--allow", metavar="FILE", help="A file that a posted experiment may name.")] = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    client_ca: Annotated[
        Path | None, typer.Option("--tls-client-ca", metavar="PEM", help="Let in only clients with a certificate of this CA.")
    ] = None,
    insecure: Insecure = False,
    seed_routes: Annotated[bool, typer.Option("--seed-routes", help="Also answer /subscribe, /get_model, /send_model and so on.")] = False,
    log_level: LogLevel = "warning",
    debug: Debug = False,
) -> int:
    from ciranda.cli.http import serve
    from ciranda.cli.http.security import Door

    door = Door(tls_cert, tls_key, client_ca, insecure)
    asked = serve.Asked(host, port, min_clients, max_clients, wait, max_examples, tokens, open_door, once, door, seed_routes, allow or ())
    return serve.server(what, sets or [], out, asked, log_level=log_level)


def _client(
    url: Annotated[str, typer.Argument(metavar="URL", help="The server, such as http://127.0.0.1:8642.")],
    partition: Annotated[
        str | None, typer.Option("--partition", metavar="I/N", help="Take part I of N of the experiment's own data.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="PATH", help="Your own data: CSV, NPZ, IDX files, or a folder of pictures by class.")
    ] = None,
    share_counts: Annotated[
        bool, typer.Option("--share-counts/--no-share-counts", help="Tell the server how many examples each class has.")
    ] = False,
    task: Annotated[
        str | None, typer.Option("--task", metavar="FILE.py:CLASS", help="Your file, in place of the one that the experiment names.")
    ] = None,
    serve: Annotated[
        int | None, typer.Option("--serve", metavar="PORT", min=0, max=65535, help="Answer /predict and /train here; 0 takes a free port.")
    ] = None,
    serve_host: Annotated[str, typer.Option("--serve-host", metavar="HOST", help="The address to answer on.")] = "127.0.0.1",
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    insecure: Insecure = False,
    token_file: Annotated[Path | None, typer.Option("--token-file", metavar="FILE", help="The one-time token to enrol with.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="The name to enrol with.")] = None,
    run: Annotated[str, typer.Option("--run", help="The run to take part in; by default the first that goes on.")] = "",
    state: Annotated[Path | None, typer.Option("--state", metavar="DIR", help="Where the client keeps who it is and its replies.")] = None,
    allow: Annotated[
        list[Path] | None, typer.Option("--allow", metavar="FILE", help="A file that the server's experiment may have used here.")
    ] = None,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    tied: Annotated[bool, typer.Option("--tied", hidden=True)] = False,
    most_backoff: Annotated[float, typer.Option("--most-backoff", min=0.01, hidden=True)] = 30.0,
    log_level: LogLevel = "warning",
    debug: Debug = False,
) -> int:
    from ciranda.cli.http import join
    from ciranda.cli.http.security import Door, Trust

    asked = join.Asked(
        url, partition, token_file, name, run, state, tied, most_backoff, allow or (), data, share_counts, task, serve, serve_host
    )
    asked = replace(asked, trust=Trust(ca, cert, key), door=Door(tls_cert, tls_key, insecure=insecure))
    return join.client(asked, log_level=log_level)


def _revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name that the client enrolled with.")],
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="The run of the server; by default the latest.")] = None,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    debug: Debug = False,
) -> None:
    from ciranda.cli.http import revoke
    from ciranda.cli.http.security import Trust

    revoke.revoke(name, run, Trust(ca, cert, key))
