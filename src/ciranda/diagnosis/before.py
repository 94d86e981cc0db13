"""Before a run: what its data and its settings let one foresee."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ciranda.core.texts import Text
from ciranda.diagnosis.findings import Finding, by_severity

UNLIKE, VERY_UNLIKE = 0.25, 0.5
"""Heterogeneity beyond chance from which it slows training, and from which plain averaging may fail."""
FEW = 0.25
"""Share of clients with less than a batch that is worth a warning."""
DOMINANT = 0.5
MANY_STEPS = 500
DRIFT_STRATEGIES = ("fedprox", "scaffold")
"""Strategies that hold clients back from drifting apart."""


@dataclass(frozen=True)
class Facts:
    """What is known before the first round.

    Attributes:
        sizes: training examples of each client, int64, shape (clients,).
        heterogeneity, chance: the clients' labels against the whole (`core.partition`), and what random dealing gives clients of these
            sizes; None where there are no labels to compare.
        cohort, num_rounds: clients that train in a round, and rounds.
        client: [client] under Python names (local_epochs, batch_size, optimizer, learning_rate, momentum, weight_decay).
        strategy: its name.
    """

    sizes: NDArray[np.int64]
    heterogeneity: float | None
    chance: float | None
    cohort: int
    num_rounds: int
    client: Mapping[str, Any]
    strategy: str = "fedavg"

    @property
    def beyond_chance(self) -> float:
        """Heterogeneity that chance does not explain, 0..1."""
        if self.heterogeneity is None or self.chance is None:
            return 0.0
        return max(0.0, (self.heterogeneity - self.chance) / max(1e-9, 1.0 - self.chance))

    @property
    def steps(self) -> int:
        """Optimizer steps of the median client in a round."""
        return int(self.client["local_epochs"] * -(-int(np.median(self.sizes)) // self.client["batch_size"]))


def foresee(facts: Facts) -> list[Finding]:
    """What may go wrong, the worst first; empty if nothing stands out."""
    return by_severity([*_data(facts), *_settings(facts)])


def _data(facts: Facts) -> Iterator[Finding]:
    yield from _heterogeneity(facts)
    sizes, batch = facts.sizes, facts.client["batch_size"]
    small = int((sizes < batch).sum())
    if small >= FEW * len(sizes):
        yield Finding(
            "few-examples",
            "warning",
            Text("Many clients have fewer examples than a batch"),
            Text("{small:,} of {clients:,} clients, batch-size {batch}", small=small, clients=len(sizes), batch=batch),
            Text("Set client.batch-size={size}, or use fewer clients.", size=_power_of_two(float(np.median(sizes)) / 4)),
        )
    if len(sizes) > 2 and sizes.max() > DOMINANT * sizes.sum():
        yield Finding(
            "dominant-client",
            "warning",
            Text("One client holds most of the examples, and so decides on the model"),
            Text("client {client}: {share:.0%}", client=int(sizes.argmax()), share=float(sizes.max() / sizes.sum())),
            Text("Weigh losses instead of examples (strategy.name=qfedavg), or deal the data out more evenly."),
        )


def _heterogeneity(facts: Facts) -> Iterator[Finding]:
    if facts.beyond_chance < UNLIKE:
        return
    very = facts.beyond_chance >= VERY_UNLIKE
    held = facts.strategy in DRIFT_STRATEGIES
    yield Finding(
        "heterogeneous",
        "warning" if very and not held else "info",
        Text("The clients' labels are very unlike") if very else Text("The clients' labels are unlike"),
        Text("heterogeneity {score:.2f}, dealt at random {chance:.2f}", score=facts.heterogeneity, chance=facts.chance),
        Text("Expect more rounds; the strategy holds the clients together.")
        if held
        else Text(
            "Try strategy.name=scaffold, or fedprox with strategy.proximal-mu=0.1, or client.local-epochs={epochs}.", epochs=_fewer(facts)
        )
        if facts.client["local_epochs"] > 1
        else Text("Try strategy.name=scaffold, or fedprox with strategy.proximal-mu=0.1, or more clients in a round."),
    )
    if facts.steps > MANY_STEPS and facts.client["local_epochs"] > 1:
        yield Finding(
            "drift",
            "info",
            Text("Clients take many steps before they are averaged, and drift apart"),
            Text("about {steps:,} steps in a round", steps=facts.steps),
            Text("Set client.local-epochs={epochs}, and more rounds.", epochs=_fewer(facts)),
        )


def _settings(facts: Facts) -> Iterator[Finding]:
    client = facts.client
    adaptive = client["optimizer"] != "sgd"
    rate = client["learning_rate"] / (1 - client["momentum"])
    high, low = (0.03, 1e-5) if adaptive else (2.0, 1e-4)
    if rate > high or rate < low:
        yield Finding(
            "learning-rate",
            "warning",
            Text("The learning rate is unusually high") if rate > high else Text("The learning rate is unusually low"),
            Text(
                "{optimizer}, learning-rate {rate:g}, momentum {momentum:g}",
                optimizer=client["optimizer"],
                rate=client["learning_rate"],
                momentum=client["momentum"],
            ),
            Text("Try client.learning-rate={usual:g}.", usual=0.001 if adaptive else 0.1 * (1 - client["momentum"])),
        )
    if client["weight_decay"] > 0.1:
        yield Finding(
            "weight-decay",
            "warning",
            Text("The weight decay is unusually high"),
            Text("weight-decay {decay:g}", decay=client["weight_decay"]),
            Text("Try client.weight-decay=0.0001."),
        )
    if facts.cohort == 1 and len(facts.sizes) > 1:
        yield Finding(
            "lonely-cohort",
            "warning",
            Text("One client trains in a round, so nothing is averaged"),
            Text("1 of {clients:,} clients", clients=len(facts.sizes)),
            Text("Raise rounds.fraction-train, or set rounds.min-train-clients=2."),
        )
    if facts.cohort * facts.num_rounds < len(facts.sizes):
        yield Finding(
            "never-asked",
            "info",
            Text("Some clients will never train"),
            Text("{asked:,} places in all rounds, {clients:,} clients", asked=facts.cohort * facts.num_rounds, clients=len(facts.sizes)),
            Text("Raise rounds.num-rounds or rounds.fraction-train if everybody should."),
        )


def _fewer(facts: Facts) -> int:
    return max(1, int(facts.client["local_epochs"]) // 5)


def _power_of_two(value: float) -> int:
    return 1 << max(0, int(value).bit_length() - 1)
