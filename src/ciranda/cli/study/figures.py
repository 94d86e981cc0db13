"""Curves of several ways of training, each the mean over its seeds with a band of one standard deviation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ciranda.cli.plots import BLUE, GREEN, GREY, ORANGE, RED, axis_name, end_labels, new_figure, rendered, styled, whole_rounds
from ciranda.cli.study.names import LOCAL, method_name
from ciranda.i18n import _
from ciranda.report.records import Records
from ciranda.store.files import make_folder, write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ciranda.cli.study.baseline import Baselines
    from ciranda.cli.study.compare import Comparison

COLOURS = (BLUE, RED, GREEN, ORANGE, "#CC79A7", "#56B4E9", "#000000", "#B5A400")
STROKES = ("-", "--", ":", "-.")
NAMED = 10  # more lines than this are told apart by a legend, not at their ends
_GIGA = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """A labelled curve with the deviation above and below it; `level`: one value that holds all along."""

    label: str
    x: Floats
    mean: Floats
    std: Floats
    level: bool = False


def curves(comparison: Comparison, by: str) -> Figure:
    """The metric over "rounds", "seconds" or "bytes"."""
    metric = (comparison.group, comparison.metric)
    series = [Series(line.label, *_mean([(run.records, run.records.axis(by)) for run in line.runs], *metric)) for line in comparison.lines]
    scale, unit = _unit(max((each.x[-1] for each in series if len(each.x)), default=1.0)) if by == "bytes" else (1.0, "")
    names = {"rounds": _("round"), "seconds": _("seconds in rounds"), "bytes": _("payload up and down ({unit})", unit=unit)}
    series = [replace(each, x=each.x / scale) for each in series]
    counts = sorted({len(line.runs) for line in comparison.lines})
    return _drawn(series, comparison.metric, names[by], counts, whole=by == "rounds", target=comparison.target)


def baselines(found: Baselines) -> Figure:
    """The metric over the passes through the data: federated and centralised as curves, the clients alone as a level."""
    metric = (found.group, found.metric)
    series = []
    for name, runs in found.runs.items():
        step = found.passes / int(runs[0].settings["rounds.num-rounds"])
        series.append(Series(method_name(name), *_mean([(run.records, run.records.axis("rounds") * step) for run in runs], *metric)))
    alone = np.array(found.methods[-1].values)
    end = max((each.x[-1] for each in series if len(each.x)), default=1.0)
    std = alone.std(ddof=1) if len(alone) > 1 else 0.0
    series.append(Series(method_name(LOCAL), np.array([0.0, end]), np.full(2, alone.mean()), np.full(2, std), level=True))
    return _drawn(series, found.metric, _("passes over the data"), [len(found.seeds)], whole=found.passes > 4)


def _drawn(series: Sequence[Series], metric: str, x_name: str, seeds: Sequence[int], *, whole: bool, target: float | None = None) -> Figure:
    with styled():
        drawn = new_figure(7.6, 4.4)
        axis = drawn.subplots()
        shown = [each for each in series if len(each.x)]
        for place, each in enumerate(shown):
            colour, stroke = _look(place)
            if each.std.any():
                axis.fill_between(each.x, each.mean - each.std, each.mean + each.std, color=colour, alpha=0.15, linewidth=0)
            marker = "o" if len(each.x) < 2 else ""
            axis.plot(each.x, each.mean, "--" if each.level else stroke, color=colour, label=each.label, marker=marker, markersize=4)
        _dress(axis, metric, x_name, seeds, whole=whole, target=target)
        together = len({round(float(each.x[-1]), 6) for each in shown}) == 1  # curves that end apart have no common end to be named at
        if together and len(shown) <= NAMED and max(len(each.label) for each in shown) <= 36:
            end_labels(axis, [(float(each.mean[-1]), each.label, _look(place)[0]) for place, each in enumerate(shown)])
        else:
            axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
        return drawn


def _look(place: int) -> tuple[str, str]:
    return COLOURS[place % len(COLOURS)], STROKES[place // len(COLOURS) % len(STROKES)]


def save(drawn: Figure, folder: Path, stem: str) -> list[Path]:
    """Write the figure as PNG and SVG; returns the files."""
    make_folder(folder)
    files = [folder / f"{stem}.{suffix}" for suffix in ("png", "svg")]
    for file in files:
        write_whole(file, [rendered(drawn, file.suffix[1:])])
    return files


def _mean(runs: Sequence[tuple[Records, Floats]], group: str, metric: str) -> tuple[Floats, Floats, Floats]:
    """(place on the axis, mean, deviation) of the rounds that all runs, each with its rows' places on the axis, have measured."""
    found = [(records.curve(group, metric), along) for records, along in runs]
    common = sorted(set.intersection(*(set(curve.rounds.tolist()) for curve, _along in found)))
    at = [np.searchsorted(curve.rounds, common) for curve, _along in found]
    y = np.array([curve.values[places] for (curve, _along), places in zip(found, at, strict=True)])
    x = np.array([along[curve.at[places]] for (curve, along), places in zip(found, at, strict=True)])
    return x.mean(axis=0), y.mean(axis=0), y.std(axis=0, ddof=1) if len(y) > 1 else np.zeros(len(common))


def _dress(axis: Axes, metric: str, x_name: str, seeds: Sequence[int], *, whole: bool, target: float | None) -> None:
    axis.set_xlabel(x_name)
    axis.set_ylabel(axis_name(metric))
    if whole:
        whole_rounds(axis)
    if target is not None:
        axis.axhline(target, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    axis.margins(y=0.08)
    if seeds[-1] > 1:
        counts = "-".join(str(count) for count in dict.fromkeys((seeds[0], seeds[-1])))
        text = _("mean over {seeds} seeds; the band is one standard deviation", seeds=counts)
        axis.set_title(text, fontsize=9, fontweight="normal", color="#555555", pad=10)


def _unit(most: float) -> tuple[float, str]:
    return next((scale, unit) for scale, unit in _GIGA if most >= scale or scale == 1.0)
