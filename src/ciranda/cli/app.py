"""The command line: options and help. Each command imports what it needs when it runs, so that `--help` is immediate."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
import typer.core

from ciranda.cli import network
from ciranda.cli.fleet import options as fleet

vars(typer.core)["rich"] = None  # the help is plain text: as Rich's markup it would be escaped, and say \\[default: digits]

app = typer.Typer(
    name="ciranda",
    help="Federated learning: one model, many data owners, nobody hands their data over.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Json = Annotated[bool, typer.Option("--json", help="Print result.json on standard output, and nothing else there.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the run's folder only.")]
LogLevel = Annotated[str, typer.Option("--log-level", metavar="LEVEL", help="What to log: debug, info, warning or error.")]
Dashboard = Annotated[bool, typer.Option("--dashboard", help="A live picture of the run, on a terminal.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Worker processes; by default one for each core.")]
Out = Annotated[Path | None, typer.Option("--out", help="The run's folder; by default runs/NAME-NUMBER.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the experiment: section.key=value. Repeatable.")]
Run = Annotated[str | None, typer.Argument(metavar="RUN", help="A run's folder, or its name under runs/; by default the latest.")]

Target = Annotated[str | None, typer.Option("--target", metavar="COLUMN", help="The column of a CSV file to predict.")]
ClientColumn = Annotated[str | None, typer.Option("--client-column", metavar="COLUMN", help="The column that says whose row it is.")]
Metric = Annotated[str | None, typer.Option("--metric", help="The metric to compare by, such as accuracy or server.loss.")]
Format = Annotated[str, typer.Option("--format", metavar="FORMAT", help="Print as text, markdown, latex, csv or json.")]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(version("ciranda"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
    lang: Annotated[
        str | None, typer.Option("--lang", metavar="en|pt", help="The language, anywhere on the line; else CIRANDA_LANG or LANG.")
    ] = None,
) -> None:
    """Options of the program itself."""


@app.command("run", help="Train a federated model.")
def _run(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="An experiment file, a preset, my_task.py:Class, or data.csv.")] = "digits",
    target: Annotated[str | None, typer.Option("--target", metavar="COLUMN", help="The column of a CSV file to predict.")] = None,
    client_column: Annotated[
        str | None, typer.Option("--client-column", metavar="COLUMN", help="The column that says whose row it is.")
    ] = None,
    on: Annotated[str, typer.Option("--on", metavar="WIRE", help="Where to run.")] = "local",
    sets: Sets = None,
    workers: Workers = None,
    out: Out = None,
    json: Json = False,
    quiet: Quiet = False,
    log_level: LogLevel = "warning",
    dashboard: Dashboard = False,
    debug: Debug = False,
) -> int:
    from ciranda.cli import runs

    look = runs.Look(json=json, quiet=quiet, log_level=log_level, dashboard=dashboard)
    return runs.run(what, sets or [], on=on, target=target, client_column=client_column, workers=workers, out=out, look=look)


@app.command("resume", help="Go on with a run that was interrupted.")
def _resume(
    run: Run = None,
    sets: Sets = None,
    workers: Workers = None,
    json: Json = False,
    quiet: Quiet = False,
    log_level: LogLevel = "warning",
    dashboard: Dashboard = False,
    debug: Debug = False,
) -> int:
    from ciranda.cli import runs

    return runs.resume(run, sets or [], workers=workers, look=runs.Look(json=json, quiet=quiet, log_level=log_level, dashboard=dashboard))


@app.command("replay", help="Repeat a run with the participants it recorded.")
def _replay(
    run: Run = None,
    workers: Workers = None,
    out: Out = None,
    json: Json = False,
    quiet: Quiet = False,
    log_level: LogLevel = "warning",
    dashboard: Dashboard = False,
    debug: Debug = False,
) -> int:
    from ciranda.cli import runs

    return runs.replay(run, workers=workers, out=out, look=runs.Look(json=json, quiet=quiet, log_level=log_level, dashboard=dashboard))


@app.command("predict", help="Predict with a run's model.")
def _predict(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or its name under runs/.")],
    what: Annotated[str, typer.Argument(metavar="INPUT", help="test:INDEX, an image, a .npy array or a .csv file.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE.csv", help="Write a CSV file with the predictions.")] = None,
    debug: Debug = False,
) -> None:
    from ciranda.cli import predict

    predict.predict(run, what, json=json, out=out)


@app.command("plot", help="Draw a run's metrics as PNG and SVG.")
def _plot(
    run: Run = None,
    out: Annotated[Path | None, typer.Option("--out", help="The folder for the plots; by default RUN/plots.")] = None,
    debug: Debug = False,
) -> None:
    from ciranda.cli import plots

    for file in plots.plot(run, out):
        print(file)


@app.command("report", help="Write one HTML page about a run, or about several runs beside each other.")
def _report(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN...", help="Runs: one for its report, several for a comparison; by default the latest."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="The HTML file; by default in the first run's folder.")] = None,
    debug: Debug = False,
) -> None:
    from ciranda.cli import report

    print(report.report(runs or [], out))


@app.command("export", help="Hand a run to other tools: TensorBoard, MLflow, CSV, JSON lines.")
def _export(
    run: Run = None,
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="tensorboard, mlflow, csv or jsonl.")] = "csv",
    out: Annotated[
        str | None, typer.Option("--out", metavar="DIR", help="The folder to write to; for mlflow also the address of a server.")
    ] = None,
    debug: Debug = False,
) -> None:
    from ciranda.cli import export

    for place in export.export(run, to, out):
        print(place)


@app.command("check", help="Try a task, strategy, stage or selection rule of your own.")
def _check(
    task: Annotated[str, typer.Argument(metavar="FILE", help="my_task.py, my_strategy.py, or my_file.py:Class.")], debug: Debug = False
) -> None:
    from ciranda.cli import check

    check.check(task)


@app.command("partition", help="Show how an experiment deals its data out to the clients, before it runs.")
def _partition(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="An experiment file, a preset, my_task.py:Class, or data.csv.")] = "digits",
    target: Annotated[str | None, typer.Option("--target", metavar="COLUMN", help="The column of a CSV file to predict.")] = None,
    client_column: Annotated[
        str | None, typer.Option("--client-column", metavar="COLUMN", help="The column that says whose row it is.")
    ] = None,
    sets: Sets = None,
    out: Annotated[Path | None, typer.Option("--out", help="The folder for manifest and pictures; by default partitions/NAME.")] = None,
    debug: Debug = False,
) -> None:
    from ciranda.cli import partition

    partition.show(what, sets or [], target=target, client_column=client_column, out=out)


@app.command("new", help="Start a project of your own in a new folder.")
def _new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
    source: Annotated[Path | None, typer.Option("--from", metavar="FILE", help="A CSV file, or a folder of them, to learn from.")] = None,
    target: Annotated[str | None, typer.Option("--target", metavar="COLUMN", help="The column to predict.")] = None,
    client_column: Annotated[
        str | None, typer.Option("--client-column", metavar="COLUMN", help="The column that says whose row it is.")
    ] = None,
    debug: Debug = False,
) -> None:
    from ciranda.cli import new

    new.new(folder, source, target, client_column)


@app.command("list", help="What there is: tasks, strategies, partitioners, stages, presets.")
def _list(
    kind: Annotated[
        str | None,
        typer.Argument(metavar="KIND", help="Only this kind: tasks, strategies, partitioners, stages, selections, presets or wires."),
    ] = None,
    debug: Debug = False,
) -> None:
    from ciranda.cli import listing

    listing.show(kind)


@app.command("doctor", help="Explain a run in five lines; without one, say what this machine has and what is missing.")
def _doctor(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="A run's folder, or its name under runs/.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything that was found in the run as JSON.")] = False,
    debug: Debug = False,
) -> int:
    if run is not None:
        from ciranda.cli import diagnose

        return diagnose.doctor(run, as_json=json)
    from ciranda.cli import doctor

    return doctor.doctor()


network.register(app)
fleet.register(app)


@app.command("compare", help="Compare runs: a table with a test over the seeds, and curves.")
def _compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs, or folders that hold runs.")],
    metric: Metric = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="METRIC=VALUE", help="Tell after how many rounds it is reached.")
    ] = None,
    by: Annotated[str, typer.Option("--by", metavar="AXIS", help="Draw the curves by rounds, seconds or bytes.")] = "rounds",
    form: Format = "text",
    out: Annotated[Path | None, typer.Option("--out", help="Write the table in every format and the curves into this folder.")] = None,
    debug: Debug = False,
) -> None:
    from ciranda.cli.study import commands

    commands.compare(runs, metric=metric, target=target, by=by, out=out, look=commands.Look(form))


@app.command("baseline", help="Train federated, centrally and each client alone, over several seeds, and compare.")
def _baseline(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="What `run` takes, or the folder of a study to go on with.")] = "digits",
    seeds: Annotated[str | None, typer.Option("--seeds", help="How many seeds, or which: 5, or 1,2,7. Three by default.")] = None,
    target: Target = None,
    client_column: ClientColumn = None,
    metric: Metric = None,
    sets: Sets = None,
    workers: Workers = None,
    form: Format = "text",
    out: Out = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    from ciranda.cli.study import commands

    look = commands.Look(form, quiet=quiet)
    source = commands.Source(what, sets or [], target, client_column)
    commands.baseline(source, seeds=seeds, metric=metric, workers=workers, out=out, look=look)


@app.command("sweep", help="Find the best settings by validation; train the winner anew and test it once.")
def _sweep(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="What `run` takes, or the folder of a sweep to go on with.")] = "digits",
    grid: Annotated[
        list[str] | None, typer.Option("--grid", metavar="KEY=V1,V2", help="Values to try: section.key=value,value. Repeatable.")
    ] = None,
    random: Annotated[int | None, typer.Option("--random", min=1, help="Try so many of the combinations, drawn by the seed.")] = None,
    folds: Annotated[int, typer.Option("--folds", min=1, help="Cross-validate over so many folds of clients.")] = 1,
    halving: Annotated[
        int | None, typer.Option("--halving", min=2, help="Drop early: after few rounds keep one candidate in so many, and so on.")
    ] = None,
    target: Target = None,
    client_column: ClientColumn = None,
    metric: Metric = None,
    sets: Sets = None,
    workers: Workers = None,
    form: Format = "text",
    out: Out = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    from ciranda.cli.study import commands

    look = commands.Look(form, quiet=quiet)
    source = commands.Source(what, sets or [], target, client_column)
    search = {"random": random, "folds": folds, "halving": halving, "metric": metric}
    commands.sweep(source, grid or [], search, workers=workers, out=out, look=look)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on `arguments`, by default the process's; returns the exit status."""
    from ciranda.cli.errors import guarded
    from ciranda.cli.language import chosen, known, localised, spoken

    language, given = chosen(sys.argv[1:] if arguments is None else arguments)

    def command() -> object:
        known(language)
        return localised(typer.main.get_command(app))(given, prog_name="ciranda", standalone_mode=False)

    with spoken(language):
        return guarded(command, debug="--debug" in given)


if __name__ == "__main__":
    sys.exit(main())
