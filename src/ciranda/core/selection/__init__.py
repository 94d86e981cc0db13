"""Which clients take part in a round: one file per rule or family, all of one shape (`base.SelectionRule`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ciranda.core.errors import ExperimentError
from ciranda.core.parameters import build
from ciranda.core.rng import Draw
from ciranda.core.selection.base import Call, Select, SelectionRule, Selector
from ciranda.core.selection.power import PowerOfChoice
from ciranda.core.selection.rules import Balanced, RandomSelection, RoundRobin
from ciranda.core.selection.sizes import cohort_size, sample, share, weighted_sample
from ciranda.core.texts import Text

__all__ = [
    "SELECTIONS",
    "Balanced",
    "Call",
    "PowerOfChoice",
    "RandomSelection",
    "RoundRobin",
    "Select",
    "SelectionRule",
    "Selector",
    "cohort_size",
    "make",
    "random_selection",
    "sample",
    "share",
    "weighted_sample",
]

SELECTIONS: Mapping[str, type[SelectionRule]] = {kind.name: kind for kind in (RandomSelection, RoundRobin, Balanced, PowerOfChoice)}


def make(kind: str | type[SelectionRule], **params: Any) -> SelectionRule:
    """The rule of this name, or of a class of one's own, with these parameters.

    Raises:
        ExperimentError: an unknown rule or parameter, or an impossible value.
    """
    if isinstance(kind, str):
        if kind not in SELECTIONS:
            raise ExperimentError(
                "There is no selection rule '{name}'.", hint="Choose one of: {names}.", name=kind, names=", ".join(SELECTIONS)
            )
        kind = SELECTIONS[kind]
    return build(kind, Text("selection rule '{name}'", name=kind.name), params)


def random_selection(draw: Draw, fraction: str | float, minimum: int = 1, *, name: Callable[[int], str] = str) -> Select:
    """Uniform selection without replacement; `name` turns a rank into a client's logical name.

    Selections for two purposes take two draws.

    Raises:
        ExperimentError: the fraction is not in 0..1; on selecting: the minimum exceeds the roster.
    """
    return Selector(RandomSelection(), draw, fraction, minimum, name=name).select
