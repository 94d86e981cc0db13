"""When a run has had enough: budgets, a target, patience. Pure functions of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite, nan

from ciranda.protocol.plan import StopRule, Where

Metrics = Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True)
class Progress:
    """What the run has spent and reached. `stale` counts measured values since `best` was last bettered."""

    bytes: int = 0
    seconds: float = 0.0
    epsilon: float = 0.0
    best: float | None = None
    stale: int = 0


def budget(rule: StopRule, progress: Progress) -> str:
    """The budget that is used up, or ""."""
    if rule.max_epsilon is not None and progress.epsilon >= rule.max_epsilon:
        return "max-epsilon"
    if rule.max_bytes is not None and progress.bytes >= rule.max_bytes:
        return "max-bytes"
    if rule.max_seconds is not None and progress.seconds >= rule.max_seconds:
        return "max-seconds"
    return ""


def measured(rule: StopRule, metrics: Metrics, where: Where) -> float | None:
    """The value of the rule's metric, NaN if it was measured and is no finite number, or None if it was not measured.

    A bare name never falls back from an evaluation's group to the training's: the two are not one series.
    """
    group, dot, name = rule.metric.partition(".")
    places = [(group, name)] if dot else []
    places += [(candidate, rule.metric) for candidate in (("train",) if where == "none" else ("server", "clients"))]
    for group, name in places:
        if name in metrics.get(group, {}):
            value = metrics[group][name]
            return nan if value is None else value
    return None


def available(metrics: Metrics) -> list[str]:
    """The names by which `measured` finds something, sorted."""
    return sorted(f"{group}.{name}" for group, values in metrics.items() for name, value in values.items() if value is not None)


def judge(rule: StopRule, progress: Progress, value: float) -> tuple[Progress, str]:
    """Take one measured value into account: the new progress, and "target", "patience" or ""."""
    sign = 1.0 if rule.mode == "max" else -1.0
    better = isfinite(value) and (progress.best is None or sign * (value - progress.best) > rule.min_delta)
    progress = replace(progress, best=value, stale=0) if better else replace(progress, stale=progress.stale + 1)
    if rule.target is not None and sign * (value - rule.target) >= 0:
        return progress, "target"
    if rule.patience is not None and progress.stale >= rule.patience:
        return progress, "patience"
    return progress, ""


def watches(rule: StopRule) -> bool:
    """Whether the rule needs its metric at all."""
    return rule.target is not None or rule.patience is not None
