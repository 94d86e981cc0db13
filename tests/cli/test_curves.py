"""Series out of metric rows."""

from __future__ import annotations

from typing import Any

import pytest

from ciranda.cli.curves import client_band, client_curves, client_headline, group_curve, headline, name_order
from ciranda.cli.plots import spaced


def row(number: int, metrics: dict[str, Any], clients: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"event": "round", "round": number, "metrics": metrics, "clients": clients or {}, **more}


ROWS = [
    {"event": "note"},
    row(1, {"train": {"loss": 2.0}, "server": {"accuracy": 0.5}}, {"0": {"loss": 1.0}, "10": {"loss": 3.0}, "9": {"loss": 2.0}}),
    row(2, {"train": {"loss": 1.0}}, {"9": {"loss": 1.5}}),
    row(3, {}, skipped=True),
    row(4, {"train": {"loss": None}, "server": {"accuracy": 0.75}}, {"0": {"loss": 0.5, "accuracy": 1.0}, "9": {"loss": 0.7}}),
]


def test_a_group_has_points_where_it_was_measured() -> None:
    curve = group_curve(ROWS, "server", "accuracy")
    assert (list(curve.rounds), list(curve.values)) == ([1, 4], [0.5, 0.75])
    assert list(group_curve(ROWS, "train", "loss").rounds) == [1, 2]
    assert not group_curve(ROWS, "clients", "accuracy")


def test_clients_come_in_the_order_of_their_numbers() -> None:
    curves = client_curves(ROWS, "loss")
    assert list(curves) == ["0", "9", "10"]
    assert (list(curves["9"].rounds), list(curves["9"].values)) == ([1, 2, 4], [2.0, 1.5, 0.7])
    assert sorted(["10", "b", "2", "a"], key=name_order) == ["2", "10", "a", "b"]


def test_a_band_needs_two_clients() -> None:
    band = client_band(ROWS, "loss", 0, 100)
    assert list(band.rounds) == [1, 4]
    assert (list(band.low), list(band.high)) == ([1.0, 0.5], [3.0, 0.7])
    assert list(band.median) == pytest.approx([2.0, 0.6])
    assert not client_band(ROWS, "accuracy")


def test_the_headline_is_the_best_that_was_measured() -> None:
    assert headline(ROWS) == "accuracy"
    assert headline([row(1, {"server": {"rmse": 1.0, "loss": 1.0}})]) == "rmse"
    assert headline([row(1, {"train": {"loss": 1.0}})]) == "loss"
    assert client_headline(ROWS) == "accuracy"
    assert client_headline(ROWS[:3]) == "loss"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([0.0, 1.0], [0.0, 1.0]),
        ([0.5, 0.5], [0.45, 0.55]),
        ([0.5, 0.5, 0.58], [0.42666, 0.52666, 0.62666]),
        ([0.0, 0.3, 0.31], [0.0, 0.255, 0.355]),
    ],
)
def test_labels_move_apart_as_little_as_needed(values: list[float], expected: list[float]) -> None:
    assert spaced(values, 0.1) == pytest.approx(expected, abs=1e-4)
