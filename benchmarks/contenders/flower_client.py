"""Flower's ClientApp, in a module that its Ray actors import, so that each keeps its data and network from one message to the next."""

from __future__ import annotations

from functools import cache

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict  # type: ignore[import-not-found, unused-ignore]
from flwr.clientapp import ClientApp  # type: ignore[import-not-found, unused-ignore]
from torch import Tensor, nn

from benchmarks.contenders.local import network, shares, train
from benchmarks.work import Job

app = ClientApp()


@cache
def prepared(text: str) -> tuple[Job, nn.Module, list[Tensor], list[Tensor]]:
    """Once in each actor."""
    torch.set_num_threads(1)
    job = Job.read(text)
    return (job, network(job.work), *shares(job.data, job.work.model, job.work.clients))


@app.train()  # type: ignore[untyped-decorator, unused-ignore]
def fit(message: Message, context: Context) -> Message:
    job, net, x, y = prepared(str(message.content.config_records["config"]["job"]))
    rank = int(context.node_config["partition-id"])
    net.load_state_dict(message.content.array_records["arrays"].to_torch_state_dict())
    train(net, x[rank], y[rank], job.work)
    reply = RecordDict({"arrays": ArrayRecord(net.state_dict()), "metrics": MetricRecord({"num-examples": len(x[rank])})})
    return Message(reply, reply_to=message)
