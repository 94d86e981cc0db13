"""One worker: weights in step, verdicts, and errors in the user's terms."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

from ciranda.core.errors import DivergedError, SignatureError, StopRequested, TaskError
from ciranda.core.params import model_sha256
from ciranda.core.population import Population
from ciranda.core.rng import Draw
from ciranda.core.stages import Chain, Float16
from ciranda.core.task import Arrays, ClientSettings, Examples, Trained
from ciranda.core.update import Contract
from ciranda.protocol.messages import EVALUATOR
from ciranda.runtimes.base import Published
from ciranda.runtimes.local.worker import Job, Settle, Setup, Worker
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
