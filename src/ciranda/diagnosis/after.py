"""After a run: everything that its rows and its result show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ciranda.core.texts import Text
from ciranda.diagnosis import clients, curves
from ciranda.diagnosis.findings import Finding, by_severity
from ciranda.diagnosis.history import History

# What is found about the whole curve makes the finer points moot.
_SPOILS = ("diverged", "stalled")


def examine(history: History, result: Mapping[str, Any]) -> list[Finding]:
    """What went wrong in a run, the worst first.

    Args:
        history: all of its rows. result: the content of result.json; empty for a run that has none yet.
    """
    found = [*clients.lost_replies(history), clients.skipped(history), _ended(history, result)]
    found += [check(history) for check in (curves.diverged, curves.guessing)]
    if not any(finding is not None and finding.code in _SPOILS for finding in found):
        later = [check(history) for check in (curves.overfitted, curves.unsteady, clients.unfair)]
        found += later
        if not any(later):
            found += [curves.plateau(history), curves.unfinished(history) if _by_rounds(result) else None]
    return by_severity(finding for finding in found if finding is not None)


def _by_rounds(result: Mapping[str, Any]) -> bool:
    return result.get("stop_reason") == "rounds"


def _ended(history: History, result: Mapping[str, Any]) -> Finding | None:
    """A run that an error or too few replies ended."""
    state, reason = str(result.get("state", "")), str(result.get("stop_reason", ""))
    if state == "error":
        code, _, advice = clients.kind_of(reason)
        return Finding(
            "error",
            "error",
            Text("An error ended the run"),
            Text("after round {rounds}: {reason}", rounds=history.rounds, reason=reason.partition("\n")[0]),
            Text("Mend it, then go on with: ciranda resume RUN") if code == "failing" else advice,
        )
    if reason == "too-few-replies":
        return Finding(
            "too-few-replies",
            "error",
            Text("Too few clients answered, and the run gave up"),
            Text("after {rounds} rounds", rounds=history.rounds),
            Text("See why they failed; lower rounds.min-replies, raise rounds.max-attempts, or set rounds.too-few=skip."),
        )
    return None
