"""A sweep of eight small runs side by side, against the same runs one after another by themselves.

    python -m benchmarks.sweep_speed [--repeats N] [--workers N]

Both sides are timed in one process, turn about. By themselves: each candidate is one `compose.run` with one worker in this process, the
data read before the clock starts. The sweep: everything from the call to the moment that the winner is known, forking and choosing
included; the winner's own last run comes after. Prints the ratio of the sweep's time to the sum of the runs' times divided by the workers.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ciranda.cli import compose
from ciranda.cli.study.candidates import Value, candidates
from ciranda.cli.study.show import Progress
from ciranda.cli.study.sweep import Search, sweep, trial
from ciranda.cli.study.trial import Shared
from ciranda.experiment.load import resolve

TARGET = 1.1
GRID: dict[str, list[Value]] = {"strategy.name": ["fedavg", "fedprox"], "client.learning-rate": [0.02, 0.05, 0.1, 0.2]}
SETTINGS = ("rounds.num-rounds=30", "federation.validation-fraction=0.2")


class _Known(Exception):
    """The winner is known: what comes after is not timed."""


class _Clock(Progress):
    def line(self, text: str) -> None:
        if text.startswith("Chosen"):
            raise _Known


def one_by_one(folder: Path, settings: Sequence[str]) -> float:
    """Seconds of all runs, each by itself."""
    base = resolve("digits", settings)
    task = Shared.of(compose.task_of(base))
    task.data()
    total = 0.0
    for each in candidates(base, GRID):
        experiment = trial(each.experiment, 1, 1)
        start = time.perf_counter()
        compose.run(experiment, folder / str(each.number), workers=1, task=task)
        total += time.perf_counter() - start
    return total


def side_by_side(folder: Path, settings: Sequence[str], workers: int) -> float:
    """Seconds of the sweep until the winner is known."""
    base = resolve("digits", settings)
    start = time.perf_counter()
    try:
        sweep(base, Search(GRID), folder, workers=workers, progress=_Clock(sys.stdout, quiet=True))
    except _Known:
        return time.perf_counter() - start
    raise AssertionError("a sweep always chooses")


def measure(repeats: int, workers: int, settings: Sequence[str] = SETTINGS) -> list[tuple[float, float]]:
    """(sum of the runs, the sweep) in seconds, repetition by repetition, beginning with another side each time."""
    found = []
    for repeat in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            if repeat % 2:
                together = side_by_side(Path(folder) / "sweep", settings, workers)
                alone = one_by_one(Path(folder) / "runs", settings)
            else:
                alone = one_by_one(Path(folder) / "runs", settings)
                together = side_by_side(Path(folder) / "sweep", settings, workers)
        found.append((alone, together))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Ends with 1 when the median ratio is over the target."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep_speed", description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(arguments)
    ratios = []
    for alone, together in measure(given.repeats, given.workers):
        ratios.append(together / (alone / given.workers))
        print(
            f"runs by themselves {alone:.2f} s   sweep with {given.workers} workers {together:.2f} s   ratio {ratios[-1]:.3f}", flush=True
        )
    middle = statistics.median(ratios)
    print(f"median ratio {middle:.3f} ({min(ratios):.3f} to {max(ratios):.3f}), {len(ratios)} alternated, target {TARGET:.2f}")
    return 1 if middle > TARGET else 0


if __name__ == "__main__":
    sys.exit(main())
