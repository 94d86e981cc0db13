"""Data of one's own, in the form that a run asks for, or refused with what does not fit."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ciranda.core.errors import DataError
from ciranda.core.task import Array
from ciranda.tasks.datasets.csvfile import from_csv
from ciranda.tasks.datasets.encoding import Encoding
from ciranda.tasks.datasets.private import checked, read_private
from ciranda.tasks.inputs import Form

DIGITS = Form((2, 2), "uint8", 255.0, classes=("cat", "dog"))
LINE = Form((3,), "float32", 1.0, (), "float32")
X, Y = np.arange(12, dtype=np.uint8).reshape(3, 2, 2), np.array([0, 1, 0])


def idx(array: Array) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype("u1").tobytes()


@pytest.mark.parametrize("names", [("x", "y"), ("x_train", "y_train"), ("images", "labels")])
def test_arrays_in_an_npz_file(tmp_path: Path, names: tuple[str, str]) -> None:
    arrays: dict[str, Any] = {names[0]: X, names[1]: Y}
    np.savez(tmp_path / "own.npz", **arrays)
    examples = read_private(tmp_path / "own.npz", DIGITS)
    np.testing.assert_array_equal(examples.x, X)
    np.testing.assert_array_equal(examples.y, Y)
    assert examples.y.dtype == np.int64


def test_labels_may_be_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=X, y=np.array(["dog", "cat", "dog"]))
    assert read_private(tmp_path / "own.npz", DIGITS).y.tolist() == [1, 0, 1]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_idx_files_in_a_folder_or_named(tmp_path: Path, zipped: bool, named: bool) -> None:
    end = ".gz" if zipped else ""
    for kind, array in (("images-idx3", X), ("labels-idx1", Y)):
        data = idx(array)
        (tmp_path / f"train-{kind}-ubyte{end}").write_bytes(gzip.compress(data) if zipped else data)
    examples = read_private(tmp_path / f"train-images-idx3-ubyte{end}" if named else tmp_path, DIGITS)
    np.testing.assert_array_equal(examples.x, X)
    assert examples.y.tolist() == Y.tolist()


def test_a_folder_of_pictures_for_each_class(tmp_path: Path) -> None:
    for name, shade in (("dog", 200), ("cat", 40)):
        (tmp_path / name).mkdir()
        Image.new("RGB", (20, 30), (shade,) * 3).save(tmp_path / name / "1.png")
    Image.new("L", (2, 2), 90).save(tmp_path / "dog" / "2.JPG")
    (tmp_path / "dog" / "notes.txt").touch()
    (tmp_path / ".hidden").mkdir()
    examples = read_private(tmp_path, DIGITS)
    assert examples.y.tolist() == [0, 1, 1]
    assert examples.x[:, 0, 0].tolist() == [40, 200, 90]


def test_rows_of_a_table_by_the_runs_encoding(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("age,town,sick\n" + "".join(f"{20 + i},{'ab'[i % 2]},{'yn'[i % 3 == 0]}\n" for i in range(40)))
    data = from_csv(tmp_path / "all.csv", target="sick")
    assert data.record is not None
    encoding, form = Encoding.from_json(data.record["encoding"]), Form.of(data)
    (tmp_path / "own.csv").write_text("town;sick;age\nb;n;20\na;y;59\n")
    examples = read_private(tmp_path / "own.csv", form, encoding)
    assert examples.x.shape[1:] == form.shape
    assert [form.classes[label] for label in examples.y] == ["n", "y"]
    assert examples.x[0, 0] < 0 < examples.x[1, 0]  # by the run's mean age, not by that of these two
    (tmp_path / "own.csv").write_text("town,sick\nb,n\n")
    with pytest.raises(DataError, match="no column 'age'"):
        read_private(tmp_path / "own.csv", form, encoding)


def test_targets_of_a_regression() -> None:
    examples = checked(np.ones((2, 3)), np.array([1, 2]), LINE, "own")
    assert examples.y.dtype == np.float32
    for y in (np.array([1.0, np.nan]), np.array(["a", "b"]), np.ones((2, 2))):
        with pytest.raises(DataError, match="target"):
            checked(np.ones((2, 3)), y, LINE, "own")


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.zeros((3, 5, 5)), Y, r"shape \(3, 5, 5\)"),
        (X, Y[:2], "3 examples and 2 targets"),
        (X[:0], Y[:0], "no examples"),
        (X, np.array([0, 1, 2]), "from 0 to 1"),
        (X, np.array([0, -1, 0]), "from 0 to 1"),
        (X, np.array([0, 0.5, 1]), "from 0 to 1"),
        (X, np.array([[0], [1], [0]]), "from 0 to 1"),
        (X, np.array(["dog", "cow", "ant"]), "classes ant, cow"),
        (X.astype(float) + 0.5, Y, "cannot hold"),
    ],
)
def test_what_does_not_fit_is_named(x: Array, y: Array, words: str) -> None:
    with pytest.raises(DataError, match=words):
        checked(x, y, DIGITS, "own")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no"):
        read_private(tmp_path / "gone.npz", DIGITS)
    (tmp_path / "own.npz").write_bytes(b"PK\3\4 not really")
    with pytest.raises(DataError, match=r"not an \.npz"):
        read_private(tmp_path / "own.npz", DIGITS)
    np.savez(tmp_path / "own.npz", a=X)
    with pytest.raises(DataError, match="arrays a; it must have x and y"):
        read_private(tmp_path / "own.npz", DIGITS)
    np.savez(tmp_path / "own.npz", x=np.array([{}], object), y=Y)
    with pytest.raises(DataError, match=r"not an \.npz"):
        read_private(tmp_path / "own.npz", DIGITS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no pictures"):
        read_private(tmp_path / "empty", DIGITS)
    (tmp_path / "own.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="nothing that this run can learn from"):
        read_private(tmp_path / "own.csv", DIGITS)
