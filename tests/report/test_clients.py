"""The clients' section: who stands where, in figures and in the table."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.report.clients import MOST_LINES, ON_PAPER, SPARK, clients
from ciranda.report.html import Html
from tests.report.history import SHA, manifest, rows, run
from tests.report.test_page import words


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "en")


def told(values: dict[str, list[float]], metric: str = "accuracy", **more: Any) -> Html:
    """The section of a run in whose rounds the clients had these values; NaN: not asked."""
    history = []
    for at in range(max(map(len, values.values()))):
        own = {name: {metric: each[at]} for name, each in values.items() if at < len(each) and each[at] == each[at]}
        history.append({"event": "round", "round": at + 1, "metrics": {}, "clients": own, "accepted": [[name, SHA] for name in own]})
    section = clients(run(history, **{"manifest": {}, **more}))
    assert section is not None
    return section


def charts(text: str) -> dict[str, ET.Element]:
    """Title -> figure."""
    found = [ET.fromstring(svg) for svg in re.findall(r'<svg(?=[^>]*class="chart).*?</svg>', text, re.DOTALL)]
    return {str(svg[0].text): svg for svg in found}


def table(text: str) -> list[list[str]]:
    """The cells of the table of clients."""
    body = text[text.index('id="clients"') :]
    body = body[body.index("<tbody>") : body.index("</tbody>")]
    return [[re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)] for row in body.split("</tr>")[:-1]]


def test_nobody_told_anything() -> None:
    assert clients(run([{"event": "round", "round": 1, "metrics": {}, "clients": {}}])) is None


def test_the_latest_value_of_each_client_counts_and_the_round_that_it_is_of() -> None:
    nan = float("nan")
    shown = table(told({"a": [0.1, 0.9], "b": [0.5, nan], "c": [nan, 0.7]}))
    assert [row[:4] for row in shown] == [["b", "0.5000", "1", "1"], ["c", "0.7000", "2", "1"], ["a", "0.9000", "2", "2"]]


def test_the_worst_of_a_loss_is_the_largest() -> None:
    shown = table(told({"a": [0.1], "b": [5.0], "c": [1.0]}, "loss"))
    assert [row[0] for row in shown] == ["b", "c", "a"]


def test_a_tenth_of_the_clients_is_marked() -> None:
    text = told({str(n): [n / 40] for n in range(40)})
    assert text.count('<tr class="low') == 4
    assert re.findall(r'<tr class="low[^"]*"><td>(\d+)', text) == ["0", "1", "2", "3"]
    assert text.count('class="screen"') == 40 - ON_PAPER
    assert f"On paper: the first {ON_PAPER}." in words(text)


def test_examples_come_from_the_manifest_where_it_knows_the_client() -> None:
    shown = table(told({"0": [0.5], "1": [0.6], "x": [0.7]}, manifest=manifest(2)))
    assert [row[4] for row in shown] == ["10", "20", "–"]
    assert len(table(told({"0": [0.5], "1": [0.6]}))[0]) == 5


def test_few_clients_are_lines_and_many_a_picture() -> None:
    few = charts(told({str(n): [0.1, 0.2] for n in range(MOST_LINES)}))["All clients together"]
    many = charts(told({str(n): [0.1, 0.2] for n in range(MOST_LINES + 1)}))["All clients together"]
    assert len([node for node in few.iter("path") if "s8" in node.attrib.get("class", "")]) == MOST_LINES
    assert not list(few.iter("image"))
    assert len(list(many.iter("image"))) == 1
    assert {"median client", "worst 10 %"} <= {line[0] for line in json.loads(many.attrib["data-lines"])}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=80))
def test_a_histogram_counts_every_client(values: list[float]) -> None:
    svg = charts(told({str(n): [value] for n, value in enumerate(values)}))["How many clients have which accuracy"]
    _left, _top, _width, height, x0, x1, _y0, most = json.loads(svg.attrib["data-frame"])
    assert x0 <= min(values) + 1e-4
    assert max(values) <= x1 + 1e-4
    bars = [node.attrib["d"] for node in svg.iter("path") if "area" in node.attrib["class"]]
    tall = []
    for path in bars:
        heights = [float(y) for _x, y in re.findall(r"([-\d.]+) ([-\d.]+)", path)]
        tall.append((max(heights) - min(heights)) / height * most)
    assert sum(tall) == pytest.approx(len(values), rel=0.02, abs=0.2)


def test_marks_stand_at_the_mean_and_at_the_worst_tenth() -> None:
    svg = charts(told({str(n): [n / 20] for n in range(20)}))["How many clients have which accuracy"]
    left, _top, width, _height, x0, x1, *_rest = json.loads(svg.attrib["data-frame"])
    marks = [float(node.attrib["x1"]) for node in svg.iter("line") if node.attrib.get("class", "").startswith("line")]
    values = [x0 + (at - left) / width * (x1 - x0) for at in marks]
    assert values == pytest.approx([0.025, 0.475], abs=0.003)


def test_a_lorenz_curve_needs_values_that_are_not_negative() -> None:
    assert "Lorenz curve of the accuracy" in charts(told({"a": [0.5], "b": [0.7]}))
    text = told({"a": [-0.5], "b": [0.7]}, "r2")
    assert not any(title.startswith("Lorenz") for title in charts(text))
    assert "Gini coefficient –" in words(text)


def test_fairness_is_told_in_numbers() -> None:
    said = words(told({str(n): [n / 10] for n in range(11)}))
    for part in (
        "mean 0.5000",
        "least 0.0000",
        "greatest 1.0000",
        "median 0.5000",
        "10th percentile 0.1000",
        "mean of the worst 10 % 0.0000",
    ):
        assert part in said, part
    assert "clients with a value 11" in said


def test_sparks_share_one_scale_and_stay_in_their_box() -> None:
    text = told({"low": [0.0, 0.1, 0.0], "high": [1.0, 0.9, 1.0], "once": [0.5]})
    section = str(text)[text.index('id="clients"') :]
    assert section.count(f'class="spark" viewBox="0 0 {SPARK[0]} {SPARK[1]}"') == 3
    ends = {name: float(y) for name, y in re.findall(r'<tr[^>]*><td>(\w+)</td>.*?<circle cx="[\d.]+" cy="([\d.]+)"', section)}
    assert ends["high"] < ends["once"] < ends["low"]
    assert all(0 <= y <= SPARK[1] for y in ends.values())


def test_a_long_history_keeps_sparks_short() -> None:
    history = rows(300, 3, classes=0)
    section = clients(run(history, manifest={}))
    assert section is not None
    paths = re.findall(r'class="spark"[^>]*><path d="([^"]+)"', section)
    assert len(paths) == 3
    assert max(map(len, paths)) < 600
    assert np.isfinite([float(x) for path in paths for x in re.findall(r"[\d.]+", path)]).all()
