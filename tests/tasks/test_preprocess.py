"""Scaling: values, per-feature constants, and back again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.tasks import preprocess
from ciranda.tasks.preprocess import Affine, image_bytes


@given(st.floats(-100, 100), st.floats(0.01, 100), st.lists(st.integers(0, 255), min_size=1, max_size=20))
def test_apply_is_the_formula_and_invert_undoes_it(mean: float, deviation: float, bytes_: list[int]) -> None:
    values = np.array(bytes_, np.uint8)
    scaled = Affine(mean, deviation).apply(values)
    assert scaled.dtype == np.float32
    expected = (values.astype(np.float64) - mean) / deviation
    assert np.allclose(scaled, expected, rtol=1e-5, atol=1e-5 * (abs(mean) + 255) / deviation)
    assert np.allclose(Affine(mean, deviation).invert(scaled), values, atol=1e-3 * (1 + abs(mean)))


def test_one_number_for_each_feature() -> None:
    scaled = Affine((1.0, 2.0), (1.0, 4.0)).apply(np.array([[1, 2], [3, 6]]))
    assert scaled.tolist() == [[0.0, 0.0], [2.0, 1.0]]


def test_writes_where_it_is_told() -> None:
    out = np.empty((2, 3), np.float32)
    result = Affine(1.0, 2.0).apply(np.array([[3, 5], [7, 1]], np.uint8), out=out[:, :-1])
    assert np.shares_memory(result, out)
    assert out[:, :-1].tolist() == [[1.0, 2.0], [3.0, 0.0]]


def test_image_constants_are_on_the_scale_of_the_field() -> None:
    assert image_bytes(0.5, 0.5).apply(np.array([0, 255], np.uint8)) == pytest.approx([-1.0, 1.0])
    black = preprocess.MNIST.apply(np.zeros(1, np.uint8))
    assert black == pytest.approx([-0.1307 / 0.3081], rel=1e-5)
    assert preprocess.DIGITS.apply(np.array([16], np.uint8)).tolist() == [1.0]


@pytest.mark.parametrize(("name", "scale"), [("iris", preprocess.IRIS), ("diabetes", preprocess.DIABETES)])
def test_tabular_constants_standardise_the_packed_tables(name: str, scale: Affine) -> None:
    from ciranda.tasks.datasets import DATASETS

    data = DATASETS[name].load()
    scaled = scale.apply(np.concatenate([data.train.x, data.test.x]))
    assert np.allclose(scaled.mean(axis=0), 0, atol=0.01)
    assert np.allclose(scaled.std(axis=0), 1, atol=0.02)
