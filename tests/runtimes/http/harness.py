"""A server with a toy run, in this process, and clients in threads: everything real but the task."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import numpy as np

from ciranda.core.errors import CirandaError, DataError
from ciranda.core.message import encode_update
from ciranda.core.metrics import Sums
from ciranda.core.params import digest_of
from ciranda.core.population import Population, name_of
from ciranda.core.rng import Draw
from ciranda.core.selection import random_selection
from ciranda.core.stages import Chain, States
from ciranda.core.strategies import make as make_strategy
from ciranda.core.task import Arrays, ClientSettings, Task
from ciranda.core.update import Contract, Update, difference
from ciranda.protocol.envelope import Envelope
from ciranda.protocol.messages import CloseRule
from ciranda.protocol.plan import Plan, Where
from ciranda.runtimes.host import Host
from ciranda.runtimes.http.access import Access
from ciranda.runtimes.http.client import HttpClient, Limits, Trainer
from ciranda.runtimes.http.disk import Disk
from ciranda.runtimes.http.limits import Rates
from ciranda.runtimes.http.link import Answer, Link
from ciranda.runtimes.http.roster import Member, Roster
from ciranda.runtimes.http.run import Blueprint, HttpRun, Part, Tell
from ciranda.runtimes.http.server import Server
from ciranda.runtimes.http.service import Service
from ciranda.runtimes.http.wire import HttpWire
from ciranda.store.base import Store
from ciranda.store.sqlite import SqliteStore
from ciranda.testing.toys import MeanTask
from ciranda.testing.wires import population_of

Row = Mapping[str, Any]


class Toy(Blueprint):
    """A run of `MeanTask` with one partition a client."""

    run = "run"
    chain = Chain()
    experiment = ""

    def __init__(
        self,
        folder: Path,
        *,
        clients: int = 3,
        rounds: int = 3,
        task: Task | None = None,
        population: Population | None = None,
        rule: CloseRule | None = None,
        where: Where = "server",
        fraction: float = 1.0,
        wrap: Callable[[Store], Store] = lambda store: store,
        wait_s: float | None = None,
        minimum: int | None = None,
    ) -> None:
        self.name, self.folder = "toy", folder
        self.task = task if task is not None else MeanTask(clients)
        self.population = population if population is not None else population_of(self.task, clients)
        self.partitions = self.maximum = self.population.size
        self.minimum = minimum if minimum is not None else self.maximum
        self.wait_s = wait_s
        self.rounds = rounds
        self.rows: list[Row] = []
        self._rule, self._where, self._fraction, self._wrap = rule or CloseRule(), where, fraction, wrap

    def open_store(self) -> Store:
        return self._wrap(SqliteStore(self.folder / "store"))

    def indices(self, partition: int) -> Sequence[int]:
        return list(map(int, self.population.split(partition)[0]))

    def seed(self, member: Member) -> int:
        return 1

    def evaluate(self, model: Arrays) -> Sums:
        return self.task.evaluate(model, self.population.data.test, 2)

    def contract(self, model: Arrays) -> Contract:
        size = self.population.size
        return Contract.for_model(model, self.task.part_of, max_weight=self.population.max_weight(), cohort=size, population=size)

    def host(self, wire: HttpWire, store: Store, roster: Roster, tell: Tell) -> Host:
        chosen = random_selection(Draw(1).at("train"), self._fraction, name=roster.name)
        everyone = random_selection(Draw(1).at("train"), 1.0, name=roster.name)
        plan = Plan("run", self.rounds, chosen, everyone, self._rule, CloseRule(too_few="skip"), self._where)

        def on_row(row: Row, blob: str) -> None:
            self.rows.append(row)
            tell(row)

        return Host(plan, make_strategy("fedavg"), wire, store, Chain(), self.contract, on_row)

    def begin(self, host: Host, store: Store, roster: Roster, tell: Tell) -> None:
        if store.read("run")[0]:
            host.recover()
        else:
            host.start(self.task.initial(Draw(0)), len(roster))

    def finish(self, host: Host | None, roster: Roster | None, error: CirandaError | None, tell: Tell) -> None:
        tell({"event": "finish"})


class ToyTrainer(Trainer):
    """Client `rank` of a population; `trained` lists the rounds that it trained for."""

    def __init__(self, task: Task, population: Population, rank: int) -> None:
        self._task, self._population, self._rank = task, population, rank
        self.trained: list[int] = []

    def told(self) -> Mapping[str, Any]:
        return {"partition": [self._rank, self._population.size], "probe": "probe"}

    def begin(self, name: str, seed: int) -> None:
        assert name == name_of(self._rank)

    def train(self, round: int, model: Arrays, broadcast: Arrays, limits: Limits, states: States) -> tuple[Update, States]:
        self.trained.append(round)
        return local_update(self._task, self._population, self._rank, model), {}

    def evaluate(self, kind: str, model: Arrays, states: States) -> Sums:
        population = self._population
        examples = population.train(self._rank) if kind == "candidates" else population.test(self._rank)
        return self._task.evaluate(model, examples, 2)


def local_update(task: Task, population: Population, rank: int, model: Arrays) -> Update:
    """What client `rank` answers to a round on `model`."""
    examples = population.train(rank)
    trained = task.train(model, examples, ClientSettings(), Draw(1))
    return Update(difference(model, trained.arrays, task.part_of), len(examples), trained.metrics)


class House:
    """The server, and whoever was let in; a `with` block ends them all."""

    def __init__(
        self,
        toy: Toy,
        *,
        port: int = 0,
        anybody: bool = True,
        tls: ssl.SSLContext | None = None,
        trust: ssl.SSLContext | None = None,
        rates: Rates | None = None,
        seed_routes: bool = False,
    ) -> None:
        self.toy, self._trust = toy, trust if tls is not None else None
        self._registry = SqliteStore(toy.folder / "registry")
        self.access = Access(self._registry, toy.folder / "secrets", anybody=anybody)
        self.service = Service(self.access, rates=rates, seed_routes=seed_routes)
        self.server = Server(self.service, port=port, tls=tls)
        self.server.start()
        self.url = self.server.url
        self.clients: dict[int, tuple[HttpClient, Thread, ToyTrainer]] = {}
        self.problems: list[BaseException] = []
        self.quiet: list[HttpRun] = []
        self._links: list[Link] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop everything."""
        for rank in list(self.clients):
            self.send_away(rank)
        for link in self._links:
            link.close()
        self.server.halt()
        self.server.stop()
        for run in self.quiet:
            run.wire.close()
            run.store.close()
        self._registry.close()

    def begin(self) -> HttpRun:
        """The run, which waits for its clients."""
        return self.server.add(self.toy)

    def silent(self) -> HttpRun:
        """The run without its host's loop, for tests that drive the wire themselves."""
        assert self.service.loop is not None
        run = HttpRun(self.toy, self.service.mail, self.service.loop)
        self.service.runs[run.name] = run
        self.quiet.append(run)
        return run

    def client(self, rank: int) -> ToyTrainer:
        """Start client `rank` in a thread."""
        trainer = ToyTrainer(self.toy.task, self.toy.population, rank)
        disk = Disk(self.toy.folder / "clients" / str(rank))
        it = HttpClient(lambda: Link(self.url, self._trust), disk, lambda text: trainer, name=f"client-{rank}", most_backoff=0.2)

        def work() -> None:
            try:
                it.work("toy")
            except BaseException as problem:
                self.problems.append(problem)
            finally:
                disk.close()

        thread = Thread(target=work, daemon=True)
        self.clients[rank] = (it, thread, trainer)
        thread.start()
        return trainer

    def everybody(self, ranks: Sequence[int] | None = None) -> list[ToyTrainer]:
        """Start all clients, or these."""
        return [self.client(rank) for rank in (ranks if ranks is not None else range(self.toy.population.size))]

    def send_away(self, rank: int) -> None:
        """End a client, which may come back."""
        it, thread, _ = self.clients.pop(rank)
        it.stop()
        thread.join(20)
        assert not thread.is_alive()

    def link(self, credential: str = "") -> Link:
        """A line to the server without a client behind it."""
        link = Link(self.url, self._trust)
        link.credential = credential
        self._links.append(link)
        return link

    @property
    def operator(self) -> Link:
        return self.link(self.access.operator_file.read_text())


class RawClient:
    """A client by hand, which answers what it likes."""

    def __init__(self, house: House, rank: int, name: str = "") -> None:
        self.house, self.rank, self.name = house, rank, str(rank)
        self.link = house.link()
        identity = name or f"raw-{rank}"
        self.link.credential = self.link.post("/v1/enrol", {"name": identity}).json()["credential"]
        self.cursor = ""
        self.join()

    def join(self) -> Answer:
        partition = [self.rank, self.house.toy.population.size]
        return self.link.post("/v1/runs/toy/join", {"partition": partition, "probe": "probe"})

    def news(self, wait: float = 10.0) -> list[dict[str, Any]]:
        """What is new; waits for something."""
        answer = self.link.ask("GET", f"/v1/next?after={self.cursor}&wait={wait}", timeout=wait + 10).json()
        self.cursor = answer["cursor"]
        return list(answer["events"])

    def instruction(self, kind: str = "train") -> dict[str, Any]:
        """The next instruction of this kind."""
        while True:
            for event in self.news():
                if event["type"] == "instruct" and event["kind"] == kind:
                    return event

    def model(self, digest: str) -> Arrays:
        from ciranda.core.codec import decode

        return decode(self.link.ask("GET", f"/v1/runs/toy/models/{digest}").body)[0]

    def update(self, instruction: Mapping[str, Any], *, shift: float = 0.0) -> Update:
        """An honest update, moved by `shift`."""
        honest = local_update(self.house.toy.task, self.house.toy.population, self.rank, self.model(instruction["model"]))
        parts = {part: {name: array + np.float32(shift) for name, array in arrays.items()} for part, arrays in honest.parts.items()}
        return Update(parts, honest.weight, honest.metrics)

    def envelope(self, instruction: Mapping[str, Any], body: bytes, /, **changes: Any) -> Envelope:
        fields = {"run": "toy", "sender": self.name, "to": "@server", "kind": "reply", "id": "x", "phase": instruction["phase"]}
        told = {**fields, "model": instruction["model"], "body": digest_of(body), "length": len(body), **changes}
        return Envelope(**told)

    def send(self, instruction: Mapping[str, Any], body: bytes, /, **changes: Any) -> Answer:
        """A reply as one request, its envelope with `changes`."""
        text = self.envelope(instruction, body, **changes).to_json().encode()
        frame = len(text).to_bytes(4, "little") + text + body
        return self.link.ask("PUT", f"/v1/runs/toy/replies/{instruction['phase']}", frame)

    def answer(self, instruction: Mapping[str, Any], *, shift: float = 0.0) -> Answer:
        """The honest reply, moved by `shift`."""
        return self.send(instruction, encode_update(self.update(instruction, shift=shift)))


class Echo:
    """Answers with the model's sum and what was sent; refuses what begins with "bad"."""

    def __init__(self) -> None:
        self.hold: Event | None = None
        self.entered = Event()

    def predict(self, model: Arrays, parts: Sequence[Part], top: int) -> list[dict[str, Any]]:
        self.entered.set()
        if self.hold is not None:
            assert self.hold.wait(30)
        if any(data.startswith(b"bad") for _, data in parts):
            raise DataError("{name} is bad.", name=parts[0][0])
        return [{"input": name, "value": len(data), "sum": float(sum(map(np.sum, model.values()))), "top": top} for name, data in parts]
