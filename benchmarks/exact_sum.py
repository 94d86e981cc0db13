"""Exact aggregation against numpy's mean, on the same updates, in the same process, alternated.

    python benchmarks/exact_sum.py

The exact sum takes 10 updates of 10 million float32 one by one, then divides; `np.mean` gets all ten at once. Prints the
median times, the median ratio of neighbouring runs, the extra memory of either side in models (result included, updates
not), and the time of one fold of a tiny update.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ciranda.core import update
from ciranda.core.task import Arrays

UPDATES, SIZE, REPEATS = 10, 10_000_000, 7
Tensors = Mapping[str, NDArray[np.float32]]


def make(size: int, rows: int, count: int) -> tuple[update.Contract, list[update.Update]]:
    """A contract for a model of two tensors, `size` parameters in all, and `count` random updates."""
    generator = np.random.default_rng(0)
    model: Arrays = {"weight": np.zeros((rows, size // rows - 1), np.float32), "bias": np.zeros(rows, np.float32)}
    contract = update.Contract.for_model(model, lambda name: "model", max_weight=3000, cohort=count)
    updates = []
    for _ in range(count):
        arrays = {name: generator.standard_normal(array.shape, np.float32) * np.float32(0.01) for name, array in model.items()}
        updates.append(update.Update({"model": arrays}, 3000, {}))
    return contract, updates


def exact(contract: update.Contract, updates: list[update.Update]) -> Arrays:
    total = update.zero(contract)
    for rank, one in enumerate(updates):
        total = update.fold(contract, total, str(rank), one)
    return update.finish(contract, total).parts["model"]


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peak_models(work: Callable[[], object], model_bytes: int) -> float:
    """The most memory that `work` held at once, in models."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / model_bytes


def main() -> None:
    contract, updates = make(SIZE, 10, UPDATES)
    weights = [one.parts["model"]["weight"] for one in updates]
    sides: dict[str, Callable[[], object]] = {
        "exact": lambda: exact(contract, updates),
        "numpy": lambda: np.mean(weights, axis=0),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(REPEATS):
        for name, work in sides.items():
            times[name].append(seconds(work))
    median = {name: statistics.median(values) for name, values in times.items()}
    ratio = statistics.median(a / b for a, b in zip(times["exact"], times["numpy"], strict=True))
    error = float(np.abs(exact(contract, updates)["weight"] - np.mean(weights, axis=0, dtype=np.float64)).max())
    model_bytes = SIZE * 4
    print(f"{UPDATES} updates of {SIZE:,} float32, {REPEATS} alternated repeats, medians")
    for name, work in sides.items():
        print(f"  {name}: {median[name]:.3f} s, extra memory {peak_models(work, model_bytes):.2f} models")
    print(f"  ratio {ratio:.2f} (target 2.00), largest difference from the float64 mean {error:.1e}")

    small, tiny = make(650, 10, 1000)
    each = min(seconds(lambda: exact(small, tiny)) for _ in range(REPEATS)) / len(tiny)
    print(f"  one fold of a model of 650 parameters: {each * 1e6:.0f} us")


if __name__ == "__main__":
    main()
