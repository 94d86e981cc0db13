"""Dataclasses as JSON: what is understood reads back, and nothing else is built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import CodecError
from ciranda.protocol import messages
from ciranda.protocol.jsonable import dumps, from_plain, loads, to_plain


@dataclass(frozen=True)
class Leaf:
    number: float
    word: Literal["yes", "no"] = "yes"


@dataclass(frozen=True)
class Twig:
    leaves: tuple[Leaf, ...] = ()


@dataclass(frozen=True)
class Tree:
    name: str
    pair: tuple[str, int] = ("a", 1)
    parts: tuple[Leaf | Twig, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    best: float | None = None
    note: str | int = ""
    anything: Any = None
    derived: int = field(init=False, default=7)


leaves = st.builds(Leaf, st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["yes", "no"]))
trees = st.builds(
    Tree,
    st.text(),
    st.tuples(st.text(), st.integers()),
    st.lists(leaves | st.builds(Twig, st.lists(leaves, max_size=2).map(tuple)), max_size=3).map(tuple),
    st.dictionaries(st.text(), st.integers(), max_size=3),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.text() | st.integers(),
    st.recursive(st.none() | st.booleans() | st.text(), lambda inner: st.lists(inner, max_size=2), max_leaves=4),
)


@given(trees)
def test_what_is_written_reads_back_and_writes_the_same(tree: Tree) -> None:
    text = dumps(tree)
    assert loads(Tree, text) == tree
    assert dumps(loads(Tree, text.encode(errors="surrogatepass") if text.isascii() else text)) == text


def test_every_command_and_event_reads_back() -> None:
    samples: list[messages.Event | messages.Command] = [
        messages.Closed("1.1.0.train", "m1", {"train": {"loss": 0.5}}, {"ana": {"loss": 1.0}}, 1, 2, 0.5),
        messages.Close("i", "1.1.0.train", "train", 1, "m0", (("ana", "d"),)),
        messages.Record("i", {"round": 1, "nested": [["a", "b"]]}),
        messages.Instruct("i", "ana", "1.1.0.train", "train", 1, "m0"),
        messages.Recovered(),
        messages.Arm("i", "d", 5),
    ]
    for sample in samples:
        assert from_plain(messages.Event | messages.Command, to_plain(sample), "x") == sample


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({"type": "Tree"}, r"missing keys \['name'\]"),
        ({"type": "Tree", "name": "t", "derived": 1}, r"unknown keys \['derived'\]"),
        ({"name": "t"}, "is not Tree"),
        ([], "is not Tree"),
        ({"type": "Tree", "name": 1}, "Tree.name: 1 is not str"),
        ({"type": "Tree", "name": "t", "pair": ["a"]}, "Tree.pair has 1 items; 2 are needed"),
        ({"type": "Tree", "name": "t", "pair": "ab"}, "Tree.pair"),
        ({"type": "Tree", "name": "t", "parts": [{"type": "Tree", "name": "x"}]}, r"Tree.parts\[0\]"),
        ({"type": "Tree", "name": "t", "parts": [{"type": "Leaf", "number": 1, "word": "maybe"}]}, r"Tree.parts\[0\].word"),
        ({"type": "Tree", "name": "t", "counts": {"a": 1.5}}, "Tree.counts.a: 1.5 is not int"),
        ({"type": "Tree", "name": "t", "counts": []}, "Tree.counts"),
        ({"type": "Tree", "name": "t", "best": True}, "Tree.best"),
        ({"type": "Tree", "name": "t", "note": None}, "Tree.note"),
        ({"type": "Tree", "name": "x" * 1000, "best": "y" * 1000}, r"'y+\.\.\. is not"),
    ],
)
def test_the_first_misfit_is_named(plain: Any, said: str) -> None:
    with pytest.raises(CodecError, match=said):
        from_plain(Tree, plain, "Tree")


def test_whole_numbers_stand_for_floats_but_not_the_reverse() -> None:
    assert type(loads(Leaf, '{"type":"Leaf","number":1}').number) is float
    assert loads(Tree, '{"type":"Tree","name":"t","best":1}').best == 1


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_not_written(number: float) -> None:
    with pytest.raises(CodecError, match="Leaf cannot be written"):
        dumps(Leaf(number))


@pytest.mark.parametrize("text", ["", "{", '{"a":1,"a":1}', "NaN", "[Infinity]", "[" * 100_000])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(CodecError, match="Leaf is not valid JSON"):
        loads(Leaf, text)
