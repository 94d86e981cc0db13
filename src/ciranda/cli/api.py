"""Ciranda from Python: `ciranda.run(Digits(), clients=20)` in a script or a notebook cell."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ciranda.cli import compose
from ciranda.cli.folder import RunFolder, free_folder
from ciranda.cli.progress import Display
from ciranda.cli.result import Result, read_result
from ciranda.core.errors import ExperimentError
from ciranda.core.partition import PARTITIONERS
from ciranda.core.task import Array, Arrays, FederatedData, Task
from ciranda.experiment.explain import Origin
from ciranda.experiment.load import check, resolve, table_defaults
from ciranda.experiment.names import kebab, nearest, parameters
from ciranda.experiment.schema import Experiment
from ciranda.plugins.families import SELECTION, STAGE, STRATEGY
from ciranda.tasks.datasets.encoding import Encoding
from ciranda.tasks.datasets.frames import table_of
from ciranda.tasks.datasets.table import read_table
from ciranda.tasks.user import as_task

if TYPE_CHECKING:
    from ciranda.cli.plots import Drawing
    from ciranda.tasks.torch_task import TorchTask

Setting = str | bool | int | float | list[str]
_PRECEDENCE = ("client", "federation", "rounds", "experiment", "strategy", "stage", "evaluate", "stop", "privacy", "data")
# setting -> what it names, and where an experiment file has it
_FAMILIES = {"strategy": (STRATEGY, "strategy", "name"), "stage": (STAGE, "stage", "name"), "selection": (SELECTION, "rounds", "selection")}
_DEFAULTS = tuple(Experiment(experiment={"task": "any"}))  # type: ignore[arg-type]


class Run:
    """A run that is over: what it measured, its model, and what the model says of new inputs."""

    def __init__(self, out: Path, result: Result, task: Task) -> None:
        self.out, self.result, self._task = out, result, task
        self._folder = RunFolder(out)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """One dict a round: {"round": 1, "server.accuracy": 0.93, "train.loss": ...}; `pandas.DataFrame(run.metrics)` is a table."""
        return [
            {
                "round": row["round"],
                **{f"{group}.{name}": value for group, values in row["metrics"].items() for name, value in values.items()},
            }
            for row in self._folder.rows()
        ]

    @property
    def model(self) -> Arrays:
        """The final model: name -> array; `module.load_state_dict` takes it through `torch.from_numpy`."""
        return compose.stored_model(self._folder)

    def predict(self, x: Any) -> Array:
        """Class probabilities, shape (n, classes), or predicted targets.

        Args:
            x: raw inputs as the task's data has them; or, for a run on a table, later rows: a CSV file's path or a data frame.
        """
        record = self._folder.data_record()
        if record is not None and (isinstance(x, str | Path) or hasattr(x, "columns")):
            table = read_table(Path(x)) if isinstance(x, str | Path) else table_of(x)
            x = Encoding.from_json(record["encoding"]).encode(table)
        return self._task.predict(self.model, x)

    def plot(self) -> Drawing:
        """The curves of the run; a notebook shows them. Raises MissingExtra without matplotlib."""
        from ciranda.cli.plots import Drawing, figure
        from ciranda.report.records import read

        return Drawing(figure(read(self._folder.each_row())))

    def report(self, out: str | Path | None = None) -> Path:
        """Write the page that tells of the run, by default report.html in its folder; returns the file."""
        from ciranda.cli.report import report

        return report([str(self.out)], Path(out) if out is not None else None)

    def __repr__(self) -> str:
        values = ", ".join(
            f"{group} {name} {value:.4f}"
            for group, metrics in self.result.metrics.items()
            if group in ("train", "server", "clients")
            for name, value in metrics.items()
        )
        return f"Run({self.result.state}: {self.result.stop_reason}; {self.result.rounds} rounds; {values}; in {self.out})"


def run(
    what: Task | TorchTask | FederatedData | str,
    *,
    out: str | Path | None = None,
    workers: int | None = None,
    quiet: bool = False,
    **settings: Setting,
) -> Run:
    """Train federatedly and return when it is done.

    Args:
        what: a task object, a data set made of a table (`ciranda.data.from_frame`), or what `ciranda run` takes: a preset, a TOML
            file, "my_task.py:Class", or "data.csv" with target="price" and perhaps client_column="town".
        out: the run's folder; by default runs/NAME-001, the first number that is free.
        workers: worker processes; by default one per core.
        settings: keys of an experiment file in snake case: clients=20, num_rounds=5, learning_rate=0.1, strategy="fedprox",
            proximal_mu=0.1, stage="int8", selection="power-of-choice", candidates=8, partitioner="dirichlet", alpha=0.5. A file of
            one's own is named as there: strategy="mine.py:Mine". Where two sections have a key, batch_size is the clients' and
            test_fraction the federation's; section__key, such as evaluate__batch_size, names any. For a table,
            target is the column to predict.

    Raises:
        ExperimentError: a setting is unknown or impossible. CirandaError: what ended the run.
    """
    experiment, task = described(what, settings)
    folder = Path(out) if out is not None else free_folder(experiment.experiment.name)
    with Display(sys.stdout, experiment.experiment.name, experiment.experiment.seed, quiet=quiet) as on_event:
        result = compose.run(experiment, folder, workers=workers, on_event=on_event, task=task)
    return Run(folder, result, task or compose.task_of(experiment))


def described(what: Task | TorchTask | FederatedData | str, settings: Mapping[str, Setting]) -> tuple[Experiment, Task | None]:
    """The experiment that `what` and some settings make, and the task if it is a Python object. Raises ExperimentError."""
    table = isinstance(what, str) and (what.lower().endswith(".csv") or Path(what).is_dir())
    placed = place({"data__target" if table and name == "target" else name: value for name, value in settings.items()})
    if isinstance(what, str):
        overrides = [f"{section}.{key}={_literal(value)}" for section, keys in placed.items() for key, value in keys.items()]
        columns = placed.get("data", {}) if table else {}
        return resolve(what, overrides, target=columns.get("target"), client_column=columns.get("client-column")), None
    task = as_task(what)
    own: dict[str, dict[str, Any]] = {"experiment": {"task": f"python:{task.name}", "name": task.name}}
    if isinstance(what, FederatedData):
        own |= table_defaults(natural=what.groups is not None)
    sections = {name: {**own.get(name, {}), **placed.get(name, {})} for name in {**own, **placed}}
    return check(sections, Origin("ciranda.run", {}, {})), task


def resume(
    out: str | Path, what: Task | TorchTask | None = None, *, workers: int | None = None, quiet: bool = False, **settings: Setting
) -> Run:
    """Go on with the run in `out`; `what` is the task again if it was a Python object; `num_rounds=20` and the like extend the run."""
    folder = Path(out)
    task = as_task(what) if what is not None else None
    overrides = [f"{section}.{key}={_literal(value)}" for section, keys in place(settings).items() for key, value in keys.items()]
    experiment = compose.experiment_of(folder)
    with Display(sys.stdout, experiment.experiment.name, experiment.experiment.seed, quiet=quiet) as on_event:
        result = compose.resume(folder, overrides=overrides, workers=workers, on_event=on_event, task=task)
    return Run(folder, result, task or compose.task_of(experiment))


def replay(
    out: str | Path, into: str | Path, what: Task | TorchTask | None = None, *, workers: int | None = None, quiet: bool = False
) -> Run:
    """Run the experiment of `out` again into `into`, with exactly the clients that were counted: the same model on the same recipe."""
    experiment = compose.experiment_of(Path(out))
    task = as_task(what) if what is not None else compose.task_of(experiment)
    with Display(sys.stdout, experiment.experiment.name, experiment.experiment.seed, quiet=quiet) as on_event:
        result = compose.replay(Path(out), Path(into), workers=workers, on_event=on_event, task=task)
    return Run(Path(into), result, task)


def open_run(out: str | Path, what: Task | TorchTask | None = None) -> Run:
    """A run that is over, from its folder. Raises Missing, or DataError if its result cannot be read."""
    folder = Path(out)
    task = as_task(what) if what is not None else compose.task_of(compose.experiment_of(folder))
    return Run(folder, read_result(RunFolder.existing(folder).result), task)


def place(settings: Mapping[str, Setting]) -> dict[str, dict[str, Any]]:
    """Snake-case settings as sections of an experiment file. Raises ExperimentError for a key that no section has."""
    sections = {name: [kebab(field) for field in type(section).model_fields] for name, section in _DEFAULTS}
    dealing = PARTITIONERS.get(str(settings.get("partitioner")))
    sections["federation"].extend(map(kebab, dealing.parameters) if dealing is not None else ())
    for given, (family, section, _) in _FAMILIES.items():
        if given in settings or given == "strategy":
            sections[section].extend(parameters(family.find(str(settings.get(given, "fedavg")))))
    table: dict[str, dict[str, Any]] = {}
    for given, value in settings.items():
        section, _, key = given.rpartition("__")
        key = kebab(key)
        if given in _FAMILIES:
            _, section, key = _FAMILIES[given]
        homes = [section] if section else [name for name in _PRECEDENCE if key in sections[name]]
        if not homes:
            every = [key for keys in sections.values() for key in keys]
            raise ExperimentError("There is no setting '{given}'{near}", given=given, near=nearest(given, every))
        table.setdefault(homes[0], {})[key] = value
    return table


def _literal(value: Setting) -> str:
    return json.dumps(value)
