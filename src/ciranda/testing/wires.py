"""The laws that every wire keeps, local or not. Needs pytest.

Subclass `WireConformance`, name the class `Test...`, and give it a `make_wire` fixture: (population, task) -> a wire on which that
population's clients are there and wait for instructions. What is learned is `MeanTask`, so every sum is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from ciranda.core.metrics import summarise
from ciranda.core.params import model_sha256
from ciranda.core.partition import partition
from ciranda.core.population import Population, rank_of
from ciranda.core.rng import Draw
from ciranda.core.task import Task
from ciranda.core.update import Contract, finish
from ciranda.protocol.messages import (
    EVALUATOR,
    Acknowledge,
    Arm,
    Cancel,
    Close,
    Command,
    DeadlinePassed,
    Disarm,
    Event,
    Instruct,
    PhaseKind,
    Record,
    Refuse,
    Replied,
)
from ciranda.runtimes.base import Gathered, Published, Wire
from ciranda.testing.toys import MeanTask

MakeWire = Callable[[Population, Task], Wire]
CLIENTS = 5
NAMES = tuple(str(rank) for rank in range(CLIENTS))


def population_of(task: Task, clients: int = CLIENTS) -> Population:
    """The task's data dealt out evenly; every client keeps a third of its own for evaluation."""
    data = task.data()
    draw = Draw(7)
    return Population(data, partition("iid", data.train.y, clients, draw.at("partition")), 0.0, 0.34, draw)


class WireConformance:
    """Subclass it as the module's docstring says."""

    @pytest.fixture
    def task(self) -> Task:
        return MeanTask(CLIENTS)

    @pytest.fixture
    def population(self, task: Task) -> Population:
        return population_of(task)

    @pytest.fixture
    def wire(self, make_wire: MakeWire, population: Population, task: Task) -> Iterator[Wire]:
        wire = make_wire(population, task)
        yield wire
        wire.close()

    @pytest.fixture
    def published(self, wire: Wire, population: Population, task: Task) -> Published:
        return publish(wire, population, task, 0.0)

    def test_every_instructed_client_replies_once(self, wire: Wire, published: Published) -> None:
        replies = ask(wire, published, "1.1.0.train", "train", NAMES)
        assert sorted(reply.name for reply in replies) == sorted(NAMES)
        assert len({reply.digest for reply in replies}) == CLIENTS
        assert all(reply.weight == 2 and not reply.refused for reply in replies)

    def test_the_sum_is_of_exactly_the_accepted(self, wire: Wire, published: Published, population: Population) -> None:
        replies = ask(wire, published, "1.1.0.train", "train", NAMES)
        accepted = sorted((reply for reply in replies if reply.name in ("1", "3")), key=lambda reply: reply.name)
        wire.carry([verdict(reply, stored=reply in accepted) for reply in replies])
        gathered = close(wire, published, "1.1.0.train", "train", accepted)
        assert gathered.total is not None
        assert gathered.total.count == 2
        assert sorted(gathered.metrics) == ["1", "3"]
        aggregate = finish(published.contract, gathered.total)
        means = [population.train(rank).x.mean(axis=0, dtype=np.float32) / np.float32(2) for rank in (1, 3)]
        np.testing.assert_allclose(aggregate.parts["model"]["w"], np.mean(means, axis=0), rtol=1e-6)

    def test_payload_is_counted(self, wire: Wire, published: Published) -> None:
        replies = ask(wire, published, "1.1.0.train", "train", NAMES)
        wire.carry([verdict(reply) for reply in replies])
        gathered = close(wire, published, "1.1.0.train", "train", replies)
        assert gathered.bytes_up >= CLIENTS * 8
        assert gathered.bytes_down >= CLIENTS * 8
        assert gathered.seconds > 0

    def test_a_phase_leaves_nothing_to_the_next(self, wire: Wire, published: Published, population: Population, task: Task) -> None:
        for number in (1, 2):
            phase = f"{number}.1.0.train"
            replies = ask(wire, published, phase, "train", NAMES)
            wire.carry([verdict(reply) for reply in replies])
            gathered = close(wire, published, phase, "train", replies)
            assert gathered.total is not None
            assert gathered.total.count == CLIENTS
            wire.carry([record(number, replies)])

    def test_both_published_models_can_be_worked_on(self, wire: Wire, published: Published, population: Population, task: Task) -> None:
        following = publish(wire, population, task, 8.0)
        old = ask(wire, published, "1.1.1.evaluate", "evaluate", [EVALUATOR])
        error = summarise(close(wire, published, "1.1.1.evaluate", "evaluate", old).metrics[EVALUATOR])["mae"]
        new = ask(wire, following, "1.1.2.evaluate", "evaluate", [EVALUATOR])
        moved = summarise(close(wire, following, "1.1.2.evaluate", "evaluate", new).metrics[EVALUATOR])["mae"]
        assert error != moved

    def test_clients_evaluate_on_their_own_test_part(self, wire: Wire, published: Published, population: Population, task: Task) -> None:
        replies = ask(wire, published, "1.1.1.evaluate", "evaluate", ["0", "4", EVALUATOR])
        gathered = close(wire, published, "1.1.1.evaluate", "evaluate", replies)
        assert gathered.total is None
        for rank in (0, 4):
            assert gathered.metrics[str(rank)] == task.evaluate(published.arrays, population.test(rank), 2)
        assert gathered.metrics[EVALUATOR]["n"] == len(population.data.test)

    def test_candidates_tell_their_loss_and_some_of_them_train(
        self, wire: Wire, published: Published, population: Population, task: Task
    ) -> None:
        heard = ask(wire, published, "1.1.0.candidates", "candidates", ["0", "2", "4"])
        wire.carry([verdict(reply) for reply in heard])
        told = close(wire, published, "1.1.0.candidates", "candidates", heard)
        assert told.total is None
        assert sorted(told.metrics) == ["0", "2", "4"]
        for name, sums in told.metrics.items():
            assert sums == task.evaluate(published.arrays, population.train(rank_of(name)), 2), "a candidate's loss is on its training part"
        replies = ask(wire, published, "1.1.1.train", "train", ["2", "4"])
        wire.carry([verdict(reply) for reply in replies])
        gathered = close(wire, published, "1.1.1.train", "train", replies)
        assert gathered.total is not None
        assert gathered.total.count == 2
        assert gathered.bytes_up >= 2 * 8

    def test_a_cancelled_phase_leaves_nothing_to_the_next_attempt(self, wire: Wire, published: Published) -> None:
        wire.carry(instructions(published, "1.1.0.train", "train", NAMES))
        wire.carry([Cancel(f"cancel/{name}", name, "1.1.0.train") for name in NAMES])
        replies = ask(wire, published, "1.2.0.train", "train", NAMES)
        assert sorted(reply.name for reply in replies) == sorted(NAMES)
        wire.carry([verdict(reply) for reply in replies])
        gathered = close(wire, published, "1.2.0.train", "train", replies)
        assert gathered.total is not None
        assert gathered.total.count == CLIENTS

    def test_a_record_is_taken_in_and_changes_no_round(self, wire: Wire, published: Published) -> None:
        """Twice, as after a crash, and of clients that may keep nothing."""
        replies = ask(wire, published, "1.1.0.train", "train", NAMES)
        wire.carry([verdict(reply) for reply in replies])
        close(wire, published, "1.1.0.train", "train", replies)
        wire.carry([record(1, replies)])
        wire.carry([record(1, replies)])
        assert {reply.phase for reply in ask(wire, published, "2.1.0.train", "train", NAMES)} == {"2.1.0.train"}

    def test_a_deadline_passes_and_a_disarmed_one_does_not(self, wire: Wire, published: Published) -> None:
        wire.carry([Arm("a", "first", 0.001), Disarm("b", "first"), Arm("c", "second", 0.002)])
        assert wire.events() == [DeadlinePassed("second")]

    def test_a_refused_update_is_told_with_its_reason(self, make_wire: MakeWire) -> None:
        task = MeanTask(CLIENTS, faults={2.0: "nan"})
        population = population_of(task)
        holder = next(str(rank) for rank in range(CLIENTS) if 2.0 in population.train(rank).x[:, 0])
        wire = make_wire(population, task)
        try:
            replies = ask(wire, publish(wire, population, task, 0.0), "1.1.0.train", "train", NAMES)
        finally:
            wire.close()
        assert {reply.name: reply.refused for reply in replies if reply.refused} == {holder: "non-finite"}


def publish(wire: Wire, population: Population, task: Task, value: float) -> Published:
    """Publish the model whose every coordinate is `value`."""
    arrays = {name: np.full_like(array, value) for name, array in task.initial(Draw(0)).items()}
    contract = Contract.for_model(arrays, task.part_of, max_weight=population.max_weight(), cohort=population.size)
    model = Published(model_sha256(arrays), arrays, contract)
    wire.publish(model)
    return model


def instructions(model: Published, phase: str, kind: PhaseKind, names: Sequence[str]) -> list[Command]:
    return [Instruct(f"{phase}/instruct/{name}", name, phase, kind, int(phase.split(".")[0]), model.digest) for name in names]


def ask(wire: Wire, model: Published, phase: str, kind: PhaseKind, names: Sequence[str]) -> list[Replied]:
    """Instruct, and wait for everybody. Replies to other phases, which a far client may have sent before it heard of the end, are late."""
    wire.carry(instructions(model, phase, kind, names))
    replies: list[Replied] = []
    while len(replies) < len(names):
        replies.extend(reply for event in wire.events() if (reply := _replied(event)).phase == phase)
    return replies


def verdict(reply: Replied, *, stored: bool = True) -> Command:
    if stored:
        return Acknowledge(f"ack/{reply.name}", reply.name, reply.phase, reply.digest, "stored")
    return Refuse(f"refuse/{reply.name}", reply.name, reply.phase, reply.digest, "late")


def record(round: int, accepted: Sequence[Replied]) -> Record:
    """The record of a round in which all went well; clients train in the next one only after they heard of it."""
    pairs = [[reply.name, reply.digest] for reply in accepted]
    nobody: dict[str, Any] = {"failed": {}, "refused": {}, "evaluated": [], "unevaluated": {}}
    return Record(f"record/{round}", {"event": "round", "round": round, "accepted": pairs, **nobody})


def close(wire: Wire, model: Published, phase: str, kind: PhaseKind, accepted: Sequence[Replied]) -> Gathered:
    pairs = tuple(sorted((reply.name, reply.digest) for reply in accepted))
    return wire.gather(Close(f"{phase}/close", phase, kind, int(phase.split(".")[0]), model.digest, pairs))


def _replied(event: Event) -> Replied:
    assert isinstance(event, Replied), f"unexpected {event}"
    return event
