"""Which runs differ in the seed only, and what to call what the others differ in. Pure functions of settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

Settings = Mapping[str, str | float | int | bool]

LUCK = ("experiment.seed", "study.fold")
"""What makes a repetition and not another method."""
_ASIDE = (*LUCK, "experiment.name")
_SHOWN = 6


def grouped(settings: Iterable[Settings]) -> list[list[int]]:
    """The places of equal settings, but for LUCK and names, in the order of their first appearance."""
    groups: dict[frozenset[tuple[str, object]], list[int]] = {}
    for place, each in enumerate(settings):
        groups.setdefault(frozenset((key, value) for key, value in each.items() if key not in _ASIDE), []).append(place)
    return list(groups.values())


def labels(settings: Sequence[Settings]) -> list[str]:
    """What tells these settings apart, one label each: `fedavg, learning-rate 0.1`. The only one is called by its experiment's name."""
    if len(settings) == 1:
        return [str(settings[0].get("experiment.name", ""))]
    roles = [str(each.get("study.role", "federated")) for each in settings]
    several = len(set(roles)) > 1
    found = []
    for role, each in zip(roles, settings, strict=True):
        peers = [other for other, theirs in zip(settings, roles, strict=True) if theirs == role]
        words = [role] if several else []
        words += [_word(key, each.get(key), _differing(peers)) for key in _differing(peers) if key in each]
        found.append(", ".join(words[:_SHOWN]) + (", ..." if len(words) > _SHOWN else "") or str(each.get("experiment.name", "")))
    return found


def _differing(settings: Sequence[Settings]) -> list[str]:
    keys = dict.fromkeys(key for each in settings for key in each if key not in _ASIDE)
    differing = [key for key in keys if len({each.get(key) for each in settings}) > 1]
    return sorted(differing, key=lambda key: key != "strategy.name")


def _word(key: str, value: object, differing: Sequence[str]) -> str:
    text = ("yes" if value else "no") if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    if key == "strategy.name":
        return text
    short = key.partition(".")[2]
    alone = sum(other.partition(".")[2] == short for other in differing) == 1
    return f"{short if alone else key} {text}"
