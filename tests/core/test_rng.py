from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.rng import Draw

values = st.integers() | st.text(max_size=6)
steps = st.tuples(st.text(max_size=6), st.dictionaries(st.sampled_from(["round", "client", "attempt", "x"]), values, max_size=3))
names = st.tuples(st.integers(), st.lists(steps, max_size=3))


def build(name: tuple[int, list[tuple[str, dict[str, Any]]]]) -> Draw:
    draw = Draw(name[0])
    for purpose, coords in name[1]:
        draw = draw.at(purpose, **coords)
    return draw


@given(names, names)
def test_equal_names_give_equal_streams_and_others_give_others(a: Any, b: Any) -> None:
    same = a == b
    assert (build(a) == build(b)) is same
    assert np.array_equal(build(a).words(2), build(b).words(2)) is same
    assert (build(a).seed() == build(b).seed()) is same
    assert (build(a).generator().random() == build(b).generator().random()) is same


@given(names)
def test_the_order_of_coordinates_does_not_matter(name: Any) -> None:
    turned = (name[0], [(purpose, dict(reversed(coords.items()))) for purpose, coords in name[1]])
    assert build(turned).words(2).tolist() == build(name).words(2).tolist()


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (Draw(1).at("a", client="1"), Draw(1).at("a", client=1)),
        (Draw(1).at("a", client="1", round=2), Draw(1).at("a", client="1round2")),
        (Draw(1).at("a", client=1).at("b"), Draw(1).at("b").at("a", client=1)),
        (Draw(1).at("a").at("b"), Draw(1).at("ab")),
        (Draw(1).at("a", b="c"), Draw(1).at("a").at("b").at("c")),
        (Draw(1).at("a", b="c", d="e"), Draw(1).at("a", b="c").at("d", e="")),
        (Draw(1).at("1"), Draw(11).at("")),
        (Draw(1).at("a", x="(s1:b)"), Draw(1).at("a", x="(s1:b").at(")")),
        (Draw(1), Draw(-1)),
        (Draw(1), Draw(1 + 2**64)),
    ],
)
def test_names_that_read_alike_are_different(a: Draw, b: Draw) -> None:
    assert a.words(1) != b.words(1)


def test_a_draw_does_not_depend_on_what_was_drawn_before() -> None:
    draw = Draw(5).at("shuffle", round=1)
    first = draw.words(3).tolist()
    draw.generator().normal(size=100)
    draw.below(10, 7)
    assert draw.words(3).tolist() == first
    assert draw.words(5)[:3].tolist() == first


def test_numpy_integers_name_the_same_draw_as_integers() -> None:
    assert Draw(1).at("a", client=np.int64(3)).words(1) == Draw(1).at("a", client=3).words(1)  # type: ignore[arg-type]
    assert Draw(np.int32(1)) == Draw(1)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [1.0, None, b"1", (1,)])
def test_a_coordinate_is_an_integer_or_a_string(value: Any) -> None:
    with pytest.raises(TypeError):
        Draw(1).at("a", client=value)
    with pytest.raises(TypeError):
        Draw(value)


def test_a_draw_travels_between_processes() -> None:
    draw = Draw(3).at("a", client="ana", round=2)
    assert pickle.loads(pickle.dumps(draw)) == draw  # noqa: S301
    program = "from ciranda.core.rng import Draw; print(Draw(3).at('a', round=2, client='ana').words(4).tolist())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "99"}
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert answer.stdout.strip() == str(draw.words(4).tolist())


def test_the_streams_are_pinned() -> None:
    """A change here changes every selection, shuffle and seed of every recorded run."""
    draw = Draw(2017).at("select", round=1, client="7")
    assert draw.words(3).tolist() == [13949462729980909444, 4238642089190329348, 16308186189846697314]
    assert draw.seed() == 4486408353182626518
    assert draw.below(5, 100).tolist() == [44, 48, 14, 79, 30]
    assert draw.permutation(8).tolist() == [6, 1, 5, 7, 4, 3, 0, 2]
    assert Draw(0).words(2).tolist() == [6759027149724540624, 11781833187958702010]


def test_a_seed_is_63_bits_and_no_word_of_the_stream() -> None:
    draws = [Draw(1).at("torch", client=client) for client in range(200)]
    seeds = [draw.seed() for draw in draws]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert len(set(seeds)) == 200
    assert max(seeds) > 2**62
    assert not any(seed == int(word) >> 1 for draw, seed in zip(draws, seeds, strict=True) for word in draw.words(4))


@given(st.integers(0, 50), st.integers(1, 2**63 - 1), st.integers())
def test_below_stays_below(n: int, bound: int, seed: int) -> None:
    values = Draw(seed).below(n, bound)
    assert values.shape == (n,)
    assert values.dtype == np.int64
    assert all(0 <= value < bound for value in values.tolist())


@given(st.lists(st.integers(1, 2**63 - 1), max_size=20))
def test_below_takes_a_bound_for_each(bounds: list[int]) -> None:
    values = Draw(1).below(len(bounds), np.asarray(bounds, np.int64))
    assert all(0 <= value < bound for value, bound in zip(values.tolist(), bounds, strict=True))


def test_below_has_no_modulo_bias() -> None:
    """A plain remainder by 3 x 2^61 leaves three words to each value below 2^62 and two to the others: 3/8 in the lower third."""
    bound, n = 3 * 2**61, 30_000
    lower = int((Draw(4).below(n, bound) < bound // 3).sum())
    assert abs(lower - n / 3) < 5 * (n * 2 / 9) ** 0.5


def test_below_is_uniform() -> None:
    counts = np.bincount(Draw(9).below(70_000, 7), minlength=7)
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 30  # chi-squared, 6 degrees of freedom: p < 1e-4


@pytest.mark.parametrize("bound", [0, -1, 2**63])
def test_an_impossible_bound_is_refused(bound: int) -> None:
    with pytest.raises(ValueError, match="bounds"):
        Draw(1).below(3, bound)


@given(st.integers(0, 300), st.integers())
def test_a_permutation_has_everything_once(n: int, seed: int) -> None:
    assert sorted(Draw(seed).permutation(n).tolist()) == list(range(n))


def test_permutations_are_uniform() -> None:
    orders: dict[tuple[int, ...], int] = {}
    for trial in range(6_000):
        order = tuple(Draw(1).at("trial", n=trial).permutation(3).tolist())
        orders[order] = orders.get(order, 0) + 1
    assert len(orders) == 6
    assert sum((count - 1_000) ** 2 / 1_000 for count in orders.values()) < 26  # chi-squared, 5 degrees of freedom: p < 1e-4


def test_neighbouring_streams_are_independent() -> None:
    """Correlation between the streams of consecutive clients, over the bits of their words."""
    words = np.stack([Draw(1).at("noise", client=client).words(2_000) for client in range(20)])
    signs = np.where(words >> np.uint64(63), 1.0, -1.0)
    correlations = (signs @ signs.T / 2_000)[~np.eye(20, dtype=bool)]
    assert np.abs(correlations).max() < 5 / 2_000**0.5
