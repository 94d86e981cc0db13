"""One worker: weights in step, verdicts, and errors in the user's terms."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ciranda.core.errors import DivergedError, RefusedUpdate, SignatureError, StopRequested, TaskError
from ciranda.core.metrics import Sums
from ciranda.core.params import model_sha256
from ciranda.core.partition import Partition
from ciranda.core.population import Population
from ciranda.core.rng import Draw
from ciranda.core.stages import Chain, Float16
from ciranda.core.strategies import Scaffold
from ciranda.core.strategies.base import ClientRule, Work
from ciranda.core.task import Array, Arrays, ClientSettings, Examples, Part, Trained
from ciranda.core.update import Contract, Update
from ciranda.protocol.messages import EVALUATOR
from ciranda.runtimes.base import Published
from ciranda.runtimes.local.worker import Job, Settle, Setup, Worker
from ciranda.store.client_states import ClientStates
from ciranda.testing.toys import MeanTask
from ciranda.testing.wires import population_of

PHASE = "1.1.0.train"


def worker_of(task: MeanTask, population: Population, chain: Chain | None = None) -> tuple[Worker, str]:
    """A worker that holds the model of zeros, and its digest."""
    worker = Worker(Setup(task, population, ClientSettings(), chain or Chain(), Draw(1), 2, nullcontext, lambda: ""))
    model: Arrays = task.initial(Draw(0))
    digest = model_sha256(model)
    worker.publish(Published(digest, model, Contract.for_model(model, task.part_of, max_weight=3, cohort=4)))
    return worker, digest


def train(digest: str, *names: str) -> Job:
    return Job(PHASE, "train", 1, digest, names)


def test_only_accepted_updates_are_in_the_total() -> None:
    task = MeanTask()
    worker, digest = worker_of(task, population_of(task, 4))
    outcome = worker.work(train(digest, "0", "1", "2"))
    assert outcome.error is None
    assert [reply.name for reply in outcome.replies] == ["0", "1", "2"]
    worker.settle(Settle(PHASE, accepted=("2", "0"), dropped=("1",)))
    total = worker.total(PHASE)
    assert total is not None
    assert total.count == 2
    assert worker.total(PHASE) is None


def test_verdicts_of_another_phase_change_nothing() -> None:
    task = MeanTask()
    worker, digest = worker_of(task, population_of(task, 4))
    worker.work(train(digest, "0"))
    worker.settle(Settle("9.1.0.train", accepted=("0",)))
    total = worker.total(PHASE)
    assert total is not None
    assert total.count == 0


def test_weights_out_of_step_are_found_before_training() -> None:
    task = MeanTask()
    population = population_of(task, 4)
    worker, digest = worker_of(task, population)
    model = {"w": np.ones(2, np.float32)}
    worker.publish(Published(digest, model, Contract.for_model(model, task.part_of, max_weight=3, cohort=4)))
    outcome = worker.work(train(digest, "0"))
    assert isinstance(outcome.error, SignatureError)
    assert digest[:12] in str(outcome.error)
    assert model_sha256(model)[:12] in str(outcome.error)
    assert outcome.replies == ()


def test_what_is_decoded_is_folded() -> None:
    task = MeanTask()
    worker, digest = worker_of(task, population_of(task, 4), Chain((Float16(),)))
    assert not worker.work(train(digest, "0")).replies[0].refused
    worker.settle(Settle(PHASE, accepted=("0",)))
    assert worker.total(PHASE) is not None


def test_evaluation_takes_the_slice_it_is_given() -> None:
    task = MeanTask()
    population = population_of(task, 4)
    worker, digest = worker_of(task, population)
    outcome = worker.work(Job("1.1.1.evaluate", "evaluate", 1, digest, (EVALUATOR,), (1, 3)))
    assert outcome.replies[0].metrics == task.evaluate(task.initial(Draw(0)), population.data.test[1:3], 2)


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [("raise", TaskError, "ZeroDivisionError: a user's mistake"), ("stop", StopRequested, "it has seen enough")],
)
def test_an_error_says_round_and_client_and_keeps_what_was_done(fault: str, kind: type[Exception], text: str) -> None:
    population = population_of(MeanTask(), 4)
    worker, digest = worker_of(MeanTask(faults={float(population.train(2).x[0, 0]): fault}), population)
    outcome = worker.work(train(digest, "1", "2"))
    assert isinstance(outcome.error, kind)
    assert "Round 1, client 2: " in str(outcome.error)
    assert text in str(outcome.error)
    assert [reply.name for reply in outcome.replies] == ["1"]


def test_an_error_in_a_users_file_is_told_with_its_line() -> None:
    class Broken(MeanTask):
        def train(
            self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw, correction: Arrays | None = None
        ) -> Trained:
            done: dict[str, Trained] = {}
            return done["nothing"]

    task = Broken()
    worker, digest = worker_of(task, population_of(task, 4))
    error = worker.work(train(digest, "0")).error
    assert f"{__file__}, line " in str(error)


def test_hints_survive() -> None:
    class Diverging(MeanTask):
        def train(
            self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw, correction: Arrays | None = None
        ) -> Trained:
            raise DivergedError("the loss is not finite", hint="lower it")

    task = Diverging()
    worker, digest = worker_of(task, population_of(task, 4))
    error = worker.work(train(digest, "0")).error
    assert isinstance(error, DivergedError)
    assert (str(error), error.hint) == ("Round 1, client 0: the loss is not finite", "lower it")


# --- what clients keep, and clients that have nothing


def stateful(folder: Path, rule: ClientRule | None = None, chain: Chain | None = None) -> tuple[Worker, str, ClientStates]:
    """A worker whose clients may keep something."""
    task, states = MeanTask(), ClientStates(folder / "clients")
    setup = Setup(task, population_of(task, 4), ClientSettings(), chain or Chain(), Draw(1), 2, nullcontext, lambda: "", rule, states)
    worker = Worker(setup)
    model = task.initial(Draw(0))
    contract = Contract.for_model(model, task.part_of, max_weight=3, cohort=4, rule=rule, population=4)
    broadcast = Scaffold().broadcast(Scaffold().init(model)) if rule is not None else {}
    worker.publish(Published(model_sha256(model), model, contract, broadcast))
    return worker, model_sha256(model), states


def test_training_leaves_a_tentative_state(tmp_path: Path) -> None:
    worker, digest, states = stateful(tmp_path, Scaffold())
    worker.work(train(digest, "0", "1"))
    assert states.read("0") == {}
    assert states.read("0", tentative=1)["strategy"]["w"].any()


def test_training_again_starts_from_what_was_committed(tmp_path: Path) -> None:
    worker, digest, states = stateful(tmp_path, Scaffold())
    first = worker.work(train(digest, "0")).replies[0]
    assert worker.work(train(digest, "0")).replies[0] == first
    states.settle("0", 1, commit=True)
    assert worker.work(train(digest, "0")).replies[0].digest != first.digest


def test_a_refused_update_leaves_no_state(tmp_path: Path) -> None:
    class Spoiled(Scaffold):
        def train(self, work: Work, state: Arrays) -> tuple[Update, Arrays]:
            update, state = super().train(work, state)
            return replace(update, weight=99), state

    worker, digest, states = stateful(tmp_path, Spoiled())
    assert worker.work(train(digest, "0")).replies[0].refused == "out-of-range"
    assert states.read("0", tentative=1) == {}


def test_without_a_state_nothing_is_written(tmp_path: Path) -> None:
    worker, digest, _ = stateful(tmp_path)
    worker.work(train(digest, "0"))
    assert list(tmp_path.iterdir()) == []


def test_an_update_that_a_stage_cannot_pass_on_is_refused() -> None:
    class Full(Float16):
        def encode(self, update: Update, state: Arrays) -> tuple[Update, Arrays]:
            raise RefusedUpdate("out-of-range", "too large")

    task = MeanTask()
    worker, digest = worker_of(task, population_of(task, 4), Chain((Full(),)))
    outcome = worker.work(train(digest, "0"))
    assert (outcome.error, outcome.replies[0].refused) == (None, "out-of-range")


def test_a_client_without_examples_fails_and_the_others_go_on() -> None:
    task = MeanTask()
    nobody = replace(population_of(task, 4), partition=Partition(np.arange(12), np.array([0, 6, 6, 9, 12])))
    worker, digest = worker_of(task, nobody)
    for job in (train(digest, "0", "1", "2"), Job("1.1.1.evaluate", "evaluate", 1, digest, ("0", "1", "2"))):
        outcome = worker.work(job)
        assert outcome.error is None
        assert [reply.failed for reply in outcome.replies] == ["", "no-examples", ""]


def test_clients_evaluate_with_their_own_private_tensors(tmp_path: Path) -> None:
    class Headed(MeanTask):
        """Predicts its private head, whatever the model."""

        def initial(self, draw: Draw) -> Arrays:
            return {"w": np.zeros(2, np.float32), "head": np.zeros(1, np.float32)}

        def part_of(self, name: str) -> Part:
            return "private" if name == "head" else "model"

        def train(
            self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw, correction: Arrays | None = None
        ) -> Trained:
            return Trained({**model, "head": np.full(1, 100, np.float32)}, {"n": 1, "loss": 0}, 1)

        def predict(self, model: Arrays, x: Array) -> Array:
            return np.full(len(x), model["head"][0])

    task, states = Headed(), ClientStates(tmp_path / "clients")
    population = population_of(task, 4)
    worker = Worker(Setup(task, population, ClientSettings(), Chain(), Draw(1), 2, nullcontext, lambda: "", None, states))
    model = task.initial(Draw(0))
    digest = model_sha256(model)
    worker.publish(Published(digest, model, Contract.for_model(model, task.part_of, max_weight=3, cohort=4)))
    assert not worker.work(train(digest, "0")).replies[0].refused

    def judged(name: str, round: int) -> Sums:
        return worker.work(Job(f"{round}.1.1.evaluate", "evaluate", round, digest, (name,))).replies[0].metrics

    own = task.evaluate({**model, "head": np.full(1, 100, np.float32)}, population.test(0), 2)
    assert judged("0", 1) == own  # what this round's training gave
    assert judged("0", 2) == task.evaluate(model, population.test(0), 2)  # never committed
    states.settle("0", 1, commit=True)
    assert judged("0", 2) == own
    assert judged("1", 2) == task.evaluate(model, population.test(1), 2)
