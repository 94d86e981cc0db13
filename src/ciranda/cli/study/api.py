"""Studies from Python: `ciranda.compare`, `ciranda.baseline`, `ciranda.sweep`. A notebook shows what they return as a table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ciranda.cli.api import Setting, described, place
from ciranda.cli.folder import free_folder
from ciranda.cli.study import baseline as baselines
from ciranda.cli.study import sweep as sweeps
from ciranda.cli.study.baseline import Baselines
from ciranda.cli.study.candidates import Value
from ciranda.cli.study.compare import Comparison
from ciranda.cli.study.compare import compare as compare_folders
from ciranda.cli.study.show import Progress
from ciranda.cli.study.sweep import Search, Sweep
from ciranda.core.errors import ExperimentError

if TYPE_CHECKING:
    from ciranda.cli.api import Run
    from ciranda.core.task import Task
    from ciranda.tasks.torch_task import TorchTask

__all__ = ["Baselines", "Comparison", "Sweep", "baseline", "compare", "sweep"]


def compare(runs: Sequence[Run | str | Path], *, metric: str | None = None, target: str | float | None = None) -> Comparison:
    """Compare runs in a table; those that differ in the seed only are one line, with mean and standard deviation.

    Args:
        runs: what `ciranda.run` returned, or folders of runs, or folders that hold runs.
        metric: "accuracy", "server.loss" and the like; by default what says most of all that every run measured.
        target: 0.9, or "accuracy=0.9": also tell after how many rounds it was reached.

    Raises:
        CirandaError: no such run, runs of different data, or nothing that all of them measured.
    """
    return compare_folders([run if isinstance(run, str | Path) else run.out for run in runs], metric=metric, target=target)


def baseline(
    what: Task | TorchTask | str,
    *,
    seeds: int | Sequence[int] = baselines.DEFAULT_SEEDS,
    metric: str | None = None,
    out: str | Path | None = None,
    workers: int | None = None,
    quiet: bool = False,
    **settings: Setting,
) -> Baselines:
    """Train federated, with all data in one place, and every client alone, under several seeds, and compare.

    Args:
        what, settings: as `ciranda.run` takes them.
        seeds: how many, from the experiment's seed on, or which.
        out: the folder; what is there already is kept, so that a study that was interrupted goes on. By default a new one under runs/.

    Raises:
        CirandaError: an experiment that cannot work, or what ended a training.
    """
    experiment, task = described(what, settings)
    folder = Path(out) if out is not None else free_folder(f"{experiment.experiment.name}-baseline")
    chosen = baselines.seeds_from(experiment.experiment.seed, seeds) if isinstance(seeds, int) else seeds
    with Progress(sys.stdout, quiet=quiet) as progress:
        return baselines.baseline(experiment, folder, seeds=chosen, workers=workers, metric=metric, task=task, progress=progress)


def sweep(
    what: Task | TorchTask | str,
    grid: Mapping[str, Sequence[Value]],
    *,
    folds: int = 1,
    halving: int | None = None,
    random: int | None = None,
    metric: str | None = None,
    out: str | Path | None = None,
    workers: int | None = None,
    quiet: bool = False,
    **settings: Setting,
) -> Sweep:
    """Find the best of some settings by validation, train it anew on all clients and test it once.

    Args:
        what, settings: as `ciranda.run` takes them.
        grid: setting -> values to try, such as {"strategy": ["fedavg", "fedadam"], "learning_rate": [0.01, 0.1]}; keys as in a file do too,
            "client.learning-rate".
        folds: of clients, for cross-validation; 1 validates on each client's own validation split.
        halving: keep one candidate in so many after few rounds, then after more. random: try so many combinations, not all.
        metric: what to choose by, "accuracy" or "loss"; by default what says most.
        out: the folder; what is there already is kept, so that a sweep that was interrupted goes on. By default a new one under runs/.

    Raises:
        CirandaError: settings that cannot work, before anything is trained; or no candidate could be trained.
    """
    experiment, task = described(what, settings)
    search = Search(grid_of(grid, str(settings.get("strategy", experiment.strategy.name))), random, folds, halving, metric)
    folder = Path(out) if out is not None else free_folder(f"{experiment.experiment.name}-sweep")
    with Progress(sys.stdout, quiet=quiet) as progress:
        return sweeps.sweep(experiment, search, folder, workers=workers, task=task, progress=progress)


def grid_of(grid: Mapping[str, Sequence[Value]], strategy: str) -> dict[str, list[Value]]:
    """Settings, in snake case or as "section.key", with their values as "section.key" -> values.

    Raises:
        ExperimentError: a setting that there is not.
    """
    grid = {"strategy" if setting == "strategy.name" else setting.replace(".", "__"): values for setting, values in grid.items()}
    strategies = [str(name) for name in grid.get("strategy", [strategy])]
    found: dict[str, list[Value]] = {}
    for setting, values in grid.items():
        if not values or isinstance(values, str):
            raise ExperimentError("The grid's '{setting}' needs a list of values.", setting=setting)
        section, key = _home(setting, values[0], strategies)
        found[f"{section}.{key}"] = list(values)
    return found


def _home(setting: str, value: Value, strategies: Sequence[str]) -> tuple[str, str]:
    """The section and key of a setting, which may be a parameter of one of the strategies only."""
    if setting == "strategy":
        return "strategy", "name"
    problem: ExperimentError | None = None
    for name in strategies:
        try:
            placed = place({setting: value, "strategy": name})
        except ExperimentError as error:
            problem = error
            continue
        return next((section, key) for section, keys in placed.items() for key in keys if (section, key) != ("strategy", "name"))
    assert problem is not None
    raise problem
