"""A run's figures, drawn from metrics.jsonl: the global model, the loss, all clients together, and each client by itself."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ciranda.cli.find import find_run
from ciranda.cli.folder import RunFolder
from ciranda.core.errors import DataError, MissingExtra
from ciranda.core.texts import Text
from ciranda.i18n import _, marks, told
from ciranda.report.records import Curve, Records, read
from ciranda.report.scale import spaced

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart by colour-blind readers, and in grey.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#767676"
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#999999",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
    "figure.dpi": 110,
    "savefig.dpi": 160,
    "svg.hashsalt": "ciranda",
    "svg.fonttype": "none",
}
AXES: Mapping[str, Text] = {
    "accuracy": Text("accuracy (share of examples)"),
    "loss": Text("loss (mean per example)"),
    "train-loss": Text("training loss (mean per example)"),
    "r2": Text("R² (1 is perfect)"),
    "rmse": Text("RMSE (in the target's unit)"),
}
PANELS = 20
COLUMNS = 5
MOST_PAGES = 10


class Drawing:
    """A matplotlib `figure` that a notebook shows whatever backend is chosen."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure

    def _repr_png_(self) -> bytes:
        png = io.BytesIO()
        self.figure.savefig(png, format="png")
        return png.getvalue()


def plot(name: str | None, out: Path | None = None) -> list[Path]:
    """Draw every figure of a run as PNG and SVG; returns the files.

    Raises:
        Missing: no such run. DataError: no round is recorded yet. MissingExtra: matplotlib is not installed.
    """
    folder = RunFolder.existing(find_run(name))
    records = read(folder.each_row())
    if not len(records.rounds):
        raise DataError("{path} has no finished round to draw.", hint="Go on with it: ciranda resume {path}", path=folder.path)
    target = out if out is not None else folder.path / "plots"
    target.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for stem, drawn in figures(records):
        for suffix in ("png", "svg"):
            file = target / f"{stem}.{suffix}"
            folder.write(file, rendered(drawn, suffix))
            files.append(file)
    return files


def figures(records: Records) -> Iterator[tuple[str, Figure]]:
    """(file stem, figure) of every figure that the records have something for."""
    metric = records.headline()
    yield "global", _single(records, metric, _("Global model"))
    if metric != "loss":
        yield "loss", _single(records, "loss", _("Loss"))
    own = records.client_headline()
    curves = records.client_curves(own)
    if curves:
        yield "clients-together", _together(records, own, curves)
        names = list(curves)
        pages = range(0, min(len(names), PANELS * MOST_PAGES), PANELS)
        for page, start in enumerate(pages, start=1):
            yield (
                f"clients-{page}" if len(pages) > 1 else "clients",
                _panels(records, own, {n: curves[n] for n in names[start : start + PANELS]}),
            )


def figure(records: Records) -> Figure:
    """The run at a glance: the headline metric and the loss, side by side."""
    with styled():
        drawn = new_figure(10, 4)
        metric = records.headline()
        axes = drawn.subplots(1, 1 if metric == "loss" else 2, squeeze=False)[0]
        for axis, name in zip(axes, [metric, "loss"], strict=False):
            _group_lines(axis, records, name)
        return drawn


def own_name(records: Records, metric: str) -> str:
    """What the clients' own values are called: they are of training while the clients evaluate nothing."""
    return metric if "clients" in records.groups or metric != "loss" else "train-loss"


def _single(records: Records, metric: str, title: str) -> Figure:
    with styled():
        drawn = new_figure(7, 4.2)
        axis = drawn.subplots()
        _group_lines(axis, records, metric)
        axis.set_title(title, pad=12)
        return drawn


def _group_lines(axis: Axes, records: Records, metric: str) -> None:
    """Every group's curve of a metric, and the spread over the clients behind it."""
    evaluated = records.curve("clients", metric)
    band = records.band(metric) if evaluated or metric != "loss" else None
    if band:
        axis.fill_between(band.rounds, band.low, band.high, color=ORANGE, alpha=0.22, linewidth=0)
    lines: list[tuple[Curve, str, str]] = [
        (records.curve("server", metric), BLUE, _("server")),
        (evaluated, ORANGE, _("clients, weighted")),
        (records.curve("train", metric), GREEN, _("training")),
    ]
    for curve, colour, _text in lines:
        if curve:
            axis.plot(curve.rounds, curve.values, color=colour, marker="o" if len(curve.rounds) < 25 else "", markersize=4)
    _label(axis, metric, records)
    labels = [(curve.values[-1], text, colour) for curve, colour, text in lines if curve]
    if band:
        axis.plot([], [], color=ORANGE, alpha=0.3, linewidth=8, label=_("clients, 10th to 90th percentile"))
        axis.legend(loc="best", frameon=False, fontsize=9)
    end_labels(axis, labels)


def _together(records: Records, metric: str, curves: dict[str, Curve]) -> Figure:
    with styled():
        drawn = new_figure(7, 4.2)
        axis = drawn.subplots()
        faint = max(0.12, min(0.6, 12 / len(curves)))
        for curve in curves.values():
            axis.plot(curve.rounds, curve.values, color=GREY, linewidth=1, alpha=faint, marker=".", markersize=3)
        band = records.band(metric)
        if band:
            axis.fill_between(
                band.rounds, band.low, band.high, color=ORANGE, alpha=0.25, linewidth=0, label=_("clients, 10th to 90th percentile")
            )
            axis.plot(band.rounds, band.median, color=RED)
            axis.legend(loc="best", frameon=False, fontsize=9)
        _label(axis, metric, records, own_name(records, metric))
        if band:
            end_labels(axis, [(band.median[-1], _("median client"), RED)])
        axis.set_title(_("All clients together"), pad=12)
        return drawn


def _panels(records: Records, metric: str, curves: dict[str, Curve]) -> Figure:
    with styled():
        columns = min(COLUMNS, len(curves))
        lines = -(-len(curves) // columns)
        drawn = new_figure(max(4.5, 2.2 * columns), 1.75 * lines + 0.9)
        grid = drawn.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        band = records.band(metric)
        for axis, (name, curve) in zip(grid.flat, curves.items(), strict=False):
            if band:
                axis.plot(band.rounds, band.median, color="#BBBBBB", linewidth=1.2)
            axis.plot(curve.rounds, curve.values, color=BLUE, linewidth=1.6, marker="o", markersize=3)
            axis.set_title(name, fontsize=10, pad=3)
            whole_rounds(axis)
        for axis in grid.flat[len(curves) :]:
            axis.set_axis_off()
        for column in range(columns):
            # Below the last panel of each column, also where the last line is not full.
            last = max(line for line in range(lines) if line * columns + column < len(curves))
            grid[last, column].tick_params(labelbottom=True)
        drawn.supxlabel(_("round"), fontsize=10)
        drawn.supylabel(axis_name(own_name(records, metric)), fontsize=10)
        drawn.suptitle(f"{_('Each client')}  ({_('grey: the median client')})", x=0.01, ha="left", fontsize=12, fontweight="bold")
        return drawn


def _label(axis: Axes, metric: str, records: Records, name: str = "") -> None:
    axis.set_xlabel(_("round"))
    axis.set_ylabel(axis_name(name or metric))
    whole_rounds(axis)
    if len(records.rounds) == 1:
        axis.set_xlim(records.rounds[0] - 0.5, records.rounds[0] + 0.5)
    axis.margins(y=0.08)


def whole_rounds(axis: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))


def end_labels(axis: Axes, labels: Sequence[tuple[float, str, str]]) -> None:
    """Name each line at its right end, moved apart vertically where two would touch."""
    low, high = axis.get_ylim()
    ordered = sorted(labels)
    for (_value, text, colour), height in zip(ordered, spaced([each[0] for each in ordered], 0.06 * (high - low)), strict=True):
        axis.annotate(
            text,
            (1.0, height),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            fontsize=9,
            annotation_clip=False,
        )


def axis_name(metric: str) -> str:
    return told(AXES[metric]) if metric in AXES else metric


def new_figure(width: float, height: float) -> Figure:
    # Not through pyplot: no global state, no window, nothing to close.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawn)
    return drawn


def styled() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtra("matplotlib", "plots", "Drawing plots") from error
    return matplotlib.rc_context(STYLE)


def rendered(drawn: Figure, suffix: str) -> bytes:
    """The file's bytes; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with styled():
        _localised(drawn)
        drawn.savefig(buffer, format=suffix, metadata={"Date": None} if suffix == "svg" else {"Software": "ciranda"})
    return buffer.getvalue()


def _localised(drawn: Figure) -> None:
    """Ticks with the language's decimal mark."""
    from matplotlib.ticker import ScalarFormatter

    class Marked(ScalarFormatter):
        def format_ticks(self, values: Any) -> list[str]:
            return [marks(text) for text in super().format_ticks(values)]

    for axes in drawn.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if type(axis.get_major_formatter()) is ScalarFormatter:
                axis.set_major_formatter(Marked())
