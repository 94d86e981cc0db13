"""Flower's own strategy classes, driven by hand: two clients, their replies, and the model that comes out of each round."""

from __future__ import annotations

from typing import Any

import numpy as np

Vector = np.ndarray[Any, Any]


class Nodes:
    """As much of a Grid as a strategy needs to choose everybody."""

    def get_node_ids(self) -> list[int]:
        return [1, 2]


def flower_path(strategy: Any, start: Vector, changes: list[Vector]) -> tuple[list[Vector], list[Vector]]:
    """(model after each round, the mean difference that went into it), for clients that come out at `changes` on average.

    The difference is Flower's own, in single precision: the mean itself is not what is compared here.
    """
    from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
    from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords
    from flwr.supercore.task_identity import TaskIdentity

    # A message says which run and node it belongs to; Flower's own processes set this.
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1
    spread = np.random.default_rng(7)
    model = start
    models, steps = [], []
    for round, change in enumerate(changes, start=1):
        asked = strategy.configure_train(round, ArrayRecord({"w": Array(model)}), ConfigRecord(), Nodes())
        noise = spread.normal(scale=0.01, size=change.shape)
        trained = [(model + change + 3 * noise).astype(np.float32), (model + change - noise).astype(np.float32)]
        replies = [
            Message(
                RecordDict({"arrays": ArrayRecord({"w": Array(mine)}), "metrics": MetricRecord({"num-examples": examples})}),
                reply_to=message,
            )
            for message, mine, examples in zip(asked, trained, (10, 30), strict=True)
        ]
        steps.append(aggregate_arrayrecords([reply.content for reply in replies], "num-examples")["w"].numpy() - model)
        record, _ = strategy.aggregate_train(round, replies)
        model = record["w"].numpy().astype(np.float32)
        models.append(model)
    return models, steps
