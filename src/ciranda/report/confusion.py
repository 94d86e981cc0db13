"""What the model takes for what: the confusion matrix and the scores of each class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ciranda.i18n import _
from ciranda.i18n import number as localised
from ciranda.report import raster
from ciranda.report.html import Html, table, tag
from ciranda.report.records import Floats
from ciranda.report.run import Run
from ciranda.report.text import number, percent

MOST_CELLS = 20  # classes of a matrix with its numbers; a larger one is a picture
BLUE, ORANGE = (0, 114, 178), (217, 130, 0)
LEVELS = 100
LONG = 3  # characters of a class that stands upright above its column
DEEP = 0.62  # from here on a cell is so dark that its number is light


def matrix(classes: Mapping[str, float], mistaken: Mapping[str, float]) -> tuple[list[str], Floats]:
    """(labels, counts): rows true, columns predicted, from the groups "…-classes" and "…-confusion" of a row."""
    labels = [key.removeprefix("support.") for key in classes if key.startswith("support.")]
    place = {label: at for at, label in enumerate(labels)}
    counts = np.diag([float(round(classes[f"recall.{label}"] * classes[f"support.{label}"])) for label in labels]).reshape(
        len(labels), len(labels)
    )
    for pair, count in mistaken.items():
        true, _dot, predicted = pair.partition(".")
        counts[place[true], place[predicted]] = count
    return labels, counts


def confusion(run: Run) -> Html | None:
    """The section; None without classes."""
    group = next((group for group in ("server", "clients") if f"{group}-classes" in run.records.tables), "")
    classes = run.records.tables.get(f"{group}-classes", {})
    if not classes:
        return None
    labels, counts = matrix(classes, run.records.tables.get(f"{group}-confusion", {}))
    given = list(run.manifest.get("classes", ()))
    names = [given[int(label)] if label.isdecimal() and int(label) < len(given) else label for label in labels]
    where = _("on the server's test data") if group == "server" else _("on the clients' test data")
    total, right = float(counts.sum()), float(np.trace(counts))
    text = _(
        "In the last evaluation, {where}: {right} of {total} examples are recognised ({share}).",
        where=where,
        right=number(right),
        total=number(total),
        share=percent(right / total if total else 0.0, 1),
    )
    worst = _most_mistaken(names, counts)
    if worst:
        text += " " + _("Most often mistaken: {pairs}.", pairs=worst)
    style = "pair" if len(labels) <= 10 or len(labels) > MOST_CELLS else "pair stacked"
    shown = _cells(names, counts) if len(labels) <= MOST_CELLS else _picture(names, counts, text)
    return tag(
        "section",
        tag("h2", _("What is mistaken for what")),
        tag("p", text),
        tag(
            "div", tag("div", shown, class_="scroll keep"), tag("div", _scores(classes, labels, names), class_="scroll tall"), class_=style
        ),
    )


def _most_mistaken(names: list[str], counts: Floats) -> str:
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:3]
    pairs = [divmod(int(cell), len(names)) for cell in order if wrong.flat[cell] > 0]
    return ", ".join(
        _("{true} for {predicted} ({times})", true=names[a], predicted=names[b], times=number(float(wrong[a, b]))) for a, b in pairs
    )


def _cells(names: list[str], counts: Floats) -> Html:
    """A table: shades are shares of the true class."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = []
    for true, name in enumerate(names):
        line = [tag("th", name, scope="row")]
        for predicted in range(len(names)):
            value, count = float(share[true, predicted]), float(counts[true, predicted])
            kind = "hit" if true == predicted else "miss"
            style = "none" if not count else f"{kind} deep" if value > DEEP else kind
            line.append(tag("td", number(count) if count else "·", class_=style, style=f"--v:{0.12 + 0.88 * value:.2f}" if count else None))
        rows.append(tag("tr", line))
    upright = "upright" if max(map(len, names)) > LONG else None
    head = tag("tr", tag("td"), [tag("th", tag("span", name, class_=upright), scope="col") for name in names])
    caption = _("Examples by true class (lines) and predicted class (columns)")
    return tag("table", tag("caption", caption), tag("thead", head), tag("tbody", rows), class_="matrix")


def _picture(names: list[str], counts: Floats, text: str) -> Html:
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    level = np.where(counts > 0, np.ceil(share * (LEVELS - 1)).clip(1), 0).astype(np.uint8)
    level = np.where(np.eye(len(names), dtype=bool) | (counts == 0), level, level + LEVELS - 1).astype(np.uint8)
    palette = [*raster.shades(BLUE, LEVELS), *raster.shades(ORANGE, LEVELS, least=60)[1:]]
    side, left = 460, 40
    every = -(-len(names) // 20)
    ends = [(name, (at + 0.5) / len(names) * side) for at, name in enumerate(names) if at % every == 0]
    svg = tag(
        "svg",
        tag("title", _("Confusion matrix"), id="tc"),
        tag("desc", text, id="dc"),
        tag("rect", x=left, y=0, width=side, height=side, class_="ground"),
        tag(
            "image", href=raster.data_uri(level, palette), x=left, y=0, width=side, height=side, class_="cells", preserveAspectRatio="none"
        ),
        tag(
            "g",
            [tag("text", name[:6], x=left - 6, y=f"{at + 4:.1f}", class_="n") for name, at in ends],
            [tag("text", name[:6], x=f"{left + at:.1f}", y=side + 15, class_="m") for name, at in ends],
            tag("text", _("predicted class"), x=left + side / 2, y=side + 34, class_="m name"),
            class_="grid",
        ),
        class_="chart",
        viewBox=f"0 0 {left + side + 10} {side + 40}",
        role="img",
        aria_labelledby="tc dc",
    )
    caption = _("Lines: true class. Blue: recognised; orange: taken for another. The darker, the larger the share of the true class.")
    return tag("figure", svg, tag("figcaption", caption))


def _scores(classes: Mapping[str, float], labels: list[str], names: list[str]) -> Html:
    columns = ("precision", "recall", "f1")
    rows = []
    for label, name in zip(labels, names, strict=True):
        values = [classes.get(f"{column}.{label}", 0.0) for column in columns]
        rows.append([name, *(localised(value, ".4f") for value in values), number(classes[f"support.{label}"])])
    head = [_("class"), _("precision"), _("recall"), "F1", _("examples")]
    return table(head, rows, caption=_("Scores of each class"), numeric=[1, 2, 3, 4])
