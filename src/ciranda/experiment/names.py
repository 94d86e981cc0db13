"""Names that a user may write, and the nearest one to a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING

from ciranda.core.metrics import FALLING, RISING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

METRICS = RISING + FALLING
GROUPS = ("server", "clients", "train")


def kebab(name: str) -> str:
    return name.replace("_", "-")


def nearest(word: str, allowed: Iterable[str]) -> str:
    """ ": did you mean 'x'?", or "." if nothing is near."""
    by_folded = {name.casefold().replace("_", "-"): name for name in allowed}
    matches = difflib.get_close_matches(word.casefold().replace("_", "-"), by_folded, n=1, cutoff=0.6)
    return f": did you mean '{by_folded[matches[0]]}'?" if matches else "."


def parameters(strategy: type[DataclassInstance]) -> tuple[str, ...]:
    """The kebab-case parameters of a strategy."""
    return tuple(kebab(each.name) for each in fields(strategy))


def metric_problem(metric: str) -> str:
    """What is wrong with a stop rule's metric, or ""."""
    group, dot, name = metric.rpartition(".")
    if dot and group not in GROUPS:
        return f"starts with '{group}'{nearest(group, GROUPS)} A metric is measured on: {', '.join(GROUPS)}."
    if name not in METRICS:
        return f"is '{name}'{nearest(name, METRICS)} The metrics are: {', '.join(METRICS)}."
    return ""
