"""The reader of pickles: it reads what numpy writes, and nothing that a hostile pickle hides is ever run."""

from __future__ import annotations

import collections
import decimal
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ciranda.core.errors import DataError
from ciranda.tasks.datasets.pickled import read_pickle

PROTOCOLS = [2, 3, 4, 5]
DTYPES = ["u1", "i1", "<i2", ">i4", "<i8", ">u8", "<f4", ">f8"]
PLAIN = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text() | st.binary()


class Runs:
    """An object whose pickle calls a function when it is loaded."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


class Plain:
    """An object that pickle would make again with NEWOBJ and fill with BUILD."""

    def __init__(self) -> None:
        self.secret = 1


def refusal(data: bytes) -> str:
    with pytest.raises(DataError) as caught:
        read_pickle(data, "the_batch")
    assert "the_batch" in str(caught.value)
    return str(caught.value)


def py2(text: bytes) -> bytes:
    """A byte string as Python 2 writes it: BINSTRING, or SHORT_BINSTRING where it fits."""
    return b"U" + bytes([len(text)]) + text if len(text) < 256 else b"T" + struct.pack("<i", len(text)) + text


def python2_batch(rows: bytes, count: int, labels: bytes) -> bytes:
    """A batch byte for byte as cPickle of Python 2 with numpy 1 wrote those that are published."""
    return b"".join(
        [
            b"\x80\x02}q\x01(",
            py2(b"batch_label") + b"q\x02" + py2(b"training batch 1 of 5") + b"q\x03",
            py2(b"labels") + b"q\x04]q\x05(" + b"".join(b"K" + bytes([label]) for label in labels) + b"e",
            py2(b"data") + b"q\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85" + py2(b"b") + b"\x87Rq\x09",
            b"(K\x01" + b"M" + struct.pack("<H", count) + b"M" + struct.pack("<H", len(rows) // count) + b"\x86",
            b"cnumpy\ndtype\nq\x0a"
            + py2(b"u1")
            + b"K\x00K\x01\x87Rq\x0b(K\x03"
            + py2(b"|")
            + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
            b"\x89" + py2(rows) + b"tb",
            py2(b"filenames") + b"q\x0c]q\x0d(" + py2(b"domestic_cat_s_000907.png") + b"e",
            b"u.",
        ]
    )


def test_a_batch_written_by_python_2_is_read() -> None:
    rows = np.random.default_rng(1).integers(0, 256, (3, 200), np.uint8)
    data = python2_batch(rows.tobytes(), 3, bytes([6, 9, 0]))
    assert np.array_equal(pickle.loads(data, encoding="bytes")[b"data"], rows)  # noqa: S301 (our own bytes: the sample is a true pickle)
    content = read_pickle(data, "batch")
    assert np.array_equal(content["data"], rows)
    assert content["labels"] == [6, 9, 0]
    assert content["batch_label"] == "training batch 1 of 5"
    assert content["filenames"] == ["domestic_cat_s_000907.png"]


@given(data=st.data(), dtype=st.sampled_from(DTYPES), protocol=st.sampled_from(PROTOCOLS), fortran=st.booleans())
def test_arrays_of_every_protocol_are_read(data: st.DataObject, dtype: str, protocol: int, fortran: bool) -> None:
    array = data.draw(arrays(np.dtype(dtype), array_shapes(min_side=0, max_side=5)))
    array = np.asfortranarray(array) if fortran else array
    read = read_pickle(pickle.dumps({"a": array, "b": [1]}, protocol), "batch")
    assert read["a"].shape == array.shape
    assert read["a"].dtype == array.dtype
    assert np.array_equal(read["a"], array, equal_nan=array.dtype.kind == "f")
    assert read["b"] == [1]


@given(content=st.dictionaries(st.text(), st.lists(PLAIN) | PLAIN | st.tuples(PLAIN, PLAIN)), protocol=st.sampled_from(PROTOCOLS))
def test_plain_data_are_read(content: dict[str, Any], protocol: int) -> None:
    read = read_pickle(pickle.dumps(content, protocol), "batch")
    assert read == content


def test_byte_keys_become_texts() -> None:
    assert read_pickle(pickle.dumps({b"data": 1}, 3), "batch") == {"data": 1}


def test_a_repeated_object_is_read_from_the_memo() -> None:
    shared = [1, 2]
    assert read_pickle(pickle.dumps({"a": shared, "b": shared}, 4), "batch") == {"a": [1, 2], "b": [1, 2]}


def hostile(target: Path) -> list[Any]:
    """Objects whose pickles do harm when loaded the usual way."""
    touch = f"touch {target}"
    return [
        Runs(os.system, touch),
        Runs(os.mkdir, str(target)),
        Runs(eval, f"open({str(target)!r}, 'w')"),
        Runs(exec, f"open({str(target)!r}, 'w')"),
        Runs(__import__, "antigravity"),
        Runs(getattr, "x", "upper"),
        Runs(pickle.loads, b"N."),
        Runs(np.load, str(target)),
        Runs(np.dtype, "O"),
        np.asarray([Runs(os.mkdir, str(target))], dtype=object),
        np.zeros(2, dtype=[("a", "u1"), ("b", "u1")]),
        np.asarray(["text"]),
        np.zeros(2, "complex64"),
        Plain(),
        os.system,
        decimal.Decimal(1),
        collections.OrderedDict(a=1),
        {1, 2},
        frozenset({1}),
        1.5,
    ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("which", range(20))
@pytest.mark.parametrize("wrap", ["value", "in a list", "top", "key"])
def test_a_hostile_pickle_is_refused_and_does_nothing(tmp_path: Path, protocol: int, which: int, wrap: str) -> None:
    target = tmp_path / "harm"
    evil = hostile(target)[which]
    content: Any = {"value": {"data": evil}, "in a list": {"labels": [1, 2, [evil]]}, "top": evil, "key": {("k", 1): 0, "e": evil}}[wrap]
    refusal(pickle.dumps(content, protocol))
    assert not target.exists()


def test_the_refusal_names_what_the_pickle_wanted_to_call() -> None:
    assert "posix.system" in refusal(pickle.dumps({"data": Runs(os.system, "true")}, 2))
    assert "posix.system" in refusal(pickle.dumps({"data": Runs(os.system, "true")}, 4))


@pytest.mark.parametrize(
    "program",
    [
        b"(S'touch harm'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch harm'\no.",  # OBJ
        b"cos\nsystem\n(S'touch harm'\ntR.",
        b"\x80\x02cposix\nsystem\nq\x00X\x04\x00\x00\x00true\x85R.",
        b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85R.",
        b"\x80\x02cnumpy.core.multiarray\nscalar\n.",
        b"\x80\x04\x8c\x0enumpy\nos system\x94\x8c\x05dtype\x93.",
        b"\x80\x02cos\nsystem\n0}.",  # the name is put away again: still refused
        b"\x80\x02\x82\x01.",  # EXT1
        b"\x80\x02Pname\n.",  # PERSID
        b"\x80\x02K\x01Q.",  # BINPERSID
        b"\x80\x02K\x01K\x02\x85R.",  # a number that is called
        b"\x80\x02ccodecs\nencode\n.",
        b"\x80\x02cnumpy\nndarray\nK\x01\x85R.",
        b"\x80\x02cnumpy\ndtype\nX\x01\x00\x00\x00O\x85R.",
        b"\x80\x02}K\x01b.",  # the state of a dictionary
        b"\x80\x02K\x01K\x02a.",  # append to a number
        b"\x80\x02]K\x01K\x02s.",  # an item of a list
        b"\x80\x02}K\x01cnumpy\nndarray\ns.",  # a name as a value
        b"\x80\x02}K\x01cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87Rs.",  # an array without content
    ],
)
def test_programs_written_by_hand_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: bytes) -> None:
    monkeypatch.chdir(tmp_path)
    refusal(program)
    assert list(tmp_path.iterdir()) == []


def test_an_array_whose_shape_does_not_fit_its_bytes_is_refused() -> None:
    good = python2_batch(bytes(600), 3, bytes([1, 2, 3]))
    for shape in (b"M\xff\xffM\xff\xff\x86", b"M\x03\x00M\xc7\x00\x86", b"NN\x86", b"J\xff\xff\xff\xffM\xc8\x00\x86"):
        bad = good.replace(b"M\x03\x00M\xc8\x00\x86", shape)
        assert bad != good
        refusal(bad)


@given(data=st.data())
def test_no_beginning_of_a_batch_is_taken_for_the_whole(data: st.DataObject) -> None:
    batch = python2_batch(bytes(600), 3, bytes([1, 2, 3]))
    refusal(batch[: data.draw(st.integers(0, len(batch) - 1))])


@given(position=st.integers(0, 10_000), flip=st.integers(1, 255), protocol=st.sampled_from(PROTOCOLS))
def test_damage_is_refused_or_read_as_plain_data(position: int, flip: int, protocol: int) -> None:
    batch = bytearray(pickle.dumps({"data": np.arange(12, dtype=np.uint8).reshape(3, 4), "labels": [1, 2, 3]}, protocol))
    batch[position % len(batch)] ^= flip
    try:
        content = read_pickle(bytes(batch), "batch")
    except DataError:
        return
    for value in content.values():
        assert value is None or isinstance(value, np.ndarray | list | dict | int | str | bytes | bytearray | tuple)


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    try:
        content = read_pickle(noise, "batch")
    except DataError:
        return
    assert content == {}


@pytest.mark.parametrize("content", [[1, 2], 3, "text", None, (1,)])
def test_a_pickle_of_something_else_is_refused(content: Any) -> None:
    assert "no dictionary" in refusal(pickle.dumps(content, 4))
