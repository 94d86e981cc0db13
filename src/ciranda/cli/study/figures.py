"""Curves of several ways of training, each the mean over its seeds with a band of one standard deviation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ciranda.cli.plots import BLUE, GREEN, ORANGE, RED, axis_name, end_labels, new_figure, rendered, styled, whole_rounds
from ciranda.i18n import _
from ciranda.store.files import make_folder, write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ciranda.cli.study.compare import Comparison, Line

COLOURS = (BLUE, RED, GREEN, ORANGE, "#CC79A7", "#56B4E9", "#000000", "#B5A400")
STROKES = ("-", "--", ":", "-.")
NAMED = 10  # more lines than this are told apart by a legend, not at their ends
_GIGA = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))

Floats = NDArray[np.float64]


def curves(comparison: Comparison, by: str) -> Figure:
    """The metric over "rounds", "seconds" or "bytes"."""
    with styled():
        drawn = new_figure(7.6, 4.4)
        axis = drawn.subplots()
        ends: list[tuple[float, str, str]] = []
        drawn_lines = [(line, *_mean(line, comparison, by)) for line in comparison.lines]
        scale, unit = _unit(max((x[-1] for _line, x, _y, _std in drawn_lines if len(x)), default=1.0)) if by == "bytes" else (1.0, "s")
        for place, (line, x, mean, std) in enumerate(drawn_lines):
            if not len(x):
                continue
            colour, stroke = COLOURS[place % len(COLOURS)], STROKES[place // len(COLOURS) % len(STROKES)]
            if len(line.runs) > 1:
                axis.fill_between(x / scale, mean - std, mean + std, color=colour, alpha=0.15, linewidth=0)
            axis.plot(x / scale, mean, stroke, color=colour, label=line.label, marker="o" if len(x) < 2 else "", markersize=4)
            ends.append((float(mean[-1]), line.label, colour))
        _dress(axis, comparison, by, unit)
        if by == "rounds" and len(ends) <= NAMED and max(len(text) for _value, text, _colour in ends) <= 36:
            end_labels(axis, ends)
        else:  # curves that end at different places have no common end to be named at
            axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
        return drawn


def save(drawn: Figure, folder: Path, stem: str) -> list[Path]:
    """Write the figure as PNG and SVG; returns the files."""
    make_folder(folder)
    files = [folder / f"{stem}.{suffix}" for suffix in ("png", "svg")]
    for file in files:
        write_whole(file, [rendered(drawn, file.suffix[1:])])
    return files


def _mean(line: Line, comparison: Comparison, by: str) -> tuple[Floats, Floats, Floats]:
    """(place on the axis, mean, deviation) of the rounds that every run of the line has measured."""
    found = [(run.records.curve(comparison.group, comparison.metric), run.records.axis(by)) for run in line.runs]
    common = sorted(set.intersection(*(set(curve.rounds.tolist()) for curve, _along in found)))
    at = [np.searchsorted(curve.rounds, common) for curve, _along in found]
    y = np.array([curve.values[places] for (curve, _along), places in zip(found, at, strict=True)])
    x = np.array([along[curve.at[places]] for (curve, along), places in zip(found, at, strict=True)])
    return x.mean(axis=0), y.mean(axis=0), y.std(axis=0, ddof=1) if len(y) > 1 else np.zeros(len(common))


def _dress(axis: Axes, comparison: Comparison, by: str, unit: str) -> None:
    names = {"rounds": _("round"), "seconds": _("seconds in rounds"), "bytes": _("payload up and down ({unit})", unit=unit)}
    axis.set_xlabel(names[by])
    axis.set_ylabel(axis_name(comparison.metric))
    if by == "rounds":
        whole_rounds(axis)
    if comparison.target is not None:
        axis.axhline(comparison.target, color="#767676", linewidth=1, linestyle=(0, (4, 3)))
    axis.margins(y=0.08)
    seeds = {len(line.runs) for line in comparison.lines}
    if max(seeds) > 1:
        text = _(
            "mean over {seeds} seeds; the band is one standard deviation",
            seeds="-".join(str(count) for count in sorted({min(seeds), max(seeds)})),
        )
        axis.set_title(text, fontsize=9, fontweight="normal", color="#555555", pad=10)


def _unit(most: float) -> tuple[float, str]:
    return next((scale, unit) for scale, unit in _GIGA if most >= scale or scale == 1.0)
