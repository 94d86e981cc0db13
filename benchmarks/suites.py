"""The benchmarks, each a function that gives a section of RESULTS.md."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from benchmarks import machine
from benchmarks import report as pages
from benchmarks.compare import Contender, Say, compare
from benchmarks.environments import python_of
from benchmarks.launch import ROOT, Failed, last_words
from benchmarks.section import Row, Section, Spread
from benchmarks.work import CLASSIC, MILLION, TEN_THOUSAND, TINY, Work

DEMO = ROOT / ".venv-demo" / "bin" / "python"


@dataclass(frozen=True)
class Options:
    """How long to measure: `repetitions` of each contender, of `rounds` measured rounds (None: as many as the work says)."""

    repetitions: int = 5
    rounds: int | None = None

    def on(self, work: Work) -> Work:
        return replace(work, rounds=self.rounds or work.rounds)


def here() -> Path:
    return Path(sys.executable)


def base() -> Path:
    """The light base install if there is one, else what runs this."""
    return DEMO if DEMO.is_file() else here()


def classic(options: Options, say: Say) -> Section:
    ours = "Ciranda, 2 workers"
    contenders = [
        Contender(ours, "ciranda", 2, here),
        Contender("bare loop, 2 processes", "bare", 2, here, ours, 0.75),
        Contender("Flower's simulation, 2 actors", "flower", 2, partial(python_of, "flower"), ours, 0.35),
        Contender("pfl-research, as it starts: 1 process", "pfl", 1, partial(python_of, "pfl"), ours, 0.3),
        Contender("pfl-research, 2 processes by torch.distributed", "pfl", 2, partial(python_of, "pfl"), ours),
    ]
    work = options.on(CLASSIC)
    about = _about(work, "MNIST, the CNN of 21,840 parameters")
    return _on_mnist(work, contenders, options, "classic: a CNN on 20 clients", about, say)


def tiny(options: Options, say: Say) -> Section:
    one, two = "Ciranda, 1 worker (in the calling process)", "Ciranda, 2 workers"
    contenders = [
        Contender(one, "ciranda", 1, here),
        Contender(two, "ciranda", 2, here),
        Contender("bare loop, 1 process", "bare", 1, here, one, 0.8),
        Contender("Flower's simulation, 2 actors", "flower", 2, partial(python_of, "flower"), two, 0.05, f"against {two}"),
        Contender("pfl-research, 1 process", "pfl", 1, partial(python_of, "pfl"), one, 0.7),
    ]
    work = options.on(TINY)
    about = _about(work, "MNIST, softmax regression of 7,850 parameters")
    return _on_mnist(work, contenders, options, "tiny: softmax regression on 1,000 clients", about, say)


def million(options: Options, say: Say) -> Section:
    many, few = "a million registered clients", "ten thousand registered clients"
    work = options.on(MILLION)
    contenders = [
        Contender(many, "ciranda", 2, here, work=work),
        Contender(few, "ciranda", 2, here, many, 1.3, work=options.on(TEN_THOUSAND)),
    ]
    about = _about(work, "made-up data, softmax regression of 68 parameters") + " Two workers; the time over 10,000 clients is what grows."
    section, outcomes = compare(work, contenders, "", options.repetitions, "million: a round among a million clients", about, say)
    peaks = [outcome.peak_mib for outcome in outcomes[many].values()]
    note = "parent and both workers, pages that they share counted three times"
    memory = Row(f"{many}: most memory at once", Spread.of(peaks) if peaks else None, "MiB", target=1024, note=note)
    return replace(section, rows=[*section.rows, memory])


def exact_sum(options: Options, say: Say) -> Section:
    """The script's own alternation is its repetitions."""
    watch = machine.Watch()
    output = _script("benchmarks/exact_sum.py", here())
    models = re.search(r"exact: .*extra memory ([\d.]+) models", output)
    rows = [
        _found(output, r"ratio ([\d.]+)", "exact sum over np.mean", "times", 2.0),
        Row("extra memory", _one(float(models[1])) if models else None, "models", target=3.0),
    ]
    about = "Ten updates of ten million float32 folded one by one into the exact sum and divided, against `np.mean` of all ten."
    repeats = re.search(r"(\d+) alternated", output)
    return _section("exact-sum", "exact-sum: aggregation", about, rows, int(repeats[1]) if repeats else 1, watch, ["numpy"], output)


def step(options: Options, say: Say) -> Section:
    """The script repeats each case by itself, and says how often."""
    watch = machine.Watch()
    output = _script("benchmarks/step_speed.py", here())
    number = r"([\d.]+)"
    pattern = rf"^(\w+) +eager +{number} ms +ciranda +{number} ms +ratio {number} \(quartiles {number} to {number}, n=(\d+)\)$"
    rows = []
    for match in re.finditer(pattern, output, re.MULTILINE):
        eager, ours, middle, low, high = map(float, match.groups()[1:6])
        ratio = Spread(middle, low, high)
        rows.append(Row(f"{match[1]}: eager loop", _one(eager), "ms", ratio, note=f"Ciranda {ours:g} ms, n = {match[7]}; quartiles"))
    about = "One client's round in one process, one thread: a bare eager loop against Ciranda's task; no aggregation, no messages."
    return _section("step", "step: one client", about, rows, 1, watch, ["numpy", "torch"])


def sweep(options: Options, say: Say) -> Section:
    """The script alternates by itself, and says how often."""
    watch = machine.Watch()
    output = _script("benchmarks/sweep_speed.py", here())
    match = re.search(r"median ratio ([\d.]+) \(([\d.]+) to ([\d.]+)\), (\d+) alternated", output)
    spread = Spread(*map(float, match.groups()[:3])) if match else None
    rows = [Row("sweep of 8 runs over half the sum of the runs", spread, "times", target=1.1, note="" if match else "not in its output")]
    about = (
        "Eight runs of 30 rounds on the digits, side by side with two workers, against each by itself with one; until the winner is known."
    )
    return _section("sweep", "sweep: runs side by side", about, rows, int(match[4]) if match else 1, watch, ["numpy"], output)


def footprint(options: Options, say: Say) -> Section:
    watch = machine.Watch()
    times = _script("scripts/import_time.py", base())
    size = _script("scripts/install_size.py", here())
    training, whole = zip(*(_demo(base()) for _ in range(options.repetitions)), strict=True)
    rows = [
        _found(size, r"base install: ([\d.]+) MB", "base install", "MB", 150.0),
        _found(times, r"import ciranda: ([\d.]+) s", "`import ciranda`, best of fresh processes", "s", 0.2),
        _found(times, r"ciranda --help: ([\d.]+) s", "`ciranda --help`, best of fresh processes", "s", 0.5),
        Row("`make demo`: rounds", Spread.of(training), target=10.0),
        Row("`make demo`: the whole command, once it is installed", Spread.of(whole)),
    ]
    about = "What a newcomer waits and pays for."
    return _section("footprint", "footprint: size and start", about, rows, options.repetitions, watch)


def unevenly(options: Options, say: Say) -> Section:
    from benchmarks.strategies import strategies

    return strategies(options.rounds or 100, say)


def report(options: Options, say: Say) -> Section:
    """Making and opening take turns, so that what else the machine does falls on both."""
    if not pages.CHROMIUM.is_file():
        raise Failed(f"{pages.CHROMIUM} is not there: install Debian's package chromium")
    watch = machine.Watch()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        pages.write_run(folder)
        file = folder / "report.html"
        made, opened = zip(*((pages.make(folder), pages.open_page(file)) for _ in range(options.repetitions)), strict=True)
        weight = file.stat().st_size / 1e6
        metrics = (folder / "metrics.jsonl").stat().st_size / 1e6
    rows = [
        Row("`ciranda report`: the whole command", Spread.of(made), target=5.0),
        Row("the page", _one(weight), "MB", target=3.0),
        Row("Chromium shows it", Spread.of(opened), target=1.5, note="a new browser each time, its start not counted"),
    ]
    size = f"{pages.CLIENTS:,} clients, all of them in each of {pages.ROUNDS} rounds; {metrics:.0f} MB of metrics"
    about = f"The report of a made-up run: {size}."
    return _section("report", "report: a large run as a page", about, rows, options.repetitions, watch, ["numpy"])


def http(options: Options, say: Say) -> Section:
    from benchmarks.wire.suite import ABOUT, rows

    watch = machine.Watch()
    found = rows(options.repetitions, say)
    return _section("http", "http: rounds and transfers", ABOUT, found, options.repetitions, watch, ["numpy", "fastapi", "uvicorn"])


SUITES: Mapping[str, Callable[[Options, Say], Section]] = {
    "classic": classic,
    "tiny": tiny,
    "million": million,
    "step": step,
    "exact-sum": exact_sum,
    "sweep": sweep,
    "footprint": footprint,
    "report": report,
    "http": http,
    "strategies": unevenly,
}


def _about(work: Work, what: str) -> str:
    return (
        f"{what}; {work.clients:,} clients of {work.examples:,} examples, {work.cohort:,} a round, one local epoch, batches of"
        f" {work.batch_size}: {work.steps:,} SGD steps a round. Seconds of a round, {work.rounds} rounds after {work.warmup} of warm-up;"
        " nobody evaluates between rounds."
    )


def write_mnist(file: Path) -> None:
    """MNIST as Ciranda reads it, for contenders that cannot: x (n, 28, 28) uint8, y, test_x, test_y."""
    import numpy as np

    from ciranda.tasks.registry import load

    data = load("mnist")
    np.savez(file, x=data.train.x, y=data.train.y, test_x=data.test.x, test_y=data.test.y)


def _on_mnist(work: Work, contenders: list[Contender], options: Options, title: str, about: str, say: Say) -> Section:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "mnist.npz"
        write_mnist(data)
        return compare(work, contenders, str(data), options.repetitions, title, about, say)[0]


def _script(name: str, python: Path) -> str:
    """What a script of this project prints; the ones that hold a budget end with 1 over it, which is not a failure to measure."""
    paths = {**os.environ, "PYTHONPATH": str(ROOT)}  # for what the benchmarks share
    done = subprocess.run([str(python), str(ROOT / name)], capture_output=True, text=True, check=False, cwd=ROOT, env=paths)
    if done.returncode not in (0, 1) or "Traceback" in done.stderr:
        raise Failed(f"{name}: {last_words(done.stderr)}")
    return done.stdout


def _found(output: str, pattern: str, what: str, unit: str, target: float) -> Row:
    match = re.search(pattern, output)
    return Row(what, _one(float(match[1])) if match else None, unit, target=target, note="" if match else f"not in its output: {pattern}")


def _one(value: float) -> Spread:
    return Spread(value, value, value)


def _section(
    name: str,
    title: str,
    about: str,
    rows: Sequence[Row],
    repetitions: int,
    watch: machine.Watch,
    packages: Sequence[str] = (),
    output: str = "",
) -> Section:
    versions = {package: version(package) for package in packages}
    return Section(name, title, about, rows, machine.today(), machine.describe(), versions, repetitions, watch.others(), output)


def _demo(python: Path) -> tuple[float, float]:
    """(seconds in rounds, seconds of the command) of what `make demo` runs."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        command = [str(python), "-m", "ciranda", "run", "--json", "--out", str(Path(folder) / "run")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        whole = time.monotonic() - started
    if done.returncode:
        raise Failed(f"make demo: {done.stderr.strip()[:400]}")
    return float(json.loads(done.stdout)["seconds"]), whole
