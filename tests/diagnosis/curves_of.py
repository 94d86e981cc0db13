"""Rows as a run records them, made from curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ciranda.diagnosis import History

Curve = Sequence[float | None]


def rows(
    *,
    loss: Curve = (),
    accuracy: Curve = (),
    train: Curve = (),
    classes: int = 10,
    group: str = "server",
    spread: Mapping[str, float] | None = None,
    **more: Curve,
) -> list[dict[str, Any]]:
    """Rows of rounds 1, 2, ... with balanced classes; `more` are further metrics of the group."""
    curves = {name: curve for name, curve in {"loss": loss, "accuracy": accuracy, "balanced_accuracy": accuracy, **more}.items() if curve}
    count = max(map(len, (*curves.values(), train)))
    made = []
    for place in range(count):
        metrics: dict[str, Any] = {group: {name: curve[place] for name, curve in curves.items()}}
        if classes and accuracy:
            metrics[f"{group}-classes"] = {f"support.{label}": 10.0 for label in range(classes)}
        if train:
            metrics["train"] = {"loss": train[place]}
        if spread:
            metrics["clients-spread"] = dict(spread)
        made.append(row(place + 1, metrics=metrics))
    return made


def row(number: int, **keys: Any) -> dict[str, Any]:
    """One row in which clients 0 and 1 were counted."""
    return {
        "event": "round",
        "round": number,
        "skipped": False,
        "accepted": [["0", ""], ["1", ""]],
        "failed": {},
        "refused": {},
        "metrics": {},
        **keys,
    }


def history(made: Sequence[Mapping[str, Any]]) -> History:
    """The history of these rows."""
    known = History()
    for each in made:
        known.take(each)
    return known
