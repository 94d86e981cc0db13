"""The curves of a run: the headline metric and the loss, by round, by seconds and by bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ciranda.i18n import _
from ciranda.report.charts import Area, Axis, Line, chart
from ciranda.report.html import Html, table, tag
from ciranda.report.records import Floats, Records
from ciranda.report.run import Run
from ciranda.report.text import capital, group_name, measure, metric_name, seconds, size

KINDS = ("round", "seconds", "bytes")
COLOURS = {"server": 1, "clients": 2, "train": 3}
WORST_COLOUR = 4


def curves(run: Run) -> Html:
    """The section: the figures of all three axes, one shown at a time on a screen, all of them on paper."""
    metrics = shown_metrics(run)
    return tag(
        "section",
        tag("h2", _("Learning curves")),
        switched(lambda kind: [_figure(run, metric, kind) for metric in metrics]),
        _values(run),
    )


def shown_metrics(run: Run) -> list[str]:
    """The metrics that have a figure: the headline, the error in the target's unit, the loss."""
    measured = {metric for metrics in run.records.groups.values() for metric in metrics}
    return [metric for metric in dict.fromkeys((run.metric, "rmse", "loss")) if metric in measured or metric == run.metric]


def switched(figures: Callable[[str], Sequence[Html]]) -> Html:
    """The figures of each kind of axis behind three buttons that work without a script."""
    names = {"round": _("by round"), "seconds": _("by time"), "bytes": _("by bytes")}
    return tag(
        "div",
        [tag("input", class_="switch", type="radio", name="axis", id=f"by-{kind}", checked=kind == "round") for kind in KINDS],
        tag("div", [tag("label", names[kind], for_=f"by-{kind}") for kind in KINDS], class_="tabs"),
        [tag("div", figures(kind), class_=f"panel pair {kind}") for kind in KINDS],
    )


def scaled(kind: str, most: float) -> tuple[Axis, float]:
    """The axis of a kind for values up to `most`, and what values are divided by."""
    if kind == "round":
        return Axis(_("round"), whole=True), 1.0
    if kind == "seconds":
        steps = ((7200, 3600.0, _("hours in rounds")), (180, 60.0, _("minutes in rounds")), (0, 1.0, _("seconds in rounds")))
        unit, label = next((unit, label) for least, unit, label in steps if most >= least)
        return Axis(label), unit
    units = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (0, "B"))
    scale, name = next((scale or 1.0, name) for scale, name in units if most >= scale)
    return Axis(_("{unit} sent, up and down", unit=name)), scale


def along(records: Records, kind: str) -> tuple[Axis, Floats]:
    """The axis and where each row stands on it."""
    places = records.axis(kind)
    axis, unit = scaled(kind, float(places[-1]) if len(places) else 0.0)
    return axis, places / unit


def group_lines(run: Run, metric: str, places: Floats) -> list[Line]:
    """A curve for every group that has the metric."""
    lines = []
    for group, colour in COLOURS.items():
        curve = run.records.curve(group, metric)
        if curve:
            lines.append(Line(group_name(group), colour, places[curve.at], curve.values))
    return lines


def _figure(run: Run, metric: str, kind: str) -> Html:
    axis, places = along(run.records, kind)
    lines, areas = group_lines(run, metric, places), []
    if run.records.groups.get("clients", {}).get(metric) is not None:
        band = run.records.band(metric)
        areas = [Area(_("clients, percentiles 10 to 90"), COLOURS["clients"], places[band.at], band.low, band.high)] if band else []
        worst = run.records.worst(metric)
        if worst:
            lines.append(Line(_("worst 10 %"), WORST_COLOUR, places[worst.at], worst.values, dashed=True))
    name = metric_name(metric)
    title = _("{metric} against {axis}", metric=name, axis=axis.label)
    return tag("figure", tag("h3", capital(name)), chart(title, _told(run, metric), axis, Axis(name), lines, areas))


def _told(run: Run, metric: str) -> str:
    """The figure in words: where each curve begins and ends."""
    said = []
    for group in COLOURS:
        curve = run.records.curve(group, metric)
        if curve:
            said.append(
                _(
                    "{group}: {first} in round {begin}, {last} in round {end}.",
                    group=group_name(group),
                    first=measure(metric, float(curve.values[0])),
                    begin=int(curve.rounds[0]),
                    last=measure(metric, float(curve.values[-1])),
                    end=int(curve.rounds[-1]),
                )
            )
    return " ".join(said) or _("No value was measured.")


def _values(run: Run) -> Html | None:
    """The curves as a table, thinned to some rounds."""
    records = run.records
    columns = [(group, metric) for group in COLOURS for metric in records.groups.get(group, {})]
    if not columns or not len(records.rounds):
        return None
    places = np.unique(np.linspace(0, len(records.rounds) - 1, min(len(records.rounds), 40)).round().astype(int))
    time, sent = records.axis("seconds"), records.axis("bytes")
    head = [_("round"), *(f"{group_name(group)}: {metric_name(metric)}" for group, metric in columns), _("time"), _("bytes")]
    rows = [
        [
            str(records.rounds[at]),
            *(measure(metric, float(records.groups[group][metric][at])) for group, metric in columns),
            seconds(float(time[at])),
            size(float(sent[at])),
        ]
        for at in places.tolist()
    ]
    shown = table(
        head, rows, caption=_("Values of {count} of {rounds} rounds", count=len(rows), rounds=len(records.rounds)), numeric=range(len(head))
    )
    return tag("details", tag("summary", _("The values as a table")), tag("div", shown, class_="scroll"))
