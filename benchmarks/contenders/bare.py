"""The loop that a good engineer writes first: eager PyTorch, persistent workers with one thread each, FedAvg in the parent."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from multiprocessing.pool import Pool
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.contenders.local import State, accuracy, network, shares, train
from benchmarks.work import Job, Report, Work, main

Array = NDArray[Any]
_net: nn.Module
_x: list[Tensor]
_y: list[Tensor]
_work: Work


def prepare(job: Job) -> None:
    """Once in each worker."""
    global _net, _x, _y, _work
    torch.set_num_threads(1)
    _net, _work = network(job.work), job.work
    _x, _y = shares(job.data, job.work.model, job.work.clients)


def client(task: tuple[int, State]) -> tuple[int, dict[str, Tensor]]:
    """One client's round: how many examples it trained on, and its model."""
    rank, state = task
    _net.load_state_dict(state)
    train(_net, _x[rank], _y[rank], _work)
    return len(_x[rank]), {name: value.clone() for name, value in _net.state_dict().items()}


def remote(task: tuple[int, Mapping[str, Array]]) -> tuple[int, dict[str, Array]]:
    """`client` in another process: arrays travel there and back."""
    count, state = client((task[0], {name: torch.from_numpy(array) for name, array in task[1].items()}))
    return count, {name: value.numpy() for name, value in state.items()}


def average(replies: Sequence[tuple[int, State]]) -> tuple[int, State]:
    """(examples in all, the mean of the models weighted by examples)."""
    total = sum(count for count, _ in replies)
    mean = {name: torch.zeros_like(value) for name, value in replies[0][1].items()}
    for count, state in replies:
        for name, value in state.items():
            mean[name] += value * (count / total)
    return total, mean


def in_pool(pool: Pool, state: State, cohort: Sequence[int]) -> list[tuple[int, State]]:
    arrays = {name: value.numpy() for name, value in state.items()}
    replies = pool.imap_unordered(remote, [(rank, arrays) for rank in cohort])
    return [(count, {name: torch.from_numpy(array) for name, array in mine.items()}) for count, mine in replies]


def here(state: State, cohort: Sequence[int]) -> list[tuple[int, State]]:
    return [client((rank, state)) for rank in cohort]


def work(job: Job) -> Report:
    torch.set_num_threads(1)
    net = network(job.work)
    state: State = net.state_dict()
    marks, examples, draw = [], 0, random.Random(1)
    shares(job.data, job.work.model, job.work.clients)  # before the fork, so that workers share it
    with ExitStack() as stack:
        if job.processes == 1:
            prepare(job)
            train_cohort = here
        else:
            train_cohort = partial(in_pool, stack.enter_context(get_context("fork").Pool(job.processes, prepare, (job,))))
        for _ in range(job.work.warmup + job.work.rounds):
            examples, state = average(train_cohort(state, draw.sample(range(job.work.clients), job.work.cohort)))
            marks.append(time.monotonic())
    net.load_state_dict(state)
    return Report(marks, examples, accuracy(net, job.data, job.work), {"torch": torch.__version__})


if __name__ == "__main__":
    main(work)
