"""What the schemes' parameters must be, as far as it can be said without the data. One name means one thing in every scheme.

A check is (key as an experiment file spells it, value) -> the value in its plain form. It raises ExperimentError, whose text begins with
"federation.KEY ".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ciranda.core.errors import ExperimentError

Check = Callable[[str, Any], Any]


def _whole(low: int) -> Check:
    def check(key: str, value: Any) -> int:
        if not _is_whole(value) or value < low:
            raise ExperimentError(
                "federation.{key} is {value!r}; it must be a whole number of at least {low}.", key=key, value=value, low=low
            )
        return int(value)

    return check


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ExperimentError("federation.{key} is {value!r}; it must be true or false.", key=key, value=value)
    return value


def _choice(*allowed: str) -> Check:
    def check(key: str, value: Any) -> str:
        if value not in allowed:
            raise ExperimentError(
                "federation.{key} is {value!r}; there is no such mode.",
                key=key,
                value=value,
                hint="Choose one of: {allowed}.",
                allowed=", ".join(allowed),
            )
        return str(value)

    return check


def _strictness(key: str, value: Any) -> float:
    if not _is_number(value) or not 0 <= value <= 1:
        raise ExperimentError(
            "federation.{key} is {value!r}; it must be a number from 0 to 1.",
            key=key,
            value=value,
            hint="0 deals at random, 1 strictly by the target's value.",
        )
    return float(value)


def _alpha(key: str, value: Any) -> float | list[float]:
    found = _listed(value)
    for each in [value] if found is None else found:
        if not _is_number(each) or not 0 < each < math.inf:
            raise ExperimentError(
                "federation.{key} is {value!r}; it must be a number above 0.",
                key=key,
                value=each,
                hint="Small is unlike (0.1), large is alike (100).",
            )
    if found is not None and not found:
        raise ExperimentError("federation.{key} is an empty list.", key=key)
    return float(value) if found is None else [float(each) for each in found]


def _sizes(key: str, value: Any) -> list[int]:
    found = _listed(value)
    if not found:
        raise ExperimentError("federation.{key} must be a list of sizes, such as [500, 300, 200].", key=key)
    for place, each in enumerate(found):
        if not _is_whole(each) or each < 1:
            raise ExperimentError(
                "federation.{key} is {value!r} for client {client}; every size must be a whole number of at least 1.",
                key=key,
                value=each,
                client=place,
            )
    return [int(each) for each in found]


def _table(key: str, value: Any) -> list[list[float]]:
    rows = [_listed(row) for row in _listed(value) or ()]
    if not rows or not all(rows) or len({len(row or ()) for row in rows}) > 1:
        raise ExperimentError("federation.{key} must be a list of rows of equal length, one for each class.", key=key)
    for number, row in enumerate(rows):
        wrong = [each for each in row or () if not _is_number(each) or not 0 <= each < math.inf]
        if wrong:
            raise ExperimentError(
                "federation.{key} holds {value!r} in row {row}; it must hold numbers of at least 0.", key=key, value=wrong[0], row=number
            )
    return [[float(each) for each in row or ()] for row in rows]


CHECKS: Mapping[str, Check] = {
    "alpha": _alpha,
    "min_partition_size": _whole(1),
    "self_balancing": _flag,
    "num_classes_per_partition": _whole(1),
    "class_assignment_mode": _choice("first-deterministic", "deterministic", "random"),
    "num_shards_per_partition": _whole(1),
    "shard_size": _whole(1),
    "keep_incomplete_shard": _flag,
    "partition_sizes": _sizes,
    "group_size": _whole(1),
    "mode": _choice("allow-smaller", "allow-bigger", "drop-reminder", "strict"),
    "sort_unique_ids": _flag,
    "strictness": _strictness,
    "distribution_array": _table,
    "num_unique_labels_per_partition": _whole(1),
    "preassigned_num_samples_per_label": _whole(0),
    "rescale": _flag,
}


def kebab(name: str) -> str:
    """A parameter's name as an experiment file spells it."""
    return name.replace("_", "-")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _listed(value: Any) -> list[Any] | None:
    """A list, tuple or array as a list; None for anything else."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else None
