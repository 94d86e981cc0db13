"""Random draws that depend on what they are for, never on when they are made.

A draw is named by a seed and a path of (purpose, coordinates), such as `Draw(1).at("shuffle", round=3, client="7")`. The name is
hashed to the key of a counter-based generator, Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011), so any client can make any draw at any time, in any order, in any process, and get the same numbers.

Two kinds of stream:

* `words`, `below`, `permutation` and `seed` are ours: raw Philox output, or the hash itself, pinned by tests. What must never change
  (selection, shuffles, seeds handed to torch) uses these.
* `generator()` is numpy's `Generator` over the same key: numpy keeps the right to change how its distributions use the words.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

Coordinates = tuple[tuple[str, int | str], ...]
Step = tuple[str, Coordinates]


@dataclass(frozen=True, init=False)
class Draw:
    """A named source of randomness: equal names give equal numbers, different names independent ones.

    Attributes:
        root: the seed, any integer.
        path: (purpose, sorted coordinates) pairs, from the root down; `at` extends it.
    """

    root: int
    path: tuple[Step, ...]

    def __init__(self, seed: int, path: tuple[Step, ...] = ()) -> None:
        # By hand, because the field cannot share the name of the method `seed`.
        object.__setattr__(self, "root", index(seed))
        object.__setattr__(self, "path", path)

    def at(self, purpose: str, **coords: int | str) -> Draw:
        """The draw for `purpose` at these coordinates. Their order does not matter; 1 and "1" are different coordinates."""
        step = (purpose, tuple((name, _plain(value)) for name, value in sorted(coords.items())))
        return Draw(self.root, (*self.path, step))

    def generator(self) -> np.random.Generator:
        """A fresh numpy generator at the start of this draw's stream. Its distributions are stable only within a numpy version."""
        return np.random.Generator(self._philox())

    def seed(self) -> int:
        """63 bits, 0 <= seed < 2^63, independent of the stream: the seed of somebody else's generator, such as torch's."""
        return int.from_bytes(self._digest()[16:24], "little") >> 1

    def words(self, n: int) -> NDArray[np.uint64]:
        """The first `n` 64-bit words of the stream, shape (n,)."""
        return self._philox().random_raw(n)  # type: ignore[no-any-return, unused-ignore]

    def below(self, n: int, bound: int | NDArray[Any]) -> NDArray[np.int64]:
        """`n` integers, uniform on 0 <= value < `bound`, without modulo bias.

        Args:
            n: how many.
            bound: one bound, or an integer array of shape (n,) with a bound for each; 1 <= bound < 2^63.

        A word below 2^64 mod bound is rejected, so that every remainder has equally many words left; rejected positions
        are filled, in order, from the words that follow.

        Raises:
            ValueError: a bound is out of range.
        """
        bounds = np.broadcast_to(np.asarray(bound), (n,))
        if n and (int(bounds.min()) < 1 or int(bounds.max()) >= 2**63):
            raise ValueError(f"bounds must lie in 1..2^63 - 1, got {bounds.min()}..{bounds.max()}")
        limits = bounds.astype(np.uint64)
        # 2^64 mod bound: the negation wraps to 2^64 - bound.
        surplus = (np.uint64(0) - limits) % limits
        stream = self._philox()
        words = stream.random_raw(n)
        rejected = np.flatnonzero(words < surplus)
        while rejected.size:
            words[rejected] = stream.random_raw(rejected.size)
            rejected = rejected[words[rejected] < surplus[rejected]]
        return (words % limits).astype(np.int64)

    def permutation(self, n: int) -> NDArray[np.int64]:
        """0..n - 1 in random order, shape (n,): the order of the stream's first `n` words."""
        return np.argsort(self.words(n), kind="stable")

    def _philox(self) -> np.random.Philox:
        return np.random.Philox(key=np.frombuffer(self._digest()[:16], dtype="<u8"))

    def _digest(self) -> bytes:
        """32 bytes: 16 of key, 16 for `seed`."""
        parts = [_encode(self.root)]
        for purpose, coords in self.path:
            parts.append(b"(" + _encode(purpose))
            parts.extend(_encode(name) + _encode(value) for name, value in coords)
            parts.append(b")")
        return blake2b(b"".join(parts), digest_size=32, person=b"ciranda.draw.1").digest()


def _plain(value: int | str) -> int | str:
    return str(value) if isinstance(value, str) else index(value)


def _encode(value: int | str) -> bytes:
    """Type, length, bytes: no two different sequences of values have the same encoding."""
    kind, text = ("s", value) if isinstance(value, str) else ("i", str(index(value)))
    data = text.encode()
    return f"{kind}{len(data)}:".encode() + data
