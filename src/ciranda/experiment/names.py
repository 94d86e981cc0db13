"""Names that a user may write, and the nearest one to a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from ciranda.core.metrics import FALLING, RISING
from ciranda.core.parameters import names_of
from ciranda.core.texts import Text

METRICS = RISING + FALLING
GROUPS = ("server", "clients", "train")


def kebab(name: str) -> str:
    return name.replace("_", "-")


def nearest(word: str, allowed: Iterable[str]) -> Text:
    """ ": did you mean 'x'?", or "." if nothing is near."""
    by_folded = {name.casefold().replace("_", "-"): name for name in allowed}
    matches = difflib.get_close_matches(word.casefold().replace("_", "-"), by_folded, n=1, cutoff=0.6)
    return Text(": did you mean '{name}'?", name=by_folded[matches[0]]) if matches else Text(".")


def parameters(kind: type[Any]) -> tuple[str, ...]:
    """The kebab-case parameters of a strategy, a stage or a selection rule, its own first."""
    return tuple(map(kebab, names_of(kind)))


def metric_problem(metric: str) -> Text | None:
    """What is wrong with a stop rule's metric, if anything."""
    group, dot, name = metric.rpartition(".")
    if dot and group not in GROUPS:
        text = "starts with '{group}'{near} A metric is measured on: {groups}."
        return Text(text, group=group, near=nearest(group, GROUPS), groups=", ".join(GROUPS))
    if name not in METRICS:
        text = "is '{name}'{near} The metrics are: {metrics}."
        return Text(text, name=name, near=nearest(name, METRICS), metrics=", ".join(METRICS))
    return None
