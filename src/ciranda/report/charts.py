"""Line charts as SVG: curves, bands and a picture behind them, with labels at the lines' ends. Colours come from the page's style."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from ciranda.report.html import Html, tag
from ciranda.report.records import Floats
from ciranda.report.scale import padded, spaced, thin, ticks
from ciranda.report.text import short

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 138, 12, 42
LINE = 15  # least distance of two labels


@dataclass(frozen=True)
class Line:
    """A curve: `x` ascending, of the length of `y`; `colour` is the number of a colour of the page's palette."""

    name: str
    colour: int
    x: Floats
    y: Floats
    dashed: bool = False


@dataclass(frozen=True)
class Area:
    """A band between two curves."""

    name: str
    colour: int
    x: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Mark:
    """A value on the horizontal axis, with its name above."""

    name: str
    colour: int
    x: float


@dataclass(frozen=True)
class Backdrop:
    """A picture that fills the rectangle between two corners of the chart, and what its legend says."""

    uri: str
    name: str
    x: tuple[float, float]
    y: tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """What an axis says; `whole` for counts, `limits` where the data does not give them."""

    label: str
    whole: bool = False
    limits: tuple[float, float] | None = None
    text: Callable[[float], str] = short


def chart(
    title: str,
    description: str,
    x: Axis,
    y: Axis,
    lines: Sequence[Line],
    areas: Sequence[Area] = (),
    backdrop: Backdrop | None = None,
    *,
    marks: Sequence[Mark] = (),
    height: int = HEIGHT,
) -> Html:
    """The chart, read aloud as its title and description."""
    frame = _Frame.of(x, y, lines, areas, backdrop, height)
    points = json.dumps([[line.name, line.colour, *_hover(line)] for line in lines if len(line.x)], ensure_ascii=False)
    # The same figure has the same id in every report of the same run.
    number = crc32(f"{title}\n{description}\n{points}".encode())
    return tag(
        "svg",
        tag("title", title, id=f"t{number}"),
        tag("desc", description, id=f"d{number}"),
        frame.grid(x, y),
        _picture(frame, backdrop),
        [_area(frame, area) for area in areas if len(area.x)],
        [_line(frame, line) for line in lines if len(line.x)],
        _marks(frame, marks),
        _names(frame, lines),
        _legend(frame, areas, backdrop),
        tag("g", class_="hover"),
        class_="chart",
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        aria_labelledby=f"t{number} d{number}",
        data_frame=json.dumps([LEFT, TOP, frame.width, frame.height, *map(_rounded, (*frame.x, *frame.y))]),
        data_lines=points,
        data_x=x.label,
    )


@dataclass(frozen=True)
class _Frame:
    x: tuple[float, float]
    y: tuple[float, float]
    width: float
    height: float

    @classmethod
    def of(cls, x: Axis, y: Axis, lines: Sequence[Line], areas: Sequence[Area], back: Backdrop | None, height: int) -> _Frame:
        xs = [line.x for line in lines if len(line.x)] + [area.x for area in areas if len(area.x)]
        ys = [line.y for line in lines if len(line.y)] + [values for area in areas for values in (area.low, area.high) if len(values)]
        if back is not None:
            xs, ys = [*xs, np.array(back.x)], [*ys, np.array(back.y)]
        across = x.limits or _span(xs)
        if across[0] == across[1]:
            across = (across[0] - 0.5, across[1] + 0.5)
        return cls(across, y.limits or padded(*_span(ys)), WIDTH - LEFT - RIGHT, height - TOP - BOTTOM)

    def px(self, values: Floats) -> Floats:
        return LEFT + (values - self.x[0]) / (self.x[1] - self.x[0]) * self.width

    def py(self, values: Floats) -> Floats:
        return TOP + (self.y[1] - values) / (self.y[1] - self.y[0]) * self.height

    def path(self, x: Floats, y: Floats) -> str:
        """`M..L..` through the points."""
        pairs = zip(self.px(x).tolist(), self.py(y).tolist(), strict=True)
        return "M" + "L".join(f"{across:.1f} {down:.1f}" for across, down in pairs)

    def grid(self, x: Axis, y: Axis) -> Html:
        """Ticks, lines and the names of the axes."""
        bottom, right = TOP + self.height, LEFT + self.width
        rows, columns = ticks(*self.y, 6, whole=y.whole), ticks(*self.x, 6, whole=x.whole)
        across, down = self.px(np.array(columns, np.float64)).tolist(), self.py(np.array(rows, np.float64)).tolist()
        return tag(
            "g",
            [tag("line", x1=LEFT, x2=right, y1=f"{at:.1f}", y2=f"{at:.1f}") for at in down],
            tag("line", class_="base", x1=LEFT, x2=right, y1=bottom, y2=bottom),
            [tag("text", y.text(value), x=LEFT - 8, y=f"{at + 4:.1f}", class_="n") for value, at in zip(rows, down, strict=True)],
            [tag("text", x.text(value), x=f"{at:.1f}", y=bottom + 17, class_="m") for value, at in zip(columns, across, strict=True)],
            tag("text", x.label, x=LEFT + self.width / 2, y=bottom + 36, class_="m name"),
            tag("text", y.label, class_="m name", transform=f"translate(13 {TOP + self.height / 2}) rotate(-90)"),
            class_="grid",
        )


def _area(frame: _Frame, area: Area) -> Html:
    kept = thin(area.high - area.low)
    x = area.x[kept]
    upper, lower = frame.path(x, area.high[kept]), frame.path(x[::-1], area.low[kept][::-1])
    return tag("path", d=f"{upper}L{lower[1:]}Z", class_=f"area f{area.colour}")


def _line(frame: _Frame, line: Line) -> Html:
    kept = thin(line.y)
    x, y = line.x[kept], line.y[kept]
    dots = None
    if len(x) < 25:
        dots = [
            tag("circle", cx=f"{a:.1f}", cy=f"{b:.1f}", r=2.6, class_=f"f{line.colour}")
            for a, b in zip(frame.px(x).tolist(), frame.py(y).tolist(), strict=True)
        ]
    style = f"line s{line.colour}{' dashed' if line.dashed else ''}"
    return tag("g", tag("path", d=frame.path(x, y), class_=style), dots)


def _marks(frame: _Frame, marks: Sequence[Mark]) -> list[Html]:
    """Lines from top to bottom; the name of the left one stands at its left."""
    drawn = []
    for place, mark in enumerate(sorted(marks, key=lambda mark: mark.x)):
        across = float(frame.px(np.array(mark.x)))
        left = place == 0 and len(marks) > 1
        at = f"{across:.1f}"
        drawn.append(tag("line", x1=at, x2=at, y1=TOP, y2=TOP + frame.height, class_=f"line s{mark.colour}"))
        drawn.append(
            tag("text", mark.name, x=f"{across + (-6 if left else 6):.1f}", y=TOP + 10, class_=f"end f{mark.colour}{' n' if left else ''}")
        )
    return drawn


def _names(frame: _Frame, lines: Sequence[Line]) -> list[Html]:
    """Each line's name at its end, moved apart where two would touch."""
    shown = sorted(((float(frame.py(line.y[-1:])[0]), line) for line in lines if len(line.x) and line.name), key=lambda item: item[0])
    heights = spaced([height for height, _ in shown], LINE)
    over = max(0.0, heights[-1] - (TOP + frame.height + 4)) if heights else 0.0
    return [
        tag("text", line.name, x=LEFT + frame.width + 8, y=f"{height - over + 4:.1f}", class_=f"end f{line.colour}")
        for (_, line), height in zip(shown, heights, strict=True)
    ]


def _picture(frame: _Frame, back: Backdrop | None) -> Html | None:
    if back is None:
        return None
    left, right = frame.px(np.array(back.x)).tolist()
    bottom, top = frame.py(np.array(back.y)).tolist()
    box = {"x": f"{left:.1f}", "y": f"{top:.1f}", "width": f"{right - left:.1f}", "height": f"{bottom - top:.1f}"}
    return tag("image", href=back.uri, preserveAspectRatio="none", class_="cells", **box)


def _legend(frame: _Frame, areas: Sequence[Area], back: Backdrop | None) -> list[Html]:
    """What bands and the picture are, above the plot at the left."""
    entries = [(area.name, f"area f{area.colour}") for area in areas if area.name and len(area.x)]
    entries += [(back.name, "back")] if back is not None else []
    shown = []
    at = LEFT + 4.0
    for name, style in entries:
        shown.append(tag("rect", x=f"{at:.0f}", y=TOP - 9, width=14, height=9, rx=2, class_=style))
        shown.append(tag("text", name, x=f"{at + 19:.0f}", y=TOP, class_="key"))
        at += 36 + 6.2 * len(name)
    return shown


def _hover(line: Line) -> tuple[list[float], list[float]]:
    kept = thin(line.y)
    return [_rounded(value) for value in line.x[kept].tolist()], [_rounded(value) for value in line.y[kept].tolist()]


def _rounded(value: float) -> float:
    """Five significant digits."""
    rounded = float(f"{value:.5g}")
    return int(rounded) if rounded.is_integer() else rounded


def _span(columns: Sequence[Floats]) -> tuple[float, float]:
    if not columns:
        return 0.0, 1.0
    return float(min(values.min() for values in columns)), float(max(values.max() for values in columns))
