"""The federated run between its baselines: all data in one place above it, every client alone below it, over several seeds.

The budget rule: as many passes over the examples as the federated run makes. It makes, on average over the clients,
num-rounds x local-epochs x (clients in a round / clients) of them; the central model and each client alone are trained for that many,
at least one. All three begin with the same model and see the same split of the same data; only the federated run has the experiment's
strategy, privacy and early stop.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ciranda.cli import compose
from ciranda.cli.output import bytes_text, seconds_text
from ciranda.cli.study.compare import p_text, spread_text, write_tables
from ciranda.cli.study.jobs import Job, Tell, Work, alone_in, cores, side_by_side
from ciranda.cli.study.local_only import Alone, train_alone
from ciranda.cli.study.measured import Measured, choose_metric, read_runs
from ciranda.cli.study.names import CENTRALISED, FEDERATED, LOCAL, method_name
from ciranda.cli.study.show import Progress
from ciranda.cli.study.table import Shown, Table
from ciranda.cli.study.trial import Shared, ask, changed, ensure
from ciranda.core.errors import CirandaError, ExperimentError
from ciranda.core.paired import LEVEL, Paired, holm, mean_std, paired
from ciranda.core.task import Task
from ciranda.experiment.explain import Origin
from ciranda.experiment.load import check, dump
from ciranda.experiment.schema import Experiment
from ciranda.i18n import _, number
from ciranda.report.records import rises

if TYPE_CHECKING:
    from ciranda.cli.plots import Drawing

DEFAULT_SEEDS = 3


@dataclass(frozen=True)
class Method:
    """One way of training over all seeds: the final value of each, what it cost on average, and how the last one's clients fare."""

    name: str
    values: Sequence[float]
    bytes: float
    seconds: float
    spreads: Sequence[dict[str, float]]


@dataclass(frozen=True, repr=False)
class Baselines(Shown):
    """The federated run beside its baselines.

    Attributes:
        group, metric: what is compared ("server", "accuracy"). seeds: in their order. passes: over the examples, of each method.
        runs: the federated and the central runs of each seed; alone: the clients by themselves.
    """

    group: str
    metric: str
    seeds: Sequence[int]
    passes: int
    runs: dict[str, Sequence[Measured]]
    alone: Sequence[Alone]

    @cached_property
    def methods(self) -> list[Method]:
        """Federated first, then its baselines."""
        found = []
        for name in (FEDERATED, CENTRALISED):
            runs = self.runs[name]
            spent = mean_std([run.bytes for run in runs])[0] if name == FEDERATED else 0.0  # nothing travels to train in one place
            values = [run.final(self.group, self.metric) for run in runs]
            spreads = [_spread_of(run, self.metric) for run in runs] if name == FEDERATED and self.group == "clients" else []
            found.append(Method(name, values, spent, mean_std([run.seconds for run in runs])[0], spreads))
        values = [each.groups.get(self.group, {}).get(self.metric, nan) for each in self.alone]
        spreads = [each.spreads.get(self.group, {}).get(self.metric, {}) for each in self.alone]
        return [*found, Method(LOCAL, values, 0.0, mean_std([each.seconds for each in self.alone])[0], spreads)]

    @cached_property
    def tests(self) -> list[tuple[Paired, float] | None]:
        """For each method the federated run minus it: the paired test and p corrected for both; None where there is none."""
        first, *others = self.methods
        tests = [paired(first.values, other.values) for other in others]
        corrected = iter(holm([test.p for test in tests if test is not None]))
        return [None, *((test, next(corrected)) if test is not None else None for test in tests)]

    @property
    def table(self) -> Table:
        """One row a method."""
        metric = self.metric
        head = [_("training"), _("seeds"), _("passes"), metric, _("over clients"), _("payload"), _("seconds"), _("federated against it")]
        keys = ["training", "seeds", "passes", metric, f"{metric}_std", "clients_min", "clients_max", "clients_std", "bytes", "seconds"]
        rows, values = [], []
        for method, test in zip(self.methods, self.tests, strict=True):
            mean, std = mean_std(method.values)
            several = len(method.values) > 1
            low, high, deviation = (_mean_of(method.spreads, key) for key in ("min", "max", "std"))
            over = "–" if low is None else _("{low:.3f} to {high:.3f}", low=low, high=high)
            against = "–" if test is None else f"{number(test[0].mean, '+.4f')} ({p_text(test[1])}){' *' if test[1] < LEVEL else ''}"
            plain: list[str | float | int | None] = [method.name, len(self.seeds), self.passes, mean, std if several else None, low, high]
            values.append([*plain, deviation, method.bytes, method.seconds, *((test[0].mean, test[1]) if test else (None, None))])
            cells = [method_name(method.name), str(len(self.seeds)), str(self.passes), spread_text(mean, std if several else None), over]
            rows.append([*cells, bytes_text(method.bytes) if method.bytes else "–", seconds_text(method.seconds), against])
        return Table(head, rows, [*keys, "difference", "p"], values, self.notes)

    @property
    def notes(self) -> list[str]:
        """The budget, and in words what the test says."""
        budget = _(
            "Each trains for {passes} passes over the examples, from the same model, on the same split. Seeds: {seeds}.",
            passes=self.passes,
            seeds=", ".join(map(str, self.seeds)),
        )
        if len(self.seeds) < 2:
            return [budget, _("One seed says nothing about luck: there is no test. Give --seeds 5.")]
        verdicts = [self._verdict(method, test) for method, test in zip(self.methods, self.tests, strict=True) if test is not None]
        rule = _(
            "Paired t-test over {seeds} seeds, corrected by Holm for two comparisons; * marks p < {level}.",
            seeds=len(self.seeds),
            level=number(LEVEL, "g"),
        )
        return [budget, *verdicts, rule]

    def plot(self) -> Drawing:
        """The curves over the passes, with bands over the seeds. Raises MissingExtra without matplotlib."""
        from ciranda.cli.plots import Drawing
        from ciranda.cli.study.figures import baselines

        return Drawing(baselines(self))

    def save(self, folder: Path) -> list[Path]:
        """Write table.md, table.tex, table.csv and the curves as PNG and SVG; returns the files."""
        from ciranda.cli.study.figures import baselines, save

        return [*write_tables(self.table, folder), *save(baselines(self), folder, "baseline")]

    def _verdict(self, method: Method, test: tuple[Paired, float]) -> str:
        fields = {"name": method_name(method.name), "p": p_text(test[1])}
        if test[1] >= LEVEL:
            return _("Federated and {name}: the difference may be luck ({p}).", **fields)
        better = (test[0].mean > 0) is rises(self.metric)
        if better:
            return _("Federated is better than {name} ({p}).", **fields)
        return _("Federated is worse than {name} ({p}).", **fields)


def baseline(
    experiment: Experiment,
    out: Path,
    *,
    seeds: Sequence[int] | None = None,
    workers: int | None = None,
    metric: str | None = None,
    task: Task | None = None,
    progress: Progress | None = None,
) -> Baselines:
    """Train `experiment` federated, centrally and by each client alone under every seed, into folders below `out`; what is there is kept.

    Args:
        seeds: by default the experiment's and the two that follow. workers: trainings at a time, by default one for each core.
        metric: "accuracy", "clients.loss" and the like; by default what says most.

    Raises:
        CirandaError: an experiment that cannot work, or what ended a run; `out` then holds what was done.
    """
    experiment = changed(experiment, {"study": {"role": None}})
    chosen = list(dict.fromkeys(seeds or seeds_from(experiment.experiment.seed, DEFAULT_SEEDS)))
    if experiment.evaluate.where == "none":
        raise ExperimentError("evaluate.where = 'none': nothing would be compared.", hint="Set evaluate.where to server, clients or both.")
    assembly = compose.assemble(experiment, Shared.of(task if task is not None else compose.task_of(experiment)))
    passes = passes_of(experiment, assembly.population.size)
    shown = progress or Progress(sys.stdout, quiet=True)
    with alone_in(out):
        question = {"schema": 1, "experiment": dump(changed(experiment, {"experiment": {"seed": None}})), "passes": passes}
        ask(out, "baseline.json", question)
        jobs = [job for seed in chosen for job in _jobs(changed(experiment, {"experiment": {"seed": seed}}), passes, out, assembly)]
        shown.expect({job.key: job.cost for job in jobs})
        alone: dict[int, Alone] = {}
        for key, outcome in side_by_side(jobs, workers or cores(), shown):
            if isinstance(outcome, CirandaError):
                raise outcome
            if isinstance(outcome, Alone):
                alone[_seed_of(key)] = outcome
            shown.ended(key, "")
    runs = {name: read_runs([out / f"seed-{seed}" / name for seed in chosen]) for name in (FEDERATED, CENTRALISED)}
    group, name = choose_metric([*runs[FEDERATED], *runs[CENTRALISED]], metric)
    return Baselines(group, name, chosen, passes, dict(runs), [alone[seed] for seed in chosen])


def passes_of(experiment: Experiment, clients: int) -> int:
    """How often the federated run passes over the average example, at least once."""
    total = experiment.rounds.num_rounds * experiment.client.local_epochs * experiment.cohort(clients)
    return max(1, (2 * total + clients) // (2 * clients))


def central(experiment: Experiment, passes: int) -> Experiment:
    """The experiment with all training data in one place, evaluated about as often as the federated run."""
    sections = experiment.sections()
    rounds = _rounds_of(passes, experiment.rounds.num_rounds)
    every = max(1, round(rounds * experiment.evaluate.every / experiment.rounds.num_rounds))
    table: dict[str, Any] = {section: sections[section] for section in ("experiment", "data", "federation") if section in sections}
    table |= {
        "client": {**sections["client"], "local-epochs": passes // rounds},
        "rounds": {"num-rounds": rounds},
        "evaluate": {**sections["evaluate"], "every": every},
        "stop": {"metric": experiment.stop.metric, "mode": experiment.stop.mode},
        "study": {"role": CENTRALISED},
    }
    return check(table, Origin(experiment.experiment.name))


def _rounds_of(passes: int, rounds: int) -> int:
    """How many rounds the central run has: a divisor of the passes, near the federated run's rounds; a round of its own for each pass
    where there is none."""
    near = [count for count in range(max(1, rounds // 4), rounds + 1) if passes % count == 0]
    return near[-1] if near else passes


def _jobs(experiment: Experiment, passes: int, out: Path, assembly: compose.Assembly) -> list[Job]:
    """The three trainings of a seed. One pass over all examples costs the same everywhere, but for messages and evaluations."""
    folder = out / f"seed-{experiment.experiment.seed}"
    size, task = assembly.population.size, assembly.task
    tests = len(assembly.population.data.test) / max(1, len(assembly.population.data.train))
    work: dict[str, tuple[Work, float]] = {
        FEDERATED: (partial(_run, experiment, folder / FEDERATED, task), passes + tests * experiment.rounds.num_rounds / 3),
        CENTRALISED: (partial(_run, central(experiment, passes), folder / CENTRALISED, task), passes + tests * passes / 3),
        LOCAL: (partial(_alone, experiment, passes, folder / LOCAL, task), passes + tests * size / 3),
    }
    return [Job(f"{folder.name}/{name}", do, cost) for name, (do, cost) in work.items()]


def _run(experiment: Experiment, folder: Path, task: Task | None, workers: int, tell: Tell) -> None:
    ensure(experiment, folder, workers=workers, tell=tell, task=task)


def _alone(experiment: Experiment, passes: int, folder: Path, task: Task | None, workers: int, tell: Tell) -> Alone:
    return train_alone(experiment, passes, folder, tell, task)


def parse_seeds(text: str, first: int) -> list[int]:
    """ "5" is five seeds from the experiment's on, "1,2,7" is these. Raises ExperimentError."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts) or (len(parts) == 1 and "," not in text and not 0 < int(parts[0]) <= 1000):
        raise ExperimentError(
            "--seeds {text} is neither a count nor a list of seeds.", text=text, hint="For example: --seeds 5, or --seeds 1,2,7"
        )
    if len(parts) == 1 and "," not in text:
        return seeds_from(first, int(parts[0]))
    return [int(part) for part in parts]


def seeds_from(first: int, count: int) -> list[int]:
    """So many seeds from the experiment's on."""
    return list(range(first, first + count))


def _seed_of(key: str) -> int:
    return int(key.partition("/")[0].removeprefix("seed-"))


def _spread_of(run: Measured, metric: str) -> dict[str, float]:
    """How the metric is spread over the clients after the last round."""
    return {key: value for key in ("min", "max", "std") if (value := run.records.final("clients-spread", f"{metric}.{key}")) is not None}


def _mean_of(spreads: Sequence[dict[str, float]], key: str) -> float | None:
    values = [spread[key] for spread in spreads if key in spread]
    return mean_std(values)[0] if values else None
