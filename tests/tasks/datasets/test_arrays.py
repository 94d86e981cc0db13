"""Data sets from arrays, and the split that keeps examples back."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import DataError
from ciranda.core.rng import Draw
from ciranda.tasks.datasets import from_arrays
from ciranda.tasks.datasets.arrays import split_indices

FRACTIONS = st.sampled_from([0, 0.1, 0.2, 0.25, 1 / 3, 0.5, 0.75, 0.99])
LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60)


def refusal(x: Any, y: Any, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        from_arrays(x, y, **options)
    return caught.value


@given(labels=LABELS, fraction=FRACTIONS, seed=st.integers(0, 3))
def test_the_split_is_a_partition_in_ascending_order(labels: list[int], fraction: float, seed: int) -> None:
    train, test = split_indices(len(labels), fraction, Draw(seed), labels=np.asarray(labels))
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()


@given(labels=LABELS, fraction=FRACTIONS, seed=st.integers(0, 3))
def test_each_class_gives_its_share_and_never_its_last_example(labels: list[int], fraction: float, seed: int) -> None:
    y = np.asarray(labels)
    train, test = split_indices(len(y), fraction, Draw(seed), labels=y)
    assert set(y[train]) == set(labels)
    for label in set(labels):
        count, given_away = labels.count(label), int((y[test] == label).sum())
        assert abs(given_away - count * Fraction(str(fraction))) < 1


@given(n=st.integers(2, 300), fraction=FRACTIONS)
def test_without_labels_the_size_is_the_rounded_share(n: int, fraction: float) -> None:
    _, test = split_indices(n, fraction, Draw(0))
    assert len(test) == min(n - 1, int(n * Fraction(str(fraction)) + Fraction(1, 2)))


@given(counts=st.lists(st.integers(20, 40), min_size=1, max_size=5), fraction=st.sampled_from([0.1, 0.2, 0.5]))
def test_with_classes_that_can_give_the_size_is_the_rounded_share(counts: list[int], fraction: float) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    _, test = split_indices(len(labels), fraction, Draw(0), labels=labels)
    assert len(test) == int(len(labels) * Fraction(str(fraction)) + Fraction(1, 2))


def test_the_fraction_is_read_as_a_decimal() -> None:
    # 0.35 * 10 is 3.5 exactly: a half rounds up, though the nearest double of 0.35 lies below it.
    assert len(split_indices(10, 0.35, Draw(0))[1]) == 4


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    one, same, other = (split_indices(200, 0.2, Draw(seed))[1].tolist() for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_the_split_is_pinned() -> None:
    assert split_indices(20, 0.25, Draw(0))[1].tolist() == [4, 7, 9, 14, 16]


def test_the_order_of_classes_does_not_matter_to_who_is_chosen() -> None:
    labels = np.tile([0, 1], 25)
    flipped = 1 - labels
    assert np.array_equal(split_indices(50, 0.2, Draw(3), labels=labels)[1], split_indices(50, 0.2, Draw(3), labels=flipped)[1])


@pytest.mark.parametrize("fraction", [-0.1, 1, 1.5, float("nan")])
def test_an_impossible_fraction_is_refused(fraction: float) -> None:
    with pytest.raises(DataError, match="test fraction"):
        split_indices(10, fraction, Draw(0))


@given(labels=LABELS, seed=st.integers(0, 5))
def test_features_labels_and_owners_stay_together(labels: list[int], seed: int) -> None:
    n = len(labels)
    x = np.arange(n * 3, dtype=np.float32).reshape(n, 3)
    data = from_arrays(x, labels, groups=[f"owner {i}" for i in range(n)], seed=seed)
    names = sorted(set(labels))
    for part in (data.train, data.test):
        for features, label in zip(part.x, part.y, strict=True):
            assert names[label] == labels[int(features[0]) // 3]
    assert data.groups is not None
    assert [f"owner {int(row[0]) // 3}" for row in data.train.x] == data.groups.tolist()
    assert len(data.train) + len(data.test) == n


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float16", "float32", "float64"])
def test_features_keep_their_dtype(dtype: str) -> None:
    data = from_arrays(np.ones((10, 2, 3), dtype), np.arange(10) % 2)
    assert data.train.x.dtype == np.dtype(dtype)
    assert data.train.x.shape == (8, 2, 3)


def test_an_empty_test_part_keeps_its_shape() -> None:
    data = from_arrays(np.ones((10, 4)), np.arange(10) % 2, test_fraction=0)
    assert len(data.train) == 10
    assert data.test.x.shape == (0, 4)
    assert data.test.y.shape == (0,)


@pytest.mark.parametrize(
    ("y", "classes", "labels"),
    [
        ([0, 1, 2, 1], ("0", "1", "2"), [0, 1, 2, 1]),
        ([5, 10, -1, 5], ("-1", "5", "10"), [1, 2, 0, 1]),
        (["no", "yes", "no", "no"], ("no", "yes"), [0, 1, 0, 0]),
        ([True, False, True, True], ("False", "True"), [1, 0, 1, 1]),
        (np.asarray(["b", "a", "b", "b"], dtype=object), ("a", "b"), [1, 0, 1, 1]),
        (np.asarray([3, 4, 4, 4], np.uint8), ("3", "4"), [0, 1, 1, 1]),
    ],
)
def test_the_classes_are_found(y: Any, classes: tuple[str, ...], labels: list[int]) -> None:
    data = from_arrays(np.zeros((4, 1)), y, test_fraction=0)
    assert tuple(data.classes) == classes
    assert data.train.y.tolist() == labels
    assert data.train.y.dtype == np.int64


def test_given_classes_keep_the_labels_though_some_are_absent() -> None:
    data = from_arrays(np.zeros((3, 1)), [2, 2, 0], classes=("a", "b", "c"), test_fraction=0)
    assert tuple(data.classes) == ("a", "b", "c")
    assert data.train.y.tolist() == [2, 2, 0]


@pytest.mark.parametrize("shape", [(10,), (10, 3)])
def test_floats_make_a_regression(shape: tuple[int, ...]) -> None:
    y = np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    data = from_arrays(np.arange(10.0).reshape(10, 1), y)
    assert tuple(data.classes) == ()
    assert data.train.y.dtype == np.float32
    for part in (data.train, data.test):
        assert np.array_equal(part.y, y[part.x[:, 0].astype(int)])


def test_the_users_arrays_are_not_changed_by_what_is_done_to_the_data() -> None:
    x, y = np.zeros((10, 2)), np.arange(10) % 2
    data = from_arrays(x, y)
    data.train.x[:] = 1
    data.train.y[:] = 0
    assert not x.any()
    assert y.tolist() == [0, 1] * 5


@pytest.mark.parametrize(
    ("x", "y", "options", "words"),
    [
        ([], [], {}, "x holds no examples"),
        (3.0, [1], {}, "x holds no examples"),
        (np.zeros((0, 4)), [], {}, "x holds no examples"),
        ([[1, 2], [3]], [0, 1], {}, "x is not one array"),
        ([["a"], ["b"]], [0, 1], {}, "x must hold numbers"),
        (np.asarray([[None], [1]]), [0, 1], {}, "x must hold numbers"),
        ([[1.0, 2.0], [3.0, float("nan")]], [0, 1], {}, "x holds nan at index (1, 1)"),
        ([[1.0], [float("inf")]], [0, 1], {}, "x holds inf at index (1, 0)"),
        ([[1.0], [2.0]], [0, 1, 2], {}, "x has 2 examples, and y has 3"),
        ([[1.0], [2.0]], [0.5, float("nan")], {}, "y holds nan at index (1,)"),
        ([[1.0], [2.0]], [[0, 1], [1, 0]], {}, "Class labels must have shape (n,)"),
        ([[1.0], [2.0]], np.zeros((2, 2, 2)), {}, "y must have shape"),
        ([[1.0], [2.0]], [1j, 2j], {}, "y must hold whole numbers"),
        ([[1.0], [2.0]], [0, 2], {"classes": ("a", "b")}, "the label 2; with 2 classes"),
        ([[1.0], [2.0]], [0, -1], {"classes": ("a", "b")}, "the label -1"),
        ([[1.0], [2.0]], ["a", "b"], {"classes": ("a", "b")}, "not texts"),
        ([[1.0], [2.0]], [0.0, 1.0], {"classes": ("a", "b")}, "y must hold whole numbers"),
        ([[1.0], [2.0]], [0, 1], {"groups": ["a"]}, "groups has 1"),
        ([[1.0], [2.0]], [0, 1], {"groups": [0.5, 1.5]}, "groups must be one whole number or text"),
        ([[1.0], [2.0]], [0, 1], {"groups": [[0, 1], [1, 0]]}, "groups must be one whole number or text"),
        ([[1.0], [2.0]], [0, 1], {"test_fraction": 1.0}, "test fraction is 1.0"),
    ],
)
def test_what_is_no_data_set_is_refused(x: Any, y: Any, options: dict[str, Any], words: str) -> None:
    assert words in str(refusal(x, y, **options))
