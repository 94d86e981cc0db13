"""Where workers live: in this process (one worker, any task object) or in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from ciranda.core.errors import CirandaError, WorkerDied
from ciranda.core.params import Signature
from ciranda.core.update import Total
from ciranda.runtimes.base import Published
from ciranda.runtimes.local.memory import SharedModels, SharedPopulation
from ciranda.runtimes.local.worker import Job, Outcome, Settle, Setup, Worker

NOTHING = Signature(())


class Pool(Protocol):
    """Some workers, numbered from 0, each with at most one job at a time."""

    size: int

    def start(self) -> list[str]:
        """Start the workers; returns the probe digest of each."""

    def publish(self, model: Published) -> None:
        """Give every worker the model; the last two stay available."""

    def submit(self, worker: int, job: Job, settle: Settle) -> None:
        """Have the verdicts carried out, then the job done."""

    def wait(self, timeout: float | None) -> list[tuple[int, Outcome]]:
        """Outcomes, at least one unless `timeout` seconds passed or `wake` was called. Raises WorkerDied."""

    def total(self, worker: int, settle: Settle) -> Total | None:
        """What an idle worker folded in the phase of `settle`, those verdicts included."""

    def wake(self) -> None:
        """End a `wait` early; may be called from a signal handler."""

    def close(self) -> None:
        """Stop the workers at once."""


class InlinePool:
    """One worker in the calling process and thread."""

    size = 1

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._worker = Worker(setup)
        self._held = ExitStack()
        self._queue: list[tuple[Job, Settle]] = []

    def start(self) -> list[str]:
        self._held.enter_context(self._setup.prepare())
        return [self._setup.probe()]

    def publish(self, model: Published) -> None:
        self._worker.publish(model)

    def submit(self, worker: int, job: Job, settle: Settle) -> None:
        self._queue.append((job, settle))

    def wait(self, timeout: float | None) -> list[tuple[int, Outcome]]:
        if not self._queue:
            return []
        job, settle = self._queue.pop(0)
        self._worker.settle(settle)
        return [(0, self._worker.work(job))]

    def total(self, worker: int, settle: Settle) -> Total | None:
        self._worker.settle(settle)
        return self._worker.total(settle.phase)

    def wake(self) -> None:
        """Nothing to end: `wait` never outlasts its job."""

    def close(self) -> None:
        self._queue.clear()
        self._held.close()


class ProcessPool:
    """Worker processes that share the data and the model; updates stay in the worker that made them.

    Args:
        size: how many, at least 1.
        signature: of the models to be published. broadcast: of what is sent beside them.
        method: "fork" where the system has it (any task object, data shared as it is), else "spawn".
    """

    def __init__(self, setup: Setup, size: int, signature: Signature, method: str, broadcast: Signature = NOTHING) -> None:
        self.size = size
        self._setup = setup
        self._context = multiprocessing.get_context(method)
        self._method = method
        # One slot for both: what is sent beside a model goes and comes with it.
        self._models = SharedModels(self._context, signature), SharedModels(self._context, broadcast)
        self._processes: list[BaseProcess] = []
        self._links: list[Connection] = []
        self._alarm, self._bell = self._context.Pipe(duplex=False)

    def start(self) -> list[str]:
        shared: Setup | tuple[Setup, SharedPopulation] = self._setup
        if self._method != "fork":
            population = SharedPopulation(self._context, self._setup.population)
            shared = (replace(self._setup, population=population), population)  # type: ignore[arg-type]
        ours: list[Connection] = [self._alarm, self._bell]
        for number in range(self.size):
            link, theirs = self._context.Pipe()
            ours.append(link)
            inherited = ours if self._method == "fork" else []
            process = self._context.Process(  # type: ignore[attr-defined]
                target=_serve, args=(theirs, inherited, shared, self._models), name=f"ciranda-worker-{number}", daemon=True
            )
            process.start()
            theirs.close()
            self._processes.append(process)
            self._links.append(link)
        return [self._receive(number) for number in range(self.size)]

    def publish(self, model: Published) -> None:
        models, broadcasts = self._models
        slot = models.write(model.arrays)
        broadcasts.write(model.broadcast)
        for number in range(self.size):
            self._send(number, ("publish", model.digest, slot, model.contract))

    def submit(self, worker: int, job: Job, settle: Settle) -> None:
        self._send(worker, ("work", settle, job))

    def wait(self, timeout: float | None) -> list[tuple[int, Outcome]]:
        ready = wait([*self._links, self._alarm], timeout)
        if self._alarm in ready:
            self._alarm.recv_bytes()
        return [(number, self._receive(number)) for number, link in enumerate(self._links) if link in ready]

    def total(self, worker: int, settle: Settle) -> Total | None:
        self._send(worker, ("total", settle))
        answer: Total | None = self._receive(worker)
        return answer

    def wake(self) -> None:
        self._bell.send_bytes(b"!")

    def close(self) -> None:
        for process in self._processes:
            process.kill()  # a worker holds nothing that outlives it
        for process in self._processes:
            process.join()
        for link in (*self._links, self._alarm, self._bell):
            link.close()
        self._processes, self._links = [], []

    def _send(self, number: int, message: Any) -> None:
        try:
            self._links[number].send(message)
        except (BrokenPipeError, ConnectionResetError):
            raise self._death(number) from None

    def _receive(self, number: int) -> Any:
        try:
            answer = self._links[number].recv()
        except (EOFError, ConnectionResetError):
            raise self._death(number) from None
        if isinstance(answer, CirandaError):
            raise answer
        return answer

    def _death(self, number: int) -> WorkerDied:
        process = self._processes[number]
        process.join(timeout=5)
        code = process.exitcode
        killed = code is not None and code < 0
        return WorkerDied(
            "Worker {number} of {size} (process {pid}) was killed by signal {signal}."
            if killed
            else "Worker {number} of {size} (process {pid}) ended with exit code {code}.",
            hint="Signal 9 often means that memory ran out: use fewer --workers, then go on with `ciranda resume`.",
            number=number + 1,
            size=self.size,
            pid=process.pid,
            code=code,
            signal=-code if code is not None else None,
        )


def _serve(link: Connection, inherited: list[Connection], shared: Any, held: tuple[SharedModels, SharedModels]) -> None:
    """The life of a worker process: answer the pool until it hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    for other in inherited:
        # A copy of the parent's end kept open here would hide the parent's death from its other workers.
        other.close()
    setup: Setup = shared
    if isinstance(shared, tuple):
        setup = replace(shared[0], population=shared[1].view())
    worker = Worker(setup)
    models, broadcasts = held
    with setup.prepare():
        try:
            link.send(_probe(setup))
            while True:
                match link.recv():
                    case ("publish", digest, slot, contract):
                        worker.publish(Published(digest, models.view(slot), contract, broadcasts.view(slot)))
                    case ("work", settle, job):
                        worker.settle(settle)
                        link.send(worker.work(job))
                    case ("total", settle):
                        worker.settle(settle)
                        link.send(worker.total(settle.phase))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            os._exit(0)  # the parent is gone: nothing is left to tell, and its buffers are not ours to flush


def _probe(setup: Setup) -> str | CirandaError:
    try:
        return setup.probe()
    except CirandaError as error:
        return error


def make_pool(setup: Setup, workers: int, signature: Signature, broadcast: Signature = NOTHING) -> Pool:
    """Workers as the machine and the task allow: in this process when one is asked for, or when the task cannot reach another."""
    if workers == 1:
        return InlinePool(setup)
    if sys.platform == "linux":
        return ProcessPool(setup, workers, signature, "fork", broadcast)
    try:
        pickle.dumps(setup.task)
    except (pickle.PicklingError, AttributeError, TypeError):
        return InlinePool(setup)
    return ProcessPool(setup, workers, signature, "spawn", broadcast)
