"""The lines that a run prints: heading, rounds, result. Pure functions of event rows and results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ciranda.core.errors import CirandaError
from ciranda.core.metrics import label
from ciranda.core.texts import Text
from ciranda.i18n import _, number, plural, told

SHOWN_METRICS = ("accuracy", "loss", "rmse", "mae", "r2")
SHOWN_NAMES = 5
STATES: Mapping[str, Text] = {"finished": Text("Finished"), "aborted": Text("Stopped early"), "error": Text("Failed")}
REASONS: Mapping[str, Text] = {
    "rounds": Text("all rounds done"),
    "target": Text("target reached"),
    "patience": Text("no better for a while"),
    "max-bytes": Text("byte budget spent"),
    "max-seconds": Text("time budget spent"),
    "max-epsilon": Text("privacy budget spent"),
    "too-few-replies": Text("too few replies"),
}


def heading(name: str, seed: int, start: Mapping[str, Any]) -> str:
    """What begins."""
    return f"{name}: {_rounds(start['rounds'])}, {_clients(start['clients'])}, {_('seed {seed}', seed=seed)}"


def _rounds(count: int) -> str:
    return plural("1 round", "{count:,} rounds", count)


def _clients(count: int) -> str:
    return plural("1 client", "{count:,} clients", count)


def main_metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that sum a round up: the server's, else the clients', else the training's."""
    groups = row.get("metrics", {})
    for group in ("server", "clients", "train"):
        found = {name: value for name, value in groups.get(group, {}).items() if name in SHOWN_METRICS and value is not None}
        if found:
            return {name: found[name] for name in SHOWN_METRICS if name in found}
    return {}


def metrics_text(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{told(label(name))} {number(value, '.4f' if abs(value) < 1e4 else '.4g')}" for name, value in metrics.items())


def round_line(row: Mapping[str, Any], rounds: int) -> str:
    """One committed round on one line."""
    width = len(str(rounds))
    parts = [f"{_('Round')} {row['round']:>{width}}/{rounds}"]
    if metrics := main_metrics(row):
        parts.append(metrics_text(metrics))
    parts.append(_clients(len(row.get("accepted", ()))))
    parts.append(seconds_text(row.get("seconds", 0.0)))
    if refused := row.get("refused"):
        parts.append(_("refused: {names}", names=_names(refused)))
    return "  ".join(parts)


def result_lines(result: Mapping[str, Any], folder: str) -> list[str]:
    """How a run ended, where it lies, and what can be done with it. `result` is the content of result.json."""
    rounds = result["rounds"]
    state = told(STATES[result["state"]]) if result["state"] in STATES else str(result["state"])
    lines = [f"{state} {_('after {rounds}', rounds=_rounds(rounds))}: {reason_text(str(result['stop_reason']))}"]
    if metrics := main_metrics(result):
        lines.append(metrics_text(metrics))
    if digest := result.get("model_sha256"):
        kept = _("reproducible") if result.get("reproducible") is True else _("not reproducible")
        lines.append(f"{_('Model')}: {digest} ({kept})")
    lines.append(f"{_('Result')}: {folder}")
    if result["state"] != "finished":
        lines.append(f"{_('Next')}: ciranda resume {folder}")
    elif result.get("model_sha256"):
        lines.append(f"{_('Next')}: ciranda report {folder}")
        lines += [f"{' ' * len(_('Next'))}  ciranda {command}" for command in (f"plot {folder}", f"predict {folder} test:0")]
    return lines


def reason_text(reason: str) -> str:
    """A stop reason in words."""
    kind, colon, by = reason.partition(":")
    if kind == "stop-asked" and colon:
        return _("stop asked by {by}", by=by)
    return told(REASONS[kind]) if kind in REASONS else reason


def stopped_by_interrupt(result: Mapping[str, Any]) -> bool:
    """Whether the run ended by Ctrl-C."""
    return str(result["stop_reason"]) == "stop-asked:ctrl-c"


def seconds_text(seconds: float) -> str:
    """`43 ms`, `1.7 s`, `240 s`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{number(seconds, '.1f' if seconds < 99.95 else ',.0f')} s"


def bytes_text(count: float) -> str:
    """`512 B`, `1.5 MB`: decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < (999.5 if unit == "B" else 999.95):  # what rounds to a thousand is one of the next unit
            return f"{count:.0f} B" if unit == "B" else f"{number(count, '.1f')} {unit}"
        count /= 1000
    return f"{number(count, '.1f')} TB"


def choose(name: str, allowed: tuple[str, ...], what: Text) -> str:
    """`name` if it is allowed. Raises CirandaError with what is."""
    if name not in allowed:
        raise CirandaError(
            "There is no {what} '{name}'.", hint="It is one of: {allowed}.", what=what, name=name, allowed=", ".join(allowed)
        )
    return name


def _names(refused: Mapping[str, str]) -> str:
    shown = [f"{name} ({reason})" for name, reason in sorted(refused.items())[:SHOWN_NAMES]]
    return ", ".join(shown) + (", ..." if len(refused) > SHOWN_NAMES else "")
