"""Each client alone: what it reaches on its own examples, without the others. No rounds and no messages, so no run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from ciranda.cli import compose
from ciranda.cli.study.jobs import Tell
from ciranda.core.metrics import Sums, add, spread, summarise
from ciranda.core.population import name_of
from ciranda.core.task import ClientSettings, Task
from ciranda.experiment.schema import Experiment
from ciranda.store.files import make_folder, write_whole
from ciranda.tasks.recipe import prepare_worker

CLIENTS = "clients.jsonl"


@dataclass(frozen=True)
class Alone:
    """What the clients reached, each with its own model.

    Attributes:
        groups: "server": the mean over the clients of what their models reach on the server's test set; "clients": on their own test
            examples, all clients' examples counted together as in a federated evaluation; whichever the experiment evaluates.
        spreads: for the same groups, metric -> how it is spread over the clients (min, p10, median, max, std).
        seconds: spent in training and evaluating, of all clients together.
    """

    groups: dict[str, dict[str, float]]
    spreads: dict[str, dict[str, dict[str, float]]]
    seconds: float


def train_alone(experiment: Experiment, passes: int, folder: Path, tell: Tell, task: Task | None = None) -> Alone:
    """Train every client by itself for `passes` over its examples, from the initial model of the federated run; then evaluate.

    What is in `folder` already is kept: a line of clients.jsonl for each client that is done.

    Raises:
        CirandaError: a client's data or training.
    """
    assembly = compose.assemble(experiment, task)
    rows = _kept(folder / CLIENTS)
    names = [name_of(rank) for rank in range(assembly.population.size)]
    tell({"event": "start", "rounds": len(names), "done": len(rows)})
    settings = replace(experiment.client.settings(), local_epochs=passes)
    with prepare_worker(bool(getattr(assembly.task, "device", ""))), (folder / CLIENTS).open("a", encoding="utf-8") as stream:
        for rank, name in enumerate(names):
            if name not in rows:
                rows[name] = _one(assembly, rank, settings)
                stream.write(json.dumps({"client": name, **rows[name]}) + "\n")
                stream.flush()
            tell({"event": "round", "round": rank + 1, "rounds": len(names)})
    return _summary([rows[name] for name in names])


def _one(assembly: compose.Assembly, rank: int, settings: ClientSettings) -> dict[str, Any]:
    """Train and evaluate one client: group -> sums, as JSON has them, and the seconds."""
    task, population, evaluate = assembly.task, assembly.population, assembly.experiment.evaluate
    start = perf_counter()
    model = task.train(
        assembly.initial(), population.train(rank), settings, assembly.draw.at("train", round=1, client=name_of(rank))
    ).arrays
    sums: dict[str, Sums] = {}
    if evaluate.on_server:
        sums["server"] = task.evaluate(model, population.data.test, evaluate.batch_size)
    if evaluate.on_clients:
        sums["clients"] = task.evaluate(model, population.test(rank), evaluate.batch_size)
    plain = {
        group: {name: value if isinstance(value, int) else value.tolist() for name, value in each.items()} for group, each in sums.items()
    }
    return {"sums": plain, "seconds": perf_counter() - start}


def _kept(file: Path) -> dict[str, dict[str, Any]]:
    """The clients that are done; a line that a crash cut short is dropped from the file."""
    make_folder(file.parent)
    rows: dict[str, dict[str, Any]] = {}
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    whole = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
    if "".join(whole) != text:
        write_whole(file, [line.encode() for line in whole])
    for line in whole:
        row = json.loads(line)
        rows[row.pop("client")] = row
    return rows


def _summary(rows: list[dict[str, Any]]) -> Alone:
    groups: dict[str, dict[str, float]] = {}
    spreads: dict[str, dict[str, dict[str, float]]] = {}
    ways: dict[str, Callable[[list[dict[str, float]], list[Sums]], dict[str, float]]] = {
        "server": lambda each, sums: _mean(each),
        "clients": lambda each, sums: summarise(_total(sums)),
    }
    for group, way in ways.items():
        sums = [_as_sums(row["sums"][group]) for row in rows if group in row["sums"]]
        each = [summarise(one) for one in sums]
        if any(each):
            groups[group] = way(each, sums)
            spreads[group] = spread({str(place): values for place, values in enumerate(each)})
    return Alone(groups, spreads, sum(row["seconds"] for row in rows))


def _as_sums(stored: dict[str, Any]) -> Sums:
    import numpy as np

    return {name: value if isinstance(value, int) else np.array(value, np.int64) for name, value in stored.items()}


def _mean(values: list[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for each in values for name in each)
    columns = {name: [each[name] for each in values if name in each] for name in names}
    return {name: sum(column) / len(column) for name, column in columns.items()}


def _total(sums: list[Sums]) -> Sums:
    total: Sums = {}
    for each in sums:
        total = add(total, each) if total else each
    return total
