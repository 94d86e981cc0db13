"""What the owners of a table must agree on before they train, found without pooling a row: three exchanges of questions and sums.

A question and an answer are plain JSON. An owner answers from its own rows (`answer`); answers add up in any order and grouping
(`merge`), because everything in them is a whole number; the sums make the next question or the end (`Survey`). Scales, medians and
categories therefore do not depend on how the rows are spread over owners, unless one withholds a category. What looks like an
identifier may: an owner sees only whether its own rows differ, and is not asked with fewer than ten.

1. "columns": for each column how many values are there, missing, numbers, whole, dates and different, and a power of two above the largest.
2. "values": for columns of numbers the sums of the values and of their squares, in units of 2^-40 of that power; for columns of
   categories how often each occurs; the names of the classes. Texts of columns that look like identifiers, dates or prose stay unasked.
3. "medians": how many values lie in each of 256 equal parts of mean +- deviation, where every median lies (Hotelling and Solomons 1932,
   "The limits of a measure of skewness"): it is then known to 1/128 of the deviation.

What an owner reveals are these sums over its rows. With few rows that may be much: `min_count` lets it withhold rare categories.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import Any, Literal

import numpy as np

from ciranda.core.errors import DataError
from ciranda.tasks.datasets.table import Cells, Table

Kind = Literal["auto", "classification", "regression"]
Json = Mapping[str, Any]

MOST_INTEGER_CLASSES = 20
MOST_CATEGORIES = 100
BITS = 40
BINS = 256
_LARGEST = float(np.finfo(np.float32).max)
_LEAST_EXPONENT = -126
_COMPARED_FROM = 10  # rows: with fewer, an owner's values are all different by chance
_GREATEST = frozenset({"exponent", "most"})  # these merge to the larger, everything else adds up
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}([T ].*)?")


def answer(question: Json, training: Table, rows: Table) -> dict[str, Any]:
    """One owner's answer.

    Args:
        training: the rows that it trains on; what it keeps back for tests must not shape the features.
        rows: all its rows: the names of the classes come from these.

    Raises:
        DataError: a value cannot be what its column is, with its line.
    """
    if question["stage"] == "columns":
        found = {name: _profile(training.column(name)) for name in question["columns"]}
        return {**found, **{name: _profile(rows.column(name)) for name in question["target"]}}
    if question["stage"] == "values":
        return {
            "numbers": {name: _sums(numbers_of(training, name), exponent) for name, exponent in question["numbers"].items()},
            "categories": {name: _counts(training.column(name), question["min-count"]) for name in question["categories"]},
            "classes": {name: dict(Counter(class_names(rows.column(name), whole))) for name, whole in question["classes"].items()},
        }
    return {name: _bins(numbers_of(training, name), low, high) for name, (low, high) in question["ranges"].items()}


def merge(one: Json, other: Json) -> dict[str, Any]:
    """The answer of two parties together."""
    total = dict(one)
    for name, value in other.items():
        mine = total.get(name)
        if mine is None:
            total[name] = value
        elif isinstance(value, Mapping):
            total[name] = merge(mine, value)
        elif isinstance(value, Sequence):
            total[name] = [a + b for a, b in zip(mine, value, strict=True)]
        else:
            total[name] = max(mine, value) if name in _GREATEST else mine + value
    return total


def numbers_of(table: Table, name: str) -> Cells:
    """The cells of a column of numbers. Raises DataError, with the line, for one that is neither missing nor a number in range."""
    cells = table.column(name)
    wrong = ~cells.missing & ~(np.abs(cells.numbers) <= _LARGEST)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            "{where}, column '{column}': {value!r} is not a number that can be used.",
            where=table.where(row),
            column=name,
            value=cells.texts[row],
            hint='The other values of the column are numbers: correct this one, or leave the column out with data.drop = ["{column}"].',
        )
    return cells


def class_names(cells: Cells, whole: bool) -> list[str]:
    """The class of each row as a text: "1" for 1, 1.0 and 01 where all owners have whole numbers only, else what stands there."""
    pairs = zip(cells.texts, cells.numbers, strict=True)
    return [str(int(value)) if whole and value == np.floor(value) else str(text) for text, value in pairs]


def _profile(cells: Cells) -> dict[str, int]:
    there = cells[~cells.missing]
    numbers = there.numbers[np.isfinite(there.numbers)]
    different = len(set(there.texts))
    compared = len(there.texts) if len(there.texts) >= _COMPARED_FROM else 0
    largest = float(np.abs(numbers).max(initial=0.0))
    return {
        "rows": len(cells.texts),
        "missing": int(cells.missing.sum()),
        "numbers": len(numbers),
        "whole": int((numbers == np.floor(numbers)).sum()),
        "dates": sum(bool(_DATE.fullmatch(text)) for text in there.texts) if len(numbers) < len(there.texts) else 0,
        "compared": compared,
        "different": different if compared else 0,
        "most": different,
        "exponent": max(_LEAST_EXPONENT, math.frexp(largest)[1]),
    }


def _sums(cells: Cells, exponent: int) -> dict[str, int]:
    units = np.rint(np.ldexp(cells.numbers[~cells.missing], BITS - exponent)).astype(np.int64).tolist()
    return {"n": len(units), "sum": sum(units), "squares": sum(unit * unit for unit in units)}


def _counts(cells: Cells, least: int) -> dict[str, Any]:
    counts = Counter(cells.texts[~cells.missing])
    told = {text: count for text, count in counts.items() if count >= least}
    return {"counts": told, "withheld": sum(counts.values()) - sum(told.values())}


def _bins(cells: Cells, low: float, high: float) -> list[int]:
    """Counts below `low`, in BINS equal parts up to `high`, and above."""
    edges = np.linspace(low, high, BINS + 1)
    place = np.searchsorted(edges, cells.numbers[~cells.missing], side="right")
    counts: list[int] = np.bincount(place, minlength=BINS + 2).tolist()
    return counts


@dataclass(frozen=True)
class Moments:
    """Mean and population standard deviation of a column's `n` values, and their median to 1/256 of the deviation."""

    n: int
    mean: float
    deviation: float
    median: float = 0.0


@dataclass(frozen=True)
class Findings:
    """What the exchanges found.

    Attributes:
        profiles: the summed answer of "columns". kind: of the task.
        numbers: by column of numbers, the target of a regression included. categories: by column of texts, how often each was told.
        withheld: by column of texts, how many values were not. left_out: columns that are no features, and why ("identifier", "date",
            "prose", "empty").
        classes: in label order; empty for a regression.
    """

    profiles: Json
    kind: Literal["classification", "regression"]
    numbers: Mapping[str, Moments]
    categories: Mapping[str, Mapping[str, int]]
    withheld: Mapping[str, int]
    left_out: Mapping[str, str]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Survey:
    """The asking side.

    Attributes:
        names: the columns that may be features. target: the column to predict.
        kind: "auto" to find it: texts, or at most 20 different whole numbers, make a classification, other numbers a regression.
        min_count: an owner does not tell categories that fewer of its rows have.
        keep: columns that are features even if they look like identifiers.
    """

    names: tuple[str, ...]
    target: str
    kind: Kind = "auto"
    min_count: int = 1
    keep: tuple[str, ...] = ()

    def columns(self) -> dict[str, Any]:
        """The first question."""
        return {"stage": "columns", "columns": list(self.names), "target": [self.target]}

    def values(self, profiles: Json) -> dict[str, Any]:
        """The second question, from the summed answers to the first."""
        asked: dict[str, Any] = {"stage": "values", "numbers": {}, "categories": [], "classes": {}, "min-count": self.min_count}
        left_out = self._left_out(profiles)
        for name in self.names:
            if name not in left_out:
                if mostly_numbers(profiles[name]):
                    asked["numbers"][name] = profiles[name]["exponent"]
                else:
                    asked["categories"].append(name)
        target = profiles[self.target]
        if self.kind == "classification" or (self.kind == "auto" and _may_be_classes(target)):
            asked["classes"][self.target] = _whole(target)
        if self.kind == "regression" or (self.kind == "auto" and mostly_numbers(target)):
            asked["numbers"][self.target] = target["exponent"]
        return asked

    def medians(self, question: Json, values: Json) -> dict[str, Any]:
        """The third question, from the second and the summed answers to it."""
        moments = {name: _moments(values["numbers"][name], exponent) for name, exponent in question["numbers"].items()}
        spans = {name: [one.mean - one.deviation, one.mean + one.deviation] for name, one in moments.items() if one.deviation > 0}
        return {"stage": "medians", "ranges": spans}

    def findings(self, profiles: Json, question: Json, values: Json, spans: Json, medians: Json) -> Findings:
        """The end, from all questions and summed answers."""
        moments = {name: _moments(values["numbers"][name], exponent) for name, exponent in question["numbers"].items()}
        for name, (low, high) in spans["ranges"].items():
            median = _median(medians[name], low, high)
            profile = profiles[name]
            whole = profile["whole"] == profile["numbers"]
            moments[name] = Moments(moments[name].n, moments[name].mean, moments[name].deviation, round(median) if whole else median)
        classes = tuple(values["classes"].get(self.target, ()))
        regression = not classes or (self.kind == "auto" and self.target in moments and len(classes) > MOST_INTEGER_CLASSES)
        if not regression:
            _check_classes(self.target, classes, profiles[self.target]["rows"])
        return Findings(
            profiles,
            "regression" if regression else "classification",
            moments,
            {name: values["categories"][name]["counts"] for name in question["categories"]},
            {name: values["categories"][name]["withheld"] for name in question["categories"]},
            self._left_out(profiles),
            () if regression else in_order(classes),
        )

    def _left_out(self, profiles: Json) -> dict[str, str]:
        found = {name: _no_feature(name, profiles[name]) for name in self.names}
        return {name: why for name, why in found.items() if why == "empty" or (why and name not in self.keep)}


def hold(survey: Survey, owners: Sequence[tuple[Table, Table]]) -> tuple[Findings, tuple[int, int]]:
    """All three exchanges with owners whose tables (training rows, all rows) are at hand, and the bytes that went (up, down) as JSON."""
    up = down = 0

    def ask(question: Json) -> dict[str, Any]:
        nonlocal up, down
        answers = [answer(question, *tables) for tables in owners]
        down += size(question) * len(owners)
        up += sum(size(one) for one in answers)
        return reduce(merge, answers)

    profiles = ask(survey.columns())
    question = survey.values(profiles)
    values = ask(question)
    spans = survey.medians(question, values)
    return survey.findings(profiles, question, values, spans, ask(spans)), (up, down)


def size(message: Json) -> int:
    """How many bytes a question or an answer has on a wire."""
    return len(json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode())


def in_order(classes: Sequence[str]) -> tuple[str, ...]:
    """Numbers in the order of numbers ("10" after "9"), anything else in the order of texts."""
    whole = all(re.fullmatch(r"-?\d+", name) for name in classes)
    return tuple(sorted(classes, key=int if whole else str))


def mostly_numbers(profile: Json) -> bool:
    """Whether most of a column's values are numbers."""
    return bool(2 * profile["numbers"] > profile["rows"] - profile["missing"])


def _check_classes(target: str, classes: Sequence[str], rows: int) -> None:
    if len(classes) < 2:
        raise DataError(
            "The target '{column}' has one value only, {value!r}: there is nothing to learn.",
            column=target,
            value=next(iter(classes)),
            hint="Is it the right column? A client may have one class, all together need two.",
        )
    if len(classes) > max(MOST_CATEGORIES, rows // 2) or len(classes) == rows:
        raise DataError(
            "The target '{column}' has {classes} different texts in {rows} rows: too many for classes.",
            column=target,
            classes=len(classes),
            rows=rows,
            hint="Is it an identifier? A number to predict must be written as one in every row.",
        )


def looks_like_an_identifier(name: str, profile: Json) -> bool:
    """Whether nearly every row has its own text, or its own whole number under a name that says so."""
    compared, different = profile["compared"], profile["different"]
    if compared < 2 * _COMPARED_FROM or different < 0.95 * compared:
        return False
    if mostly_numbers(profile):
        return profile["whole"] == profile["numbers"] and bool(_NAMED.search(name.casefold()))
    return True


_NAMED = re.compile(
    r"(^|[^a-z])(id|ids|uuid|code|codigo|código|cpf|cnpj|rg|matricula|matrícula|registro|key|index|unnamed|nr|no)([^a-z]|$)"
)


def _no_feature(name: str, profile: Json) -> str:
    there = profile["rows"] - profile["missing"]
    if not there:
        return "empty"
    if 2 * profile["dates"] > there:
        return "date"
    if looks_like_an_identifier(name, profile):
        return "identifier"
    if not mostly_numbers(profile) and profile["most"] > 10 * MOST_CATEGORIES:
        return "prose"
    return ""


def _whole(profile: Json) -> bool:
    return bool(profile["whole"] == profile["numbers"] == profile["rows"] - profile["missing"])


def _may_be_classes(profile: Json) -> bool:
    return not mostly_numbers(profile) or (_whole(profile) and profile["most"] <= MOST_INTEGER_CLASSES)


def _moments(sums: Json, exponent: int) -> Moments:
    n = sums["n"]
    if not n:
        return Moments(0, 0.0, 0.0)
    unit = Fraction(2) ** (exponent - BITS)
    variance = Fraction(n * sums["squares"] - sums["sum"] ** 2, n * n) * unit * unit
    mean = float(Fraction(sums["sum"], n) * unit)
    return Moments(n, mean, math.sqrt(variance), mean)


def _median(counts: Sequence[int], low: float, high: float) -> float:
    """The value below which half of the counts lie, as if the values in a part were spread evenly."""
    half, below = sum(counts) / 2, counts[0]
    for part, count in enumerate(counts[1:-1]):
        if below + count >= half:
            return low + (high - low) * (part + (half - below) / max(1, count)) / BINS
        below += count
    return high
