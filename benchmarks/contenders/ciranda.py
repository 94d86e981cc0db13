"""Ciranda's local runtime, as `ciranda run` uses it: every round is stored, checkpointed and written to metrics.jsonl."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import ciranda
from benchmarks.work import Job, Report, Work, main
from ciranda.cli import compose
from ciranda.core.task import Examples, FederatedData, Task
from ciranda.experiment.load import loads
from ciranda.tasks.numpy_models import NumpyTask
from ciranda.tasks.preprocess import Affine

TASKS = {"cnn": "mnist-cnn", "softmax": "mnist-softmax", "small": "python:small"}
FEATURES, CLASSES = 16, 4


def made_up(examples: int) -> FederatedData:
    """Bytes around one of four corners: nothing that a softmax regression could not learn."""
    generator = np.random.default_rng(1)
    corners = generator.integers(0, 128, (CLASSES, FEATURES), np.uint8)

    def draw(count: int) -> Examples:
        y = generator.integers(0, CLASSES, count)
        x = generator.integers(0, 128, (count, FEATURES), np.uint8)
        x += corners[y]
        return Examples(x, y)

    return FederatedData(draw(examples), draw(1000), tuple("abcd"), name="made up")


def task_of(work: Work) -> Task | None:
    """None for the tasks that Ciranda has under a name."""
    if work.model != "small":
        return None
    return NumpyTask("small", partial(made_up, work.clients * work.examples), (FEATURES, CLASSES), scale_x=Affine(128.0, 64.0))


def peak_mib(processes: int) -> float:
    """An upper bound: what processes share is counted in each."""
    own, child = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return float(own + (processes * child if processes > 1 else 0)) / 1024


def toml(work: Work) -> str:
    """The experiment."""
    return f"""
[experiment]
name = "{work.name}"
task = "{TASKS[work.model]}"
device = "cpu"

[federation]
clients = {work.clients}

[rounds]
num-rounds = {work.warmup + work.rounds}
fraction-train = {work.cohort / work.clients}

[client]
local-epochs = 1
batch-size = {work.batch_size}
learning-rate = {work.learning_rate}
momentum = {work.momentum}

[evaluate]
where = "none"
"""


def work(job: Job) -> Report:
    experiment = loads(toml(job.work), "the benchmark's experiment")
    marks: list[float] = []
    accepted: list[int] = []

    def on_event(row: Mapping[str, Any]) -> None:
        if row["event"] == "round":
            marks.append(time.monotonic())
            accepted.append(len(row["accepted"]))

    out, task = Path(job.folder) / "run", task_of(job.work)
    compose.run(experiment, out, workers=job.processes, on_event=on_event, task=task)
    peak = peak_mib(job.processes)
    data = (task or compose.task_of(experiment)).data()
    share = len(data.train) // job.work.clients
    right = int((compose.predict(out, data.test.x, task).argmax(1) == data.test.y).sum())
    versions = {"ciranda": ciranda.__version__, "numpy": np.__version__}
    return Report(marks, accepted[-1] * share, right / len(data.test), versions, peak)


if __name__ == "__main__":
    main(work)
