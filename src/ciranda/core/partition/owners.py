"""Schemes that deal by something the data says of each example: its natural owner, or the value of its target."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ciranda.core.errors import DataError, ExperimentError
from ciranda.core.partition.base import Index
from ciranda.core.partition.deal import NOBODY, Pieces, even, run_lengths, shuffled
from ciranda.core.rng import Draw


def natural_id(groups: NDArray[Any], clients: int, draw: Draw) -> Pieces:
    """One client for each owner, in ascending order of their ids."""
    order = np.argsort(groups, kind="stable")
    return order, np.arange(clients), run_lengths(groups[order])


def grouped_natural_id(
    groups: NDArray[Any], clients: int, draw: Draw, *, group_size: int, mode: str = "allow-smaller", sort_unique_ids: bool = False
) -> Pieces:
    """One client for each `group_size` owners, in the order in which they appear, or of their ids if `sort_unique_ids`.

    What to do with the owners that remain is `mode`: they make a smaller client ("allow-smaller"), are spread over the others
    ("allow-bigger"), are left out ("drop-reminder"), or must not be ("strict").
    """
    _, first, owner_of = np.unique(groups, return_index=True, return_inverse=True)
    owners = len(first)
    counts = _group_sizes(owners, group_size, mode)
    client_of = np.append(np.repeat(np.arange(len(counts)), counts), np.full(owners - counts.sum(), NOBODY))
    if not sort_unique_ids:
        client_of = client_of[np.argsort(np.argsort(first, kind="stable"), kind="stable")]
    order = np.argsort(owner_of, kind="stable")
    return order, client_of, np.bincount(owner_of)


def count_owners(groups: NDArray[Any]) -> int:
    """How many clients `natural_id` makes."""
    return len(np.unique(groups))


def count_groups(groups: NDArray[Any], *, group_size: int, mode: str = "allow-smaller", sort_unique_ids: bool = False) -> int:
    """How many clients `grouped_natural_id` makes. Raises ExperimentError where its mode does not allow a remainder."""
    return len(_group_sizes(len(np.unique(groups)), group_size, mode))


def continuous(values: NDArray[Any], clients: int, draw: Draw, *, strictness: float) -> Pieces:
    """Sorted by strictness x standardised value + (1 - strictness) x standard normal noise, and cut evenly.

    Raises:
        DataError: values that are not numbers, or all the same where they should tell apart.
    """
    number = values.astype(np.float64)
    if not np.isfinite(number).all():
        raise DataError(
            "The partitioner 'continuous' deals by the target, and example {example} has none.", example=int(np.isfinite(number).argmin())
        )
    deviation = number.std()
    if strictness > 0 and deviation < 1e-6:
        raise DataError(
            "The partitioner 'continuous' deals by the target, and all targets are the same.",
            hint="Set strictness = 0, or use the partitioner 'iid'.",
        )
    score = (1 - strictness) * draw.at("noise").generator().standard_normal(len(values))
    if strictness > 0:
        score += strictness * (number - number.mean()) / deviation
    order = shuffled(len(values), draw)  # equal scores in random order
    return order[np.argsort(score[order], kind="stable")], np.arange(clients), even(len(values), clients)


def _group_sizes(owners: int, group_size: int, mode: str) -> Index:
    """How many owners each client stands for; those of the mode "drop-reminder" sum to less than all."""
    whole, rest = divmod(owners, group_size)
    if mode == "allow-smaller":
        return np.append(np.full(whole, group_size), [rest] if rest else []).astype(np.int64)
    if not whole or (mode == "strict" and rest):
        raise ExperimentError(
            "{owners} natural owners cannot be put together in groups of {size} with mode '{mode}'.",
            key="group-size" if not whole else "mode",
            owners=owners,
            size=group_size,
            mode=mode,
            hint='Choose another group-size, or mode = "allow-smaller".',
        )
    return even(owners, whole) if mode == "allow-bigger" else np.full(whole, group_size)
