"""The composition root: from an experiment to a run, on the local wire.

`assemble` makes the parts, `run`, `resume` and `replay` put them to work in a run's folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ciranda.cli.dealing import population_of
from ciranda.cli.folder import RUN, RunFolder
from ciranda.cli.result import Result
from ciranda.cli.session import OnEvent, Session, begin, stops
from ciranda.cli.tables import csv_task
from ciranda.core.codec import decode
from ciranda.core.errors import CirandaError, ExperimentError, Missing, StoreError
from ciranda.core.parameters import build
from ciranda.core.params import Signature
from ciranda.core.population import Population, name_of
from ciranda.core.rng import Draw
from ciranda.core.selection import Selector, random_selection
from ciranda.core.selection import make as make_selection
from ciranda.core.stages import Chain, Clip, Stage
from ciranda.core.strategies import make as make_strategy
from ciranda.core.strategies.base import Strategy
from ciranda.core.task import Array, Arrays, ClientSettings, FederatedData, Task
from ciranda.core.texts import Text
from ciranda.core.update import Contract
from ciranda.experiment.load import dump, load
from ciranda.experiment.names import nearest
from ciranda.experiment.schema import Experiment
from ciranda.plugins.families import SELECTION, STAGE, STRATEGY
from ciranda.protocol.messages import CloseRule, ResumeAsked
from ciranda.protocol.plan import Plan, Shortlist
from ciranda.runtimes.host import Host
from ciranda.runtimes.local.pool import make_pool
from ciranda.runtimes.local.wire import LocalWire
from ciranda.runtimes.local.worker import Setup
from ciranda.store.client_states import ClientStates
from ciranda.tasks.recipe import prepare_worker, probe
from ciranda.tasks.registry import TASKS
from ciranda.tasks.user import is_user_task, load_task


@dataclass(frozen=True)
class Assembly:
    """Everything that a run is made of, before any wire is chosen."""

    experiment: Experiment
    task: Task
    population: Population
    strategy: Strategy
    settings: ClientSettings
    chain: Chain
    plan: Plan
    draw: Draw
    cohort: int

    def initial(self) -> Arrays:
        """The model of version 0: a function of the seed."""
        return self.task.initial(self.draw.at("initial"))

    def contract(self, model: Arrays) -> Contract:
        """What updates of `model` must satisfy; known before anyone replies."""
        return Contract.for_model(
            model,
            self.task.part_of,
            max_weight=self.population.max_weight(),
            cohort=self.cohort,
            clipping_norm=self.bounding_norm,
            rule=self.strategy.client,
            population=self.population.size,
        )

    @property
    def bounding_norm(self) -> float | None:
        """The norm that no update exceeds, if there is one: what a stage feeds back comes on top of a clipped update."""
        return None if self.chain.feeds_back else self.experiment.privacy.clipping_norm

    def broadcast(self, model: Arrays) -> Signature:
        """What the strategy sends beside `model` in every round."""
        return Signature.of(self.strategy.broadcast(self.strategy.init(self.contract(model).trained(model))))


def assemble(experiment: Experiment, task: Task | None = None, data: FederatedData | None = None) -> Assembly:
    """Make the parts; `task` stands in for the one that the experiment names (a class defined in a notebook, say), `data` for its data.

    Raises:
        ExperimentError, DataError, TaskError: what does not fit together, found before anything is trained.
    """
    task = task if task is not None else task_of(experiment)
    data = data if data is not None else task.data()
    draw = Draw(experiment.experiment.seed)
    population = population_of(experiment, data, draw)
    strategy = make_strategy(STRATEGY.find(experiment.strategy.name), **experiment.strategy.params)
    selection = make_selection(SELECTION.find(experiment.rounds.selection), **experiment.rounds.params)
    cohort = experiment.cohort(population.size)
    selection.check(population.size, cohort)
    chain = chain_of(experiment)
    features = {*strategy.features}
    features |= {
        name for name, held in (("whole-cohort-rule", strategy.needs_cohort), ("loss-based-selection", selection.needs_losses)) if held
    }
    chain.check(features)
    return Assembly(
        experiment=experiment,
        task=task,
        population=population,
        strategy=strategy,
        settings=strategy.client_settings(experiment.client.settings()),
        chain=chain,
        plan=plan_of(experiment, draw, examples=population.partition.sizes),
        draw=draw,
        cohort=cohort,
    )


def chain_of(experiment: Experiment) -> Chain:
    """What happens to updates on their way."""
    norm, stage = experiment.privacy.clipping_norm, experiment.stage
    stages: list[Stage] = [] if norm is None else [Clip(norm)]
    if stage.name is not None:
        stages.append(build(STAGE.find(stage.name), Text("stage '{name}'", name=stage.name), stage.params))
    return Chain(stages)


def plan_of(experiment: Experiment, draw: Draw, name: Callable[[int], str] = name_of, examples: Array | None = None) -> Plan:
    """The coordinator's constants.

    Args:
        name: turns a rank in the roster into a client's logical name.
        examples: how many each client has, shape (clients,); without it selection takes them for equal.
    """
    rounds, evaluate = experiment.rounds, experiment.evaluate
    rule = make_selection(SELECTION.find(rounds.selection), **rounds.params)
    selector = Selector(rule, draw.at("train"), rounds.fraction_train, rounds.min_train_clients, examples, name)
    return Plan(
        run=RUN,
        num_rounds=rounds.num_rounds,
        select=selector.select,
        select_evaluate=random_selection(draw.at("evaluate"), evaluate.fraction_evaluate, 1, name=name),
        train=rounds.close_rule(),
        evaluate=CloseRule(deadline_s=rounds.deadline_s, too_few="skip"),
        evaluate_where=evaluate.where,
        evaluate_every=evaluate.every,
        stop=experiment.stop.rule(),
        shortlist=Shortlist(selector.candidates, selector.choose) if rule.needs_losses else None,
    )


def experiment_of(out: Path) -> Experiment:
    """The experiment of the run in `out`."""
    return load(RunFolder.existing(out).experiment)


def task_of(experiment: Experiment) -> Task:
    """The task that the experiment names. Raises ExperimentError if there is none of that name."""
    name, device = experiment.experiment.task, experiment.experiment.device
    if is_user_task(name):
        return load_task(name, device)
    if name == "csv":
        return csv_task(experiment)
    if name not in TASKS:
        raise ExperimentError(
            "There is no task '{name}'{near}", hint="`ciranda list tasks` names them.", name=name, near=nearest(name, TASKS)
        )
    return TASKS[name].make(device)


def stored_model(folder: RunFolder) -> Arrays:
    """The final model of a run. Raises Missing before there is one, CodecError if the file is damaged."""
    if not folder.model.is_file():
        raise Missing("{path} has no model yet.", hint="Go on with: ciranda resume {path}", path=folder.path)
    return decode(folder.model.read_bytes())[0]


def predict(out: Path, inputs: Array, task: Task | None = None) -> Array:
    """What the final model of the run in `out` says of raw inputs, shape (n, ...): probabilities (n, classes), or targets."""
    folder = RunFolder.existing(out)
    task = task if task is not None else task_of(load(folder.experiment))
    return task.predict(stored_model(folder), inputs)


def run(
    experiment: Experiment,
    out: Path,
    *,
    workers: int | None = None,
    on_event: OnEvent = lambda row: None,
    task: Task | None = None,
    until: int | None = None,
) -> Result:
    """Run an experiment from its beginning into the folder `out`, which must not hold a run yet.

    Args:
        until: end after this round, if the experiment has more; `resume` goes on from there.
        workers: worker processes; by default one per core, and no more than clients in a round.
        on_event: told every line of metrics.jsonl, and {"event": "start" | "progress" | "finish", ...} between them.

    Raises:
        CirandaError: what ended the run; the folder then holds a result whose state is "error".
    """
    folder = RunFolder(out)
    if folder.experiment.exists():
        raise StoreError("{out} holds a run already.", hint="Choose another --out, or go on with: ciranda resume {out}", out=out)
    assembly = _until(assemble(experiment, task), until)
    begin(folder, assembly)
    return _work(folder, assembly, workers, on_event, resuming=False)


def resume(
    out: Path,
    *,
    overrides: Sequence[str] = (),
    workers: int | None = None,
    on_event: OnEvent = lambda row: None,
    task: Task | None = None,
    until: int | None = None,
) -> Result:
    """Go on with the run in `out`, from its last stored state; with `overrides` such as more rounds, under the changed experiment;
    `until` a round as in `run`.

    Raises:
        CirandaError: there is no run there, or what ended it again.
    """
    folder = RunFolder.existing(out)
    experiment = load(folder.experiment, overrides)
    assembly = _until(assemble(experiment, task), until)
    if overrides:
        folder.write(folder.experiment, dump(experiment))
    return _work(folder, assembly, workers, on_event, resuming=True)


def _until(assembly: Assembly, last: int | None) -> Assembly:
    rounds = assembly.plan.num_rounds if last is None else min(last, assembly.plan.num_rounds)
    return replace(assembly, plan=replace(assembly.plan, num_rounds=rounds))


def replay(
    source: Path, out: Path, *, workers: int | None = None, on_event: OnEvent = lambda row: None, task: Task | None = None
) -> Result:
    """Run the experiment of `source` again into `out`, every round with exactly the clients that were counted then.

    The result must have the same `model_sha256` on the same recipe.
    """
    recorded = RunFolder.existing(source)
    accepted = {row["round"]: [name for name, _ in row["accepted"]] for row in recorded.rows() if row["event"] == "round"}
    experiment = load(recorded.experiment)
    assembly = assemble(experiment, task)
    plan = replace(
        assembly.plan,
        num_rounds=max(accepted, default=1),
        select=lambda round, attempt, roster: accepted[round],
        shortlist=None,
        train=CloseRule("all"),
        stop=replace(assembly.plan.stop, target=None, patience=None, max_bytes=None, max_seconds=None, max_epsilon=None),
    )
    folder = RunFolder(out)
    if folder.experiment.exists():
        raise StoreError("{out} holds a run already.", hint="Choose another --out for the replay.", out=out)
    begin(folder, assembly)
    return _work(folder, replace(assembly, plan=plan), workers, on_event, resuming=False)


def _work(folder: RunFolder, assembly: Assembly, workers: int | None, on_event: OnEvent, *, resuming: bool) -> Result:
    """The run itself: pool, wire, host, and the result they leave."""
    store = folder.open_store()
    rows = folder.rewrite_metrics(store)
    session = Session(folder, store, assembly, on_event, rows)
    model = assembly.initial()
    signature = Signature.of(model)
    states = ClientStates(folder.clients, deferred=True)
    pool = make_pool(_setup(assembly, states), _workers(workers, assembly), signature, assembly.broadcast(model))
    wire = LocalWire(pool, len(assembly.population.data.test), assembly.experiment.evaluate.batch_size, session.progress, states)
    host = Host(assembly.plan, assembly.strategy, wire, store, assembly.chain, assembly.contract, session.row)
    if (record := assembly.population.data.record) is not None and not resuming:
        on_event({"event": "data", **record})
    on_event(
        {
            "event": "start",
            "rounds": assembly.plan.num_rounds,
            "clients": assembly.population.size,
            "workers": pool.size,
            "parameters": signature.num_parameters,
            "done": len(rows),
            "out": str(folder.path),
        }
    )
    if not resuming:
        session.begin()
    try:
        with stops(wire.request_stop):
            probes = pool.start()
            if resuming and store.read(RUN)[0]:
                host.recover(ResumeAsked("resume"))
            else:
                host.start(model, assembly.population.size)
            state = host.run()
    except CirandaError as error:
        with suppress(StoreError):  # the disk may be what failed; the store still holds the last whole round
            session.finish(host.state, None, str(error), [])
        raise
    finally:
        wire.close()
        store.close()
    return session.finish(state, host.model, state.reason, probes)


def _setup(assembly: Assembly, states: ClientStates) -> Setup:
    return Setup(
        task=assembly.task,
        population=assembly.population,
        settings=assembly.settings,
        chain=assembly.chain,
        draw=assembly.draw,
        evaluate_batch=assembly.experiment.evaluate.batch_size,
        prepare=partial(prepare_worker, bool(getattr(assembly.task, "device", ""))),
        probe=partial(probe, assembly.task, assembly.population.data.train[:1]),
        rule=assembly.strategy.client,
        states=states,
    )


def _workers(asked: int | None, assembly: Assembly) -> int:
    if asked is not None and asked < 1:
        raise ExperimentError("--workers must be at least 1, not {asked}.", asked=asked)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(asked or cores, max(1, assembly.cohort))
