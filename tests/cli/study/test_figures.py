"""What the figures of studies say, read back from their axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ciranda.cli.study.compare import compare
from ciranda.cli.study.figures import curves
from tests.cli.study.made_up import run_folder

pytest.importorskip("matplotlib")


def points(line: Any) -> list[list[float]]:
    """The line's points, as [x, y]."""
    return [[float(x), float(y)] for x, y in line.get_xydata()]


def legend(axis: Any) -> list[str]:
    return [text.get_text() for text in axis.get_legend().get_texts()]


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CIRANDA_LANG", "en")
    run_folder(tmp_path / "a1", [0.5, 0.8], seed=1, seconds=1.0)
    run_folder(tmp_path / "a2", [0.7, 0.6], seed=2, seconds=3.0)
    run_folder(tmp_path / "p1", [0.4, None, 0.9], "strategy.name=fedprox", "strategy.proximal-mu=0.1", up=1_000_000)
    return tmp_path


def test_a_curve_is_the_mean_with_a_band_of_one_deviation(two: Path) -> None:
    axis = curves(compare([two]), "rounds").axes[0]
    first, second = axis.lines
    assert np.array(points(first)) == pytest.approx(np.array([[1, 0.6], [2, 0.7]]))
    assert points(second) == [[1, 0.4], [3, 0.9]]
    (band,) = axis.collections
    heights = np.asarray(band.get_paths()[0].vertices)[:, 1]
    deviation = np.std([0.5, 0.7], ddof=1)
    assert heights.min() == pytest.approx(0.6 - deviation)
    assert heights.max() == pytest.approx(0.7 + np.std([0.8, 0.6], ddof=1))


def test_by_seconds_the_places_are_means_too(two: Path) -> None:
    axis = curves(compare([two / "a1", two / "a2"]), "seconds").axes[0]
    assert [x for x, _ in points(axis.lines[0])] == [2.0, 4.0]
    assert axis.get_xlabel() == "seconds in rounds"


def test_by_bytes_the_unit_fits(two: Path) -> None:
    axis = curves(compare([two]), "bytes").axes[0]
    assert axis.get_xlabel() == "payload up and down (MB)"
    assert [x for x, _ in points(axis.lines[1])] == [3.0, 9.0]


def test_lines_are_named_and_the_target_is_drawn(two: Path) -> None:
    axis = curves(compare([two / "a1", two / "p1"], target=0.75), "rounds").axes[0]
    assert legend(axis) == ["fedavg, num-rounds 2", "fedprox, num-rounds 3, proximal-mu 0.1"]
    assert any([y for _, y in points(line)] == [0.75, 0.75] for line in axis.lines)
    assert axis.get_title(loc="left") == ""  # one seed: nothing to say about bands


def test_many_lines_stay_apart(tmp_path: Path) -> None:
    for number in range(1, 13):
        run_folder(tmp_path / str(number), [number / 20, number / 15], f"client.batch-size={number}")
    axis = curves(compare([tmp_path]), "rounds").axes[0]
    looks = {(line.get_color(), line.get_linestyle()) for line in axis.lines}
    assert len(looks) == 12
    assert len(legend(axis)) == 12
