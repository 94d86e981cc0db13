"""The right settings, found without looking at the test set.

Every candidate is trained and validated on examples that the clients train on, by cross-validation over clients (each fold's clients take
no part in its training, and their examples measure it) or, with one fold, on each client's own validation split. The run folders of the
search hold no test set at all (`study.role`). Only the winner is then trained anew, on all clients and all their training examples, and
evaluated once, after its last round, as the experiment says.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ciranda.cli import compose
from ciranda.cli.result import Result
from ciranda.cli.study.candidates import Candidate, Value, candidates, text_of
from ciranda.cli.study.compare import spread_text, write_tables
from ciranda.cli.study.halving import best, kept, rungs
from ciranda.cli.study.jobs import Job, Tell, alone_in, cores, side_by_side
from ciranda.cli.study.measured import Measured, choose_metric, read_runs
from ciranda.cli.study.show import Progress
from ciranda.cli.study.table import Shown, Table
from ciranda.cli.study.trial import Shared, ask, changed, ensure
from ciranda.core.errors import CirandaError, ExperimentError, RunError
from ciranda.core.paired import mean_std
from ciranda.core.task import Task
from ciranda.experiment.load import dump
from ciranda.experiment.schema import Experiment
from ciranda.i18n import _
from ciranda.report.records import rises
from ciranda.store.files import write_whole

if TYPE_CHECKING:
    from ciranda.cli.plots import Drawing

DEFAULT_VALIDATION = 0.2


@dataclass(frozen=True)
class Search:
    """How to look.

    Attributes:
        grid: "section.key" -> values. random: try so many of the combinations, drawn by the seed; all if None.
        folds: of clients, for cross-validation; 1 validates on each client's own validation split. halving: keep one candidate in so
        many at each rung; None trains all to the end. metric: what to choose by ("accuracy"), by default what says most.
    """

    grid: Mapping[str, Sequence[Value]]
    random: int | None = None
    folds: int = 1
    halving: int | None = None
    metric: str | None = None

    def __post_init__(self) -> None:
        if self.folds < 1:
            raise ExperimentError("--folds {folds} leaves nothing to validate on.", folds=self.folds, hint="Give 1, or 2 and more.")
        if self.halving is not None and self.halving < 2:
            raise ExperimentError("--halving {halving} drops nobody.", halving=self.halving, hint="Give 2 or more: keep one in so many.")
        if self.halving is not None and "rounds.num-rounds" in self.grid:
            raise ExperimentError("--halving compares candidates after equal rounds; rounds.num-rounds cannot be in the grid with it.")


@dataclass
class Standing:
    """How a candidate did: its value in each fold, after so many rounds; `reason` if it could not be trained; `out` if it was dropped."""

    candidate: Candidate
    values: Sequence[float] = ()
    rounds: int = 0
    reason: str = ""
    out: bool = False

    @property
    def score(self) -> float | None:
        """The mean over the folds, None where a fold has no value."""
        return mean_std(self.values)[0] if self.values and all(map(isfinite, self.values)) else None


@dataclass(frozen=True, repr=False)
class Sweep(Shown):
    """What a sweep found.

    Attributes:
        metric: what was chosen by. standings: the candidates, the best first. experiment: the winner's, as in best.toml.
        tested: the winner's result on the test set. out: the folder.
    """

    metric: str
    folds: int
    standings: Sequence[Standing]
    experiment: Experiment
    tested: Result
    out: Path
    keys: Sequence[str] = field(default=())

    @property
    def best(self) -> Candidate:
        """The winner."""
        return self.standings[0].candidate

    @property
    def table(self) -> Table:
        """One row a candidate, the best first."""
        name = _("validation {metric}", metric=self.metric)
        head = ["#", *(key.partition(".")[2] if key != "strategy.name" else _("strategy") for key in self.keys), name, _("rounds"), ""]
        rows, values = [], []
        for place, each in enumerate(self.standings):
            mean, std = mean_std(each.values) if each.score is not None else (float("nan"), 0.0)
            several = len(each.values) > 1
            chosen = [text_of(each.candidate.values[key]) if key in each.candidate.values else "–" for key in self.keys]
            state = "chosen" if not place else "failed" if each.reason else "dropped" if each.out else ""
            remark = {"chosen": _("chosen"), "dropped": _("dropped"), "failed": shortened(each.reason), "": ""}[state]
            rows.append([str(each.candidate.number), *chosen, spread_text(mean, std if several else None), str(each.rounds), remark])
            plain = [each.candidate.values.get(key) for key in self.keys]
            score = each.score
            values.append([each.candidate.number, *plain, score, std if several and score is not None else None, each.rounds, state])
        keys = ["candidate", *self.keys, f"validation_{self.metric}", f"validation_{self.metric}_std", "rounds", "state"]
        return Table(head, rows, keys, values, self.notes, words=(len(head) - 1,))

    @property
    def notes(self) -> list[str]:
        """How the values were measured, and what the winner reached on the test set."""
        if self.folds > 1:
            how = _("Validated on clients that took no part in training: mean ± standard deviation over {folds} folds.", folds=self.folds)
        else:
            how = _("Validated on examples that each client kept back from its own training data.")
        metrics = {group: value for group, each in self.tested.metrics.items() if (value := each.get(self.metric)) is not None}
        found = [f"{group} {self.metric} {spread_text(metrics[group], None)}" for group in ("server", "clients") if group in metrics]
        if not found:
            return [how]
        return [how, _("The winner on the test set, after training on all clients, once: {what}.", what=", ".join(found))]

    def plot(self) -> Drawing:
        """The candidates' validation values. Raises MissingExtra without matplotlib."""
        from ciranda.cli.plots import Drawing
        from ciranda.cli.study.ranking import ranking

        return Drawing(ranking(self))

    def save(self, folder: Path) -> list[Path]:
        """Write table.md, table.tex, table.csv and the figure as PNG and SVG; returns the files."""
        from ciranda.cli.study.figures import save
        from ciranda.cli.study.ranking import ranking

        return [*write_tables(self.table, folder), *save(ranking(self), folder, "sweep")]


def sweep(
    base: Experiment,
    search: Search,
    out: Path,
    *,
    workers: int | None = None,
    task: Task | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Try the candidates, choose the best by validation, train it anew and test it once; what is in `out` already is kept.

    Args:
        workers: runs at a time, by default one for each core.

    Raises:
        ExperimentError: an experiment, grid or candidate that cannot work, before anything is trained.
        RunError: no candidate could be trained. StoreError: `out` holds another study.
    """
    base = changed(base, {"study": {"role": None}})
    found = candidates(base, search.grid, search.random)
    task = Shared.of(task if task is not None else compose.task_of(base))
    for each in found:
        compose.assemble(trial(each.experiment, search.folds, 1), task)
    shown = progress or Progress(sys.stdout, quiet=True)
    with alone_in(out):
        grid = {key: list(values) for key, values in search.grid.items()}
        how = {"random": search.random, "folds": search.folds, "halving": search.halving, "metric": search.metric}
        ask(out, "sweep.json", {"schema": 1, "experiment": dump(base), "grid": grid, **how})
        looked = _Looking(search, found, out, workers or cores(), task, shown)
        standings = looked.run()
        chosen = standings[0]
        write_whole(out / "best.toml", [dump(chosen.candidate.experiment).encode()])
        shown.line(_("Chosen: {label}. It is trained on all clients now, and tested once.", label=chosen.candidate.label))
        final = refit(chosen.candidate.experiment, looked.rounds_of(chosen))
        shown.expect({"winner": cost_of(final, final.rounds.num_rounds)})
        tested = ensure(final, out / "winner", workers=workers or cores(), tell=partial(shown, "winner"), task=task)
    return Sweep(looked.metric, search.folds, standings, chosen.candidate.experiment, tested, out, list(search.grid))


def shortened(text: str, most: int = 70) -> str:
    """The text's beginning, if it is long."""
    return text if len(text) <= most else text[: most - 3].rstrip() + "..."


def trial(experiment: Experiment, folds: int, fold: int) -> Experiment:
    """The experiment as the search runs it: validated in the place of the test set."""
    study = {"role": "fold", "folds": folds, "fold": fold} if folds > 1 else {"role": "validation"}
    share = experiment.federation.validation_fraction or DEFAULT_VALIDATION
    group, _dot, name = experiment.stop.metric.rpartition(".")
    changes: dict[str, dict[str, Any]] = {
        "study": study,
        "evaluate": {"where": "server"},
        "federation": {"validation-fraction": share} if folds == 1 else {},
        "stop": {"metric": experiment.stop.metric if group == "train" else name},
    }
    return changed(experiment, changes)


def refit(experiment: Experiment, rounds: int) -> Experiment:
    """The winner's last run: so many rounds, on everything that is not for testing, evaluated after the last of them only."""
    stop = {key: None for key, _value in experiment.stop.written() if key not in ("metric", "mode")}
    changes: dict[str, dict[str, Any]] = {
        "rounds": {"num-rounds": rounds},
        "evaluate": {"every": rounds},
        "federation": {"validation-fraction": None},
        "stop": stop,
    }
    return changed(experiment, changes)


class _Looking:
    """The search, rung by rung. What it decides is a function of the run folders, so a search that was killed goes on as it was."""

    def __init__(self, search: Search, found: list[Candidate], out: Path, workers: int, task: Task, shown: Progress) -> None:
        self._search, self._out, self._workers, self._task, self._shown = search, out, workers, task, shown
        self._standings = {each.number: Standing(each) for each in found}
        self.metric = ""
        self._group = "server"

    def run(self) -> list[Standing]:
        """All standings, the best first."""
        going = list(self._standings)
        most = max(each.candidate.experiment.rounds.num_rounds for each in self._standings.values())
        steps = rungs(len(going), most, self._search.halving)
        for place, until in enumerate(steps):
            self._train(going, until, steps[place + 1 :])
            scores = {number: score for number in going if (score := self._standings[number].score) is not None}
            if not scores:
                first = next((each.reason for each in self._standings.values() if each.reason), "")
                raise RunError("None of the {count} candidates could be trained. {first}", count=len(going), first=first)
            last = place == len(steps) - 1
            count = len(scores) if last else kept(len(going), self._search.halving or 1)
            survivors = best(scores, rising=rises(self.metric), count=count)
            for number in set(going) - set(survivors):
                self._standings[number].out = True
            going = survivors
        return sorted(self._standings.values(), key=self._rank)

    def rounds_of(self, standing: Standing) -> int:
        """How many rounds the candidate trained, the median over its folds: a rule of its own may have stopped it early."""
        lengths = sorted(len(run.records.rounds) for run in self._runs(standing.candidate))
        return max(1, lengths[len(lengths) // 2])

    def _rank(self, standing: Standing) -> tuple[bool, int, float, int]:
        """Those that were trained longer first, as they were dropped later; among them by value."""
        score = standing.score
        value = 0.0 if score is None else -score if rises(self.metric) else score
        return score is None, -self._lasted(standing), value, standing.candidate.number

    def _lasted(self, standing: Standing) -> int:
        return standing.rounds if self._search.halving else 0

    def _train(self, going: Sequence[int], until: int, later: Sequence[int]) -> None:
        jobs = [job for number in going for job in self._jobs(self._standings[number].candidate, until)]
        total, share, rest = sum(job.cost for job in jobs), 1.0, 0.0
        for rounds in later:
            share /= self._search.halving or 1
            rest += total * share * rounds / until
        self._shown.expect({job.key: job.cost for job in jobs}, rest)
        failed: dict[int, str] = {}
        for key, outcome in side_by_side(jobs, self._workers, self._shown):
            number = int(key.split("/")[0])
            if isinstance(outcome, CirandaError):
                failed.setdefault(number, str(outcome))
            self._shown.ended(key, str(outcome) if isinstance(outcome, CirandaError) else self._standings[number].candidate.label)
        whole = [number for number in going if number not in failed]
        runs = {number: self._runs(self._standings[number].candidate) for number in whole}
        if runs and not self.metric:
            asked = (self._search.metric or "").rpartition(".")[2]  # whichever group it is measured in after the search
            self._group, self.metric = choose_metric([run for each in runs.values() for run in each], asked or None)
        for number in going:
            standing = self._standings[number]
            standing.rounds = min(until, standing.candidate.experiment.rounds.num_rounds)
            standing.values = [self._value(run, until) for run in runs.get(number, ())]
            standing.reason = failed.get(number, "") or (
                "" if standing.score is not None else _("its {metric} is not finite", metric=self.metric)
            )

    def _value(self, run: Measured, until: int) -> float:
        """The last value that was measured up to the round: a run that was extended before a crash has later ones."""
        curve = run.records.curve(self._group, self.metric)
        values = curve.values[curve.rounds <= until]
        return float(values[-1]) if len(values) else float("nan")

    def _jobs(self, candidate: Candidate, until: int) -> list[Job]:
        jobs = []
        for fold in range(1, self._search.folds + 1):
            experiment = trial(candidate.experiment, self._search.folds, fold)
            work = partial(_run, experiment, self._folder(candidate, fold), self._task, until)
            jobs.append(Job(f"{candidate.number:03d}/{fold}", work, cost_of(experiment, until)))
        return jobs

    def _runs(self, candidate: Candidate) -> list[Measured]:
        return read_runs([self._folder(candidate, fold) for fold in range(1, self._search.folds + 1)])

    def _folder(self, candidate: Candidate, fold: int) -> Path:
        return self._out / "runs" / f"{candidate.number:03d}" / f"fold-{fold}"


def cost_of(experiment: Experiment, until: int) -> float:
    """How long a run of so many rounds takes beside the others of the sweep: optimizer steps, which cost more by what they are than by
    their examples as long as batches are small."""
    rounds = min(until, experiment.rounds.num_rounds)
    return rounds * experiment.rounds.fraction_train * experiment.client.local_epochs * (1 + 32 / experiment.client.batch_size)


def _run(experiment: Experiment, folder: Path, task: Task, until: int, workers: int, tell: Tell) -> None:
    ensure(experiment, folder, workers=workers, tell=tell, task=task, until=until)
