"""Made-up runs to tell of."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from ciranda.report.records import read
from ciranda.report.run import Run

SHA = "ab" * 32


def rows(
    rounds: int = 6, clients: int = 8, *, share: float = 1.0, classes: int = 4, evaluated: bool = True, seed: int = 1
) -> list[dict[str, Any]]:
    """The rows of a run that learns; in every third round the first client asked does not answer."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(1, rounds + 1):
        base = 0.9 - 0.6 * math.exp(-number / 3) + float(rng.normal(0, 0.01))
        asked = sorted(map(str, rng.choice(clients, max(1, round(share * clients)), replace=False).tolist()))
        failed = {asked[0]: "deadline"} if number % 3 == 0 and len(asked) > 1 else {}
        own: dict[str, dict[str, float]] = {}
        for name in asked:
            if name not in failed:
                value = min(1.0, base + (int(name) - clients / 2) / (4 * clients))
                own[name] = {"train_loss": 1 - value, **({"accuracy": value, "loss": 1.1 - value} if evaluated else {})}
        metrics: dict[str, Any] = {"train": {"loss": 1 - base}, "server": {"loss": 1.1 - base, "accuracy": base}, **tables(classes)}
        if evaluated:
            metrics["clients"] = {"loss": 1.2 - base, "accuracy": base - 0.02}
        found.append(
            {
                "event": "round",
                "round": number,
                "skipped": False,
                "roster": clients,
                "accepted": [[name, SHA] for name in own],
                "failed": failed,
                "refused": {},
                "refusals": {"late": 1} if number == 2 else {},
                "metrics": metrics,
                "clients": own,
                "bytes_up": 1000 * len(own),
                "bytes_down": 2000 * len(asked),
                "seconds": 0.5,
                "model": SHA,
            }
        )
    return found


def tables(classes: int) -> dict[str, dict[str, float]]:
    """Ten examples a class, of which as many as the class's number (nine at the most) are taken for the next class."""
    if not classes:
        return {}
    wrong = [min(9, label) for label in range(classes)]
    scores = {f"{name}.{label}": 1 - wrong[label] / 10 for name in ("precision", "recall", "f1") for label in range(classes)}
    mistaken = {f"{label}.{(label + 1) % classes}": float(count) for label, count in enumerate(wrong) if count and classes > 1}
    return {"server-classes": {**scores, **{f"support.{label}": 10.0 for label in range(classes)}}, "server-confusion": mistaken}


def settings(seed: int = 1, strategy: str = "fedavg") -> dict[str, dict[str, Any]]:
    return {
        "experiment": {"task": "digits-mlp", "name": "digits", "seed": seed, "device": "auto"},
        "federation": {"clients": 8, "partitioner": "dirichlet", "alpha": 0.3},
        "strategy": {"name": strategy},
        "client": {"learning-rate": 0.1},
    }


def result(**changes: Any) -> dict[str, Any]:
    base = {
        "state": "finished",
        "stop_reason": "rounds",
        "rounds": 6,
        "metrics": {},
        "model_sha256": SHA,
        "reproducible": True,
        "reasons": [],
    }
    rest = {
        "bytes_up": 1,
        "bytes_down": 1,
        "seconds": 1.0,
        "epsilon": None,
        "versions": {"ciranda": "0.1.0", "machine": "x86_64"},
        "out": "x",
    }
    return {**base, **rest, **changes}


def manifest(clients: int = 8) -> dict[str, Any]:
    sizes = [10 * (rank + 1) for rank in range(clients)]
    return {
        "partitioner": "dirichlet",
        "clients": clients,
        "examples": sum(sizes),
        "sizes": {"min": 10, "median": 10.0 * (clients + 1) / 2, "max": 10 * clients},
        "sha256": "cd" * 32,
        "heterogeneity": 0.42,
        "per_client": [{"size": size} for size in sizes],
    }


def run(history: list[dict[str, Any]] | None = None, **changes: Any) -> Run:
    """A run of the history, by default `rows()`; `changes` are fields of the run."""
    fields = {"settings": settings(), "result": result(), "manifest": manifest(), "folder": "runs/digits-001", **changes}
    return Run(str(fields.pop("name", "digits")), read(rows() if history is None else history), **fields)


def folder(path: Path, history: list[dict[str, Any]] | None = None, *, seed: int = 1, strategy: str = "fedavg") -> Path:
    """The folder of a run on the disk."""
    path.mkdir(parents=True)
    made = settings(seed, strategy) | {"evaluate": {"where": "both"}}
    lines = [
        line
        for section, keys in made.items()
        for line in (f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items()))
    ]
    (path / "experiment.toml").write_text("\n".join(lines) + "\n")
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (rows(seed=seed) if history is None else history)))
    (path / "result.json").write_text(json.dumps(result(out=str(path))))
    (path / "partition.json").write_text(json.dumps(manifest()))
    return path
