"""Who took part when: a picture with a line for each client and a column for each round."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ciranda.i18n import _, plural
from ciranda.report import raster
from ciranda.report.charts import LEFT, WIDTH
from ciranda.report.html import Html, table, tag
from ciranda.report.records import COUNTED, Ints
from ciranda.report.run import Run
from ciranda.report.scale import ticks
from ciranda.report.text import number, percent

BLUE, ORANGE = (0, 114, 178), (230, 90, 0)
LEVELS = 15
MOST = (1000, 1000)  # clients and rounds that have a line or a column of their own
WIDE, RIGHT = 2 * WIDTH, 12


def participation(run: Run) -> Html | None:
    """The section; None when nobody was asked."""
    records = run.records
    if not len(records.part.row):
        return None
    counted = records.part.value == COUNTED
    times = np.bincount(records.part.client[counted], minlength=len(records.names))
    never = max(0, run.clients - int((times > 0).sum()))
    least, most = 0 if never else int(times.min()), int(times.max())
    mean = number(float(counted.sum()) / max(1, run.clients), 2)
    text = _("A client was counted {mean} times on average, {least} to {most} times.", mean=mean, least=least, most=most)
    if least == most:
        text = plural("Every client was counted once.", "Every client was counted {count:,} times.", most)
    if never:
        text += " " + _("{never:,} of {clients:,} were never counted.", never=never, clients=run.clients)
    missed = int((~counted).sum())
    if missed:
        text += " " + _("{missed:,} answers ({share}) were missing or refused.", missed=missed, share=percent(missed / len(counted), 1))
    return tag("section", tag("h2", _("Who took part when")), tag("p", text), _picture(run, missed > 0, text), _reasons(records.reasons))


def cells(rows: Ints, who: Ints, how: Ints, shape: tuple[int, int]) -> np.ndarray:
    """Places in the palette, uint8, shape (clients, rounds) or less: 0 nobody, 1..LEVELS the share that was counted, LEVELS + 1 missing."""
    took, lost = np.zeros(shape), np.zeros(shape)
    took[who[how == COUNTED], rows[how == COUNTED]] = 1
    lost[who[how != COUNTED], rows[how != COUNTED]] = 1
    share = raster.shrunk(took, MOST)
    level = np.where(share > 0, 1 + np.round(share * (LEVELS - 1)), 0)
    return np.where(raster.shrunk(lost, MOST) > share, LEVELS + 1, level).astype(np.uint8)


def _picture(run: Run, missed: bool, text: str) -> Html:
    records = run.records
    names, rounds = len(records.names), len(records.rounds)
    drawn = cells(records.part.row, records.part.client, records.part.value.astype(np.int64), (names, rounds))
    high = float(min(420, max(90, 14 * names)))
    width = WIDE - LEFT - RIGHT
    uri = raster.data_uri(drawn, [*raster.shades(BLUE, LEVELS + 1, least=50), (*ORANGE, 255)])
    labelled = [place * max(1, -(-names // 30)) for place in range(min(names, 30)) if place * max(1, -(-names // 30)) < names]
    columns = ticks(float(records.rounds[0]), float(records.rounds[-1]), 12, whole=True)
    at = np.searchsorted(records.rounds, columns)
    sharp = "cells" if names <= high and rounds <= width else "cells fine"
    svg = tag(
        "svg",
        tag("title", _("Who took part when"), id="tp"),
        tag("desc", text, id="dp"),
        tag("rect", x=LEFT, y=0, width=width, height=high, class_="ground"),
        tag("image", href=uri, x=LEFT, y=0, width=width, height=high, preserveAspectRatio="none", class_=sharp),
        tag(
            "g",
            [tag("text", records.names[line], x=LEFT - 7, y=f"{(line + 0.5) / names * high + 4:.1f}", class_="n") for line in labelled],
            [
                tag("text", str(round(tick)), x=f"{LEFT + (place + 0.5) / rounds * width:.1f}", y=high + 17, class_="m")
                for tick, place in zip(columns, at.tolist(), strict=True)
            ],
            tag("text", _("round"), x=LEFT + width / 2, y=high + 36, class_="m name"),
            tag("text", _("client"), transform=f"translate(13 {high / 2}) rotate(-90)", class_="m name"),
            class_="grid",
        ),
        class_="chart wide",
        viewBox=f"0 0 {WIDE} {high + 44:.0f}",
        role="img",
        aria_labelledby="tp dp",
    )
    keys: list[Html | str] = [tag("span", class_="swatch", style="background:rgb(0,114,178)"), _("counted")]
    if missed:
        keys += [tag("span", class_="swatch", style="background:rgb(230,90,0)"), _("missing or refused")]
    keys += [tag("span", class_="swatch ground"), _("not asked")]
    return tag("figure", svg, tag("figcaption", keys))


def _reasons(reasons: Mapping[str, int]) -> Html | None:
    if not reasons:
        return None
    shown = list(reasons.items())[:12]
    rows = [[reason, number(times)] for reason, times in shown]
    return tag(
        "div", table([_("reason"), _("times")], rows, caption=_("Why answers were missing or refused"), numeric=[1]), class_="keep half"
    )
