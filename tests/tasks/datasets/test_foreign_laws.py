"""Other libraries' data, frames and plays: whatever the container, the examples are the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import DataError
from ciranda.tasks.datasets import from_csv, from_frame, from_torch
from ciranda.tasks.datasets.plays import ALPHABET, LEAST, LENGTH, STRIDE, codes_of, federate, windows


class Pairs:
    """A map-style data set over a list."""

    def __init__(self, items: list[Any], classes: Any = None) -> None:
        self.items = items
        if classes is not None:
            self.classes = classes

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


# --- map-style data sets


@given(st.lists(st.tuples(st.integers(-9, 9) | st.floats(-9, 9), st.integers(0, 2)), min_size=3, max_size=12))
def test_numbers_keep_their_value_whatever_the_first_one_is(items: list[tuple[float, int]]) -> None:
    data = from_torch(Pairs([(np.asarray([x]), y) for x, y in items]), test_fraction=0, classes=("a", "b", "c"))
    assert data.train.x[:, 0].tolist() == [x for x, _ in items]
    assert data.train.y.tolist() == [y for _, y in items]


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32, np.float64, np.bool_])
def test_examples_of_one_type_keep_it(kind: type[np.generic]) -> None:
    data = from_torch(Pairs([(np.ones((2, 3), kind), n % 2) for n in range(4)]), test_fraction=0)
    assert (data.train.x.dtype, data.train.x.shape) == (np.dtype(kind), (4, 2, 3))


@given(st.integers(5, 40), st.sampled_from([0.2, 0.4]), st.integers(0, 3))
def test_every_example_is_in_one_part_with_its_owner(count: int, fraction: float, seed: int) -> None:
    owners = np.arange(count) // 2
    items = [(np.array([n]), n % 2) for n in range(count)]
    data = from_torch(Pairs(items), test_fraction=fraction, seed=seed, groups=owners)
    train, test = data.train.x[:, 0].tolist(), data.test.x[:, 0].tolist()
    assert sorted(train + test) == list(range(count))
    assert data.groups is not None
    assert data.groups.tolist() == [n // 2 for n in train]
    assert data.train.y.tolist() == [n % 2 for n in train]


def test_each_item_is_asked_for_once_and_in_order() -> None:
    asked: list[int] = []

    class Counting(Pairs):
        def __getitem__(self, index: int) -> Any:
            asked.append(index)
            return super().__getitem__(index)

    from_torch(Counting([(np.zeros(2), n % 2) for n in range(9)]), test_fraction=0)
    assert asked == [0, *range(1, 9)]


@pytest.mark.parametrize(
    ("names", "given", "found"),
    [
        (["cat", "dog"], (), ("cat", "dog")),
        (["cat", "dog"], ("x", "y"), ("x", "y")),
        (["cat"], (), ("0", "1")),
        ("cd", (), ("0", "1")),
        ([], (), ("0", "1")),
        (None, (), ("0", "1")),
        (["cat", "dog", "owl"], (), ("cat", "dog", "owl")),
    ],
)
def test_class_names_are_the_users_before_the_data_sets_own(names: Any, given: tuple[str, ...], found: tuple[str, ...]) -> None:
    data = from_torch(Pairs([(np.zeros(1), n % 2) for n in range(6)], names), classes=given, test_fraction=0)
    assert tuple(data.classes) == found


ONE = (np.zeros(2), 0)


@pytest.mark.parametrize(
    ("dataset", "options", "words"),
    [
        (iter([ONE]), {}, "has no length"),
        (Pairs([]), {}, "holds no examples"),
        (Pairs([np.zeros(2)]), {}, "Example 0 of Pairs is ndarray, not a pair"),
        (Pairs([ONE, (1, 2, 3)]), {}, "Example 1 of Pairs is 3 values, not a pair"),
        (Pairs([ONE, (np.zeros(3), 0)]), {}, r"Example 1 has shapes \(3,\), \(\); the first has \(2,\), \(\)"),
        (Pairs([ONE, (np.zeros(2), [0, 1])]), {}, "Example 1 has shapes"),
        (Pairs([ONE] * 4), {"most_bytes": 95}, "4 examples of shape .* more than the limit"),
        (Pairs([ONE, (np.zeros(2), 1)]), {"test": Pairs([(np.zeros(3), 0)])}, "test's examples have shape"),
        (Pairs([ONE, (np.zeros(2), 1)]), {"test": Pairs([])}, "holds no examples"),
    ],
)
def test_what_cannot_be_dealt_out_says_which_example(dataset: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        from_torch(dataset, **options)


def test_the_limit_is_for_both_parts_together() -> None:
    half = Pairs([(np.zeros(2), n % 2) for n in range(4)])
    assert len(from_torch(half, test=half, most_bytes=200).test) == 4
    with pytest.raises(DataError, match="more than the limit"):
        from_torch(half, test=half, most_bytes=150)


# --- data frames

FRAMES = st.lists(
    st.tuples(st.none() | st.integers(-99, 99), st.none() | st.sampled_from(["red", "blue"]), st.booleans()), min_size=6, max_size=25
).filter(lambda rows: any(n is not None for n, _, _ in rows) and any(c is not None for _, c, _ in rows))


def frames(rows: list[tuple[int | None, str | None, bool]]) -> Iterator[tuple[str, pd.DataFrame]]:
    """One table in the dtypes that pandas may hold it in."""
    number, colour, flag = zip(*rows, strict=True)
    target = [0.5 * place for place in range(len(rows))]
    yield "objects", pd.DataFrame({"n": pd.Series(number, dtype=object), "c": colour, "f": flag, "y": target})
    yield "nullable", pd.DataFrame({"n": pd.array(number, "Int64"), "c": pd.array(colour, "string"), "f": flag, "y": target})
    floats = [np.nan if n is None else float(n) for n in number]
    yield "floats and categories", pd.DataFrame({"n": floats, "c": pd.Categorical(colour), "f": pd.array(flag, "boolean"), "y": target})
    shifted = pd.DataFrame({"n": floats, "c": colour, "f": flag, "y": target}, index=range(100, 100 + len(rows)))
    yield "another index", shifted


@given(FRAMES)
def test_a_frames_types_and_index_change_no_feature(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    made = dict(frames(rows))
    path = tmp_path_factory.mktemp("t") / "t.csv"
    made["objects"].to_csv(path, index=False)
    written = from_csv(path, target="y", kind="regression", test_fraction=0)
    assert len(written.train) == len(rows)
    for name, frame in made.items():
        data = from_frame(frame, target="y", kind="regression", test_fraction=0)
        np.testing.assert_array_equal(data.train.x, written.train.x, err_msg=name)
        np.testing.assert_array_equal(data.train.y, written.train.y, err_msg=name)
        assert data.record is not None
        assert written.record is not None
        assert data.record["encoding"] == written.record["encoding"], name


@given(FRAMES)
def test_the_order_of_the_columns_orders_the_features_and_nothing_else(rows: list[Any]) -> None:
    frame = next(frames(rows))[1]
    one, other = (
        from_frame(frame[order], target="y", kind="regression", test_fraction=0) for order in (["n", "c", "f", "y"], ["y", "f", "c", "n"])
    )
    assert sorted(map(tuple, one.train.x.T.tolist())) == sorted(map(tuple, other.train.x.T.tolist()))


# --- plays

SPEECH = st.text(ALPHABET, min_size=LENGTH + 1, max_size=400)


@given(SPEECH)
def test_a_window_and_what_follows_it_are_of_the_text(text: str) -> None:
    x, y = windows(text)
    assert x.shape == (len(range(0, len(text) - LENGTH, STRIDE)), LENGTH)
    for place, (window, following) in enumerate(zip(x, y, strict=True)):
        start = place * STRIDE
        assert "".join(ALPHABET[code] for code in window) == text[start : start + LENGTH]
        assert ALPHABET[following] == text[start + LENGTH]


@pytest.mark.parametrize("character", ["\x00", "ж", "€", "\t"])
def test_a_character_that_no_model_knows_is_named(character: str) -> None:
    with pytest.raises(DataError, match="is not in the model's alphabet") as caught:
        codes_of(f"to be {character} or not")
    assert repr(character) in str(caught.value)


def test_roles_that_say_too_little_are_left_out_and_the_others_own_their_windows() -> None:
    said = {"LEAR": "a" * (LEAST - 1), "FOOL": "b" * LEAST, "KENT": "c" * (2 * LEAST)}
    data = federate(said, "play")
    assert data.groups is not None
    assert set(data.groups.tolist()) == {"FOOL", "KENT"}
    for role, letter in (("FOOL", "b"), ("KENT", "c")):
        own = data.train.x[data.groups == role]
        assert len(own)
        assert np.unique(own).tolist() == [ALPHABET.index(letter)]
    with pytest.raises(DataError, match=f"Nobody in 'play' says {LEAST} characters"):
        federate({"LEAR": "a" * (LEAST - 1)}, "play")


def test_a_file_that_is_a_folder_of_frames_agrees_with_the_frame_of_all(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": range(20), "c": ["u", "v"] * 10, "y": [0.25 * n for n in range(20)], "who": ["a"] * 8 + ["b"] * 12})
    for name, own in frame.groupby("who"):
        own.drop(columns="who").to_csv(tmp_path / f"{name}.csv", index=False)
    folder = from_csv(tmp_path, target="y", test_fraction=0)
    whole = from_frame(frame, target="y", client_column="who", test_fraction=0)
    np.testing.assert_array_equal(folder.train.x, whole.train.x)
    assert folder.groups is not None
    assert whole.groups is not None
    assert folder.groups.tolist() == whole.groups.tolist()
