"""The data sets inside the package: what they hold, and that they are scikit-learn's."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ciranda.core.errors import DataError
from ciranda.core.task import Array, FederatedData
from ciranda.tasks.datasets import DATASETS, diabetes, digits, iris, packed
from ciranda.tasks.datasets.packed import DIABETES_FEATURES, IRIS, IRIS_FEATURES, packed_arrays

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "pack_data.py"
PACKED = Path(packed.__file__).parent / "files"
LOADERS: list[Callable[[], FederatedData]] = [digits, iris, diabetes]


def sorted_rows(x: Array, y: Array) -> NDArray[np.float64]:
    """Examples as rows of (x, y), in an order that depends on the rows alone."""
    rows = np.column_stack([x.reshape(len(x), -1), y]).astype(np.float64)
    return rows[np.lexsort(rows.T)]


def test_digits_has_its_known_facts() -> None:
    data = digits()
    assert (len(data.train), len(data.test)) == (1438, 359)
    assert data.train.x.shape[1:] == (8, 8)
    assert data.train.x.dtype == np.uint8
    assert data.train.x.max() == 16
    assert data.train.y.dtype == np.int64
    assert tuple(data.classes) == tuple("0123456789")
    counts = np.bincount(np.concatenate([data.train.y, data.test.y]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert abs(np.bincount(data.test.y) - counts / 5).max() < 1  # every class gives its fifth


def test_iris_has_its_known_facts() -> None:
    data = iris()
    assert (len(data.train), len(data.test)) == (120, 30)
    assert np.bincount(data.test.y).tolist() == [10, 10, 10]
    assert tuple(data.classes) == IRIS
    assert data.train.x.dtype == np.float32
    # Setosa alone has petals shorter than 2 cm, so features and labels are aligned.
    for part in (data.train, data.test):
        assert np.array_equal(part.x[:, IRIS_FEATURES.index("petal length (cm)")] < 2, part.y == IRIS.index("setosa"))


def test_diabetes_has_its_known_facts() -> None:
    data = diabetes()
    assert (len(data.train), len(data.test)) == (354, 88)
    assert data.train.x.shape[1:] == (len(DIABETES_FEATURES),)
    assert data.train.y.dtype == np.float32
    assert tuple(data.classes) == ()
    x, y = packed_arrays("diabetes")
    assert y.mean() == pytest.approx(152.133, abs=1e-3)
    # The known strongest predictor, as published: body mass index, r = 0.586.
    correlation = np.corrcoef(x.T.astype(np.float64), y)[-1, :-1]
    assert DIABETES_FEATURES[int(np.argmax(np.abs(correlation)))] == "bmi"
    assert correlation.max() == pytest.approx(0.586, abs=1e-3)


@pytest.mark.parametrize("load", LOADERS)
def test_loading_twice_gives_the_same(load: Callable[[], FederatedData]) -> None:
    first, second = load(), load()
    for a, b in ((first.train, second.train), (first.test, second.test)):
        assert a.x.tobytes() == b.x.tobytes()
        assert a.y.tobytes() == b.y.tobytes()


@pytest.mark.parametrize("load", LOADERS)
def test_every_example_is_in_exactly_one_part(load: Callable[[], FederatedData]) -> None:
    data = load()
    x = np.concatenate([data.train.x, data.test.x])
    y = np.concatenate([data.train.y, data.test.y])
    assert np.array_equal(sorted_rows(x, y), sorted_rows(*packed_arrays(data.name)))


def test_the_split_never_changes() -> None:
    # Results are comparable from version to version only as long as the same examples are kept back.
    assert digits().test.y[:12].tolist() == [2, 3, 6, 8, 4, 7, 0, 5, 4, 7, 5, 0]
    assert diabetes().test.y[:6].tolist() == [75.0, 310.0, 101.0, 68.0, 137.0, 265.0]


def test_the_packed_sets_are_those_of_scikit_learn() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    bunches = {"digits": datasets.load_digits(), "iris": datasets.load_iris(), "diabetes": datasets.load_diabetes(scaled=False)}
    for name, bunch in bunches.items():
        x, y = packed_arrays(name)
        assert np.array_equal(x.reshape(len(x), -1), bunch.data.astype(np.float32))
        assert np.array_equal(y, bunch.target)
    assert tuple(datasets.load_iris().target_names) == IRIS
    assert tuple(datasets.load_iris().feature_names) == IRIS_FEATURES
    assert tuple(datasets.load_diabetes().feature_names) == DIABETES_FEATURES


def test_the_script_makes_the_packed_files_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    runpy.run_path(str(SCRIPT))["main"](tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["diabetes.npz", "digits.npz", "iris.npz"]
    printed = capsys.readouterr().out
    for path in tmp_path.iterdir():
        assert f"{path}: {path.stat().st_size} bytes" in printed
        with np.load(path) as made, np.load(PACKED / path.name) as kept:
            for array in ("x", "y"):
                assert made[array].dtype == kept[array].dtype
                assert np.array_equal(made[array], kept[array])


def test_the_packed_files_are_small() -> None:
    assert sum(path.stat().st_size for path in PACKED.glob("*.npz")) < 64 * 1024


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped", "other"])
def test_a_damaged_installation_is_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    content = bytearray((PACKED / "digits.npz").read_bytes())
    (tmp_path / "files").mkdir()
    if damage == "flipped":
        content[len(content) // 2] ^= 0xFF
    if damage == "other":
        content[:] = b"not a zip file"
    if damage != "missing":
        (tmp_path / "files" / "digits.npz").write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    monkeypatch.setattr(packed, "files", lambda _: tmp_path)
    with pytest.raises(DataError, match="packed data set 'digits'") as caught:
        digits()
    assert caught.value.hint == "Install ciranda again."


def test_the_registry_lists_every_set_with_a_line() -> None:
    assert list(DATASETS) == ["digits", "mnist", "fashion-mnist", "cifar10", "iris", "diabetes", "hamlet"]
    for name, entry in DATASETS.items():
        assert entry.name == name
        assert entry.description
        assert "\n" not in entry.description
    assert len(DATASETS["digits"].load().train) == 1438
