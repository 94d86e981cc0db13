"""Parquet files of JPEG images, and the cache of what was decoded."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ciranda.core.errors import DataError, MissingExtra
from ciranda.tasks.datasets import cifar10, jpegs
from ciranda.tasks.datasets.jpegs import read_jpegs

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
Image = pytest.importorskip("PIL.Image")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ciranda" / "decoded"


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (32, 32), kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind, quality=75)
    return buffer.getvalue()


def colours(n: int) -> list[tuple[int, int, int]]:
    return [tuple(row) for row in np.random.default_rng(n).integers(0, 256, (n, 3)).tolist()]


def write(path: Path, images: list[Any], labels: Any = None, **columns: Any) -> Path:
    labels = list(range(len(images))) if labels is None else labels
    parquet.write_table(pyarrow.table({"jpeg": pyarrow.array(images, pyarrow.binary()), "label": labels} | columns), path)
    return path


def sample(path: Path, n: int = 6) -> Path:
    return write(path, [jpeg(colour) for colour in colours(n)], pyarrow.array([i % 10 for i in range(n)], pyarrow.uint8()))


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_jpegs(path, 32)
    assert str(path) in str(caught.value)
    return str(caught.value)


def decodings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are decoded from now on."""
    seen: list[Path] = []
    decoded = jpegs._decoded

    def watched(images: list[Any], side: int, path: Path) -> NDArray[Any]:
        seen.append(path)
        return decoded(images, side, path)

    monkeypatch.setattr(jpegs, "_decoded", watched)
    return seen


def test_each_image_is_decoded_beside_its_label(tmp_path: Path) -> None:
    x, y = read_jpegs(sample(tmp_path / "a.parquet"), 32)
    assert x.shape == (6, 32, 32, 3)
    assert x.dtype == np.uint8
    assert y.tolist() == [0, 1, 2, 3, 4, 5]
    # A flat colour survives JPEG up to the rounding of its colour space.
    for image, colour in zip(x.astype(int), colours(6), strict=True):
        assert np.abs(image - np.asarray(colour)).max() <= 4


def test_a_grey_image_gets_three_equal_channels(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("L", (32, 32), 100).save(buffer, "JPEG")
    x, _ = read_jpegs(write(tmp_path / "a.parquet", [buffer.getvalue()]), 32)
    assert np.abs(x.astype(int) - 100).max() <= 1


def test_a_second_reading_decodes_nothing_and_gives_the_same(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sample(tmp_path / "a.parquet")
    seen = decodings(monkeypatch)
    first = read_jpegs(path, 32)
    second = read_jpegs(path, 32)
    assert seen == [path]
    for a, b in zip(first, second, strict=True):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)
    assert len(list(cache.iterdir())) == 1


def test_another_file_of_the_same_name_is_decoded_anew(tmp_path: Path, cache: Path) -> None:
    path = sample(tmp_path / "a.parquet")
    read_jpegs(path, 32)
    x, _ = read_jpegs(sample(path, 3), 32)
    assert len(x) == 3
    assert len(list(cache.iterdir())) == 2


def test_another_decoder_decodes_anew(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sample(tmp_path / "a.parquet")
    read_jpegs(path, 32)
    monkeypatch.setattr(jpegs, "_decoder", lambda: "jpeg0.0")
    seen = decodings(monkeypatch)
    read_jpegs(path, 32)
    assert seen == [path]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other", "side"])
def test_a_damaged_cache_is_decoded_anew_and_mended(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    path = sample(tmp_path / "a.parquet")
    expected = read_jpegs(path, 32)
    (kept,) = cache.iterdir()
    content = bytearray(kept.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    changed = {"cut": bytes(content[:5000]), "empty": b"", "other": b"no archive"}
    kept.write_bytes(changed.get(damage, bytes(content)))
    if damage == "side":
        np.savez(kept, x=np.zeros((6, 16, 16, 3), np.uint8), y=np.zeros(6))
    seen = decodings(monkeypatch)
    for _ in range(2):
        assert np.array_equal(read_jpegs(path, 32)[0], expected[0])
    assert seen == [path]


def test_a_cache_that_cannot_be_written_does_not_stop_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(read_jpegs(sample(tmp_path / "a.parquet"), 32)[0]) == 6


def test_a_full_disk_leaves_no_half_written_cache(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Any, **_: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert len(read_jpegs(sample(tmp_path / "a.parquet"), 32)[0]) == 6
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (b"", "image 1 is not a whole JPEG"),
        (b"nonsense", "image 1 is not a whole JPEG"),
        (jpeg((9, 9, 9))[:200], "image 1 is not a whole JPEG"),
        (jpeg((9, 9, 9), kind="PNG"), "image 1 is not a whole JPEG"),
        (None, "image 1 is not a whole JPEG"),
        (jpeg((9, 9, 9), (33, 32)), "image 1 has 33x32 pixels"),
        (jpeg((9, 9, 9), (4000, 4000)), "image 1 has 4000x4000 pixels"),
    ],
)
def test_an_image_that_is_none_is_named(tmp_path: Path, cache: Path, image: bytes | None, words: str) -> None:
    assert words in refusal(write(tmp_path / "a.parquet", [jpeg((1, 2, 3)), image]))
    assert not cache.exists()


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text"])
def test_a_corrupt_parquet_file_is_refused(tmp_path: Path, damage: str) -> None:
    path = sample(tmp_path / "a.parquet")
    content = path.read_bytes()
    middle = len(content) // 3
    changed = {
        "empty": b"",
        "cut": content[:middle],
        "flipped": content[:-300] + bytes(300),
        "text": b"jpeg,label\n",
    }
    path.write_bytes(changed[damage])
    assert "cannot be read as a parquet file" in refusal(path)


def test_a_parquet_file_with_other_columns_is_refused(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"image": [b""], "label": [1]}), tmp_path / "a.parquet")
    assert "columns 'jpeg' and 'label'" in refusal(tmp_path / "a.parquet")


def test_a_parquet_file_without_rows_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    assert "holds no images" in refusal(write(tmp_path / "a.parquet", [], pyarrow.array([], pyarrow.uint8())))
    assert "cannot be read" in refusal(tmp_path / "none.parquet")


@pytest.mark.parametrize(("module", "package"), [("PIL", "pillow"), ("pyarrow.parquet", "pyarrow")])
def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, package: str) -> None:
    path = sample(tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=package) as caught:
        read_jpegs(path, 32)
    assert "ciranda[data]" in caught.value.hint


def test_what_is_in_the_cache_needs_no_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sample(tmp_path / "a.parquet")
    read_jpegs(path, 32)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert len(read_jpegs(path, 32)[0]) == 6


def test_cifar10_from_parquet_says_that_it_is_recompressed(tmp_path: Path) -> None:
    (tmp_path / "cifar10").mkdir()
    sample(tmp_path / "cifar10" / "cifar10_train_jpeg.parquet", 12)
    sample(tmp_path / "cifar10" / "cifar10_test_jpeg.parquet", 5)
    data = cifar10(tmp_path)
    assert data.name == "CIFAR-10 (JPEG q75)"
    assert (len(data.train), len(data.test)) == (12, 5)
    assert data.train.y.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert data.train.y.dtype == np.int64


@pytest.mark.parametrize("labels", [[0, 1, 2, 10], [0.5, 1, 2, 3], [None, 1, 2, 3]])
def test_cifar10_from_parquet_with_bad_labels_is_refused(tmp_path: Path, labels: list[Any]) -> None:
    (tmp_path / "cifar10").mkdir()
    path = write(tmp_path / "cifar10" / "cifar10_train_jpeg.parquet", [jpeg(colour) for colour in colours(4)], labels)
    sample(tmp_path / "cifar10" / "cifar10_test_jpeg.parquet", 5)
    with pytest.raises(DataError) as caught:
        cifar10(tmp_path)
    assert str(path) in str(caught.value)
