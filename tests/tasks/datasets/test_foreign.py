"""Data sets of PyTorch and Hugging Face become the same arrays."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from ciranda.core.errors import DataError, MissingExtra
from ciranda.tasks.datasets import from_arrays, from_huggingface, from_torch

hf = pytest.importorskip("datasets")


class Squares(Dataset[Any]):
    """Images as (channels, height, width), made on demand."""

    classes = ("even", "odd")

    def __init__(self, count: int = 30, odd_at: int | None = None) -> None:
        self.count, self.odd_at = count, odd_at

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        side = 3 if index == self.odd_at else 4
        return torch.full((1, side, side), index, dtype=torch.uint8), index % 2


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        yield from ()


class Items(Dataset[Any]):
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def test_a_torch_data_set_is_the_arrays_that_it_gives() -> None:
    data = from_torch(Squares(), groups=[i // 10 for i in range(30)])
    x = np.arange(30, dtype=np.uint8).reshape(30, 1, 1, 1) * np.ones((1, 1, 4, 4), np.uint8)
    expected = from_arrays(x, np.arange(30) % 2, classes=("even", "odd"), groups=[i // 10 for i in range(30)])
    np.testing.assert_array_equal(data.train.x, expected.train.x)
    np.testing.assert_array_equal(data.test.y, expected.test.y)
    assert data.train.x.dtype == np.uint8
    assert tuple(data.classes) == ("even", "odd")
    assert data.groups is not None
    assert data.groups.tolist() == (data.train.x[:, 0, 0, 0] // 10).tolist()
    assert data.name == "Squares"


def test_tensors_and_float_targets_make_a_regression() -> None:
    data = from_torch(TensorDataset(torch.arange(20.0).reshape(10, 2), torch.linspace(0, 1, 10)), test_fraction=0)
    assert tuple(data.classes) == ()
    assert data.train.x.dtype == data.train.y.dtype == np.float32
    assert data.train.y.tolist() == pytest.approx(np.linspace(0, 1, 10).tolist())


def test_a_test_set_of_its_own_is_kept_and_may_have_a_class_of_its_own() -> None:
    data = from_torch(Items([([1.0], "a"), ([2.0], "c")]), test=Items([([3.0], "b")]))
    assert data.classes == ("a", "b", "c")
    assert data.train.y.tolist() == [0, 2]
    assert data.test.y.tolist() == [1]
    assert data.test.x.tolist() == [[3.0]]


@pytest.mark.parametrize(
    ("dataset", "options", "words"),
    [
        (Stream(), {}, "Stream has no length"),
        (Items([]), {}, "Items holds no examples"),
        (Items([3]), {}, "Example 0 of Items is int, not a pair"),
        (Items([(1, 2, 3)]), {}, "Example 0 of Items is 3 values"),
        (Squares(odd_at=7), {}, r"Example 7 has shapes \(1, 3, 3\), \(\); the first has \(1, 4, 4\), \(\)"),
        (Squares(), {"most_bytes": 100}, r"30 examples of shape \(1, 4, 4\) take"),
        (Squares(), {"test": Items([([1.0], 0)])}, r"The test's examples have shape \(1,\), the others \(1, 4, 4\)"),
    ],
)
def test_what_cannot_be_dealt_out_is_refused(dataset: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        from_torch(dataset, **options)


def people() -> Any:
    features = hf.Features({"age": hf.Value("float32"), "town": hf.Value("string"), "ill": hf.ClassLabel(names=["no", "yes"])})
    rows = range(40)
    columns = {"age": [float(i) for i in rows], "town": ["n" if i % 2 else "s" for i in rows], "ill": [int(i % 3 == 0) for i in rows]}
    return hf.Dataset.from_dict(columns, features=features)


def test_a_table_on_disk_is_prepared_as_a_file_is(tmp_path: Path) -> None:
    people().save_to_disk(str(tmp_path / "people"))
    data = from_huggingface(tmp_path / "people", target="ill", client_column="town", test_fraction=0.25, missing="drop")
    assert tuple(data.classes) == ("no", "yes")
    assert (len(data.train), len(data.test)) == (30, 10)
    assert data.record is not None
    assert data.record["owners"] == ["n", "s"]
    assert data.train.x.mean() == pytest.approx(0, abs=1e-6)


def images(count: int) -> Any:
    rows = {
        "pixels": [[[i, i], [i, 255]] for i in range(count)],
        "label": [i % 2 for i in range(count)],
        "who": [i % 3 for i in range(count)],
    }
    features = hf.Features({"pixels": hf.Array2D((2, 2), "uint8"), "label": hf.ClassLabel(names=["even", "odd"]), "who": hf.Value("int64")})
    return hf.Dataset.from_dict(rows, features=features)


def test_a_column_of_arrays_is_the_input(tmp_path: Path) -> None:
    data = from_huggingface(images(12), target="label", x="pixels", client_column="who", test_fraction=0)
    assert data.train.x.shape == (12, 2, 2)
    assert data.train.x[5].tolist() == [[5, 5], [5, 255]]
    assert tuple(data.classes) == ("even", "odd")
    assert data.groups is not None
    assert data.groups.tolist() == [i % 3 for i in range(12)]
    hf.DatasetDict({"train": images(12), "test": images(5)}).save_to_disk(str(tmp_path / "both"))
    split = from_huggingface(tmp_path / "both", target="label", x="pixels")
    assert (len(split.train), len(split.test)) == (12, 5)
    assert split.test.y.tolist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("nowhere", {"target": "y"}, "There is no folder nowhere"),
        (people(), {"target": "sick"}, "no column 'sick'"),
        (people(), {"target": "ill", "x": "face"}, "no column 'face'"),
        (people(), {"target": "ill", "x": "age", "drop": ["town"]}, "drop cannot be given"),
        ({"validation": people()}, {"target": "ill"}, 'split "train": validation'),
        (3, {"target": "ill"}, "int"),
        ({"train": people(), "test": people()}, {"target": "ill"}, 'has a split "test"'),
    ],
)
def test_what_is_no_data_set_on_disk_is_refused(source: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        from_huggingface(source, **options)


def test_a_folder_of_something_else_and_a_missing_package_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="is not a data set that save_to_disk wrote"):
        from_huggingface(tmp_path, target="y")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match="datasets"):
        from_huggingface(tmp_path, target="y")
