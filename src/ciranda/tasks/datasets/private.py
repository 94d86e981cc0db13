"""Data that stay with their owner, in the form that a run was declared with: a table, arrays, IDX files, or folders of pictures."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from ciranda.core.errors import DataError
from ciranda.core.task import Array, Examples
from ciranda.tasks.datasets.encoding import Encoding
from ciranda.tasks.datasets.idx import read_idx
from ciranda.tasks.datasets.table import read_table, some
from ciranda.tasks.inputs import Form, as_type, fitted, picture

PICTURES = (".png", ".jpg", ".jpeg")
_HINT = "It may be a .csv file, an .npz with x and y, a folder with IDX files, or a folder with a folder of pictures for each class."
_X, _Y = ("x", "x_train", "images"), ("y", "y_train", "labels")


def read_private(path: Path, form: Form, encoding: Encoding | None = None) -> Examples:
    """The examples at `path`, as those of the run.

    Args:
        form: what the run's examples look like. encoding: how rows of its table became examples, if it has one.

    Raises:
        DataError: nothing that can be read lies there, or it does not fit the run's form.
    """
    if not path.exists():
        raise DataError("There is no {path}.", hint=_HINT, path=path)
    if encoding is not None:
        table = read_table(path)
        return Examples(encoding.encode(table), encoding.targets(table))
    if path.suffix.lower() == ".npz":
        x, y = _arrays(path)
    elif images := _idx(path):
        x, y = (read_idx(file) for file in images)
    elif path.is_dir():
        x, y = _pictures(path, form)
    else:
        raise DataError("{path} is nothing that this run can learn from.", hint=_HINT, path=path)
    return checked(x, y, form, str(path))


def checked(x: Array, y: Array, form: Form, name: str) -> Examples:
    """(x, y) as examples of this form. Raises DataError naming what does not fit."""
    x = fitted(x, form, name)
    if len(x) != len(y):
        raise DataError("{name} has {count} examples and {other} targets.", name=name, count=len(x), other=len(y))
    if not len(x):
        raise DataError("{name} has no examples.", name=name)
    if form.classes:
        return Examples(x, _labels(y, form, name))
    if y.dtype.kind not in "biuf" or not np.isfinite(y).all() or y.shape[1:] != form.target_shape:
        raise DataError("{name}: a target must be numbers of shape {shape}.", name=name, shape=form.target_shape)
    return Examples(x, as_type(y, form.target_dtype, name))


def _labels(y: Array, form: Form, name: str) -> Array:
    """Labels from 0 on, or the classes' names, as labels."""
    if y.dtype.kind == "U" and y.ndim == 1:
        place = {text: label for label, text in enumerate(form.classes)}
        unknown = sorted({str(text) for text in y} - place.keys())
        if unknown:
            raise DataError(
                "{name} has the classes {unknown}, which the run does not know.",
                hint="The run's: {classes}.",
                name=name,
                unknown=some(unknown),
                classes=some(form.classes, 20),
            )
        return np.array([place[str(text)] for text in y], np.int64)
    count = len(form.classes)
    if y.ndim != 1 or y.dtype.kind not in "biuf" or not np.array_equal(y, np.floor(y)) or y.min() < 0 or y.max() >= count:
        raise DataError(
            "{name}: a label must be a whole number from 0 to {last}, or the name of a class.",
            hint="The run's classes: {classes}.",
            name=name,
            last=count - 1,
            classes=some(form.classes, 20),
        )
    return y.astype(np.int64)


def _arrays(path: Path) -> tuple[Array, Array]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
            names = [next((name for name in wanted if name in held), "") for wanted in (_X, _Y)]
            if not all(names):
                raise DataError("{path} has the arrays {names}; it must have x and y.", path=path, names=", ".join(held.files) or "-")
            return held[names[0]], held[names[1]]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError("{path} is not an .npz file of arrays: {error}.", path=path, error=str(error)) from error


def _idx(path: Path) -> tuple[Path, Path] | None:
    """The files with images and labels: the first such pair of a folder, or of the file that is named."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    for images in files:
        if images.is_file() and "images" in images.name and "idx" in images.name:
            labels = images.with_name(images.name.replace("images", "labels").replace("idx3", "idx1"))
            if labels.is_file():
                return images, labels
    return None


def _pictures(path: Path, form: Form) -> tuple[Array, Array]:
    """Every picture in the folders, each named like its class."""
    found: list[Array] = []
    names: list[str] = []
    for folder in sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith(".")):
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() in PICTURES:
                found.append(picture(file.read_bytes(), str(file), form))
                names.append(folder.name)
    if not found:
        raise DataError("There are no pictures in the folders of {path}.", hint=_HINT, path=path)
    return np.concatenate(found), np.array(names)
