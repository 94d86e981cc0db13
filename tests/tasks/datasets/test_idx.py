"""IDX files: what is written is read, and what is damaged is refused with the file's name."""

from __future__ import annotations

import dataclasses
import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from ciranda.core.errors import DataError
from ciranda.core.task import FederatedData
from ciranda.tasks.datasets import fashion_mnist, locate, mnist
from ciranda.tasks.datasets import idx as datasets_idx
from ciranda.tasks.datasets.idx import read_idx

CODES = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(array: NDArray[Any], code: str = "u1") -> bytes:
    head = bytes([0, 0, CODES[code], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(code).tobytes()


def small_set(seed: int, n: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (n, 28, 28), np.uint8), generator.integers(0, 10, n, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small set in the four usual files: 12 training images, 5 test images."""
    for position, (seed, n) in enumerate(((1, 12), (2, 5))):
        images, labels = small_set(seed, n)
        (tmp_path / f"{NAMES[2 * position]}.gz").write_bytes(gzip.compress(idx(images)))
        (tmp_path / f"{NAMES[2 * position + 1]}.gz").write_bytes(gzip.compress(idx(labels)))
    return tmp_path


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idx") / "file"


@given(data=st.data(), code=st.sampled_from(sorted(CODES)), zipped=st.booleans())
def test_what_is_written_is_read(scratch: Path, data: st.DataObject, code: str, zipped: bool) -> None:
    native = np.dtype(code).newbyteorder("=")
    array = data.draw(arrays(native, array_shapes(max_dims=4, max_side=5)))
    content = idx(array, code)
    scratch.write_bytes(gzip.compress(content) if zipped else content)
    read = read_idx(scratch)
    assert read.dtype == native
    assert read.dtype.isnative
    assert read.tobytes() == array.tobytes()
    assert read.shape == array.shape
    assert read.flags.writeable


@given(data=st.data(), zipped=st.booleans())
def test_no_beginning_of_a_file_is_taken_for_the_whole(scratch: Path, data: st.DataObject, zipped: bool) -> None:
    content = idx(np.arange(60).reshape(3, 4, 5))
    content = gzip.compress(content) if zipped else content
    scratch.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    refusal(scratch)


@given(flip=st.integers(0, 7), data=st.data())
def test_a_flipped_bit_in_a_gzip_file_gives_the_same_array_or_a_refusal(scratch: Path, flip: int, data: st.DataObject) -> None:
    array = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    content = bytearray(gzip.compress(idx(array)))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << flip
    scratch.write_bytes(content)
    try:
        read = read_idx(scratch)
    except DataError:
        refusal(scratch)
    else:
        assert np.array_equal(read, array)  # a bit of the gzip header that means nothing, such as its time


@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_longer_than_its_header_says_is_refused(tmp_path: Path, zipped: bool) -> None:
    content = idx(np.zeros((2, 3))) + b"\0"
    (tmp_path / "long").write_bytes(gzip.compress(content) if zipped else content)
    assert "longer than its header" in refusal(tmp_path / "long")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "starts with nothing"),
        (b"\0\0\x08", "not an IDX file"),
        (b"\0\1\x08\x01\0\0\0\1\0", "00 01 08 01"),
        (b"\0\0\x07\x01\0\0\0\1\0", "not an IDX file"),
        (b"\0\0\x08\x00", "not an IDX file"),
        (b"\0\0\x08\xff", "not an IDX file"),
        (b"\0\0\x08\x02\0\0\0\1", "ends inside its header"),
        (b"\0\0\x08\x01\0\0\0\0", "empty"),
        (b"\0\0\x08\x02\0\0\0\0\xff\xff\xff\xff", "empty"),
        (b"<html>not found</html>", "not an IDX file"),
        (b"\x1f\x8bnonsense", "gzip"),
    ],
)
def test_what_is_no_idx_file_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "bad").write_bytes(content)
    assert words in refusal(tmp_path / "bad")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_header_that_promises_the_impossible_is_refused_before_memory_is_taken(tmp_path: Path, zipped: bool) -> None:
    content = bytes([0, 0, 8, 4]) + b"\xff" * 16 + b"\0" * 100
    (tmp_path / "huge").write_bytes(gzip.compress(content) if zipped else content)
    assert "promises" in refusal(tmp_path / "huge")


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path)
    assert "cannot be read" in refusal(tmp_path / "nothing")


@pytest.mark.parametrize("load", [mnist, fashion_mnist])
def test_a_set_is_loaded_from_its_four_files(folder: Path, load: Any) -> None:
    data: FederatedData = load(folder)
    for examples, (seed, n) in ((data.train, (1, 12)), (data.test, (2, 5))):
        images, labels = small_set(seed, n)
        assert examples.x.dtype == np.uint8
        assert np.array_equal(examples.x, images)
        assert examples.y.dtype == np.int64
        assert np.array_equal(examples.y, labels)
    assert len(data.classes) == 10
    assert data.source == str(folder)


def test_unzipped_files_and_the_other_spelling_serve(folder: Path) -> None:
    for name in NAMES:
        zipped = folder / f"{name}.gz"
        (folder / name.replace("-idx", ".idx")).write_bytes(gzip.decompress(zipped.read_bytes()))
        zipped.unlink()
    assert len(mnist(folder).train) == 12


def test_the_two_sets_are_not_mistaken_for_each_other(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = tmp_path / "world"
    world.mkdir()
    folder_of_mnist = world / "mnist"
    folder_of_mnist.symlink_to(folder)
    monkeypatch.setenv("CIRANDA_DATA", str(world))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    monkeypatch.setattr(locate, "checkout_folder", lambda: None)
    assert mnist().source == str(folder_of_mnist)
    # Where the system has its own copy, it must not be found either.
    monkeypatch.setattr(datasets_idx, "_FASHION", dataclasses.replace(datasets_idx._FASHION, system_folders=()))
    with pytest.raises(DataError, match="Fashion-MNIST was not found"):
        fashion_mnist()


def test_a_missing_fashion_set_names_debians_package(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        fashion_mnist(tmp_path)
    assert "apt install dataset-fashion-mnist" in caught.value.hint
    assert "train-images-idx3-ubyte.gz" in caught.value.hint


@pytest.mark.parametrize(
    ("position", "array", "code", "words"),
    [
        (0, np.zeros((12, 28, 27)), "u1", "(n, 28, 28)"),
        (0, np.zeros((12, 28, 28)), ">f4", "float32"),
        (0, np.zeros(12), "u1", "(n, 28, 28)"),
        (0, np.zeros((11, 28, 28)), "u1", "do not belong together"),
        (1, np.zeros((12, 1)), "u1", "(n,)"),
        (1, np.zeros(12), ">i4", "int32"),
        (1, np.full(12, 10), "u1", "the label 10"),
    ],
)
def test_files_that_do_not_make_a_set_are_refused(folder: Path, position: int, array: NDArray[Any], code: str, words: str) -> None:
    path = folder / f"{NAMES[position]}.gz"
    path.write_bytes(gzip.compress(idx(array, code)))
    with pytest.raises(DataError) as caught:
        mnist(folder)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_the_real_mnist_has_its_known_facts(data_root: Path) -> None:
    if not (data_root / "mnist").is_dir():
        pytest.skip(f"no MNIST in {data_root}")
    data = mnist(data_root)
    assert data.train.x.shape == (60_000, 28, 28)
    assert data.test.x.shape == (10_000, 28, 28)
    assert data.train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.test.y[:5].tolist() == [7, 2, 1, 0, 4]
    assert np.bincount(data.train.y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.test.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.train.x.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert data.train.x.std() / 255 == pytest.approx(0.3081, abs=5e-5)
    # Labels belong to their images: ones have the least ink, zeros the most.
    ink = [data.train.x[data.train.y == digit].mean() for digit in range(10)]
    assert (int(np.argmin(ink)), int(np.argmax(ink))) == (1, 0)


def test_the_real_fashion_mnist_has_its_known_facts() -> None:
    try:
        data = fashion_mnist()
    except DataError as error:
        pytest.skip(f"{str(error).splitlines()[0]} {error.hint}")
    assert data.train.x.shape == (60_000, 28, 28)
    assert data.train.y[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert np.bincount(data.train.y).tolist() == [6000] * 10
    assert np.bincount(data.test.y).tolist() == [1000] * 10
    assert data.train.x.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
