"""Rows of metrics.jsonl as columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.metrics import spread
from ciranda.report.records import COUNTED, FAILED, REFUSED, Records, name_order, read, rises


def row(number: int, metrics: dict[str, Any], clients: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"event": "round", "round": number, "metrics": metrics, "clients": clients or {}, **more}


ROWS = [
    {"event": "note"},
    row(1, {"train": {"loss": 2.0}, "server": {"accuracy": 0.5}}, {"0": {"loss": 1.0}, "10": {"loss": 3.0}, "9": {"loss": 2.0}}),
    row(2, {"train": {"loss": 1.0}}, {"9": {"loss": 1.5}}, seconds=2.0, bytes_up=10, bytes_down=1),
    row(3, {}, skipped=True, seconds=0.5, bytes_down=4),
    row(4, {"train": {"loss": None}, "server": {"accuracy": 0.75}}, {"0": {"loss": 0.5, "accuracy": 1.0}, "9": {"loss": 0.7}}),
]


@pytest.fixture
def records() -> Records:
    return read(ROWS)


def test_a_group_has_points_where_it_was_measured(records: Records) -> None:
    curve = records.curve("server", "accuracy")
    assert (curve.rounds.tolist(), curve.values.tolist(), curve.at.tolist()) == ([1, 4], [0.5, 0.75], [0, 3])
    assert records.curve("train", "loss").rounds.tolist() == [1, 2]
    assert not records.curve("clients", "accuracy")
    assert records.final("server", "accuracy") == 0.75
    assert records.final("server", "loss") is None


def test_axes_count_what_was_spent_until_the_end_of_each_round(records: Records) -> None:
    assert records.axis("round").tolist() == [1, 2, 3, 4]
    assert records.axis("seconds").tolist() == [0, 2, 2.5, 2.5]
    assert records.axis("bytes").tolist() == [0, 11, 15, 15]
    assert records.skipped.tolist() == [False, False, True, False]


def test_clients_come_in_the_order_of_their_numbers(records: Records) -> None:
    curves = records.client_curves("loss")
    assert list(curves) == list(records.names) == ["0", "9", "10"]
    assert (curves["9"].rounds.tolist(), curves["9"].values.tolist()) == ([1, 2, 4], [2.0, 1.5, 0.7])
    assert sorted(["10", "b", "2", "a"], key=name_order) == ["2", "10", "a", "b"]
    assert records.client_curves("nothing") == {}


def test_a_band_needs_two_clients(records: Records) -> None:
    band = records.band("loss", 0, 100)
    assert band.rounds.tolist() == [1, 4]
    assert (band.low.tolist(), band.high.tolist()) == ([1.0, 0.5], [3.0, 0.7])
    assert band.median.tolist() == pytest.approx([2.0, 0.6])
    assert not records.band("accuracy")
    assert not records.band("nothing")


@given(st.lists(st.dictionaries(st.integers(0, 30), st.floats(-10, 10), max_size=25), max_size=6))
def test_bands_are_percentiles_of_each_round(rounds: list[dict[int, float]]) -> None:
    rows = [row(n, {}, {str(who): {"loss": value} for who, value in values.items()}) for n, values in enumerate(rounds, 1)]
    band = read(rows).band("loss")
    shown = {n: values for n, values in enumerate(rounds, 1) if len(values) > 1}
    assert band.rounds.tolist() == list(shown)
    for place, values in enumerate(shown.values()):
        expected = np.percentile(list(values.values()), [10, 50, 90])
        assert [band.low[place], band.median[place], band.high[place]] == pytest.approx(expected, abs=1e-9)
        assert band.low[place] == pytest.approx(spread({str(k): {"loss": v} for k, v in values.items()})["loss"]["p10"], abs=1e-9)


def test_the_worst_tenth_is_the_mean_over_the_worst_clients() -> None:
    values = {str(n): {"accuracy": n / 100, "loss": n / 100} for n in range(20)}
    records = read([row(1, {}, values), row(2, {}, {"3": {"accuracy": 0.3}})])
    assert records.worst("accuracy").values.tolist() == [pytest.approx(0.005)]
    assert records.worst("loss").values.tolist() == [pytest.approx(0.185)]
    assert rises("accuracy")
    assert not rises("train_loss")


def test_the_latest_value_of_each_client_counts(records: Records) -> None:
    clients, values, rows = records.latest("loss")
    assert [records.names[client] for client in clients] == ["0", "9", "10"]
    assert values.tolist() == [0.5, 0.7, 3.0]
    assert rows.tolist() == [3, 3, 0]
    assert len(records.latest("nothing")[0]) == 0


def test_who_took_part_and_who_did_not_is_kept() -> None:
    records = read(
        [
            row(1, {}, accepted=[["2", "ab"], ["1", "cd"]], failed={"3": "died"}, refused={"1": "duplicate", "x": "late"}, roster=9),
            row(2, {}, accepted=[["3", "ab"]], refusals={"late": 2}, roster=10),
        ]
    )
    part = {(records.names[who], at + 1): how for at, who, how in zip(*vars(records.part).values(), strict=True)}
    expected = {("1", 1): COUNTED, ("2", 1): COUNTED, ("3", 1): FAILED, ("x", 1): REFUSED, ("3", 2): COUNTED}
    assert part == expected
    assert records.reasons == {"late": 2, "died": 1}
    assert records.roster == 10


def test_tables_are_those_of_the_last_round_that_has_them() -> None:
    records = read([row(1, {"server-confusion": {"0.1": 2.0}}), row(2, {"server-confusion": {"1.0": 1.0}}), row(3, {})])
    assert records.tables == {"server-confusion": {"1.0": 1.0}}
    assert records.groups == {}


def test_the_headline_is_the_best_that_was_measured(records: Records) -> None:
    assert records.headline() == "accuracy"
    assert read([row(1, {"server": {"rmse": 1.0, "loss": 1.0}})]).headline() == "rmse"
    assert read([row(1, {"train": {"loss": 1.0}})]).headline() == "loss"
    assert records.client_headline() == "accuracy"
    assert read(ROWS[:3]).client_headline() == "loss"


def test_no_row_is_no_round() -> None:
    records = read([])
    assert len(records.rounds) == len(records.names) == 0
    assert records.headline() == "loss"
    assert records.axis("bytes").tolist() == []
