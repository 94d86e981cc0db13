"""The packed play: its known words, and windows that never cross from training to test."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import DataError
from ciranda.tasks.datasets import plays
from ciranda.tasks.datasets.plays import ALPHABET, CLASSES, LEAST, LENGTH, STRIDE, codes_of, federate, hamlet, speeches, windows


def text_of(codes: np.ndarray) -> str:
    return "".join(ALPHABET[code] for code in codes)


def test_the_play_has_its_known_words_and_roles() -> None:
    said = speeches("hamlet")
    assert "To be, or not to be,--that is the question:--" in said["Ham"]
    assert "Neither a borrower nor a lender be" in said["Pol"]
    assert "Though this be madness, yet there is a method" in said["Pol"]
    assert said["Ber"].startswith("Who's there?\nLong live the king!\n")
    assert not any("[" in text or "Scene" in text for text in said.values())
    assert sum(map(len, said.values())) == pytest.approx(159_000, rel=0.01)


def test_roles_that_say_enough_are_clients() -> None:
    data = hamlet()
    assert data.groups is not None
    assert len(set(data.groups.tolist())) == 16
    assert "Fran" not in data.groups
    assert data.train.x.shape == (len(data.train), LENGTH)
    assert [str(array.dtype) for array in (data.train.x, data.train.y)] == ["uint8", "int64"]
    assert len(data.classes) == len(CLASSES) == len(ALPHABET)
    assert 0.15 < len(data.test) / (len(data.train) + len(data.test)) < 0.25
    assert np.array_equal(hamlet().train.x, data.train.x)


def test_the_target_is_the_character_that_follows() -> None:
    said = speeches("hamlet")["Osr"]
    data = hamlet()
    assert data.groups is not None
    mine = np.flatnonzero(data.groups == "Osr")
    for number, row in enumerate(mine[:20].tolist()):
        start = number * STRIDE
        assert text_of(data.train.x[row]) == said[start : start + LENGTH]
        assert ALPHABET[data.train.y[row]] == said[start + LENGTH]


def test_nothing_of_the_test_is_trained_on() -> None:
    # Every character is different from all others nearby, so that a shared one would show.
    rows = [ALPHABET[i % 60] + ALPHABET[i // 60] for i in range(1500)]
    data = federate({"x": "".join(rows)}, "made")
    trained = set(text_of(data.train.x[-1]) + ALPHABET[data.train.y[-1]])
    assert trained
    assert text_of(data.test.x[0])[:20] not in "".join(text_of(row) for row in data.train.x)


@given(st.text(ALPHABET, min_size=LENGTH + 1, max_size=400))
def test_windows_cover_a_text(text: str) -> None:
    x, y = windows(text)
    assert len(x) == len(y) == 1 + (len(text) - LENGTH - 1) // STRIDE
    assert text_of(codes_of(text)) == text
    assert text_of(x[-1]) + ALPHABET[y[-1]] == text[STRIDE * (len(x) - 1) :][: LENGTH + 1]


def test_what_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="'ã' is not in the model's alphabet"):
        codes_of("ação")
    with pytest.raises(DataError, match=f"Nobody in 'made' says {LEAST} characters"):
        federate({"x": "too little"}, "made")
    with pytest.raises(DataError, match="'macbeth' is missing or damaged"):
        plays.speeches("macbeth")
