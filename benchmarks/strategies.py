"""Seven strategies on Fashion-MNIST that is dealt out ever more unevenly: settings chosen on validation, then three seeds on the test set.

Every strategy is tuned by `ciranda.sweep` on examples that the clients keep back from training, at one alpha and with a seed of its own;
the test set is read by the runs of the table only. Whole runs go on side by side, one worker each.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from benchmarks import machine
from benchmarks.launch import ROOT, Failed
from benchmarks.section import Section
from ciranda.cli.study.jobs import Job, Tell, side_by_side
from ciranda.cli.study.measured import Measured, read_runs
from ciranda.cli.study.sweep import Search, sweep
from ciranda.cli.study.trial import Shared, changed, ensure
from ciranda.core.errors import CirandaError
from ciranda.core.paired import LEVEL, mean_std, paired
from ciranda.core.task import Task
from ciranda.experiment.load import loads
from ciranda.experiment.schema import Experiment
from ciranda.tasks.numpy_models import NumpyTask
from ciranda.tasks.preprocess import FASHION_MNIST
from ciranda.tasks.registry import load

Say = Callable[[str], None]

ALPHAS = (0.1, 0.3, 1.0)
SEEDS = (1, 2, 3)
TUNING_ALPHA, TUNING_SEED = 0.3, 100
TARGET = 0.8
LAST = 10
"""The final accuracy is the mean over so many last rounds: with few labels a client, a single round's value says little."""

RATES = (0.03, 0.1, 0.3)
GRIDS: Mapping[str, Mapping[str, Sequence[float]]] = {
    "fedavg": {},
    "fedprox": {"strategy.proximal-mu": (0.01, 0.1)},
    "scaffold": {},
    "fednova": {},
    "fedavgm": {"strategy.server-learning-rate": (0.03, 0.1, 0.3)},
    "fedadam": {"strategy.server-learning-rate": (0.001, 0.003, 0.01)},
    "fedyogi": {"strategy.server-learning-rate": (0.001, 0.003, 0.01)},
}

EXPERIMENT = """
[experiment]
task = "python:fashion"
seed = {seed}

[federation]
clients = 100
partitioner = "dirichlet"
alpha = {alpha}

[rounds]
num-rounds = {rounds}
fraction-train = 0.1

[client]
local-epochs = 5
batch-size = 32

[strategy]
name = "{name}"
"""


@dataclass(frozen=True)
class Claim:
    """What a paper found: `first` does better than `second` at `alpha`, by `measure`; with `than`, by more than at that alpha."""

    paper: str
    first: str
    second: str
    alpha: float
    measure: Literal["accuracy", "rounds"] = "accuracy"
    than: float | None = None

    @property
    def text(self) -> str:
        where = f"at alpha {self.alpha:g}" if self.than is None else f"more at alpha {self.alpha:g} than at {self.than:g}"
        return f"{self.first} over {self.second} {where}" + (f" in rounds to {TARGET:g}" if self.measure == "rounds" else "")

    def gains(self, outcomes: Mapping[tuple[str, float], Outcome]) -> tuple[Sequence[float], Sequence[float]]:
        """Two values for each seed, the first the greater if the paper is right."""
        first, second = (outcomes[name, self.alpha].good(self.measure) for name in (self.first, self.second))
        if self.than is None:
            return first, second
        others = [outcomes[name, self.than].good(self.measure) for name in (self.first, self.second)]
        return [a - b for a, b in zip(first, second, strict=True)], [a - b for a, b in zip(*others, strict=True)]


CLAIMS = (
    Claim("Li et al. 2020 (FedProx): a proximal term helps where clients differ", "fedprox", "fedavg", 0.1),
    Claim("Karimireddy et al. 2020: control variates save rounds where clients differ", "scaffold", "fedavg", 0.1, "rounds"),
    Claim("Karimireddy et al. 2020: and lead further", "scaffold", "fedavg", 0.1),
    Claim("Wang et al. 2020: normalised averaging helps where clients take different numbers of steps", "fednova", "fedavg", 0.1),
    Claim("Hsu et al. 2019: momentum on the server helps where clients differ", "fedavgm", "fedavg", 0.1),
    Claim("Hsu et al. 2019: and the more, the more they differ", "fedavgm", "fedavg", 0.1, than=1.0),
    Claim("Reddi et al. 2021: Adam's steps on the server help", "fedadam", "fedavg", 0.1),
    Claim("Reddi et al. 2021: and so do Yogi's", "fedyogi", "fedavg", 0.1),
)


@dataclass(frozen=True)
class Outcome:
    """One strategy at one alpha, by seed: accuracy over the last rounds, and the first round at the target (None: never)."""

    finals: Sequence[float]
    rounds: Sequence[int | None]

    @classmethod
    def of(cls, runs: Sequence[Measured]) -> Outcome:
        curves = [run.records.curve("server", "accuracy") for run in runs]
        reached = [run.rounds_to("server", "accuracy", TARGET) for run in runs]
        return cls([statistics.fmean(map(float, curve.values[-LAST:])) for curve in curves], reached)

    def good(self, measure: Literal["accuracy", "rounds"]) -> Sequence[float]:
        """More is better: accuracy, or rounds saved, where a target that was never reached counts as infinitely late."""
        return self.finals if measure == "accuracy" else [-math.inf if each is None else -float(each) for each in self.rounds]

    def cells(self) -> list[str]:
        mean, std = mean_std(self.finals)
        return [f"{mean:.4f} ± {std:.4f}", ", ".join("–" if each is None else str(each) for each in self.rounds)]


def strategies(rounds: int, say: Say, folder: Path = ROOT / "runs" / "benchmark-strategies") -> Section:
    """The section of RESULTS.md. What `folder` holds already is not computed again, so an interrupted benchmark goes on."""
    watch = machine.Watch()
    task = Shared.of(NumpyTask("fashion-mlp-64", partial(load, "fashion-mnist"), (784, 64, 10), scale_x=FASHION_MNIST))
    tuned = {name: _tuned(name, rounds, folder / "tuning" / name, task, say) for name in GRIDS}
    outcomes = _measured(tuned, folder, task, say)
    body = "\n\n".join([_table(outcomes), _claims(outcomes), _settings(tuned)])
    about = (
        f"Fashion-MNIST over 100 clients by Dirichlet draws, 10 a round, five local epochs in batches of 32, {rounds} rounds; a 784-64-10"
        f" perceptron (50,890 parameters). Test accuracy of the global model, mean over the last {LAST} rounds, mean ± standard deviation"
        f" over seeds {', '.join(map(str, SEEDS))}; and for each seed the first round at {TARGET:g} (–: never). Client's and server's rates"
        f" were chosen on validation examples at alpha {TUNING_ALPHA:g} with seed {TUNING_SEED}, in runs of half the length. What papers"
        f" found is called found here, or contradicted, where a paired t-test over the seeds is below {LEVEL:g}: with {len(SEEDS)} seeds,"
        " only large and steady differences are. A proximal term, control variates and normalised averaging were proposed for clients that"
        " drift apart or take very different numbers of steps; how much of either there is depends on the model: this one is small."
    )
    found = Section("strategies", "strategies: unevenly dealt data", about, [], machine.today(), machine.describe(), {}, 1, watch.others())
    return replace(found, body=body)


def experiment(name: str, alpha: float, seed: int, rounds: int) -> Experiment:
    return loads(EXPERIMENT.format(name=name, alpha=alpha, seed=seed, rounds=rounds), "the benchmark's experiment")


def _tuned(name: str, rounds: int, folder: Path, task: Task, say: Say) -> Experiment:
    grid = {"client.learning-rate": RATES, **GRIDS[name]}
    say(f"  choosing {name}'s settings among {math.prod(map(len, grid.values()))}")
    asked = sha256(repr((sorted(grid.items()), rounds)).encode()).hexdigest()[:8]
    base = experiment(name, TUNING_ALPHA, TUNING_SEED, max(1, rounds // 2))
    return sweep(base, Search(grid), folder / asked, task=task).experiment


def _measured(tuned: Mapping[str, Experiment], folder: Path, task: Task, say: Say) -> dict[tuple[str, float], Outcome]:
    places: dict[tuple[str, float], list[Path]] = {}
    jobs = []
    for name, chosen in tuned.items():
        for alpha in ALPHAS:
            for seed in SEEDS:
                place = folder / "runs" / name / _of(chosen).replace(", ", "_").replace(" ", "-") / f"alpha-{alpha:g}" / f"seed-{seed}"
                places.setdefault((name, alpha), []).append(place)
                length = {"num-rounds": 2 * chosen.rounds.num_rounds}
                run = changed(chosen, {"experiment": {"seed": seed}, "federation": {"alpha": alpha}, "rounds": length})
                jobs.append(Job(f"{name}, alpha {alpha:g}, seed {seed}", partial(_run, run, place, task)))
    for done, (key, outcome) in enumerate(side_by_side(jobs, 2), 1):
        if isinstance(outcome, CirandaError):
            raise Failed(f"{key}: {outcome}")
        say(f"  {done}/{len(jobs)} {key}: {outcome:.4f}")
    return {key: Outcome.of(read_runs(runs)) for key, runs in places.items()}


def _run(run: Experiment, place: Path, task: Task, workers: int, tell: Tell) -> float:
    result = ensure(run, place, workers=workers, tell=tell, task=task)
    return float(result.metrics["server"]["accuracy"])


def _table(outcomes: Mapping[tuple[str, float], Outcome]) -> str:
    head = ["", *(f"alpha {alpha:g}: accuracy | rounds to {TARGET:g}" for alpha in ALPHAS)]
    rows = [[name, *(cell for alpha in ALPHAS for cell in outcomes[name, alpha].cells())] for name in GRIDS]
    return "\n".join([_row(head), _row(["---"] * (1 + 2 * len(ALPHAS))), *map(_row, rows)])


def _claims(outcomes: Mapping[tuple[str, float], Outcome]) -> str:
    lines = [_row(["What papers found", "here: difference in accuracy, or in rounds saved", ""]), _row(["---"] * 3)]
    verdicts: dict[str, list[str]] = {"found here": [], "contradicted": [], "within chance": []}
    for claim in CLAIMS:
        first, second = claim.gains(outcomes)
        if not all(map(math.isfinite, (*first, *second))):
            lines.append(_row([claim.paper, f"{claim.text}: a run never came to {TARGET:g}", "not measured"]))
            continue
        test = paired(first, second)
        assert test is not None
        verdict = "within chance" if test.p > LEVEL else "found here" if test.mean > 0 else "contradicted"
        verdicts[verdict].append(claim.text)
        digits = 4 if claim.measure == "accuracy" else 1
        lines.append(_row([claim.paper, f"{claim.text}: {test.mean:+.{digits}f} ± {test.std:.{digits}f}, p = {test.p:.3f}", verdict]))
    summary = ". ".join(f"{verdict.capitalize()}: {', '.join(what) or 'nothing'}" for verdict, what in verdicts.items())
    return "\n".join([*lines, "", f"{summary}."])


def _settings(tuned: Mapping[str, Experiment]) -> str:
    chosen = [f"{name} {_of(each)}" for name, each in tuned.items()]
    return "Chosen on validation: " + "; ".join(chosen) + "."


def _of(chosen: Experiment) -> str:
    params: dict[str, Any] = {"client rate": chosen.client.learning_rate, **chosen.strategy.params}
    return ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in params.items())


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
