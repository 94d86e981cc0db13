"""Line charts: what stands where."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from ciranda.report.charts import HEIGHT, LEFT, TOP, WIDTH, Area, Axis, Backdrop, Line, Mark, chart
from ciranda.report.raster import data_uri, shades

X = np.array([1.0, 2.0, 3.0])


def drawn(lines: list[Line], areas: list[Area] | None = None, **more: object) -> ET.Element:
    text = chart("A & B", "words", Axis("round", whole=True), Axis("accuracy"), lines, areas or [], **more)  # type: ignore[arg-type]
    return ET.fromstring(text)


def texts(svg: ET.Element) -> list[str]:
    return ["".join(node.itertext()) for node in svg.iter("text")]


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", path)]


def test_a_chart_is_told_as_well_as_shown() -> None:
    svg = drawn([Line("server", 1, X, X / 10)])
    labels = svg.attrib["aria-labelledby"].split()
    assert svg.attrib["role"] == "img"
    assert [node.text for node in svg if node.attrib.get("id") in labels] == ["A & B", "words"]
    assert {"server", "round", "accuracy", "1", "2", "3", "0.2"} <= set(texts(svg))


def test_points_stand_where_the_axes_say() -> None:
    svg = drawn([Line("server", 1, X, np.array([0.0, 0.5, 1.0]))])
    path = next(node for node in svg.iter("path") if "line" in node.attrib["class"])
    (x0, y0), (x1, y1), (x2, y2) = points(path.attrib["d"])
    assert x0 == LEFT
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert TOP < y2 < y0 < HEIGHT
    ticks = {node.text: float(node.attrib["y"]) for node in svg.iter("text") if node.attrib.get("class") == "n"}
    assert ticks["0"] - 4 == pytest.approx(y0, abs=0.1)
    assert ticks["1"] - 4 == pytest.approx(y2, abs=0.1)


def test_names_at_the_ends_do_not_touch() -> None:
    lines = [Line(f"line {n}", n + 1, X, np.full(3, 0.5 + n / 1e4)) for n in range(4)]
    heights = sorted(float(node.attrib["y"]) for node in drawn(lines).iter("text") if "end" in node.attrib.get("class", ""))
    assert len(heights) == 4
    assert min(np.diff(heights)) >= 14.9


def test_a_pointer_finds_what_is_drawn() -> None:
    svg = drawn([Line("server", 1, X, np.array([0.1, 0.123456789, 0.3])), Line("empty", 2, X[:0], X[:0])])
    assert json.loads(svg.attrib["data-lines"]) == [["server", 1, [1, 2, 3], [0.1, 0.12346, 0.3]]]
    left, top, width, height, x0, x1, y0, y1 = json.loads(svg.attrib["data-frame"])
    assert (left, top, x0, x1) == (LEFT, TOP, 1, 3)
    assert left + width < WIDTH
    assert top + height < HEIGHT
    assert y0 < 0.1 < 0.3 < y1


def test_a_long_curve_is_thinned_and_keeps_its_peak() -> None:
    y = np.zeros(50_000)
    y[31_234] = 1.0
    text = chart("t", "d", Axis("round"), Axis("loss"), [Line("server", 1, np.arange(50_000.0), y)])
    assert len(text) < 30_000
    assert 1 in json.loads(ET.fromstring(text).attrib["data-lines"])[0][3]


def test_few_points_are_dots_as_well() -> None:
    assert len(list(drawn([Line("a", 1, X, X)]).iter("circle"))) == 3
    assert not list(drawn([Line("a", 1, np.arange(30.0), np.arange(30.0))]).iter("circle"))


def test_bands_marks_and_pictures_have_their_words() -> None:
    picture = Backdrop(data_uri(np.eye(2, dtype=np.uint8), shades((0, 0, 0), 2)), "how many", (1.0, 3.0), (0.0, 1.0))
    svg = drawn(
        [Line("a", 1, X, X / 3)], [Area("a band", 2, X, X / 9, X / 2)], backdrop=picture, marks=[Mark("m", 4, 1.5), Mark("n", 1, 2.0)]
    )
    assert {"a band", "how many", "m", "n"} <= set(texts(svg))
    image = next(svg.iter("image"))
    assert image.attrib["href"].startswith("data:image/png")
    assert float(image.attrib["width"]) > 0
    assert float(image.attrib["height"]) > 0
    marks = [float(node.attrib["x1"]) for node in svg.iter("line") if node.attrib.get("class", "").startswith("line")]
    assert marks == sorted(marks)


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [0.0, 0.0], [-3.0, 2.0], [1e-12, 2e-12], [1e9, 2e9]])
def test_odd_values_draw(values: list[float]) -> None:
    y = np.array(values)
    svg = drawn([Line("a", 1, np.arange(1.0, len(y) + 1), y)])
    assert "nan" not in ET.tostring(svg, encoding="unicode")
    assert not drawn([]).findall("path")


def test_the_same_chart_has_the_same_bytes() -> None:
    line = [Line("a", 1, X, X)]
    assert chart("t", "d", Axis("x"), Axis("y"), line) == chart("t", "d", Axis("x"), Axis("y"), line)
