"""How long the report of a large run takes to make, what it weighs, and how soon a browser shows it.

    python benchmarks/report.py

The run is made up: 1,000 clients, all of them asked in each of 500 rounds, each telling five metrics (120 MB of metrics.jsonl). The page
is made by the command, in a process of its own, from its start to its end. It is opened by Chromium without a network, each time in a new
browser; the clock runs from the request until the second frame after everything is loaded. Prints the medians.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

CLIENTS, ROUNDS, CLASSES, REPEATS = 1000, 500, 10, 5
CHROMIUM = Path("/usr/bin/chromium")
QUIET = ("quic", "gpu", "background-networking", "component-update", "sync")
FLAGS = ["--headless", "--no-sandbox", "--no-first-run", *(f"--disable-{what}" for what in QUIET)]
PAINTED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))"


def write_run(folder: Path, clients: int = CLIENTS, rounds: int = ROUNDS) -> None:
    """A run's folder, as a run with these many clients and rounds would leave it."""
    rng = np.random.default_rng(0)
    sizes, skill = rng.integers(20, 300, clients), rng.normal(0, 0.06, clients)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "metrics.jsonl").open("w", encoding="utf-8") as stream:
        for number in range(1, rounds + 1):
            row = _row(number, rounds, skill, rng)
            stream.write(json.dumps(row, separators=(",", ":")) + "\n")
    experiment = ["[experiment]", 'task = "digits-mlp"', "[federation]", f"clients = {clients}", "[evaluate]", 'where = "both"']
    (folder / "experiment.toml").write_text("\n".join(experiment) + "\n", encoding="utf-8")
    manifest = {"clients": clients, "examples": int(sizes.sum()), "per_client": [{"size": int(size)} for size in sizes]}
    (folder / "partition.json").write_text(json.dumps(manifest), encoding="utf-8")


def _row(number: int, rounds: int, skill: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    """One round, in which one client of a hundred does not answer."""
    clients = len(skill)
    base = 0.93 - 0.75 * math.exp(-6 * number / rounds) + float(rng.normal(0, 0.006))
    accuracy = np.clip(base + skill + rng.normal(0, 0.02, clients), 0, 1).tolist()
    lost = {str(name): "deadline" for name in rng.choice(clients, max(1, clients // 100), replace=False).tolist()}
    names = [str(rank) for rank in range(clients) if str(rank) not in lost]
    own = {
        name: {"train_loss": 1.1 - value, "loss": 1.2 - value, "accuracy": value, "balanced_accuracy": value, "macro_f1": value}
        for name, value in ((name, accuracy[int(name)]) for name in names)
    }
    recall = np.round(np.clip(base + rng.normal(0, 0.03, CLASSES), 0, 1), 2)
    scores = {f"{score}.{label}": float(recall[label]) for score in ("precision", "recall", "f1") for label in range(CLASSES)}
    mistaken = {f"{label}.{(label + 1) % CLASSES}": float(round(100 * (1 - recall[label]))) for label in range(CLASSES)}
    return {
        "event": "round",
        "round": number,
        "skipped": False,
        "roster": clients,
        "accepted": [[name, f"{number * clients + int(name):064x}"] for name in names],
        "failed": lost,
        "refused": {},
        "refusals": {},
        "metrics": {
            "train": {"loss": 1.1 - base},
            "server": {"loss": 1.15 - base, "accuracy": base},
            "clients": {"loss": 1.2 - base, "accuracy": base},
            "server-classes": {**scores, **{f"support.{label}": 100.0 for label in range(CLASSES)}},
            "server-confusion": mistaken,
        },
        "clients": own,
        "bytes_up": 19_240 * len(names),
        "bytes_down": 19_240 * clients,
        "seconds": 0.4 + float(rng.random()) / 10,
        "model": f"{number:064x}",
    }


def make(folder: Path, python: str = sys.executable) -> float:
    """Seconds of the whole command that writes RUN/report.html."""
    started = time.perf_counter()
    subprocess.run([python, "-m", "ciranda", "report", str(folder)], check=True, capture_output=True)
    return time.perf_counter() - started


def open_page(file: Path) -> float:
    """Seconds until Chromium shows the page; the start of the browser does not count."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            started = time.perf_counter()
            page.goto(file.resolve().as_uri())
            page.evaluate(PAINTED)
            return time.perf_counter() - started
        finally:
            browser.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        write_run(folder)
        made = statistics.median(make(folder) for _ in range(REPEATS))
        file = folder / "report.html"
        opened = statistics.median(open_page(file) for _ in range(REPEATS))
        print(
            f"{CLIENTS:,} clients, {ROUNDS} rounds: {(folder / 'metrics.jsonl').stat().st_size / 1e6:.0f} MB of metrics, {REPEATS} repeats"
        )
        print(f"  made in {made:.2f} s (target 5), {file.stat().st_size / 1e6:.2f} MB (target 3), open in {opened:.2f} s (target 1.5)")


if __name__ == "__main__":
    main()
