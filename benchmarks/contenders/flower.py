"""Flower's simulation: one Ray actor with one thread for each process, the clients' code being the bare loop's."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import flwr  # type: ignore[import-not-found, unused-ignore]
import ray  # type: ignore[import-not-found, unused-ignore]
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message  # type: ignore[import-not-found, unused-ignore]
from flwr.clientapp import ClientApp  # type: ignore[import-not-found, unused-ignore]
from flwr.serverapp import Grid, ServerApp  # type: ignore[import-not-found, unused-ignore]
from flwr.serverapp.strategy import FedAvg  # type: ignore[import-not-found, unused-ignore]
from flwr.simulation import run_simulation  # type: ignore[import-not-found, unused-ignore]

from benchmarks.contenders import flower_client
from benchmarks.contenders.local import accuracy, network
from benchmarks.work import Job, Report, main


class Marked(FedAvg):  # type: ignore[misc, unused-ignore]
    """FedAvg that notes when a round's replies are averaged, and how many examples they stand for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.marks: list[float] = []
        self.examples = 0

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
        kept = list(replies)
        averaged = super().aggregate_train(server_round, kept)
        counts = [reply.content.metric_records["metrics"]["num-examples"] for reply in kept if not reply.has_error()]
        self.examples = sum(count for count in counts if isinstance(count, int))
        self.marks.append(time.monotonic())
        return averaged


def simulate(job: Job, client: ClientApp) -> Report:
    """FedAvg over all of `client`'s nodes, which is told the job in every message."""
    net = network(job.work)
    strategy = Marked(
        fraction_train=job.work.cohort / job.work.clients,
        fraction_evaluate=0.0,
        min_train_nodes=job.work.cohort,
        min_available_nodes=job.work.clients,
    )
    server = ServerApp()
    final: list[ArrayRecord] = []

    @server.main()  # type: ignore[untyped-decorator, unused-ignore]
    def serve(grid: Grid, context: Context) -> None:
        rounds = job.work.warmup + job.work.rounds
        result = strategy.start(grid, ArrayRecord(net.state_dict()), rounds, train_config=ConfigRecord({"job": job.text()}))
        final.append(result.arrays)

    run_simulation(
        server,
        client,
        job.work.clients,
        backend_config={"init_args": {"num_cpus": job.processes}, "client_resources": {"num_cpus": 1}},
    )
    net.load_state_dict(final[0].to_torch_state_dict())
    versions = {"flwr": flwr.__version__, "ray": ray.__version__, "torch": torch.__version__}
    return Report(strategy.marks, strategy.examples, accuracy(net, job.data, job.work), versions)


if __name__ == "__main__":
    main(lambda job: simulate(job, flower_client.app))
