"""A run's rows as a few short series: what the checks look at. Rows are taken one at a time, so that a long run is never held whole."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]
FIRST = frozenset({"late", "no-answer", "lost"})
"""What befalls the slower clients where rounds close with the first replies."""
GIVEN_UP = "abandoned"
"""A reply that was in order, to a phase that came to nothing for reasons of others'."""
ERRORS = ("loss", "mse", "rmse", "mae")
"""What falls while a model learns; the first that is measured is looked at."""
SCORES = ("accuracy", "r2")


@dataclass(frozen=True)
class Series:
    """One metric by round; NaN where it was measured and is no finite number. Empty if it was never measured.

    Nothing is copied: a series of a history is to be looked at before the next row is taken.
    """

    name: str = ""
    rounds: Sequence[int] = ()
    values: Sequence[float] = ()

    def __len__(self) -> int:
        return len(self.values)

    @property
    def finite(self) -> bool:
        return all(map(math.isfinite, self.values))

    def best(self, *, rising: bool) -> int:
        """The place of the best finite value, the first of equals. At least one value must be finite."""
        sign = -1 if rising else 1
        return min((place for place in range(len(self)) if math.isfinite(self.values[place])), key=lambda place: sign * self.values[place])

    def smooth(self, width: int) -> Series:
        """Means over windows of `width` values that end at each place, shorter at the start."""
        means = [sum(self.values[max(0, end - width) : end]) / min(width, end) for end in range(1, len(self) + 1)]
        return Series(self.name, self.rounds, tuple(means))


@dataclass
class History:
    """What is known of a run so far.

    Attributes:
        rounds: recorded rounds; skipped: how many of them made no new model.
        asked, lost: client -> how often it was asked to train, and how often its reply was missing or refused.
        streak: client -> how often in a row, up to now, it was lost.
        reasons: why replies were lost, as recorded -> how often.
        expected: reasons that are part of the plan, as lateness is where rounds close with the first replies; they are not counted.
        last: the metrics of the last row that has the group, by group.
    """

    expected: frozenset[str] = frozenset()
    rounds: int = 0
    skipped: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    streak: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    last: dict[str, Mapping[str, float | None]] = field(default_factory=dict)
    _rounds: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    _values: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def take(self, row: Row) -> None:
        """Add a line of metrics.jsonl; lines of other events are passed over."""
        if row.get("event") != "round":
            return
        self.rounds += 1
        self.skipped += bool(row.get("skipped"))
        for group, metrics in row.get("metrics", {}).items():
            self.last[group] = metrics
            for name in (*ERRORS, *SCORES, "balanced_accuracy"):
                if name in metrics:
                    value = metrics[name]
                    self._rounds.setdefault((group, name), []).append(row["round"])
                    self._values.setdefault((group, name), []).append(math.nan if value is None else float(value))
        counted = {name for name, _ in row.get("accepted", ())}
        for name in counted:
            self.asked[name] += 1
            self.streak[name] = 0
        self.lose({name: why for name, why in {**row.get("failed", {}), **row.get("refused", {})}.items() if name not in counted})

    def lose(self, replies: Mapping[str, str]) -> None:
        """Add replies, by client, that were asked for and did not count, each with the recorded reason."""
        for name, reason in replies.items():
            if reason not in self.expected and reason != GIVEN_UP:
                self.asked[name] += 1
                self.lost[name] += 1
                self.streak[name] += 1
                self.reasons[str(reason)] += 1

    def series(self, group: str, *names: str) -> Series:
        """The first of the metrics that the group has."""
        for name in names:
            if (group, name) in self._values:
                return Series(name, self._rounds[group, name], self._values[group, name])
        return Series()

    @property
    def evaluated(self) -> str:
        """The group by which the model is judged: the server's, else the clients'."""
        return "server" if ("server" in self.last) else "clients"

    @property
    def error(self) -> Series:
        """What should fall, on data that is not trained on."""
        return self.series(self.evaluated, *ERRORS)

    @property
    def score(self) -> Series:
        """What should rise, on data that is not trained on."""
        return self.series(self.evaluated, *SCORES)

    @property
    def training(self) -> Series:
        """The training loss."""
        return self.series("train", "loss")

    @property
    def guess(self) -> float:
        """The score of a model that always says the commonest class; 0 for a regression's r2."""
        support = [value or 0.0 for key, value in self.last.get(f"{self.evaluated}-classes", {}).items() if key.startswith("support.")]
        return max(support) / sum(support) if sum(support) > 0 else 0.0

    @property
    def classes(self) -> int:
        """How many classes there are; 0 for a regression, or too many to list."""
        return sum(key.startswith("support.") for key in self.last.get(f"{self.evaluated}-classes", {}))
