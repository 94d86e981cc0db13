"""A small MNIST: two shares of images whose class shows as a bright row."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.work import Work

SOFTMAX = Work("tiny", "softmax", clients=6, examples=20, cohort=3, batch_size=5, learning_rate=0.05, momentum=0.0, rounds=3, warmup=1)


@pytest.fixture
def small_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of IDX files, which Ciranda now reads as MNIST."""
    generator = np.random.default_rng(0)
    for name, count in (("train", SOFTMAX.clients * SOFTMAX.examples), ("t10k", 50)):
        labels = generator.integers(0, 10, count).astype(np.uint8)
        images = generator.integers(0, 40, (count, 28, 28)).astype(np.uint8)
        images[np.arange(count), 2 * labels + 4] = 255
        _write_idx(tmp_path / "mnist" / f"{name}-images-idx3-ubyte.gz", images)
        _write_idx(tmp_path / "mnist" / f"{name}-labels-idx1-ubyte.gz", labels)
    monkeypatch.setenv("CIRANDA_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def small_file(small_mnist: Path) -> str:
    """The same images as contenders get them."""
    from benchmarks.suites import write_mnist

    write_mnist(small_mnist / "mnist.npz")
    return str(small_mnist / "mnist.npz")


def _write_idx(path: Path, array: NDArray[Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes(), 1))
