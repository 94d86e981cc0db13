"""The clients: all together, each by itself, and how evenly the model serves them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ciranda.i18n import _, plural
from ciranda.report import raster
from ciranda.report.charts import Area, Axis, Backdrop, Line, Mark, chart
from ciranda.report.curves import WORST_COLOUR, along
from ciranda.report.fairness import Fairness, fairness, lorenz, worst_first
from ciranda.report.html import Html, tag
from ciranda.report.records import COUNTED, WORST, Curve, Floats, Records, rises
from ciranda.report.run import Run
from ciranda.report.scale import nice, padded
from ciranda.report.text import capital, measure, metric_name, number

MOST_LINES = 40  # clients drawn as lines; more are drawn as a picture of how many have which value
MOST_ROWS = 1000
ON_PAPER = 30
SPARK = (130, 24)
SPARK_POINTS = 36
BINS = (90, 300)  # of the picture: values, rounds
DENSITY = (110, 120, 132)


def clients(run: Run) -> Html | None:
    """The section; None where no client told anything of itself."""
    records, metric = run.records, run.records.client_headline()
    who, values, _rows = records.latest(metric)
    if not len(who):
        return None
    found = fairness(values, rising=rises(metric))
    drawn = records.client_curves(metric)
    return tag(
        "section",
        tag("h2", _("The clients")),
        tag("p", _summary(metric, found)),
        tag("div", _together(run, metric, drawn), _histogram(metric, values, found), class_="pair"),
        tag("div", _lorenz(metric, values, found), _numbers(metric, found), class_="pair"),
        _table(run, metric, drawn),
    )


def _summary(metric: str, found: Fairness) -> str:
    text = _(
        "Each client's latest {metric}: {mean} on average, {worst} over the worst 10 %, {low} to {high} from end to end.",
        metric=metric_name(metric),
        mean=measure(metric, found.mean),
        worst=measure(metric, found.worst),
        low=measure(metric, found.low),
        high=measure(metric, found.high),
    )
    if metric == "train_loss":
        text += " " + _('Clients told only of their training; evaluate.where = "both" has each measure the model on data of its own.')
    return text


def _together(run: Run, metric: str, drawn: Mapping[str, Curve]) -> Html:
    axis, places = along(run.records, "round")
    band, worst = run.records.band(metric), run.records.worst(metric)
    name, backdrop = metric_name(metric), None
    lines: list[Line] = []
    if len(drawn) <= MOST_LINES:
        lines = [Line("", 8, places[curve.at], curve.values) for curve in drawn.values()]
    else:
        backdrop = _density(run.records, metric)
    areas = []
    if band:
        areas = [Area(_("percentiles 10 to 90"), 2, places[band.at], band.low, band.high)]
        lines.append(Line(_("median client"), 1, places[band.at], band.median))
        lines.append(Line(_("worst 10 %"), WORST_COLOUR, places[worst.at], worst.values, dashed=True))
    text = _("{metric} of {count} clients by round.", metric=capital(name), count=len(drawn))
    figure = chart(_("All clients together"), text, axis, Axis(name), lines, areas, backdrop)
    return tag("figure", tag("h3", _("All clients together")), figure, class_="crowd")


def _density(records: Records, metric: str) -> Backdrop | None:
    """How many clients have which value in which rounds, as a picture: darker is more."""
    points = records.values[metric]
    low, high = padded(*np.percentile(points.value, [0.5, 99.5]).tolist())
    rounds = records.rounds[points.row]
    first, last = int(rounds.min()), int(rounds.max())
    columns = min(BINS[1], last - first + 1)
    inside = (points.value >= low) & (points.value <= high)
    edges = [(low, high), (first - 0.5, last + 0.5)]
    counts = np.histogram2d(points.value[inside], rounds[inside], bins=(BINS[0], columns), range=edges)[0]
    levels = 64
    share = np.sqrt(counts / max(1.0, counts.max()))
    cells = np.where(counts > 0, 1 + np.round(share * (levels - 2)), 0).astype(np.uint8)[::-1]
    return Backdrop(raster.data_uri(cells, raster.shades(DENSITY, levels, least=20)), _("how many clients"), edges[1], edges[0])


def _histogram(metric: str, values: Floats, found: Fairness) -> Html:
    low, high = float(values.min()), float(values.max())
    step = nice((high - low) / min(24, max(6, round(len(values) ** 0.5))) or abs(high) or 1.0)
    first = int(np.floor(low / step + 1e-9))
    bins = max(1, int(np.ceil(high / step - first - 1e-9)))
    counts = np.bincount(np.clip(np.floor(values / step + 1e-9).astype(np.int64) - first, 0, bins - 1), minlength=bins)
    edges = (first + np.arange(bins + 1)) * step
    tops = float(counts.max())
    x = Axis(metric_name(metric), limits=(float(edges[0]), float(edges[-1])))
    y = Axis(_("clients"), whole=True, limits=(0.0, tops * 1.18))
    marks = [Mark(_("mean"), 1, found.mean), Mark(_("worst 10 %"), WORST_COLOUR, found.worst)]
    title = _("How many clients have which {metric}", metric=metric_name(metric))
    text = _(
        "From {low} to {high}, standard deviation {std}.",
        low=measure(metric, low),
        high=measure(metric, high),
        std=measure(metric, found.std),
    )
    bars = [
        Area("", 6, edges[at : at + 2] + np.array([0.04, -0.04]) * step, np.zeros(2), np.full(2, float(n)))
        for at, n in enumerate(counts)
        if n
    ]
    return tag("figure", tag("h3", title), chart(title, text, x, y, (), bars, marks=marks), class_="bars")


def _lorenz(metric: str, values: Floats, found: Fairness) -> Html | None:
    if not np.isfinite(found.gini):
        return None
    share, held = lorenz(values)
    title = _("Lorenz curve of the {metric}", metric=metric_name(metric))
    text = _("Gini coefficient {gini}: 0 if all clients have the same, near 1 if one has all.", gini=number(found.gini, 3))
    whole = (0.0, 1.0)
    lines = [Line(_("all equal"), 8, np.array(whole), np.array(whole), dashed=True), Line(_("clients"), 1, share, held)]
    axes = (Axis(_("share of the clients, from the least"), limits=whole), Axis(_("share of the total"), limits=whole))
    return tag("figure", tag("h3", title), chart(title, text, *axes, lines), tag("figcaption", text))


def _numbers(metric: str, found: Fairness) -> Html:
    rows = [
        (_("clients with a value"), number(found.clients)),
        (_("mean"), measure(metric, found.mean)),
        (_("standard deviation"), measure(metric, found.std)),
        (_("mean of the worst 10 %"), measure(metric, found.worst)),
        (_("mean of the best 10 %"), measure(metric, found.best)),
        (_("least"), measure(metric, found.low)),
        (_("10th percentile"), measure(metric, found.p10)),
        (_("median"), measure(metric, found.median)),
        (_("90th percentile"), measure(metric, found.p90)),
        (_("greatest"), measure(metric, found.high)),
        (_("Gini coefficient"), number(found.gini, 3)),
    ]
    body = tag("tbody", [tag("tr", tag("td", name), tag("td", value, class_="n")) for name, value in rows])
    return tag(
        "div",
        tag("h3", _("Fairness in numbers")),
        tag("table", tag("caption", _("Fairness in numbers"), class_="unseen"), body),
        class_="keep",
    )


def _table(run: Run, metric: str, drawn: Mapping[str, Curve]) -> Html:
    """Every client with its curve, the worst first; the worst tenth is marked."""
    records = run.records
    who, values, rows = records.latest(metric)
    order = worst_first(values, rising=rises(metric))
    worst = max(1, round(WORST * len(order)))
    counted = np.bincount(records.part.client[records.part.value == COUNTED], minlength=len(records.names))
    sizes = run.sizes()
    largest = max(sizes.values(), default=1)
    limits = padded(*np.percentile(records.values[metric].value, [1, 99]).tolist())
    span = (float(records.rounds[0]), float(records.rounds[-1]))
    lines = []
    for place, at in enumerate(order[:MOST_ROWS].tolist()):
        name, value = records.names[who[at]], float(values[at])
        examples = sizes.get(name)
        cells = [
            tag("td", name),
            tag("td", measure(metric, value), class_="n", data_v=f"{value:.6g}"),
            tag("td", str(records.rounds[rows[at]]), class_="n", data_v=int(records.rounds[rows[at]])),
            tag("td", str(counted[who[at]]), class_="n", data_v=int(counted[who[at]])),
            tag("td", _bar(examples, largest), data_v=examples) if sizes else None,
            tag("td", _spark(drawn[name], span, limits)),
        ]
        style = " ".join(filter(None, ("low" if place < worst else "", "screen" if place >= ON_PAPER else "")))
        lines.append(tag("tr", cells, class_=style or None))
    head = [_("client"), metric_name(metric), _("in round"), _("times counted"), *([_("examples")] if sizes else []), _("by round")]
    caption = plural("{count:,} client, the worst served first", "{count:,} clients, the worst served first", len(order))
    columns = [tag("th", text, scope="col", class_="n" if place in (1, 2, 3) else None) for place, text in enumerate(head)]
    parts = (tag("caption", caption, class_="unseen"), tag("thead", tag("tr", columns)), tag("tbody", lines))
    find = _("find a client")
    return tag(
        "div",
        tag("h3", _("Each client"), class_="apart"),
        tag("p", caption + _("; the worst 10 % are marked."), _cut(len(order)), class_="soft"),
        tag("input", type="search", data_filter="clients", placeholder=find, aria_label=find) if len(order) > 20 else None,
        tag("div", tag("table", *parts, class_="sort", id="clients"), class_="clients"),
        class_="fresh" if len(order) > ON_PAPER // 2 else None,
    )


def _cut(number_of: int) -> list[Html | None]:
    """What the table leaves out, on a screen and on paper."""
    left = _(" Here are the first {count:,}.", count=MOST_ROWS) if number_of > MOST_ROWS else ""
    paper = _(" On paper: the first {count}.", count=ON_PAPER) if number_of > ON_PAPER else ""
    return [tag("span", left, class_="screen") if left else None, tag("span", paper, class_="paper") if paper else None]


def _bar(examples: int | None, largest: int) -> list[Html | str]:
    if examples is None:
        return ["–"]
    return [tag("span", class_="bar", style=f"width:{60 * examples / max(1, largest):.0f}px"), number(examples)]


def _spark(curve: Curve, span: tuple[float, float], limits: tuple[float, float]) -> Html:
    """A curve without axes, all of them on the same scale."""
    width, height = SPARK
    n = len(curve.rounds)
    kept = np.linspace(0, n - 1, min(n, SPARK_POINTS)).astype(np.int64)
    across = 3 + (curve.rounds[kept] - span[0]) / max(1.0, span[1] - span[0]) * (width - 6)
    share = np.clip((curve.values[kept] - limits[0]) / (limits[1] - limits[0]), 0, 1)
    points = list(zip(across.round(1).tolist(), (2 + (1 - share) * (height - 4)).round(1).tolist(), strict=True))
    last = tag("circle", cx=points[-1][0], cy=points[-1][1], r=1.9)
    path = tag("path", d="M" + "L".join(f"{x:g} {y:g}" for x, y in points)) if n > 1 else None
    return tag("svg", path, last, class_="spark", viewBox=f"0 0 {width} {height}", aria_hidden="true")
