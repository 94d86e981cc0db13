"""Data sets from arrays that are already in memory, and the split that keeps examples back for the server."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ciranda.core.errors import DataError
from ciranda.core.rng import Draw
from ciranda.core.task import Array, Examples, FederatedData

Indices = NDArray[np.int64]


def from_arrays(
    x: Any,
    y: Any,
    *,
    test_fraction: float = 0.2,
    seed: int = 0,
    classes: Sequence[str] = (),
    groups: Any = None,
    name: str = "arrays",
) -> FederatedData:
    """A data set from features and targets, with a part of it kept back for the test.

    Whole numbers, booleans and texts in `y` make a classification, floats a regression (say `y.astype(float)` or
    `y.astype(int)` to choose). Without `classes`, the classes are the distinct values of `y`, sorted, and labels their positions.

    Args:
        x: (n, ...) numbers; kept in their dtype.
        y: (n,), or (n, outputs) floats. Labels come out as int64.
        test_fraction: share kept for the test, 0 <= share < 1; 0 keeps nothing.
        seed: chooses which examples (see `split_indices`).
        classes: names in label order, where `y` holds labels 0..len(classes) - 1.
        groups: (n,) the natural owner of each example, whole numbers or texts, or None.
        name: what the data set is called in records.

    Raises:
        DataError: no examples, unequal lengths, values that are not numbers or not finite, labels outside `classes`.
    """
    features = _numbers(_array(x, "x"), "x")
    target, names = _target(_array(y, "y"), tuple(str(one) for one in classes))
    _same_length(features, target, "y")
    owners = None if groups is None else _array(groups, "groups")
    if owners is not None:
        _same_length(features, owners, "groups")
        if owners.ndim != 1 or owners.dtype.kind not in "iuUS":
            raise DataError(
                "groups must be one whole number or text for each example; it has dtype {dtype}, shape {shape}.",
                dtype=owners.dtype,
                shape=owners.shape,
            )
    return divided(Examples(features, target), names, owners, test_fraction=test_fraction, draw=Draw(seed), name=name, source="memory")


def divided(
    examples: Examples, classes: Sequence[str], groups: Array | None, *, test_fraction: float, draw: Draw, name: str, source: str
) -> FederatedData:
    """`examples` divided by `split_indices`, stratified by label where there are classes."""
    train, test = split_indices(len(examples), test_fraction, draw, labels=examples.y if classes else None)
    return FederatedData(
        examples[train], examples[test], tuple(classes), None if groups is None else groups[train], name=name, source=source
    )


def split_indices(n: int, test_fraction: float, draw: Draw, *, labels: Array | None = None) -> tuple[Indices, Indices]:
    """Indices of the training and of the test examples, each ascending.

    Every example gets a word of `draw.at("test-split")`, and those with the smallest words of their class are the test (all are one class
    without `labels`). The test has floor(n * fraction + 1/2) examples, the fraction read as a decimal, shared out over the classes by
    largest remainder; a class never gives its last example.

    Args:
        n: number of examples.
        labels: (n,) integers, or None.

    Raises:
        DataError: the fraction is outside 0 <= fraction < 1.
    """
    if not 0 <= test_fraction < 1:
        raise DataError("The test fraction is {test_fraction}; it must be at least 0 and less than 1.", test_fraction=test_fraction)
    label = np.zeros(n, np.int64) if labels is None else labels
    _, position, counts = np.unique(label, return_inverse=True, return_counts=True)
    quotas = _quotas(counts, Fraction(str(test_fraction)))
    order = np.lexsort((draw.at("test-split").words(n), position))
    starts = np.concatenate(([0], np.cumsum(counts)[:-1])) if n else np.zeros(0, np.int64)
    # Within its class, an example's place in the order of words decides.
    place = np.arange(n) - np.repeat(starts, counts)
    chosen = np.zeros(n, bool)
    chosen[order] = place < np.repeat(quotas, counts)
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _quotas(counts: Indices, fraction: Fraction) -> Indices:
    shares = [int(count) * fraction for count in counts]
    quotas = [int(share) for share in shares]
    left = int(sum(shares) + Fraction(1, 2)) - sum(quotas)
    by_remainder = sorted(range(len(shares)), key=lambda i: (quotas[i] - shares[i], i))
    for i in by_remainder:
        if left > 0 and quotas[i] < shares[i] and quotas[i] + 1 < counts[i]:
            quotas[i] += 1
            left -= 1
    return np.asarray(quotas, np.int64)


def _array(values: Any, what: str) -> Array:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DataError("{what} is not one array: {error}.", hint="All rows must have the same shape.", what=what, error=error) from error
    if array.dtype == object and array.ndim == 1 and all(isinstance(one, str) for one in array):
        array = array.astype(str)
    if array.ndim == 0 or len(array) == 0:
        raise DataError("{what} holds no examples (shape {shape}).", what=what, shape=array.shape)
    return array


def _numbers(array: Array, what: str) -> Array:
    if array.dtype.kind not in "biuf":
        raise DataError(
            "{what} must hold numbers; it has dtype {dtype}.", hint="Turn texts and dates into numbers first.", what=what, dtype=array.dtype
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise DataError(
            "{what} holds {found} at index {where}.",
            hint="Fill in or remove missing values first.",
            what=what,
            found=array[where],
            where=where,
        )
    return array


def _target(y: Array, classes: tuple[str, ...]) -> tuple[Array, tuple[str, ...]]:
    if y.dtype.kind == "f" and not classes:
        if y.ndim > 2:
            raise DataError("y must have shape (n,) or (n, outputs); it has shape {shape}.", shape=y.shape)
        return _numbers(y, "y"), ()
    if y.dtype.kind not in "biuUS":
        raise DataError(
            "y must hold whole numbers, texts or floats; it has dtype {dtype}.",
            hint="Class labels are whole numbers or texts.",
            dtype=y.dtype,
        )
    if y.ndim != 1:
        raise DataError(
            "Class labels must have shape (n,); y has shape {shape}.", hint="Turn one-hot rows into labels with y.argmax(1).", shape=y.shape
        )
    if not classes:
        values, labels = np.unique(y, return_inverse=True)
        return labels.astype(np.int64), tuple(str(value) for value in values.tolist())
    if y.dtype.kind in "US":
        raise DataError("With classes given, y must hold labels as whole numbers, not texts.", hint="Leave out classes to have them found.")
    if y.min() < 0 or y.max() >= len(classes):
        bad = int(y.min()) if y.min() < 0 else int(y.max())
        raise DataError(
            "y holds the label {bad}; with {count} classes, labels run from 0 to {last}.",
            bad=bad,
            count=len(classes),
            last=len(classes) - 1,
        )
    return y.astype(np.int64), classes


def _same_length(x: Array, other: Array, what: str) -> None:
    if len(x) != len(other):
        raise DataError("x has {count} examples, and {what} has {other_count}.", count=len(x), what=what, other_count=len(other))
