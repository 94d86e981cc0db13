"""The rows of metrics.jsonl as columns: the one reader behind plots, reports, exports and comparisons.

Rows are taken one at a time, so that a run with a thousand clients in each of hundreds of rounds (some hundred megabytes of JSON) is held
as a few arrays. What clients measured is kept sparse, as (row, client, value): who takes part changes from round to round.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ciranda.core.metrics import RISING

Row = Mapping[str, Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
HEADLINES = ("accuracy", "r2", "rmse", "loss")
COUNTED, REFUSED, FAILED = 1, 2, 3
TABLES = ("-classes", "-confusion")  # groups of which only the last matters: they are tables, not curves
WORST = 0.1


@dataclass(frozen=True)
class Curve:
    """One metric by round: `rounds` ascending, `values` of the same length, `at` the places of the rows among the run's rows."""

    rounds: Ints
    values: Floats
    at: Ints

    def __bool__(self) -> bool:
        return len(self.rounds) > 0


@dataclass(frozen=True)
class Band:
    """How a metric is spread over the clients of each round that has at least two."""

    rounds: Ints
    low: Floats
    median: Floats
    high: Floats
    at: Ints

    def __bool__(self) -> bool:
        return len(self.rounds) > 0


@dataclass(frozen=True)
class Points:
    """What clients had, in the order of the rows: `row` and `client` are places among the rows and the names; all of one length."""

    row: Ints
    client: Ints
    value: Floats


@dataclass(frozen=True)
class Records:
    """A run's rounds as columns of length `len(rounds)`, missing values NaN.

    Attributes:
        rounds: numbers of the recorded rounds; skipped: those that ended without a new model.
        seconds, bytes_up, bytes_down: of each round by itself.
        groups: group -> metric -> column. tables: group -> key -> value, of the last round that has the group.
        names: the clients, numbers by value and then other names. values: metric -> what clients measured.
        part: who was asked to train in which row, value COUNTED, REFUSED or FAILED.
        reasons: why replies were missing or refused, and how often. roster: how many clients were registered, 0 if unknown.
        models: digest of the model after each row.
    """

    rounds: Ints
    skipped: NDArray[np.bool_]
    seconds: Floats
    bytes_up: Floats
    bytes_down: Floats
    groups: Mapping[str, Mapping[str, Floats]]
    tables: Mapping[str, Mapping[str, float]]
    names: Sequence[str]
    values: Mapping[str, Points]
    part: Points
    reasons: Mapping[str, int]
    roster: int
    models: Sequence[str]

    def axis(self, kind: str) -> Floats:
        """Where each row stands on an axis: its round, or the "seconds" or "bytes" (up and down) spent until its end."""
        if kind == "seconds":
            return np.cumsum(self.seconds)
        if kind == "bytes":
            return np.cumsum(self.bytes_up + self.bytes_down)
        return self.rounds.astype(np.float64)

    def curve(self, group: str, metric: str) -> Curve:
        """A group's metric ("server", "clients", "train") in the rounds that have it."""
        column = self.groups.get(group, {}).get(metric)
        at = np.flatnonzero(np.isfinite(column)) if column is not None else np.zeros(0, np.int64)
        return Curve(self.rounds[at], column[at] if column is not None else np.zeros(0), at)

    def client_curves(self, metric: str) -> dict[str, Curve]:
        """Each client's metric in the rounds that it took part in, clients in the order of their names."""
        points = self.values.get(metric)
        if points is None:
            return {}
        # numpy sorts small integers stably in linear time.
        order = np.argsort(points.client.astype(np.uint16) if len(self.names) < 1 << 16 else points.client, kind="stable")
        clients, starts = np.unique(points.client[order], return_index=True)
        rows, values = np.split(points.row[order], starts[1:]), np.split(points.value[order], starts[1:])
        return {self.names[who]: Curve(self.rounds[at], own, at) for who, at, own in zip(clients.tolist(), rows, values, strict=True)}

    def band(self, metric: str, low: float = 10, high: float = 90) -> Band:
        """Percentiles over the clients of each round that has at least two."""
        at, (lower, median, upper) = self._by_row(metric, [low / 100, 0.5, high / 100])
        return Band(self.rounds[at], lower, median, upper, at)

    def worst(self, metric: str) -> Curve:
        """The mean over the worst tenth of the clients, at least one, of each round that has at least two."""
        at, columns = self._sorted_rows(metric)
        means = []
        for column in columns:
            count = max(1, round(WORST * len(column)))
            means.append(float((column[:count] if rises(metric) else column[-count:]).mean()))
        return Curve(self.rounds[at], np.array(means, np.float64), at)

    def latest(self, metric: str) -> tuple[Ints, Floats, Ints]:
        """(clients, values, rows): the last value of each client that has one, clients in the order of their names."""
        points = self.values.get(metric)
        if points is None:
            return np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64)
        last = np.full(len(self.names), -1)
        last[points.client] = np.arange(len(points.client))  # of several values for one place the last one stays
        clients = np.flatnonzero(last >= 0)
        return clients, points.value[last[clients]], points.row[last[clients]]

    def headline(self, groups: Sequence[str] = ("server", "clients")) -> str:
        """The metric that tells most about the run: the first of HEADLINES that was measured."""
        measured = {name for group in groups for name, column in self.groups.get(group, {}).items() if np.isfinite(column).any()}
        return next((name for name in HEADLINES if name in measured), "loss")

    def client_headline(self) -> str:
        """The same for the clients' own values; training reports its loss only."""
        return next((name for name in HEADLINES if name in self.values), "train_loss")

    def final(self, group: str, metric: str) -> float | None:
        """The last value of a group's metric."""
        curve = self.curve(group, metric)
        return float(curve.values[-1]) if curve else None

    def _by_row(self, metric: str, shares: Sequence[float]) -> tuple[Ints, list[Floats]]:
        at, columns = self._sorted_rows(metric)
        table = np.empty((len(shares), len(columns)))
        for place, column in enumerate(columns):
            where = np.asarray(shares) * (len(column) - 1)
            below = where.astype(np.int64)
            above = np.minimum(below + 1, len(column) - 1)
            table[:, place] = column[below] + (where - below) * (column[above] - column[below])
        return at, list(table)

    def _sorted_rows(self, metric: str) -> tuple[Ints, list[Floats]]:
        """The rows with at least two clients, and the clients' values in each, ascending."""
        points = self.values.get(metric)
        if points is None:
            return np.zeros(0, np.int64), []
        starts = np.flatnonzero(np.diff(points.row, prepend=-1))  # the points stand in the order of the rows
        columns = np.split(points.value, starts[1:])
        kept = [place for place, column in enumerate(columns) if len(column) > 1]
        return points.row[starts[kept]], [np.sort(columns[place]) for place in kept]


def over_seeds(runs: Sequence[Records], group: str, metric: str, axis: str) -> tuple[Floats, Floats, Floats]:
    """(place on the axis, mean, standard deviation with ddof 1) over the runs, in the rounds that every one of them has measured.

    The place is the mean of the runs' own: seconds and bytes differ from run to run. The deviation of one run is 0.
    """
    found = [(run.curve(group, metric), run.axis(axis)) for run in runs]
    common = sorted(set.intersection(*(set(curve.rounds.tolist()) for curve, _along in found)))
    at = [np.searchsorted(curve.rounds, common) for curve, _along in found]
    y = np.array([curve.values[places] for (curve, _along), places in zip(found, at, strict=True)])
    x = np.array([along[curve.at[places]] for (curve, along), places in zip(found, at, strict=True)])
    return x.mean(axis=0), y.mean(axis=0), y.std(axis=0, ddof=1) if len(y) > 1 else np.zeros(len(common))


def rises(metric: str) -> bool:
    """Whether more of a metric is better."""
    return metric in RISING


def name_order(name: str) -> tuple[int, int, str]:
    """Numbers by value, then other names."""
    return (0, int(name), "") if name.isdecimal() else (1, 0, name)


def read(rows: Iterable[Row]) -> Records:
    """The records in some rows of metrics.jsonl; rows that are no rounds are passed over."""
    reader = _Reader()
    for row in rows:
        if row["event"] == "round":
            reader.take(row)
    return reader.records()


@dataclass
class _Sparse:
    """Points in the making, a piece for each row."""

    row: list[int] = field(default_factory=list)
    client: list[Ints] = field(default_factory=list)
    value: list[Floats] = field(default_factory=list)

    def add(self, row: int, client: Ints, value: Floats) -> None:
        kept = np.isfinite(value)
        if not kept.all():
            client, value = client[kept], value[kept]
        if len(client):
            self.row.append(row)
            self.client.append(client)
            self.value.append(value)

    def points(self, place: Ints) -> Points:
        if not self.row:
            return Points(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        rows = np.repeat(self.row, [len(piece) for piece in self.client]).astype(np.int64)
        return Points(rows, place[np.concatenate(self.client)], np.concatenate(self.value))


class _Reader:
    def __init__(self) -> None:
        self._rows: list[tuple[int, bool, float, int, int, str]] = []
        self._groups: dict[str, dict[str, dict[int, float]]] = {}
        self._tables: dict[str, Mapping[str, float]] = {}
        self._index: dict[str, int] = {}
        self._values: dict[str, _Sparse] = {}
        self._part = _Sparse()
        self._reasons: Counter[str] = Counter()
        self._roster = 0

    def take(self, row: Row) -> None:
        at, skipped = len(self._rows), bool(row.get("skipped"))
        spent = (float(row.get("seconds", 0.0)), int(row.get("bytes_up", 0)), int(row.get("bytes_down", 0)))
        self._rows.append((int(row["round"]), skipped, *spent, str(row.get("model", ""))))
        self._roster = max(self._roster, int(row.get("roster", 0)))
        self._participants(at, row)
        if skipped:
            return
        for group, metrics in row["metrics"].items():
            if group.endswith(TABLES):
                self._tables[group] = metrics
                continue
            columns = self._groups.setdefault(group, {})
            for metric, value in metrics.items():
                if value is not None:
                    columns.setdefault(metric, {})[at] = value
        if clients := row["clients"]:
            places = self._places(clients)
            for metric, column in _columns(list(clients.values())):
                self._values.setdefault(metric, _Sparse()).add(at, places, column)

    def _participants(self, at: int, row: Row) -> None:
        failed, refused = row.get("failed", {}), row.get("refused", {})
        asked = dict.fromkeys(refused, REFUSED) | dict.fromkeys(failed, FAILED)
        asked.update((name, COUNTED) for name, _ in row.get("accepted", ()))
        self._reasons.update(failed.values())
        self._reasons.update(row.get("refusals", {}))
        if asked:
            self._part.add(at, self._places(asked), np.array(list(asked.values()), np.float64))

    def _places(self, names: Iterable[str]) -> Ints:
        """The clients' places in the order in which they were first met."""
        index = self._index
        return np.array([index.setdefault(name, len(index)) for name in names], np.int64)

    def records(self) -> Records:
        columns = list(zip(*self._rows, strict=True)) or [()] * 6
        names = sorted(self._index, key=name_order)
        place = np.zeros(len(names), np.int64)
        place[[self._index[name] for name in names]] = np.arange(len(names))
        return Records(
            rounds=np.array(columns[0], np.int64),
            skipped=np.array(columns[1], np.bool_),
            seconds=np.array(columns[2], np.float64),
            bytes_up=np.array(columns[3], np.float64),
            bytes_down=np.array(columns[4], np.float64),
            groups={group: {metric: self._column(values) for metric, values in found.items()} for group, found in self._groups.items()},
            tables=self._tables,
            names=names,
            values={metric: sparse.points(place) for metric, sparse in self._values.items() if sparse.row},
            part=self._part.points(place),
            reasons=dict(self._reasons.most_common()),
            roster=self._roster,
            models=[str(model) for model in columns[5]],
        )

    def _column(self, values: Mapping[int, float]) -> Floats:
        column = np.full(len(self._rows), np.nan)
        column[list(values)] = list(values.values())
        return column


def _columns(own: Sequence[Mapping[str, float | None]]) -> Iterable[tuple[str, Floats]]:
    """(metric, a value for each client) of what some clients measured; what is None in JSON or missing is NaN from here on."""
    metrics = [*own[0]]
    if all([*values] == metrics for values in own):
        table = np.array([*chain.from_iterable(values.values() for values in own)], np.float64).reshape(len(own), len(metrics))
        return zip(metrics, np.ascontiguousarray(table.T), strict=True)
    return [(name, np.array([values.get(name) for values in own], np.float64)) for name in dict.fromkeys(chain.from_iterable(own))]
