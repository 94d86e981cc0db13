"""pfl-research's simulated backend on PyTorch: one process, or several that it joins through torch.distributed (gloo)."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.contenders.local import accuracy, network, shares
from benchmarks.work import Job, Report, Work, main


@contextmanager
def peers(job: Job) -> Iterator[bool]:
    """Start the other processes; true in the first, which reports. They are found through pfl's own environment variables."""
    if job.processes == 1 or "PFL_WORKER_RANK" in os.environ:
        yield "PFL_WORKER_RANK" not in os.environ
        return
    addresses = ",".join(f"localhost:{free_port()}" for _ in range(job.processes))
    started = []
    for rank in range(1, job.processes):
        environment = {**os.environ, "PFL_WORKER_ADDRESSES": addresses, "PFL_WORKER_RANK": str(rank)}
        command = [sys.executable, "-m", "benchmarks.contenders.pfl"]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment))
        assert started[-1].stdin is not None
        started[-1].stdin.write(job.text())
        started[-1].stdin.close()
    os.environ.update(PFL_WORKER_ADDRESSES=addresses, PFL_WORKER_RANK="0")
    try:
        yield True
    finally:
        for process in started:
            process.wait(timeout=60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def with_loss(net: nn.Module) -> nn.Module:
    """The network with the two methods that pfl asks of it."""

    def loss(x: Tensor, y: Tensor) -> Tensor:
        net.train()
        return F.nll_loss(net(x), y)

    def metrics(x: Tensor, y: Tensor) -> dict[str, Any]:
        from pfl.metrics import Weighted  # type: ignore[import-not-found, unused-ignore]

        net.eval()
        with torch.no_grad():
            return {"loss": Weighted(float(F.nll_loss(net(x), y, reduction="sum")), len(y))}

    net.loss, net.metrics = loss, metrics  # type: ignore[assignment, unused-ignore]
    return net


def model_of(work: Work, net: nn.Module) -> Any:
    from pfl.model.pytorch import PyTorchModel  # type: ignore[import-not-found, unused-ignore]

    local = functools.partial(torch.optim.SGD, momentum=work.momentum)
    return PyTorchModel(with_loss(net), local, torch.optim.SGD(net.parameters(), lr=1.0))


def backend_of(job: Job) -> Any:
    """Clients are drawn as pfl recommends, in turn from a shuffled list; each keeps its batches once they are cut."""
    from pfl.aggregate.simulate import SimulatedBackend  # type: ignore[import-not-found, unused-ignore]
    from pfl.data.federated_dataset import FederatedDataset  # type: ignore[import-not-found, unused-ignore]
    from pfl.data.pytorch import PyTorchTensorDataset  # type: ignore[import-not-found, unused-ignore]
    from pfl.data.sampling import get_user_sampler  # type: ignore[import-not-found, unused-ignore]

    x, y = shares(job.data, job.work.model, job.work.clients)
    users = [str(rank) for rank in np.random.permutation(job.work.clients)]  # noqa: NPY002
    make = functools.cache(lambda user: PyTorchTensorDataset((x[int(user)], y[int(user)]), user_id=user))
    data = FederatedDataset(make, get_user_sampler("minimize_reuse", users))
    return SimulatedBackend(data, data)


def work(job: Job) -> Report | None:
    torch.set_num_threads(1)
    with peers(job) as first:
        report = simulate(job)
    return report if first else None


def simulate(job: Job) -> Report:
    np.random.seed(1)  # noqa: NPY002 - pfl draws from numpy's global generator, alike in every process
    from pfl.algorithm.base import NNAlgorithmParams  # type: ignore[import-not-found, unused-ignore]
    from pfl.algorithm.federated_averaging import FederatedAveraging  # type: ignore[import-not-found, unused-ignore]
    from pfl.callback.base import TrainingProcessCallback  # type: ignore[import-not-found, unused-ignore]
    from pfl.hyperparam import NNTrainHyperParams  # type: ignore[import-not-found, unused-ignore]
    from pfl.metrics import Metrics  # type: ignore[import-not-found, unused-ignore]
    from pfl.version import __version__  # type: ignore[import-not-found, unused-ignore]

    work = job.work
    marks: list[float] = []
    examples: list[int] = []

    class Marking(TrainingProcessCallback):  # type: ignore[misc, unused-ignore]
        def after_central_iteration(self, aggregate_metrics: Any, model: Any, *, central_iteration: int) -> tuple[bool, Any]:
            marks.append(time.monotonic())
            counts = aggregate_metrics.to_simple_dict()
            examples.append(int(counts["Train population | number of data points"] * counts["Train population | number of devices"]))
            return False, Metrics()

    rounds = work.warmup + work.rounds
    net = network(work)
    # Evaluated before the first round only, which is not measured; pfl would otherwise evaluate each client twice in a round.
    FederatedAveraging().run(
        NNAlgorithmParams(
            central_num_iterations=rounds, evaluation_frequency=rounds + 1, train_cohort_size=work.cohort, val_cohort_size=None
        ),
        backend_of(job),
        model_of(work, net),
        NNTrainHyperParams(local_num_epochs=1, local_learning_rate=work.learning_rate, local_batch_size=work.batch_size),
        callbacks=[Marking()],
        send_metrics_to_platform=False,
    )
    versions = {"pfl": __version__, "torch": torch.__version__, "threads": str(torch.get_num_threads())}
    return Report(marks, examples[-1], accuracy(net, job.data, work), versions)


if __name__ == "__main__":
    main(work)
