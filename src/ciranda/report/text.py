"""Numbers, sizes and names as people read them, in the reader's language."""

from __future__ import annotations

import math

from ciranda.core.metrics import label
from ciranda.i18n import _, told
from ciranda.i18n import number as localised

RATIOS = ("accuracy", "balanced_accuracy", "macro_f1", "precision", "recall", "f1")


def number(value: float | None, digits: int = 4) -> str:
    """Four decimals for small numbers, fewer for large ones; a dash for none."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == int(value) and abs(value) < 1e15:
        return localised(int(value), ",d")
    size = abs(value)
    if size >= 1e6 or size < 10.0**-digits:
        return localised(value, f".{digits - 1}g")
    return localised(value, f",.{max(0, digits - max(0, math.floor(math.log10(size))))}f")


def measure(metric: str, value: float | None) -> str:
    """A metric's value: shares with four decimals."""
    if value is not None and math.isfinite(value) and metric.removeprefix("train_") in RATIOS:
        return localised(value, ".4f")
    return number(value)


def percent(share: float, digits: int = 0) -> str:
    return localised(100 * share, f".{digits}f") + " %"


def short(value: float) -> str:
    """As few digits as tell a tick from its neighbours: 0.5, 12, 1,500."""
    return localised(round(value, 10), ",.10g") if abs(value) < 1e6 else localised(value, ".3g")


def seconds(value: float) -> str:
    """`43 ms`, `1.7 s`, `12 min 5 s`, `3 h 20 min`."""
    if value < 0.9995:
        return f"{localised(value * 1000, '.0f')} ms"
    if value < 99.95:
        return f"{localised(value, '.1f')} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(count: float) -> str:
    """`512 B`, `1.5 MB`: decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < (999.5 if unit == "B" else 999.95):  # what rounds to a thousand is one of the next unit
            return f"{localised(count, '.0f' if unit == 'B' else '.1f')} {unit}"
        count /= 1000
    return f"{localised(count, '.1f')} TB"


def capital(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def metric_name(metric: str) -> str:
    """What people call a metric; an unknown one keeps its name."""
    return told(label(metric))


def group_name(group: str) -> str:
    names = {"server": _("server"), "clients": _("clients, weighted"), "train": _("training")}
    return names.get(group, group)


def state_name(state: str) -> str:
    names = {"finished": _("Finished"), "aborted": _("Aborted"), "error": _("Ended by an error")}
    return names.get(state, state)


def reason(text: str) -> str:
    """A stop reason in words; one that is already words stays as it is."""
    kind, _colon, by = text.partition(":")
    names = {
        "rounds": _("all rounds done"),
        "target": _("target reached"),
        "patience": _("no better for a while"),
        "max-bytes": _("byte budget spent"),
        "max-seconds": _("time budget spent"),
        "max-epsilon": _("privacy budget spent"),
        "too-few-replies": _("too few replies"),
        "stop-asked": _("stop asked by {by}", by=by),
    }
    return names.get(kind, text)
