"""The lines that a run prints: heading, rounds, result. Pure functions of event rows and results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ciranda.cli.i18n import TEXTS, say
from ciranda.core.errors import CirandaError

SHOWN_METRICS = ("accuracy", "loss", "rmse", "mae", "r2")
SHOWN_NAMES = 5


def heading(name: str, seed: int, start: Mapping[str, Any]) -> str:
    """What begins."""
    rounds, clients = _count("round", start["rounds"]), _count("client", start["clients"])
    return f"{name}: {rounds}, {clients}, {say('run.seed', seed=seed)}"


def _count(what: str, number: int) -> str:
    return say(f"count.{what}") if number == 1 else say(f"count.{what}s", count=f"{number:,}")


def main_metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that sum a round up: the server's, else the clients', else the training's."""
    groups = row.get("metrics", {})
    for group in ("server", "clients", "train"):
        found = {name: value for name, value in groups.get(group, {}).items() if name in SHOWN_METRICS and value is not None}
        if found:
            return {name: found[name] for name in SHOWN_METRICS if name in found}
    return {}


def metrics_text(metrics: Mapping[str, float]) -> str:
    return "  ".join(
        f"{_metric_name(name)} {value:.4f}" if abs(value) < 1e4 else f"{_metric_name(name)} {value:.4g}" for name, value in metrics.items()
    )


def round_line(row: Mapping[str, Any], rounds: int) -> str:
    """One committed round on one line."""
    width = len(str(rounds))
    count = len(row.get("accepted", ()))
    parts = [f"{say('run.round')} {row['round']:>{width}}/{rounds}"]
    if metrics := main_metrics(row):
        parts.append(metrics_text(metrics))
    parts.append(_count("client", count))
    parts.append(seconds_text(row.get("seconds", 0.0)))
    if refused := row.get("refused"):
        parts.append(say("run.refused", names=_names(refused)))
    return "  ".join(parts)


def result_lines(result: Mapping[str, Any], folder: str) -> list[str]:
    """How a run ended, where it lies, and what can be done with it. `result` is the content of result.json."""
    rounds = result["rounds"]
    state = say(f"run.{result['state']}") if f"run.{result['state']}" in TEXTS else str(result["state"])
    lines = [f"{state} {say('run.after', rounds=_count('round', rounds))}: {reason_text(str(result['stop_reason']))}"]
    if metrics := main_metrics(result):
        lines.append(metrics_text(metrics))
    if digest := result.get("model_sha256"):
        kept = say("run.reproducible") if result.get("reproducible") is True else say("run.not-reproducible")
        lines.append(f"{say('run.model')}: {digest} ({kept})")
    lines.append(f"{say('run.folder')}: {folder}")
    if result["state"] != "finished":
        lines.append(f"{say('run.next')}: ciranda resume {folder}    ({say('run.to-resume')})")
    elif result.get("model_sha256"):
        lines.append(f"{say('run.next')}: ciranda predict {folder} test:0    ({say('run.to-predict')})")
        lines.append(f"{' ' * (len(say('run.next')) + 2)}ciranda plot {folder}    ({say('run.to-plot')})")
    return lines


def reason_text(reason: str) -> str:
    """A stop reason in words."""
    kind, _, by = reason.partition(":")
    return say(f"reason.{kind}", by=by) if f"reason.{kind}" in TEXTS else reason


def stopped_by_interrupt(result: Mapping[str, Any]) -> bool:
    """Whether the run ended by Ctrl-C."""
    return str(result["stop_reason"]) == "stop-asked:ctrl-c"


def seconds_text(seconds: float) -> str:
    """`43 ms`, `1.7 s`, `240 s`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 99.95 else f"{seconds:,.0f} s"


def bytes_text(count: float) -> str:
    """`512 B`, `1.5 MB`: decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def choose(name: str, allowed: tuple[str, ...], what: str) -> str:
    """`name` if it is allowed. Raises CirandaError with what is."""
    if name not in allowed:
        raise CirandaError(
            "There is no {what} '{name}'.", hint="It is one of: {allowed}.", what=what, name=name, allowed=", ".join(allowed)
        )
    return name


def _metric_name(name: str) -> str:
    return say(f"metric.{name}") if f"metric.{name}" in TEXTS else name


def _names(refused: Mapping[str, str]) -> str:
    shown = [f"{name} ({reason})" for name, reason in sorted(refused.items())[:SHOWN_NAMES]]
    return ", ".join(shown) + (", ..." if len(refused) > SHOWN_NAMES else "")
