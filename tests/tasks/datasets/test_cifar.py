"""CIFAR-10 from batches in a folder, from the archive, and from the parquet copy."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ciranda.core.errors import DataError
from ciranda.tasks.datasets import cifar, cifar10
from ciranda.tasks.datasets.cifar import CLASSES

NAMES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")


def images(seed: int, n: int = 4) -> tuple[NDArray[np.uint8], list[int]]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (n, 32, 32, 3), np.uint8), generator.integers(0, 10, n).tolist()


def batch(x: NDArray[np.uint8], labels: Any) -> bytes:
    """Images (n, 32, 32, 3) as a published batch holds them: rows of all red, all green, all blue."""
    return pickle.dumps({b"data": x.transpose(0, 3, 1, 2).reshape(len(x), -1), b"labels": labels, b"batch_label": b"a batch"}, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    for seed, name in enumerate(NAMES):
        (root / name).write_bytes(batch(*images(seed)))
    return root


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def usual_members() -> dict[str, bytes]:
    # The archive has its batches in another order, and other files between them.
    return {"data_batch_4": batch(*images(3)), "readme.html": b"<html>", "test_batch": batch(*images(5))} | {
        name: batch(*images(seed)) for seed, name in enumerate(NAMES) if seed not in (3, 5)
    }


def refusal(root: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        cifar10(root)
    return caught.value


def check(root: Path) -> None:
    """The set is the six small batches, in their order, each image with its label."""
    data = cifar10(root)
    assert data.name == "CIFAR-10"
    assert tuple(data.classes) == CLASSES
    expected = [images(seed) for seed in range(6)]
    assert np.array_equal(data.train.x, np.concatenate([x for x, _ in expected[:5]]))
    assert data.train.y.tolist() == [label for _, y in expected[:5] for label in y]
    assert np.array_equal(data.test.x, expected[5][0])
    assert data.test.y.tolist() == expected[5][1]
    assert data.train.x.dtype == np.uint8
    assert data.train.y.dtype == np.int64
    assert data.train.x.flags.c_contiguous


def test_the_batches_of_a_folder_are_loaded_in_order(folder: Path) -> None:
    check(folder)
    check(folder.parent)


def test_the_archive_is_read_without_unpacking_it(tmp_path: Path) -> None:
    archive(tmp_path / "cifar-10-python.tar.gz", usual_members())
    check(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-python.tar.gz"]


def test_the_batches_are_preferred_to_the_archive(folder: Path) -> None:
    (folder.parent / "cifar-10-python.tar.gz").write_bytes(b"broken")
    check(folder.parent)


def test_labels_may_be_an_array(folder: Path) -> None:
    x, y = images(0)
    (folder / "data_batch_1").write_bytes(batch(x, np.asarray(y)))
    check(folder)


def test_a_batch_that_hides_a_command_is_refused_and_does_nothing(folder: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "harm"),)

    x, y = images(2)
    (folder / "data_batch_3").write_bytes(batch(x, [*y[:-1], Evil()]))
    error = refusal(folder)
    assert "data_batch_3" in str(error)
    assert "posix.mkdir" in str(error)
    assert not (tmp_path / "harm").exists()


def test_an_archive_that_hides_a_command_is_refused_and_does_nothing(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "harm"),)

    archive(tmp_path / "cifar-10-python.tar.gz", usual_members() | {"test_batch": pickle.dumps(Evil())})
    error = refusal(tmp_path)
    assert "cifar-10-python.tar.gz: test_batch" in str(error)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "damaged pickle"),
        (batch(*images(0))[:-500], "damaged pickle"),
        (pickle.dumps({b"labels": [1]}, 2), "no 'data'"),
        (pickle.dumps({b"data": np.zeros((4, 3071), np.uint8), b"labels": [1] * 4}, 2), "(n, 3072)"),
        (pickle.dumps({b"data": np.zeros((4, 3072), np.int8), b"labels": [1] * 4}, 2), "uint8"),
        (pickle.dumps({b"data": np.zeros((0, 3072), np.uint8), b"labels": []}, 2), "no 'data'"),
        (pickle.dumps({b"data": [1, 2], b"labels": [1] * 4}, 2), "no 'data'"),
        (pickle.dumps({b"data": np.zeros((4, 3072), np.uint8)}, 2), "4 images and labels"),
        (batch(images(0)[0], [1, 2, 3]), "4 images and labels"),
        (batch(images(0)[0], [1, 2, 3, 10]), "labels from 1 to 10"),
        (batch(images(0)[0], [1, 2, 3, -1]), "labels from -1 to 3"),
        (batch(images(0)[0], [1, 2, 3, [4]]), "not one list of numbers"),
        (batch(images(0)[0], ["1", "2", "3", "4"]), "4 images and labels"),
    ],
)
def test_a_batch_that_is_none_is_refused(folder: Path, content: bytes, words: str) -> None:
    (folder / "data_batch_2").write_bytes(content)
    error = refusal(folder)
    assert words in str(error)
    assert str(folder / "data_batch_2") in str(error)


def test_a_batch_that_is_far_too_large_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "_LARGEST_BATCH", 1000)
    assert "larger than any batch" in str(refusal(folder))


def test_an_archive_member_that_is_far_too_large_or_repeated_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "cifar-10-python.tar.gz", usual_members())
    with monkeypatch.context() as patch:
        patch.setattr(cifar, "_LARGEST_BATCH", 1000)
        assert "larger than any batch" in str(refusal(tmp_path))
    archive(path, {"test_batch": batch(*images(5)), "sub/test_batch": batch(*images(5))})
    assert "there twice" in str(refusal(tmp_path))


def test_a_link_in_the_archive_is_not_followed(tmp_path: Path) -> None:
    members = usual_members()
    del members["test_batch"]
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        link = tarfile.TarInfo("cifar-10-batches-py/test_batch")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    assert "lacks test_batch" in str(refusal(tmp_path))


@pytest.mark.parametrize("size", [0, 10, 1000, -100])
def test_a_cut_archive_is_refused(tmp_path: Path, size: int) -> None:
    path = archive(tmp_path / "cifar-10-python.tar.gz", usual_members())
    path.write_bytes(path.read_bytes()[:size])
    assert str(path) in str(refusal(tmp_path))


def test_an_archive_that_lacks_batches_names_them(tmp_path: Path) -> None:
    archive(tmp_path / "cifar-10-python.tar.gz", {name: batch(*images(1)) for name in NAMES[1:5]})
    assert "lacks data_batch_1, test_batch" in str(refusal(tmp_path))


def test_an_incomplete_folder_says_what_it_lacks_and_all_the_ways_to_get_it(folder: Path) -> None:
    (folder / "data_batch_4").unlink()
    error = refusal(folder.parent)
    assert f"{folder} lacks data_batch_4" in str(error)
    for words in ("cifar-10-python.tar.gz", "test_batch", "cifar10_train_jpeg.parquet", "CIRANDA_DATA"):
        assert words in error.hint


@pytest.fixture
def real(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of real data, with a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if not (data_root / "cifar10").is_dir():
        pytest.skip(f"no CIFAR-10 in {data_root}")
    pytest.importorskip("pyarrow")
    pytest.importorskip("PIL")
    return data_root


@pytest.mark.slow
def test_the_real_cifar10_has_its_known_facts(real: Path) -> None:
    data = cifar10(real)
    assert data.train.x.shape == (50_000, 32, 32, 3)
    assert data.test.x.shape == (10_000, 32, 32, 3)
    assert np.bincount(data.train.y).tolist() == [5000] * 10
    assert np.bincount(data.test.y).tolist() == [1000] * 10
    assert data.name in ("CIFAR-10", "CIFAR-10 (JPEG q75)")
    assert data.train.x.mean((0, 1, 2)) / 255 == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-3)
    # Labels belong to their images: sky and sea make aeroplanes and ships the bluest.
    blueness = [float(data.train.x[data.train.y == c][:, :, :, 2].mean() - data.train.x[data.train.y == c].mean()) for c in range(10)]
    assert {CLASSES[i] for i in np.argsort(blueness)[-2:]} == {"airplane", "ship"}
