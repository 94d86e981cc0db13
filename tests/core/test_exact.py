"""The exact sum: its error against rational arithmetic, its independence of order and grouping, and its refusals."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ciranda.core.errors import RefusedUpdate, RunError, SignatureError
from ciranda.core.exact import (
    BLOCK,
    MAX_BOUND,
    MAX_WEIGHT,
    MIN_BOUND,
    Fixed,
    Layout,
    Scale,
    default_bound,
    fold,
    mean,
    merge,
    power_of_two_above,
    to_fixed,
    zeros,
)

Term = tuple[np.ndarray[Any, np.dtype[Any]], int]

scales = st.builds(
    Scale,
    bound=st.integers(-126, 127).map(lambda power: 2.0**power),
    max_weight=st.one_of(st.integers(1, MAX_WEIGHT), st.sampled_from([1, 3000, MAX_WEIGHT])),
    cohort=st.integers(1, 2**32),
)


@st.composite
def cohorts(draw: st.DrawFn, dtypes: Sequence[Any] = (np.float32, np.float64)) -> tuple[Scale, list[Term], Any]:
    """A scale, and as many terms as it admits (values of any magnitude up to the bound) of one dtype."""
    dtype = draw(st.sampled_from(list(dtypes)))
    scale = draw(scales)
    scale = Scale(scale.bound, scale.max_weight, draw(st.integers(1, 8)) if draw(st.booleans()) else scale.cohort)
    # Fractions of the bound, so that all magnitudes occur, and the bound itself.
    fraction = st.one_of(st.floats(-1, 1, width=32), st.sampled_from([-1.0, 1.0, 0.0, 2.0**-40, 1 / 3, -1 / 7]))
    size = draw(st.integers(1, 4))
    terms: list[Term] = []
    for _ in range(draw(st.integers(1, min(scale.cohort, 8)))):
        values = np.array(draw(st.lists(fraction, min_size=size, max_size=size)), np.float64) * scale.bound
        terms.append((values.astype(dtype), draw(st.integers(0, scale.max_weight))))
    return scale, terms, dtype


def total_of(scale: Scale, terms: Sequence[Term]) -> Fixed:
    total = zeros(terms[0][0].size)
    for values, weight in terms:
        fold(total, values, weight, scale)
    return total


def nearest(value: Fraction) -> int:
    return round(value)  # ties to even, as rint


# --- the error


@given(cohorts([np.float32]))
def test_a_float32_term_is_the_nearest_integer(cohort: tuple[Scale, list[Term], Any]) -> None:
    scale, terms, _ = cohort
    for values, weight in terms:
        expected = [nearest(Fraction(float(u)) * weight * Fraction(2) ** scale.k) for u in values]
        assert to_fixed(values, weight, scale).tolist() == expected


@given(cohorts())
def test_the_sum_is_within_half_a_unit_for_each_term(cohort: tuple[Scale, list[Term], Any]) -> None:
    scale, terms, dtype = cohort
    unit = Fraction(1, 2) if dtype == np.float32 else Fraction(1, 2) * (1 + Fraction(1, 2**13))
    total = total_of(scale, terms)
    for place, fixed in enumerate(total.tolist()):
        exact = sum(Fraction(float(values[place])) * weight for values, weight in terms)
        assert abs(Fraction(fixed) - exact * Fraction(2) ** scale.k) <= unit * len(terms)


@given(cohorts())
def test_the_mean_keeps_the_stated_error(cohort: tuple[Scale, list[Term], Any]) -> None:
    scale, terms, dtype = cohort
    weight = sum(weight for _, weight in terms)
    assume(weight > 0)
    stated = scale.cohort * Fraction(2) ** (-scale.k - 1) / weight * (1 + Fraction(1, 2**13))
    result = mean(total_of(scale, terms), weight, scale, dtype)
    assert result.dtype == dtype
    half_unit = Fraction(float(np.finfo(dtype).eps)) / 2
    for place, value in enumerate(result.tolist()):
        exact = sum((Fraction(float(values[place])) * v for values, v in terms), Fraction(0)) / weight
        # Once to float64 twice over, once to the result's dtype, where subnormal numbers have an absolute error.
        rounding = (abs(exact) + stated) * (half_unit + Fraction(1, 2**51)) + Fraction(float(np.finfo(dtype).smallest_subnormal))
        assert abs(Fraction(value) - exact) <= stated + rounding


def test_the_designs_own_figure() -> None:
    # B = 2^10, 10 clients of at most 3,000 samples.
    scale = Scale(2.0**10, 3000, 10)
    assert scale.k == 62 - 10 - 15
    assert Fraction(10, 10 * 3000) * Fraction(2) ** (-scale.k - 1) < Fraction(2, 10**15)


def test_float64_differences_below_float32_are_kept() -> None:
    scale = Scale(1.0, 1, 2)
    total = total_of(scale, [(np.array([0.5 + 2.0**-50]), 1), (np.array([-0.5]), 1)])
    assert mean(total, 1, scale, np.float64)[0] == 2.0**-50


# --- order and grouping


@given(cohorts(), st.randoms(use_true_random=False))
def test_the_order_of_terms_does_not_change_a_bit(cohort: tuple[Scale, list[Term], Any], shuffler: random.Random) -> None:
    scale, terms, _ = cohort
    shuffled = terms.copy()
    shuffler.shuffle(shuffled)
    assert total_of(scale, shuffled).tobytes() == total_of(scale, terms).tobytes()


@given(cohorts(), st.data())
def test_sub_totals_do_not_change_a_bit(cohort: tuple[Scale, list[Term], Any], data: st.DataObject) -> None:
    scale, terms, _ = cohort
    groups = data.draw(st.lists(st.integers(0, 3), min_size=len(terms), max_size=len(terms)))
    merged = zeros(terms[0][0].size)
    for group in data.draw(st.permutations(range(4))):
        members = [term for term, where in zip(terms, groups, strict=True) if where == group]
        merge(merged, total_of(scale, members) if members else zeros(merged.size))
    assert merged.tobytes() == total_of(scale, terms).tobytes()


@given(cohorts(), st.integers(0, 2**32))
def test_masks_that_cancel_leave_the_plain_sum(cohort: tuple[Scale, list[Term], Any], seed: int) -> None:
    scale, terms, _ = cohort
    generator = np.random.default_rng(seed)
    size = terms[0][0].size
    masks = [generator.integers(0, 2**64, size, np.uint64) for _ in terms[1:]]
    masks.append((-np.add.reduce(masks)) if masks else np.zeros(size, np.uint64))
    masked = zeros(size)
    for (values, weight), mask in zip(terms, masks, strict=True):
        merge(masked, (to_fixed(values, weight, scale).view(np.uint64) + mask).view(np.int64))
    assert masked.tobytes() == total_of(scale, terms).tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 77])
def test_blocks_do_not_change_a_bit(size: int, dtype: Any) -> None:
    values = np.random.default_rng(size).standard_normal(size).astype(dtype)
    scale = Scale(2.0**45, 500, 10)  # so coarse that every term is rounded
    whole = fold(zeros(size), values, 333, scale)
    pieces = [fold(zeros(values[begin : begin + 1000].size), values[begin : begin + 1000], 333, scale) for begin in range(0, size, 1000)]
    assert whole.tobytes() == b"".join(piece.tobytes() for piece in pieces)
    assert mean(whole, 333, scale, dtype).tobytes() == b"".join(mean(piece, 333, scale, dtype).tobytes() for piece in pieces)


def test_any_shape_and_memory_layout_may_be_folded() -> None:
    values = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    scale = Scale(16.0, 5, 2)
    expected = to_fixed(values.reshape(-1).copy(), 5, scale)
    assert to_fixed(values, 5, scale).tobytes() == expected.tobytes()
    assert to_fixed(np.asfortranarray(values), 5, scale).tobytes() == expected.tobytes()


# --- extremes


@given(scales)
def test_a_whole_cohort_at_the_bound_does_not_overflow(scale: Scale) -> None:
    term = int(to_fixed(np.array([scale.bound], np.float32), scale.max_weight, scale)[0])
    assert 0 <= term * scale.cohort <= 2**62
    # No binary place is given away: one more would not hold.
    assert scale.bound * Fraction(scale.cohort * scale.max_weight) * Fraction(2) ** (scale.k + 1) > 2**62
    lowest = int(to_fixed(np.array([-scale.bound], np.float32), scale.max_weight, scale)[0])
    assert lowest == -term


@pytest.mark.parametrize("size", [3, BLOCK + 3])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_cohort_at_the_bound_has_the_bound_as_its_mean(size: int, sign: int) -> None:
    scale = Scale(MAX_BOUND, MAX_WEIGHT, 7)
    values = np.full(size, sign * MAX_BOUND, np.float32)
    total = total_of(scale, [(values, MAX_WEIGHT)] * 7)
    assert mean(total, 7 * MAX_WEIGHT, scale, np.float32).tobytes() == values.tobytes()


@pytest.mark.parametrize(("bound", "weight", "cohort"), [(MIN_BOUND, 1, 1), (MAX_BOUND, MAX_WEIGHT, 2**32), (MIN_BOUND, MAX_WEIGHT, 2**32)])
def test_the_widest_scales_work(bound: float, weight: int, cohort: int) -> None:
    scale = Scale(bound, weight, cohort)
    values = np.array([bound, -bound / 2], np.float32)
    assert mean(fold(zeros(2), values, weight, scale), weight, scale, np.float32).tolist() == values.tolist()


@pytest.mark.parametrize(
    ("bound", "weight", "cohort"),
    [
        *((3.0, 1, 1), (0.0, 1, 1), (-2.0, 1, 1), (float("inf"), 1, 1), (float("nan"), 1, 1), (2.0**-127, 1, 1), (2.0**128, 1, 1)),
        *((1.0, 0, 1), (1.0, MAX_WEIGHT + 1, 1), (1.0, 1, 0), (1.0, 1, 2**32 + 1)),
    ],
)
def test_impossible_scales_are_refused(bound: float, weight: int, cohort: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        Scale(bound, weight, cohort)


# --- refusals


@pytest.mark.parametrize("size", [5, BLOCK, 2 * BLOCK + 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weight", [0, 7])
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (np.nan, "non-finite"),
        (np.inf, "non-finite"),
        (-np.inf, "non-finite"),
        (np.nextafter(np.float32(4), np.float32(5)), "out-of-range"),
        (-1e30, "out-of-range"),
    ],
)
def test_a_refused_update_leaves_the_total_untouched(size: int, dtype: Any, weight: int, bad: float, reason: str) -> None:
    scale = Scale(4.0, 10, 3)
    total = fold(zeros(size), np.ones(size, dtype), 3, scale)
    before = total.copy()
    values = np.ones(size, dtype)
    values[-1] = bad
    with pytest.raises(RefusedUpdate) as caught:
        fold(total, values, weight, scale)
    assert caught.value.reason == reason
    assert total.tobytes() == before.tobytes()


@pytest.mark.parametrize("weight", [-1, 11])
def test_a_weight_beyond_the_agreed_one_is_out_of_range(weight: int) -> None:
    with pytest.raises(RefusedUpdate) as caught:
        to_fixed(np.ones(3, np.float32), weight, Scale(4.0, 10, 3))
    assert caught.value.reason == "out-of-range"


def test_the_bound_itself_is_admitted() -> None:
    values = np.array([4.0, -4.0], np.float32)
    assert to_fixed(values, 10, Scale(4.0, 10, 3)).tolist() == [10 * 2**57, -10 * 2**57]


@pytest.mark.parametrize("size", [3, BLOCK + 1])
def test_weight_zero_adds_nothing(size: int) -> None:
    assert not to_fixed(np.ones(size, np.float32), 0, Scale(4.0, 10, 3)).any()


def test_no_weight_at_all_has_no_mean() -> None:
    with pytest.raises(RunError, match="no weight"):
        mean(zeros(3), 0, Scale(4.0, 10, 3), np.float32)


@pytest.mark.parametrize("dtype", [np.float16, np.int32])
def test_other_dtypes_are_refused(dtype: Any) -> None:
    with pytest.raises(SignatureError, match=np.dtype(dtype).name) as caught:
        to_fixed(np.zeros(3, dtype), 1, Scale(4.0, 10, 3))
    assert "float32 (master weights)" in caught.value.hint


# --- bounds and layouts


@given(st.floats(1e-40, 1e30))
def test_a_power_of_two_above_is_the_next_one(value: float) -> None:
    bound = power_of_two_above(value)
    assert bound > value
    assert bound == MIN_BOUND or bound / 2 <= value
    Scale(bound, 1, 1)


@given(st.lists(st.floats(-(2.0**126), 2.0**126, width=32), max_size=5))
def test_the_default_bound_has_headroom(values: list[float]) -> None:
    bound = default_bound(np.array(values, np.float32))
    Scale(bound, 1, 1)
    assert bound >= 2**10
    assert bound >= min(2**10 * max(map(abs, values), default=0.0), MAX_BOUND)


def test_the_default_bound_of_no_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        default_bound(np.array([1.0, np.nan]))


@pytest.mark.parametrize("sizes", [(3, 1, 4), (BLOCK, 5), (0, 2)])
@pytest.mark.parametrize("dtypes", [(np.float32,) * 3, (np.float32, np.float64, np.float32)])
def test_tensors_laid_end_to_end_have_the_bits_of_each_alone(sizes: tuple[int, ...], dtypes: tuple[Any, ...]) -> None:
    generator = np.random.default_rng(0)
    scales_of = [Scale(2.0 ** (4 + rank), 30, 5) for rank in range(len(sizes))]
    tensors = [generator.standard_normal(size).astype(dtype) for size, dtype in zip(sizes, dtypes, strict=False)]
    layout = Layout(sizes, scales_of, [tensor.dtype for tensor in tensors])
    total = zeros(layout.size)
    reason, scaled = layout.examine(tensors, 17)
    assert reason == ""
    layout.add(total, tensors, 17, scaled)
    alone = [to_fixed(tensor, 17, scale) for tensor, scale in zip(tensors, scales_of, strict=True)]
    assert total.tobytes() == b"".join(one.tobytes() for one in alone)
    means = layout.mean(total, 17)
    for result, one, scale, tensor in zip(means, alone, scales_of, tensors, strict=True):
        assert result.tobytes() == mean(one, 17, scale, tensor.dtype).tobytes()


def test_each_tensor_of_a_layout_has_its_own_bound() -> None:
    layout = Layout((1, 1), (Scale(1.0, 3, 5), Scale(2.0**20, 3, 5)), (np.float32, np.float32))
    small, large = np.array([1.0], np.float32), np.array([2.0**20], np.float32)
    assert layout.examine((small, large), 3)[0] == ""
    assert layout.examine((large, large), 3)[0] == "out-of-range"
    assert layout.examine((small, np.float32(1.5) * large), 3)[0] == "out-of-range"
