"""What `predict` is given, as arrays like the training data; misfits are refused with both shapes."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ciranda.cli.inputs import read_inputs
from ciranda.core.errors import DataError
from ciranda.core.task import Array, Examples, FederatedData


def images(shape: tuple[int, ...] = (8, 8), greatest: int = 255, dtype: str = "uint8") -> FederatedData:
    x = (np.arange(5 * int(np.prod(shape))).reshape(5, *shape) % (greatest + 1)).astype(dtype)
    x.flat[0] = greatest
    examples = Examples(x, np.arange(5))
    return FederatedData(examples, examples, tuple("abcde"))


TABLE = FederatedData(Examples(np.zeros((3, 4), np.float32), np.zeros(3)), Examples(np.ones((2, 4), np.float32), np.array([1.5, 2.5])))


def test_test_examples_come_with_their_truth() -> None:
    inputs = read_inputs("test:1", TABLE)
    assert inputs.x.shape == (1, 4)
    assert inputs.names == ["test:1"]
    assert inputs.truth is not None
    assert inputs.truth.tolist() == [2.5]
    assert read_inputs("test:0-1", TABLE).names == ["test:0", "test:1"]


@pytest.mark.parametrize("text", ["test:", "test:x", "test:-1", "test:2", "test:1-0", "test:0-9", "test:0-x"])
def test_a_wrong_index_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="test:"):
        read_inputs(text, TABLE)


@pytest.mark.parametrize(("shape", "mode"), [((8, 8), "L"), ((8, 8), "RGB"), ((8, 8, 3), "RGB"), ((8, 8, 3), "RGBA"), ((8, 8, 1), "P")])
def test_an_image_takes_the_size_and_colours_of_the_data(tmp_path: Path, shape: tuple[int, ...], mode: str) -> None:
    Image.new(mode, (40, 20), "white" if mode != "P" else 0).save(tmp_path / "i.png")
    inputs = read_inputs(str(tmp_path / "i.png"), images(shape))
    assert inputs.x.shape == (1, *shape)
    assert inputs.x.dtype == np.uint8
    assert inputs.truth is None


def test_an_image_of_the_right_size_is_unchanged(tmp_path: Path) -> None:
    data = images()
    Image.fromarray(data.train.x[2]).save(tmp_path / "i.png")
    np.testing.assert_array_equal(read_inputs(str(tmp_path / "i.png"), data).x[0], data.train.x[2])


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_white_is_the_greatest_value_of_the_data(tmp_path: Path, dtype: str) -> None:
    Image.new("L", (8, 8), 255).save(tmp_path / "w.png")
    inputs = read_inputs(str(tmp_path / "w.png"), images(greatest=16, dtype=dtype))
    assert inputs.x.dtype == np.dtype(dtype)
    assert (inputs.x == 16).all()


def test_a_task_without_images_takes_none(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "i.png")
    with pytest.raises(DataError, match="not trained on images"):
        read_inputs(str(tmp_path / "i.png"), TABLE)


def test_a_torn_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "i.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(DataError, match="not an image"):
        read_inputs(str(tmp_path / "i.png"), images())


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (3, 8, 8), (2, 64)])
def test_arrays_of_one_or_more_examples(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "x.npy", np.ones(shape, np.int64))
    inputs = read_inputs(str(tmp_path / "x.npy"), images())
    assert inputs.x.shape[1:] == (8, 8)
    assert inputs.x.dtype == np.uint8
    assert inputs.names == [str(number) for number in range(len(inputs.x))]


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.ones((3, 9, 9)), r"shape \(3, 9, 9\).*shape \(8, 8\)"),
        (np.full((8, 8), np.nan), "not finite"),
        (np.full((8, 8), 300), "type uint8 cannot hold"),
        (np.full((8, 8), 0.5), "type uint8 cannot hold"),
        (np.array(["a"]), "finite numbers"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, array: Array, words: str) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(DataError, match=words):
        read_inputs(str(tmp_path / "x.npy"), images())


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"an": "object"}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="not a NumPy array of numbers"):
        read_inputs(str(tmp_path / "x.npy"), images())
    (tmp_path / "y.npy").write_bytes(pickle.dumps([1]))
    with pytest.raises(DataError, match="not a NumPy array of numbers"):
        read_inputs(str(tmp_path / "y.npy"), images())


@pytest.mark.parametrize("text", ["a,b,c,d\n1,2,3,4\n5,6,7,8\n", "1,2,3,4\n\n5,6,7,8\n", "\ufeff1,2,3,4\n5,6,7,8"])
def test_rows_of_numbers_with_or_without_names(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    np.testing.assert_array_equal(read_inputs(str(tmp_path / "x.csv"), TABLE).x, [[1, 2, 3, 4], [5, 6, 7, 8]])


@pytest.mark.parametrize(
    ("text", "words"),
    [("1,2,3,4\n1,2,x,4\n", "line 2"), ("a,b\n", "no rows"), ("", "no rows"), ("1,2\n1\n", "one length"), ("1,2\n", "shape")],
)
def test_rows_that_are_no_examples(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        read_inputs(str(tmp_path / "x.csv"), TABLE)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"")
    with pytest.raises(DataError, match="not an image"):
        read_inputs(str(tmp_path / "x.pkl"), TABLE)
    with pytest.raises(DataError, match="no file") as caught:
        read_inputs("nothing.png", TABLE)
    assert "test:0" in caught.value.hint
