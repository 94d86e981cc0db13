"""How evenly a model serves the clients: spread, inequality, and who is served worst."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ciranda.report.records import WORST, Floats, Ints


@dataclass(frozen=True)
class Fairness:
    """One value per client in a few numbers; `std` with ddof 0, `worst` and `best` the means over a tenth of the clients, at least one."""

    clients: int
    mean: float
    std: float
    low: float
    p10: float
    median: float
    p90: float
    high: float
    worst: float
    best: float
    gini: float


def fairness(values: Floats, *, rising: bool) -> Fairness:
    """The numbers for the clients' values, shape (clients,), at least one; `rising`: more is better."""
    ordered = np.sort(values)
    tenth = max(1, round(WORST * len(ordered)))
    low, high = float(ordered[:tenth].mean()), float(ordered[-tenth:].mean())
    p10, median, p90 = np.percentile(ordered, [10, 50, 90]).tolist()
    ends = (low, high) if rising else (high, low)
    mean, std = float(ordered.mean()), float(ordered.std())
    return Fairness(len(ordered), mean, std, float(ordered[0]), p10, median, p90, float(ordered[-1]), *ends, gini(ordered))


def gini(values: Floats) -> float:
    """Gini's coefficient of values that are not negative: 0 all equal, towards 1 one has all. NaN if one is negative, 0 if all are 0.

    Half the mean difference of two values over the mean; Gini (1912), in the form that sorts once.
    """
    ordered = np.sort(values)
    if not len(ordered) or ordered[0] < 0:
        return float("nan")
    total = float(ordered.sum())
    n = len(ordered)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered) / (n * total) if total > 0 else 0.0


def lorenz(values: Floats) -> tuple[Floats, Floats]:
    """(share of the clients, share of the total that they hold together), from the least: both from 0 to 1. Lorenz (1905)."""
    held = np.concatenate([[0.0], np.cumsum(np.sort(values))])
    return np.linspace(0, 1, len(held)), held / held[-1] if held[-1] > 0 else np.linspace(0, 1, len(held))


def worst_first(values: Floats, *, rising: bool) -> Ints:
    """The places of the values, the worst served first; equal values stay in their order."""
    order: Ints = np.argsort(values if rising else -values, kind="stable")
    return order
