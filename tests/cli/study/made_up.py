"""Run folders with made-up rounds, for tests of what reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ciranda.experiment.load import dump, resolve

LABELS = {"0": 60, "1": 40}


def run_folder(
    folder: Path,
    values: Sequence[float | None],
    *overrides: str,
    seed: int = 1,
    group: str = "server",
    metric: str = "accuracy",
    labels: Mapping[str, int] = LABELS,
    up: int = 1000,
    seconds: float = 0.5,
) -> Path:
    """A run that measured `values`, one a round, None for a round without evaluation."""
    folder.mkdir(parents=True)
    experiment = resolve("digits", [f"experiment.seed={seed}", f"rounds.num-rounds={max(1, len(values))}", *overrides])
    (folder / "experiment.toml").write_text(dump(experiment))
    (folder / "partition.json").write_text(json.dumps({"examples": sum(labels.values()), "labels": labels}))
    rows = [_row(number, value, group, metric, up, seconds) for number, value in enumerate(values, start=1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def _row(number: int, value: float | None, group: str, metric: str, up: int, seconds: float) -> dict[str, Any]:
    metrics = {group: {metric: value, "loss": 1.0 / number}} if value is not None else {}
    return {
        "event": "round",
        "round": number,
        "skipped": False,
        "accepted": [["0", "x"]],
        "metrics": {"train": {"loss": 2.0 / number}, **metrics},
        "clients": {},
        "failed": {},
        "refused": {},
        "refusals": {},
        "bytes_up": up,
        "bytes_down": 2 * up,
        "seconds": seconds,
        "model": str(number),
    }
