"""Data sets from tables: a CSV file, or a folder with one for each client.

Types, vocabulary, scaling and what stands for missing values come from a survey among the owners (`survey`), whose outcome is the
`Encoding`, a small value that turns later rows into the same features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ciranda.core.errors import DataError
from ciranda.core.rng import Draw
from ciranda.core.task import Array, Examples, FederatedData
from ciranda.tasks.datasets.arrays import divided
from ciranda.tasks.datasets.encoding import Encoding, make_encoding
from ciranda.tasks.datasets.survey import Findings, Kind, Survey, hold
from ciranda.tasks.datasets.table import FILE_COLUMN, Table, read_table

MOST_NAMES = 10_000
Owners = Sequence[tuple[Array, Array]]
Deal = Callable[[FederatedData], Owners]


@dataclass(frozen=True)
class Wish:
    """What is to be made of a table.

    Attributes:
        target: the column to predict.
        client_column: the column that names each row's owner; it becomes `groups` and is not a feature. In a folder of files the file
            names the owner unless a column does.
        test_fraction: share of rows kept for the test, as in `from_arrays`; `seed` chooses which.
        kind: "auto" to find it: texts, or at most 20 different whole numbers, make a classification, other numbers a regression.
        drop: columns that are not features. keep: columns that are, though they look like identifiers, dates or prose.
        missing: rows with a missing feature are filled (median or most frequent, and a feature that says so), dropped, or an error.
            Rows without a target are left out.
        min_count: an owner does not tell the others of a category that fewer of its rows have.
    """

    target: str
    client_column: str | None = None
    test_fraction: float = 0.2
    seed: int = 0
    kind: Kind = "auto"
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    missing: Literal["fill", "drop", "error"] = "fill"
    min_count: int = 1


def from_csv(
    path: str | Path,
    *,
    target: str,
    client_column: str | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    kind: Kind = "auto",
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    missing: Literal["fill", "drop", "error"] = "fill",
    min_count: int = 1,
) -> FederatedData:
    """The data set in a CSV file with a header line, or in a folder with one file for each client.

    UTF-8 or Latin-1; commas, semicolons, tabs or bars between the values; decimal commas where no comma separates. Columns of numbers are
    standardised; any other becomes one feature for each category. The arguments are those of `Wish`.

    Returns:
        x float32 (n, features), scaled; y int64 labels (n,) or float32 targets (n,) in their unit; `record` with the encoding.

    Raises:
        DataError: no such file or column, no rows, a ragged row, a row without owner, a value that is not a number among numbers.
    """
    wish = Wish(target, client_column, test_fraction, seed, kind, tuple(drop), tuple(keep), missing, min_count)
    return federated(read_table(Path(path)), wish, name=Path(path).stem, source=str(path))[0]


def federated(table: Table, wish: Wish, *, name: str, source: str, deal: Deal | None = None) -> tuple[FederatedData, Encoding]:
    """The data set in a table, and its encoding.

    Args:
        deal: tells for each owner the places of (its training rows, all its rows) in `train`, from a data set that has targets, owners
            and, as `x`, those places; without it the owners are those of the client column, or one has all.

    Raises:
        DataError: as `from_csv`.
    """
    owner = wish.client_column or (FILE_COLUMN if FILE_COLUMN in table.cells else None)
    names = _feature_names(table, wish, owner)
    table, gone = _usable(table, wish, names, owner)
    # How the rows are split and dealt out may depend on their labels alone, which nobody has to agree on before.
    everybody = np.arange(len(table))
    labels = hold(Survey((), wish.target, wish.kind), [(table, table)])[0]
    skeleton = divided(
        Examples(everybody, make_targets(table, labels, wish.target)),
        labels.classes,
        _owners(table, owner) if owner else None,
        test_fraction=wish.test_fraction,
        draw=Draw(wish.seed),
        name=name,
        source=source,
    )
    training = table[skeleton.train.x]
    places = np.arange(len(training))
    owners = (deal or _natural)(replace(skeleton, train=Examples(places, skeleton.train.y)))
    survey = Survey(names, wish.target, labels.kind, wish.min_count, wish.keep)
    found, (up, down) = hold(survey, [(training[mine], training[all_mine]) for mine, all_mine in owners])
    # Clients that only evaluate were not asked, and have classes all the same.
    found = replace(found, classes=labels.classes, profiles={**found.profiles, wish.target: labels.profiles[wish.target]})
    encoding = make_encoding(found, wish.target)
    data = replace(
        skeleton,
        train=Examples(encoding.encode(training), skeleton.train.y),
        test=Examples(encoding.encode(table[skeleton.test.x]), skeleton.test.y),
        record={
            "encoding": encoding.to_json(),
            "found": {**_found(table, found), **gone, "training": len(training)},
            "owners": _names(skeleton.groups),
            "survey": {"owners": len(owners), "bytes_up": up, "bytes_down": down},
        },
    )
    return data, encoding


def make_targets(table: Table, found: Findings, target: str) -> Array:
    """The targets of all rows, from a survey that asked for nothing else."""
    profile = found.profiles[target]
    whole = profile["whole"] == profile["numbers"] == profile["rows"]
    return Encoding((), target, found.kind, found.classes, whole).targets(table)


def _feature_names(table: Table, wish: Wish, owner: str | None) -> tuple[str, ...]:
    others = [*wish.drop, *([owner] if owner else [])]
    for name in (wish.target, *others, *wish.keep):
        table.column(name)
    if wish.target in others:
        raise DataError("{table}: the target '{column}' is also the client column or a dropped one.", table=table.name, column=wish.target)
    names = tuple(name for name in table.header if name != wish.target and name not in others)
    if not names:
        raise DataError("{table} has no column left to be a feature beside the target '{column}'.", table=table.name, column=wish.target)
    return names


def _usable(table: Table, wish: Wish, names: Sequence[str], owner: str | None) -> tuple[Table, dict[str, int]]:
    """The rows that have an owner and a target, and what else is wished for; and how many rows have gone, by reason."""
    if owner and (lost := table.column(owner).missing).any():
        raise DataError(
            "{table}, line {lines}: the client column '{column}' is empty: whose are these rows?",
            table=table.name,
            lines=table.lines_of(lost),
            column=owner,
            hint="Fill in the owner of each row, or remove the rows.",
        )
    without = table.column(wish.target).missing
    if without.all():
        raise DataError("{table}: the target '{column}' is missing in every row.", table=table.name, column=wish.target)
    table = table[~without]
    gone = {"without_target": int(without.sum()), "dropped": 0}
    if wish.missing == "fill":
        return table, gone
    holes = {name: table.column(name).missing for name in names if table.column(name).missing.any()}
    if wish.missing == "error" and holes:
        told = "; ".join(f"'{name}' ({int(mask.sum())}: line {table.lines_of(mask)})" for name, mask in holes.items())
        hint = 'Fill them in, or choose missing = "fill" or "drop".'
        raise DataError("{table} has missing values in {columns}.", table=table.name, columns=told, hint=hint)
    whole = ~np.any(list(holes.values()), axis=0) if holes else np.ones(len(table), bool)
    if not whole.any():
        raise DataError("{table} has a missing value in every row.", table=table.name)
    return table[whole], {**gone, "dropped": int((~whole).sum())}


def _natural(data: FederatedData) -> Owners:
    """By groups, or everything to one."""
    rows = data.train.x
    if data.groups is None:
        return [(rows, rows)]
    order = np.argsort(data.groups, kind="stable")
    cuts = np.flatnonzero(data.groups[order][1:] != data.groups[order][:-1]) + 1
    return [(mine, mine) for mine in np.split(rows[order], cuts)]


def _owners(table: Table, name: str) -> Array:
    """The owners as whole numbers if all are, so that client 10 comes after client 9, else as texts."""
    texts = [str(text) for text in table.column(name).texts]
    if all(text.isascii() and text.isdigit() and len(text) < 19 and str(int(text)) == text for text in texts):
        return np.asarray([int(text) for text in texts], np.int64)
    return np.asarray(texts)


def _names(groups: Array | None) -> list[str]:
    """The owners in the order of their ranks."""
    return [] if groups is None else [str(one) for one in np.unique(groups)[:MOST_NAMES].tolist()]


def _found(table: Table, found: Findings) -> dict[str, Any]:
    """What is told of the table."""
    profiles: Mapping[str, Any] = found.profiles
    styles = {(one.encoding, one.delimiter, one.decimal_comma, one.thousands) for one in table.dialects}
    return {
        "rows": len(table),
        "files": len(table.files),
        "dialects": [dict(zip(("encoding", "delimiter", "decimal_comma", "thousands"), one, strict=True)) for one in sorted(styles)],
        "missing": {name: one["missing"] for name, one in profiles.items() if one["missing"]},
        "left_out": dict(found.left_out),
    }
