"""The report of several runs beside each other: those that differ in the seed only are one line, with a band over the seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ciranda.i18n import _, plural
from ciranda.report.charts import WIDTH, Area, Axis, Line, chart
from ciranda.report.curves import scaled, switched
from ciranda.report.fairness import fairness
from ciranda.report.html import Child, Html, document, table, tag
from ciranda.report.page import footer, keys
from ciranda.report.records import Curve, Floats, over_seeds, rises
from ciranda.report.run import Run, flat
from ciranda.report.scale import padded, ticks
from ciranda.report.text import capital, group_name, measure, metric_name, number, short

COLOURS = 8
_ASIDE = ("experiment.seed", "experiment.name")


@dataclass(frozen=True)
class Way:
    """One way of training: its label and its runs, one a seed."""

    label: str
    runs: Sequence[Run]


@dataclass(frozen=True)
class Figures:
    """The table of what was reached, as texts, and what its numbers stand on."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]


def comparison(ways: Sequence[Way], group: str, metric: str, figures: Figures) -> str:
    """The page, in the reader's language; `group` and `metric` are what is compared."""
    names = list(dict.fromkeys(str(run.setting("experiment", "name") or run.name) for way in ways for run in way.runs))
    title = _("Comparison: {names}", names=", ".join(names[:4]))
    return document(
        f"{title} · Ciranda",
        tag("header", tag("h1", title), tag("p", _lead(ways, group, metric), class_="lead")),
        _reached(figures),
        _curves(ways, group, metric),
        _fairness(ways),
        _settings(ways),
        _runs(ways, group, metric),
        footer(),
    )


def _lead(ways: Sequence[Way], group: str, metric: str) -> str:
    runs = sum(len(way.runs) for way in ways)
    text = _(
        "{runs} of {ways}.",
        runs=plural("{count} run", "{count} runs", runs),
        ways=plural("{count} way of training", "{count} ways of training", len(ways)),
    )
    finals = [_mean_final(way, group, metric) for way in ways]
    known = [(value, way.label) for value, way in zip(finals, ways, strict=True) if value is not None]
    if len(known) < 2:
        return text
    value, label = max(known) if rises(metric) else min(known)
    told = {"metric": metric_name(metric), "value": measure(metric, value), "name": label}
    return text + " " + _("The best {metric} at the end, {value} on average, is that of {name}.", **told)


def _mean_final(way: Way, group: str, metric: str) -> float | None:
    values = [value for run in way.runs if (value := run.records.final(group, metric)) is not None]
    return float(np.mean(values)) if values else None


def _reached(figures: Figures) -> Html:
    shown = table(figures.head, figures.rows, caption=_("What each way reached"), numeric=range(1, len(figures.head)), hidden=True)
    notes = [tag("p", note, class_="soft") for note in figures.notes]
    return tag("section", tag("h2", _("What each way reached")), tag("div", shown, class_="scroll"), notes)


def _curves(ways: Sequence[Way], group: str, metric: str) -> Html:
    metrics = list(dict.fromkeys((metric, "loss")))
    several = max(len(way.runs) for way in ways) > 1
    note = _("Lines are means over the seeds, bands one standard deviation.") if several else ""
    return tag(
        "section",
        tag("h2", _("Learning curves")),
        tag("p", note, class_="soft") if note else None,
        switched(lambda kind: [_figure(ways, group, name, kind) for name in metrics]),
    )


def _figure(ways: Sequence[Way], group: str, metric: str, kind: str) -> Html:
    found = [over_seeds([run.records for run in way.runs], group, metric, kind) for way in ways]
    axis, unit = scaled(kind, max((float(x[-1]) for x, _mean, _std in found if len(x)), default=0.0))
    lines, areas = [], []
    for place, (way, (x, mean, std)) in enumerate(zip(ways, found, strict=True)):
        lines.append(Line(_short(way.label), 1 + place % COLOURS, x / unit, mean, dashed=place >= COLOURS))
        if len(way.runs) > 1:
            areas.append(Area("", 1 + place % COLOURS, x / unit, mean - std, mean + std))
    name = f"{metric_name(metric)} ({group_name(group)})"
    told = " ".join(f"{way.label}: {measure(metric, _mean_final(way, group, metric))}." for way in ways)
    title = _("{metric} against {axis}", metric=metric_name(metric), axis=axis.label)
    return tag("figure", tag("h3", capital(name)), chart(title, told, axis, Axis(metric_name(metric)), lines, areas), _key(ways))


def _key(ways: Sequence[Way]) -> Html | None:
    """The labels in full, where the ends of lines have no room for them."""
    if all(_short(way.label) == way.label for way in ways):
        return None
    swatches = [
        [tag("span", class_="swatch", style=f"background:var(--c{1 + place % COLOURS})"), way.label] for place, way in enumerate(ways)
    ]
    return tag("figcaption", swatches)


def _short(label: str) -> str:
    return label if len(label) <= 17 else label[:16] + "…"


def _fairness(ways: Sequence[Way]) -> Html | None:
    """How evenly each way serves the clients, by the clients' own metric that all of them have."""
    metrics = [run.records.client_headline() for way in ways for run in way.runs]
    metric = metrics[0]
    if len(set(metrics)) > 1 or not all(len(run.records.latest(metric)[0]) for way in ways for run in way.runs):
        return None
    each = [[fairness(run.records.latest(metric)[1], rising=rises(metric)) for run in way.runs] for way in ways]
    names = ("mean", "std", "worst", "p10", "median", "p90", "best")
    means = [{name: float(np.mean([getattr(one, name) for one in found])) for name in names} for found in each]
    head = [
        _("way"),
        _("mean"),
        _("standard deviation"),
        _("worst 10 %"),
        _("10th percentile"),
        _("median"),
        _("90th percentile"),
        _("best 10 %"),
    ]
    rows = [[way.label, *(measure(metric, value) for value in found.values())] for way, found in zip(ways, means, strict=True)]
    caption = _("Each client's latest {metric}, over the clients and then over the seeds", metric=metric_name(metric))
    shown = table(head, rows, caption=caption, numeric=range(1, len(head)))
    return tag(
        "section",
        tag("h2", _("Fairness")),
        tag("div", _worst(ways, metric), _ranges(ways, means, metric), class_="pair"),
        tag("div", shown, class_="scroll keep"),
    )


def _worst(ways: Sequence[Way], metric: str) -> Html:
    lines = []
    for place, way in enumerate(ways):
        x, mean = _mean_curve([run.records.worst(metric) for run in way.runs])
        lines.append(Line(_short(way.label), 1 + place % COLOURS, x, mean, dashed=place >= COLOURS))
    title = _("{metric} of the worst 10 %", metric=capital(metric_name(metric)))
    told = _("The mean over the worst tenth of the clients in each round.")
    return tag("figure", tag("h3", title), chart(title, told, Axis(_("round"), whole=True), Axis(metric_name(metric)), lines))


def _ranges(ways: Sequence[Way], means: Sequence[Mapping[str, float]], metric: str) -> Html:
    """A line for each way: the middle four fifths of the clients as a bar, the median and the mean of the worst tenth as dots."""
    step, top, left, right = 30, 34, 150, 20
    shown = [found[name] for found in means for name in ("p10", "median", "p90", "worst")]  # the worst of an error are the largest
    low, high = padded(min(shown), max(shown))
    width, height = WIDTH - left - right, top + step * len(ways)

    def at(value: float) -> str:
        return f"{left + (value - low) / (high - low) * width:.1f}"

    drawn = []
    for place, (way, found) in enumerate(zip(ways, means, strict=True)):
        middle, colour = top + step * (place + 0.5), 1 + place % COLOURS
        ends = {"x1": at(found["p10"]), "x2": at(found["p90"]), "y1": middle, "y2": middle}
        drawn += [
            tag("text", _short(way.label), x=left - 10, y=middle + 4, class_=f"end n f{colour}"),
            tag("line", **ends, class_=f"s{colour} range"),
            tag("circle", cx=at(found["median"]), cy=middle, r=5, class_=f"f{colour} dot"),
            tag("path", d=f"M{at(found['worst'])} {middle - 7}v14", class_="line s4"),
        ]
    marks = ticks(low, high, 6)
    grid = [tag("line", x1=at(tick), x2=at(tick), y1=top - 4, y2=height) for tick in marks]
    texts = [tag("text", short(tick), x=at(tick), y=height + 17, class_="m") for tick in marks]
    title = _("How evenly the clients are served")
    told = _("Bar: clients between the 10th and the 90th percentile; dot: the median client; upright line: mean of the worst 10 %.")
    svg = tag(
        "svg",
        tag("title", title, id="tr"),
        tag("desc", told, id="dr"),
        tag("g", grid, texts, tag("text", metric_name(metric), x=left + width / 2, y=height + 36, class_="m name"), class_="grid"),
        drawn,
        class_="chart",
        viewBox=f"0 0 {WIDTH} {height + 42}",
        role="img",
        aria_labelledby="tr dr",
    )
    return tag("figure", tag("h3", title), svg, tag("figcaption", told))


def _mean_curve(curves: Sequence[Curve]) -> tuple[Floats, Floats]:
    """The mean over the rounds that all the curves have."""
    rounds = sorted(set.intersection(*(set(curve.rounds.tolist()) for curve in curves)))
    values = [curve.values[np.searchsorted(curve.rounds, rounds)] for curve in curves]
    return np.array(rounds, np.float64), np.mean(values, axis=0)


def _settings(ways: Sequence[Way]) -> Html:
    """What tells the ways apart as a table, and what they have in common."""
    each_way = [flat(way.runs[0].settings) for way in ways]
    every = list(dict.fromkeys(key for each in each_way for key in each if key not in _ASIDE))
    differing = [key for key in every if len({str(each.get(key)) for each in each_way}) > 1]
    rows = [[key, *(str(each.get(key, "–")) for each in each_way)] for key in differing]
    common: dict[str, dict[str, Any]] = {}
    for key in every:
        if key not in differing:
            section, _dot, name = key.partition(".")
            common.setdefault(section, {})[name] = each_way[0][key]
    shown = table([_("setting"), *(way.label for way in ways)], rows, caption=_("What tells them apart")) if differing else None
    return tag(
        "section",
        tag("h2", _("Settings and origin")),
        tag("div", shown, class_="scroll"),
        tag("h3", _("What they have in common"), class_="apart"),
        tag("div", [keys(f"[{section}]", values) for section, values in common.items()], class_="settings"),
    )


def _runs(ways: Sequence[Way], group: str, metric: str) -> Html:
    head = [_("way"), _("seed"), _("rounds"), metric_name(metric), _("reproducible"), _("digest of the model"), _("folder")]
    return tag(
        "section",
        tag("h2", _("The runs")),
        tag("div", table(head, _run_rows(ways, group, metric), caption=_("The runs"), numeric=[1, 2, 3], hidden=True), class_="scroll"),
    )


def _run_rows(ways: Sequence[Way], group: str, metric: str) -> Iterable[list[Child]]:
    for way in ways:
        for run in way.runs:
            final, result = run.records.final(group, metric), run.result
            kept = "–" if not result else _("yes") if result.get("reproducible") else _("no")
            digest = tag("code", str(result.get("model_sha256", ""))[:12])
            seed = str(run.setting("experiment", "seed", ""))
            yield [way.label, seed, number(len(run.records.rounds)), measure(metric, final), kept, digest, tag("code", run.folder)]
