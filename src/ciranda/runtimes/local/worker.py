"""What a worker does with the clients it is given: train, evaluate, and fold accepted updates into its own exact total."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from time import perf_counter

from ciranda.core.client import personal, train_update, update_digest
from ciranda.core.errors import CirandaError, RefusedUpdate, SignatureError, TaskError, blame
from ciranda.core.metrics import Sums
from ciranda.core.params import model_sha256
from ciranda.core.population import Population, rank_of
from ciranda.core.rng import Draw
from ciranda.core.stages import Chain
from ciranda.core.strategies.base import ClientRule, Work
from ciranda.core.task import ClientSettings, Task
from ciranda.core.texts import Text
from ciranda.core.update import Contract, Total, Update, accept, fold, zero
from ciranda.protocol.messages import EVALUATOR, PhaseKind
from ciranda.runtimes.base import Published
from ciranda.store.client_states import ClientStates

NO_EXAMPLES = "no-examples"


@dataclass(frozen=True)
class Setup:
    """What every worker holds from its start to its end.

    Attributes:
        settings: how clients train, the strategy's own settings included.
        draw: the run's root of random draws.
        prepare: entered for as long as the worker works: one thread, and whatever else the recipe fixes.
        probe: the digest of three fixed training steps here, to tell machines that compute differently apart.
        rule: what the strategy has clients do beyond plain training.
        states: where clients keep what they keep between rounds; None if they keep nothing.
    """

    task: Task
    population: Population
    settings: ClientSettings
    chain: Chain
    draw: Draw
    evaluate_batch: int
    prepare: Callable[[], AbstractContextManager[None]]
    probe: Callable[[], str]
    rule: ClientRule | None = None
    states: ClientStates | None = None


@dataclass(frozen=True)
class Job:
    """Work on the model `digest` for some clients, or for a slice of the server's test set (`name` is EVALUATOR)."""

    phase: str
    kind: PhaseKind
    round: int
    digest: str
    names: tuple[str, ...]
    span: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Settle:
    """Verdicts on a worker's waiting updates of one phase, by client name."""

    phase: str = ""
    accepted: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reply:
    """One client's answer as the host needs it: the update itself stays in the worker until it is folded.

    `size` is what its message takes, in bytes; `refused` says why the update cannot be admitted, `failed` why there is none; both are ""
    for an answer that may count.
    """

    name: str
    digest: str = ""
    weight: int = 0
    metrics: Sums = field(default_factory=dict)
    size: int = 0
    refused: str = ""
    failed: str = ""


@dataclass(frozen=True)
class Outcome:
    """The answers to a job, in the order of its names; `error` ended it early."""

    job: Job
    replies: tuple[Reply, ...]
    seconds: float
    error: CirandaError | None = None


@dataclass
class _Open:
    """A training phase as this worker sees it: updates that wait for their verdict, and the sum of those accepted."""

    phase: str
    contract: Contract
    total: Total
    pending: dict[str, Update]


class Worker:
    """Serves jobs one after another."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._models: dict[str, Published] = {}
        self._checked: set[str] = set()
        self._open: _Open | None = None

    def publish(self, model: Published) -> None:
        """Hold the model under its digest; the last two published are held."""
        kept = list(self._models.items())[-1:]
        self._models = {**dict(kept), model.digest: model}

    def work(self, job: Job) -> Outcome:
        """Do a job. Whatever goes wrong is told in the outcome, never raised."""
        start = perf_counter()
        replies: list[Reply] = []
        error: CirandaError | None = None
        for name in job.names:
            try:
                replies.append(self._train(job, name) if job.kind == "train" else self._evaluate(job, name))
            except Exception as problem:  # a user's code may raise anything; the host tells it in one place
                error = _located(problem, job, name)
                break
        return Outcome(job, tuple(replies), perf_counter() - start, error)

    def settle(self, settle: Settle) -> None:
        """Fold the accepted updates into the phase's total, and forget the dropped ones."""
        current = self._open
        if current is None or current.phase != settle.phase:
            return
        for name in settle.dropped:
            current.pending.pop(name, None)
        for name in settle.accepted:
            current.total = fold(current.contract, current.total, name, current.pending.pop(name))

    def total(self, phase: str) -> Total | None:
        """The sum of what was accepted here in `phase`, None if nothing was; the phase is over for this worker."""
        current, self._open = self._open, None
        return current.total if current is not None and current.phase == phase else None

    def _train(self, job: Job, name: str) -> Reply:
        setup = self._setup
        model = self._model(job.digest)
        if self._open is None or self._open.phase != job.phase:
            self._open = _Open(job.phase, model.contract, zero(model.contract), {})
        examples = setup.population.train(rank_of(name))
        if not len(examples):
            return Reply(name, failed=NO_EXAMPLES)
        draw = setup.draw.at("train", round=job.round, client=name)
        work = Work(setup.task, model.arrays, examples, setup.settings, model.contract, draw, model.broadcast)
        before = setup.states.read(name) if setup.states is not None else {}
        try:
            message, after = train_update(work, setup.chain, setup.rule, before)
            update = setup.chain.decode(message, model.contract)
        except RefusedUpdate as error:
            return Reply(name, refused=error.reason)
        refused = accept(model.contract, update)
        if not refused:
            self._open.pending[name] = update
            if setup.states is not None and (before or after):
                setup.states.write(name, job.round, after)
        return Reply(name, update_digest(message), update.weight, update.metrics, message.num_bytes, refused)

    def _evaluate(self, job: Job, name: str) -> Reply:
        """Evaluate on what the client keeps for tests, or, as a candidate, on what it would train on."""
        setup = self._setup
        model, batch = self._model(job.digest).arrays, setup.evaluate_batch
        if name == EVALUATOR:
            return Reply(name, metrics=setup.task.evaluate(model, setup.population.data.test[job.span[0] : job.span[1]], batch))
        candidate = job.kind == "candidates"
        examples = setup.population.train(rank_of(name)) if candidate else setup.population.test(rank_of(name))
        if not len(examples):
            return Reply(name, failed=NO_EXAMPLES)
        if setup.states is not None:
            model = personal(model, setup.states.read(name, tentative=None if candidate else job.round))
        return Reply(name, metrics=setup.task.evaluate(model, examples, batch))

    def _model(self, digest: str) -> Published:
        """The model that was published under `digest`, checked once. Raises SignatureError if it is another one."""
        model = self._models[digest]
        if digest not in self._checked:
            if (found := model_sha256(model.arrays)) != digest:
                raise SignatureError(
                    "The weights here are out of step: they have digest {found}, the round's model is {digest}.",
                    hint="Nothing may write into the arrays of the model that a task is given; copy them first.",
                    found=found[:12],
                    digest=digest[:12],
                )
            self._checked = {*self._models} & {*self._checked, digest}
        return model


def _located(problem: Exception, job: Job, name: str) -> CirandaError:
    """The problem with the round and client where it happened."""
    where = Text(
        "Round {round}, evaluation on the server" if name == EVALUATOR else "Round {round}, client {client}", round=job.round, client=name
    )
    if isinstance(problem, CirandaError):
        return problem.within(where)
    place = blame(problem)
    text = "{where}: {kind}: {problem} ({place})" if place else "{where}: {kind}: {problem}"
    return TaskError(text, where=where, kind=type(problem).__name__, problem=problem, place=place)
