"""The series that plots draw, from the rows of metrics.jsonl alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Row = Mapping[str, Any]
HEADLINES = ("accuracy", "r2", "rmse", "loss")


@dataclass(frozen=True)
class Curve:
    """One metric by round: `rounds` ascending, `values` of the same length."""

    rounds: Sequence[int]
    values: Sequence[float]

    def __bool__(self) -> bool:
        return bool(self.rounds)


@dataclass(frozen=True)
class Band:
    """How a metric is spread over clients, by round."""

    rounds: Sequence[int]
    low: Sequence[float]
    median: Sequence[float]
    high: Sequence[float]

    def __bool__(self) -> bool:
        return bool(self.rounds)


def group_curve(rows: Iterable[Row], group: str, metric: str) -> Curve:
    """A group's metric ("server", "clients", "train") in the rounds that have it."""
    points = [(row["round"], row["metrics"].get(group, {}).get(metric)) for row in _rounds(rows)]
    return _curve((number, value) for number, value in points if value is not None)


def client_curves(rows: Iterable[Row], metric: str) -> dict[str, Curve]:
    """Each client's metric in the rounds that it took part in, clients in the order of their names (numbers as numbers)."""
    points: dict[str, list[tuple[int, float]]] = {}
    for row in _rounds(rows):
        for name, values in row["clients"].items():
            if values.get(metric) is not None:
                points.setdefault(name, []).append((row["round"], values[metric]))
    return {name: _curve(points[name]) for name in sorted(points, key=name_order)}


def client_band(rows: Iterable[Row], metric: str, low: float = 10, high: float = 90) -> Band:
    """Percentiles over the clients of each round that has at least two."""
    rounds: list[int] = []
    spread: list[NDArray[np.float64]] = []
    for row in _rounds(rows):
        values = [client[metric] for client in row["clients"].values() if client.get(metric) is not None]
        if len(values) > 1:
            rounds.append(row["round"])
            spread.append(np.percentile(values, [low, 50, high]))
    table = np.array(spread).reshape(-1, 3).T.tolist()
    return Band(rounds, *(table if rounds else ([], [], [])))


def headline(rows: Sequence[Row], groups: Sequence[str] = ("server", "clients")) -> str:
    """The metric that tells most about the run: the first of HEADLINES that was measured."""
    measured = {name for row in _rounds(rows) for group in groups for name in row["metrics"].get(group, {})}
    return next((name for name in HEADLINES if name in measured), "loss")


def client_headline(rows: Sequence[Row]) -> str:
    """The same for the clients' own values; training reports its loss only."""
    measured = {name for row in _rounds(rows) for values in row["clients"].values() for name in values}
    return next((name for name in HEADLINES if name in measured), "train_loss")


def name_order(name: str) -> tuple[int, int, str]:
    """Numbers by value, then other names."""
    return (0, int(name), "") if name.isdecimal() else (1, 0, name)


def _rounds(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["event"] == "round" and not row.get("skipped")]


def _curve(points: Iterable[tuple[int, float]]) -> Curve:
    kept = list(points)
    return Curve([number for number, _ in kept], [value for _, value in kept])
