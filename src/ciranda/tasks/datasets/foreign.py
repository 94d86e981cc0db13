"""Data sets made for other libraries: any map-style PyTorch data set, and Hugging Face data sets on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ciranda.core.errors import DataError, MissingExtra
from ciranda.core.task import Array, Examples, FederatedData
from ciranda.core.texts import Text
from ciranda.tasks.datasets.arrays import from_arrays
from ciranda.tasks.datasets.frames import from_frame

MOST_BYTES = 4 * 2**30


def from_torch(
    dataset: Any,
    *,
    test: Any = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    classes: Sequence[str] = (),
    groups: Any = None,
    most_bytes: int = MOST_BYTES,
    name: str = "",
) -> FederatedData:
    """The examples of a map-style `torch.utils.data.Dataset` (`dataset[i]` gives (x, y)), read once, in order, into arrays.

    What the data set's own transform does is done once: a random crop would be the same in every epoch, and belongs in the task's
    `transform`. Tensors, arrays, PIL images and numbers are taken in their dtype.

    Args:
        test: another such data set for the test; without it `test_fraction` of the examples, chosen by `seed`, are kept for it.
        classes: names in label order; found from the labels if left out, or taken from the data set's `classes`.
        groups: (n,) the natural owner of each example, or None.
        most_bytes: refuse to read more than this into memory.

    Raises:
        DataError: it has no length or no items (x, y), items differ in shape, or it is too large; and as `from_arrays`.
    """
    x, y = _pairs(dataset, most_bytes)
    names = tuple(classes) or _own_classes(dataset, y)
    label = name or type(dataset).__name__
    if test is None:
        return from_arrays(x, y, test_fraction=test_fraction, seed=seed, classes=names, groups=groups, name=label)
    test_x, test_y = _pairs(test, most_bytes - x.nbytes)
    return _with_test(x, y, test_x, test_y, names, groups, label)


def from_huggingface(
    source: Any,
    *,
    target: str,
    x: str | None = None,
    client_column: str | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    most_bytes: int = MOST_BYTES,
    **table: Any,
) -> FederatedData:
    """A Hugging Face data set, at hand or in a folder that `save_to_disk` wrote; nothing is fetched.

    Args:
        source: a `datasets.Dataset`, a `DatasetDict` (its splits "train" and, if there, "test"), or the folder of one.
        target: the column to predict. A `ClassLabel` brings its class names.
        x: the column that holds each example's array, image or list of numbers; without it, all other columns are features, prepared
            as `from_csv` prepares a file (`table` takes its drop, keep, kind, missing and min_count).
        client_column: the column that names each example's owner.
        test_fraction, seed: which examples are the test, where there is no split of that name.

    Raises:
        DataError: no such folder, split or column; and as `from_torch` or `from_csv`. MissingExtra: the package datasets is needed.
    """
    train, test = _splits(source)
    for column in (target, *(name for name in (x, client_column) if name is not None)):
        if column not in train.column_names:
            raise DataError(
                "The data set has no column '{column}'.", column=column, hint="It has: {names}.", names=", ".join(train.column_names)
            )
    label = str(source) if isinstance(source, str | Path) else "huggingface"
    if x is None:
        if test is not None:
            raise DataError(
                'The data set has a split "test", which a table cannot keep apart from its rows.',
                hint='Give the split to use, as in from_huggingface(source["train"], ...), or name the column of the inputs with x=.',
            )
        return from_frame(
            _named(train, target), target=target, client_column=client_column, test_fraction=test_fraction, seed=seed, **table
        )
    if table:
        raise DataError("With x= there is no table to prepare: {names} cannot be given.", names=", ".join(sorted(table)))
    classes = tuple(getattr(train.features[target], "names", None) or ())
    owners = np.asarray(train[client_column]) if client_column is not None else None
    inputs, targets = _pairs(_Columns(train, x, target), most_bytes)
    if test is None:
        return from_arrays(inputs, targets, test_fraction=test_fraction, seed=seed, classes=classes, groups=owners, name=label)
    return _with_test(inputs, targets, *_pairs(_Columns(test, x, target), most_bytes - inputs.nbytes), classes, owners, label)


class _Columns:
    """Two columns of a data set as pairs."""

    def __init__(self, dataset: Any, x: str, y: str) -> None:
        self.dataset, self.x, self.y = dataset, x, y

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        row = self.dataset[index]
        return row[self.x], row[self.y]


def _pairs(dataset: Any, most_bytes: int) -> tuple[Array, Array]:
    try:
        count = len(dataset)
    except TypeError as error:
        raise DataError(
            "{kind} has no length: only map-style data sets, with len() and [index], can be dealt out to clients.",
            kind=type(dataset).__name__,
            hint="Read a stream into a list of (x, y) first.",
        ) from error
    if not count:
        raise DataError("{kind} holds no examples.", kind=type(dataset).__name__)
    x, y = (_array(value) for value in _item(dataset, 0))
    if (x.nbytes + y.nbytes) * count > most_bytes:
        raise DataError(
            "{count:,} examples of shape {shape} take {size:.1f} GB of memory, more than the limit of {limit:.1f} GB.",
            count=count,
            shape=str(x.shape),
            size=x.nbytes * count / 2**30,
            limit=most_bytes / 2**30,
            hint="Keep bytes (uint8) instead of floats and scale in the task's transform, take a subset, or raise most_bytes.",
        )
    inputs, targets = np.empty((count, *x.shape), x.dtype), [y]
    inputs[0] = x
    for index in range(1, count):
        x, y = (_array(value) for value in _item(dataset, index))
        if (x.shape, y.shape) != (inputs.shape[1:], targets[0].shape):
            raise DataError(
                "Example {index} has shapes {shape}; the first has {first}.",
                index=index,
                shape=f"{x.shape}, {y.shape}",
                first=f"{inputs.shape[1:]}, {targets[0].shape}",
                hint="Resize or pad the examples, so that all have one shape.",
            )
        if not np.can_cast(x.dtype, inputs.dtype):  # a data set that begins with whole numbers or short texts is not cut to these
            inputs = inputs.astype(np.promote_types(x.dtype, inputs.dtype))
        inputs[index] = x
        targets.append(y)
    return inputs, np.stack(targets)


def _item(dataset: Any, index: int) -> Any:
    item = dataset[index]
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise DataError(
            "Example {index} of {kind} is {what}, not a pair (x, y).",
            index=index,
            kind=type(dataset).__name__,
            what=type(item).__name__ if not isinstance(item, tuple | list) else Text("{count} values", count=len(item)),
            hint="Wrap the data set in one whose items are pairs.",
        )
    return item


def _array(value: Any) -> Array:
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)


def _own_classes(dataset: Any, y: Array) -> tuple[str, ...]:
    """torchvision's data sets name their classes."""
    names = getattr(dataset, "classes", None)
    fits = isinstance(names, list | tuple) and y.ndim == 1 and y.dtype.kind in "iu" and int(y.max()) < len(names)
    return tuple(str(name) for name in names) if fits and names else ()


def _with_test(x: Array, y: Array, test_x: Array, test_y: Array, classes: Sequence[str], groups: Any, name: str) -> FederatedData:
    if test_x.shape[1:] != x.shape[1:]:
        raise DataError("The test's examples have shape {test}, the others {train}.", test=str(test_x.shape[1:]), train=str(x.shape[1:]))
    # The classes are those of both: one that only the test has is a class too.
    every = np.concatenate([y, test_y])
    targets = from_arrays(np.arange(len(every)), every, test_fraction=0, classes=classes)
    train = from_arrays(x, y, test_fraction=0, groups=groups, name=name)
    labels, rest = targets.train.y[: len(y)], targets.train.y[len(y) :]
    return replace(train, train=Examples(x, labels), test=Examples(test_x, rest), classes=targets.classes)


def _splits(source: Any) -> tuple[Any, Any]:
    if isinstance(source, str | Path):
        if not Path(source).is_dir():
            raise DataError(
                "There is no folder {path}.",
                path=source,
                hint="Data sets are read from disk only: write one with dataset.save_to_disk(...).",
            )
        try:
            from datasets import load_from_disk
        except ImportError as error:
            raise MissingExtra("datasets", "huggingface", Text("Reading a Hugging Face data set")) from error
        try:
            source = load_from_disk(str(source))
        except (FileNotFoundError, ValueError, OSError) as error:
            raise DataError("{path} is not a data set that save_to_disk wrote: {error}.", path=source, error=str(error)) from error
    if hasattr(source, "column_names") and hasattr(source, "features"):
        return source, None
    if isinstance(source, dict) and "train" in source:
        return source["train"], source.get("test")
    have = ", ".join(source) if isinstance(source, dict) else type(source).__name__
    raise DataError('This is no data set with a split "train": {have}.', have=have, hint="Give a datasets.Dataset, or one of its splits.")


def _named(dataset: Any, target: str) -> Any:
    """As a data frame, class labels by their names."""
    frame = dataset.to_pandas()
    names = getattr(dataset.features[target], "names", None)
    return frame.assign(**{target: [names[label] for label in frame[target]]}) if names else frame
