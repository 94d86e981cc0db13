"""Choose settings on a validation split of the training data, then open the test set once.

    python -m benchmarks.tuning classic-mnist --out DIR --grid client.learning-rate=0.05,0.1 --grid client.momentum=0.5,0.9
    python -m benchmarks.tuning classic-mnist --out DIR --candidate "client.optimizer=adam client.learning-rate=0.001" --candidate ""

Every candidate, and every combination of the grid,
trains on the training data less its last VALIDATION examples and is judged on those, under the preset's own
number of rounds. The best one is then run on the whole training data for each of the seeds, and evaluated on the test set.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ciranda.cli import compose
from ciranda.core.rng import Draw
from ciranda.core.task import FederatedData, Task
from ciranda.experiment.load import resolve
from ciranda.experiment.schema import Experiment

VALIDATION = 10_000


class HeldOut:
    """A task whose test set is a part of its training data, drawn at random; the real test set is out of reach."""

    def __init__(self, task: Task, examples: int) -> None:
        self._task, self._examples = task, examples

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def data(self) -> FederatedData:
        data = self._task.data()
        order = Draw(0).at("validation").permutation(len(data.train))
        kept, held = order[self._examples :], order[: self._examples]
        return replace(data, train=data.train[kept], test=data.train[held], groups=None)


def combinations(grid: Sequence[str]) -> list[list[str]]:
    """All settings "section.key=value" of the grid's rows "section.key=value,value"."""
    rows = [(key, values.split(",")) for key, _, values in (row.partition("=") for row in grid)]
    return [
        [f"{key}={value}" for (key, _), value in zip(rows, chosen, strict=True)]
        for chosen in itertools.product(*(values for _, values in rows))
    ]


def measure(experiment: Experiment, out: Path, metric: str, *, held_out: bool) -> tuple[float, list[float]]:
    """(last value, value after each round) of "server.METRIC"."""
    task = HeldOut(compose.task_of(experiment), VALIDATION) if held_out else None
    values: list[float] = []

    def note(row: Any) -> None:
        if row["event"] == "round":
            values.append(row["metrics"]["server"][metric])

    result = compose.run(experiment, out, on_event=note, task=task)
    if result.state != "finished":
        raise SystemExit(f"stopped: {result.stop_reason}")  # an unfinished run must neither be chosen nor lead on to the test set
    return values[-1], values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset")
    parser.add_argument("--grid", action="append", default=[], help="section.key=value,value,...")
    parser.add_argument("--candidate", action="append", default=[], help='settings to try, separated by spaces; "" is the preset as it is')
    parser.add_argument("--set", action="append", default=[], help="section.key=value for every run")
    parser.add_argument("--metric", default="accuracy")
    parser.add_argument("--seeds", default="1,2,3", help="of the final runs; the search uses seed 0")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    scores: list[tuple[float, list[str]]] = []
    candidates = [candidate.split() for candidate in arguments.candidate] + (combinations(arguments.grid) if arguments.grid else [])
    for number, settings in enumerate(candidates):
        experiment = resolve(arguments.preset, [*arguments.set, *settings, "experiment.seed=0"])
        last, values = measure(experiment, arguments.out / f"search-{number}", arguments.metric, held_out=True)
        print(f"validation {last:.4f}  {' '.join(settings)}  {[round(value, 4) for value in values]}", flush=True)
        scores.append((last, settings))
    best = max(scores)[1]
    print(f"chosen on validation: {' '.join(best)}", flush=True)
    finals = []
    for seed in arguments.seeds.split(","):
        experiment = resolve(arguments.preset, [*arguments.set, *best, f"experiment.seed={seed}"])
        last, _ = measure(experiment, arguments.out / f"final-{seed}", arguments.metric, held_out=False)
        print(f"test {last:.4f}  seed {seed}", flush=True)
        finals.append(last)
    spread = statistics.stdev(finals) if len(finals) > 1 else 0.0
    print(json.dumps({"settings": best, "test": finals, "mean": statistics.mean(finals), "stdev": spread}))


if __name__ == "__main__":
    main()
