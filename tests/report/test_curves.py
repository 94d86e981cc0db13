"""The curves of a run: which figures, on which axes, in which units."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from html import unescape

import numpy as np
import pytest

from ciranda.report.charts import Line
from ciranda.report.curves import KINDS, along, curves, group_lines, scaled, shown_metrics, switched
from ciranda.report.html import tag
from ciranda.report.records import read
from tests.report.history import rows, run
from tests.report.test_page import words


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "en")


@pytest.mark.parametrize(
    ("kind", "most", "label", "unit"),
    [
        ("round", 500.0, "round", 1.0),
        ("seconds", 12.0, "seconds in rounds", 1.0),
        ("seconds", 180.0, "minutes in rounds", 60.0),
        ("seconds", 7200.0, "hours in rounds", 3600.0),
        ("bytes", 900.0, "B sent, up and down", 1.0),
        ("bytes", 2e3, "kB sent, up and down", 1e3),
        ("bytes", 3e6, "MB sent, up and down", 1e6),
        ("bytes", 4e9, "GB sent, up and down", 1e9),
        ("bytes", 0.0, "B sent, up and down", 1.0),
    ],
)
def test_an_axis_has_the_unit_that_keeps_its_numbers_short(kind: str, most: float, label: str, unit: float) -> None:
    axis, scale = scaled(kind, most)
    assert (axis.label, scale) == (label, unit)
    assert axis.whole == (kind == "round")


def test_rows_stand_where_their_costs_put_them() -> None:
    records = read(rows(4, 5))
    axis, places = along(records, "bytes")
    assert axis.label == "kB sent, up and down"
    assert places == pytest.approx(np.cumsum(records.bytes_up + records.bytes_down) / 1e3)
    assert along(records, "round")[1].tolist() == [1, 2, 3, 4]
    assert along(read([]), "seconds")[1].tolist() == []


def test_every_group_that_has_the_metric_has_a_line() -> None:
    made = run()
    places = along(made.records, "round")[1]
    lines = {line.name: line for line in group_lines(made, "loss", places)}
    assert list(lines) == ["server", "clients, weighted", "training"]
    assert len({line.colour for line in lines.values()}) == 3
    assert lines["server"].y.tolist() == [row["metrics"]["server"]["loss"] for row in rows()]
    assert [line.name for line in group_lines(made, "accuracy", places)] == ["server", "clients, weighted"]


def test_the_metrics_shown_are_the_headline_the_error_and_the_loss() -> None:
    assert shown_metrics(run()) == ["accuracy", "loss"]
    history = rows(2, 2, classes=0)
    for row in history:
        row["metrics"] = {"server": {"r2": 0.5, "rmse": 2.0, "mae": 1.0}, "train": {"loss": 1.0}}
    assert shown_metrics(run(history)) == ["r2", "rmse", "loss"]
    for row in history:
        row["metrics"] = {"server": {"rmse": 2.0}}
    assert shown_metrics(run(history)) == ["rmse"]
    assert shown_metrics(run([])) == ["loss"]


def charts(text: str) -> list[ET.Element]:
    return [ET.fromstring(found) for found in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]


def test_each_metric_is_drawn_against_each_axis() -> None:
    drawn = charts(curves(run()))
    assert len(drawn) == 2 * len(KINDS)
    titles = [svg[0].text for svg in drawn]
    assert titles == [
        "accuracy against round", "loss against round", "accuracy against seconds in rounds", "loss against seconds in rounds",
        "accuracy against kB sent, up and down", "loss against kB sent, up and down",
    ]  # fmt: skip
    for svg in drawn:
        names = [line[0] for line in json.loads(svg.attrib["data-lines"])]
        assert "worst 10 %" in names
        assert "server" in names


def test_a_figure_is_told_in_words() -> None:
    history = rows()
    told = charts(curves(run(history)))[0][1].text
    assert told is not None
    first, last = (history[at]["metrics"]["server"]["accuracy"] for at in (0, -1))
    assert f"server: {first:.4f} in round 1, {last:.4f} in round 6." in told


def test_the_values_stand_in_a_table_too() -> None:
    said = words(curves(run(rows(100, 2))))
    assert "Values of 40 of 100 rounds" in said
    assert "server: accuracy" in said
    text = unescape(curves(run(rows(3, 2))))
    cells = re.findall(r'<td class="n">([^<]*)</td>', text)
    assert len(cells) % 3 == 0
    assert cells[0] == "1"
    assert f"{rows(3, 2)[0]['metrics']['server']['accuracy']:.4f}" in cells


def test_exactly_one_axis_is_chosen_at_first() -> None:
    text = switched(lambda kind: [tag("b", kind)])
    assert text.count("checked") == 1
    for kind in KINDS:
        assert f'id="by-{kind}"' in text
        assert f'for="by-{kind}"' in text
        assert f"<b>{kind}</b>" in text


def test_training_alone_has_curves_without_bands() -> None:
    bare = [{"event": "round", "round": n, "metrics": {"train": {"loss": 1 / n}}, "clients": {}, "seconds": 0.1} for n in (1, 2, 3)]
    drawn = charts(curves(run(bare)))
    assert len(drawn) == 3
    assert all("area" not in ET.tostring(svg, encoding="unicode") for svg in drawn)
    assert isinstance(Line("a", 1, np.zeros(1), np.zeros(1)).dashed, bool)
