"""The command line: options and help. Each command imports what it needs when it runs, so that `--help` is immediate."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ciranda.cli.i18n import say
from ciranda.i18n import _

app = typer.Typer(
    name="ciranda",
    help=say("app"),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Debug = Annotated[bool, typer.Option("--debug", help=say("opt.debug"))]
Json = Annotated[bool, typer.Option("--json", help=say("opt.json"))]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help=say("opt.quiet"))]
LogLevel = Annotated[str, typer.Option("--log-level", metavar="LEVEL", help=say("opt.log-level"))]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help=say("opt.workers"))]
Out = Annotated[Path | None, typer.Option("--out", help=say("opt.out"))]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=say("opt.set"))]
Run = Annotated[str | None, typer.Argument(metavar="RUN", help=say("arg.run"))]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(version("ciranda"))
        raise typer.Exit


@app.callback()
def _root(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help=say("opt.version"))] = False) -> None:
    """Options of the program itself."""


@app.command("run", help=say("cmd.run"))
def _run(
    what: Annotated[str, typer.Argument(metavar="WHAT", help=say("arg.what"))] = "digits",
    target: Annotated[str | None, typer.Option("--target", metavar="COLUMN", help=say("opt.target"))] = None,
    client_column: Annotated[str | None, typer.Option("--client-column", metavar="COLUMN", help=say("opt.client-column"))] = None,
    on: Annotated[str, typer.Option("--on", metavar="WIRE", help=say("opt.on"))] = "local",
    sets: Sets = None,
    workers: Workers = None,
    out: Out = None,
    json: Json = False,
    quiet: Quiet = False,
    log_level: LogLevel = "warning",
    debug: Debug = False,
) -> int:
    from ciranda.cli import runs

    look = runs.Look(json=json, quiet=quiet, log_level=log_level)
    return runs.run(what, sets or [], on=on, target=target, client_column=client_column, workers=workers, out=out, look=look)


@app.command("resume", help=say("cmd.resume"))
def _resume(
    run: Run = None,
    sets: Sets = None,
    workers: Workers = None,
    json: Json = False,
    quiet: Quiet = False,
    log_level: LogLevel = "warning",
    debug: Debug = False,
) -> int:
    from ciranda.cli import runs

    return runs.resume(run, sets or [], workers=workers, look=runs.Look(json=json, quiet=quiet, log_level=log_level))


@app.command("replay", help=say("cmd.replay"))
def _replay(
    run: Run = None,
    workers: Workers = None,
    out: Out = None,
    json: Json = False,
    quiet: Quiet = False,
    log_level: LogLevel = "warning",
    debug: Debug = False,
) -> int:
    from ciranda.cli import runs

    return runs.replay(run, workers=workers, out=out, look=runs.Look(json=json, quiet=quiet, log_level=log_level))


@app.command("predict", help=say("cmd.predict"))
def _predict(
    run: Annotated[str, typer.Argument(metavar="RUN", help=say("arg.run-given"))],
    what: Annotated[str, typer.Argument(metavar="INPUT", help=say("arg.input"))],
    json: Annotated[bool, typer.Option("--json", help=say("opt.json-lines"))] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE.csv", help=_("Write a CSV file with the predictions."))] = None,
    debug: Debug = False,
) -> None:
    from ciranda.cli import predict

    predict.predict(run, what, json=json, out=out)


@app.command("plot", help=say("cmd.plot"))
def _plot(
    run: Run = None,
    out: Annotated[Path | None, typer.Option("--out", help=say("opt.plots"))] = None,
    debug: Debug = False,
) -> None:
    from ciranda.cli import plots

    for file in plots.plot(run, out):
        print(file)


@app.command("check", help=say("cmd.check"))
def _check(task: Annotated[str, typer.Argument(metavar="TASK", help=say("arg.task"))], debug: Debug = False) -> None:
    from ciranda.cli import check

    check.check(task)


@app.command("new", help=say("cmd.new"))
def _new(folder: Annotated[Path, typer.Argument(metavar="DIR", help=say("arg.folder"))], debug: Debug = False) -> None:
    from ciranda.cli import new

    new.new(folder)


@app.command("list", help=say("cmd.list"))
def _list(kind: Annotated[str | None, typer.Argument(metavar="KIND", help=say("arg.kind"))] = None, debug: Debug = False) -> None:
    from ciranda.cli import listing

    listing.show(kind)


@app.command("doctor", help=say("cmd.doctor"))
def _doctor(debug: Debug = False) -> int:
    from ciranda.cli import doctor

    return doctor.doctor()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on `arguments`, by default the process's; returns the exit status."""
    from ciranda.cli.errors import guarded

    given = list(sys.argv[1:] if arguments is None else arguments)
    return guarded(lambda: app(given, prog_name="ciranda", standalone_mode=False), debug="--debug" in given)


if __name__ == "__main__":
    sys.exit(main())
