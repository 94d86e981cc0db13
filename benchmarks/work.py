"""The work that contenders do, and the two messages between the command and a contender: Job in, Report out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal


@dataclass(frozen=True)
class Work:
    """Federated averaging: the same number of SGD steps on equally large clients for every contender.

    Attributes:
        model: "cnn" is the two-convolution network of 21,840 parameters, "softmax" softmax regression (7,850), both on MNIST;
            "small" is softmax regression of 68 parameters on made-up data.
        clients, examples: so many clients with so many examples each, which are all the training examples.
        cohort: clients in a round, drawn at random. One local epoch each; nothing is evaluated between rounds.
        rounds: measured rounds. warmup: rounds before them, which only count towards start-up.
    """

    name: str
    model: Literal["cnn", "softmax", "small"]
    clients: int
    examples: int
    cohort: int
    batch_size: int
    learning_rate: float
    momentum: float
    rounds: int
    warmup: int

    @property
    def steps(self) -> int:
        """SGD steps of a round."""
        return self.cohort * -(-self.examples // self.batch_size)


CLASSIC = Work("classic", "cnn", 20, 3000, 10, 32, 0.01, 0.5, 5, 1)
TINY = Work("tiny", "softmax", 1000, 60, 100, 10, 0.1, 0.0, 20, 2)
TEN_THOUSAND = Work("million", "small", 10_000, 4, 1000, 4, 0.5, 0.0, 20, 2)
MILLION = replace(TEN_THOUSAND, clients=1_000_000)


@dataclass(frozen=True)
class Job:
    """What a contender is asked: the work, the data file (see `contenders.mnist`), how many processes train, a folder of its own."""

    work: Work
    data: str
    processes: int
    folder: str

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Job:
        values = json.loads(text)
        return cls(**{**values, "work": Work(**values["work"])})


@dataclass(frozen=True)
class Report:
    """What a contender answers.

    Attributes:
        marks: `time.monotonic()` at the same point of each round, warm-up rounds included; one clock for all processes of a machine.
        examples: how many examples the last round trained on, by the contender's own count.
        accuracy: of the final model on the test examples, measured after the last mark.
        versions: package -> version.
        peak_mib: the most memory resident at once, where the contender measures it.
    """

    marks: list[float]
    examples: int
    accuracy: float
    versions: Mapping[str, str] = field(default_factory=dict)
    peak_mib: float = 0.0

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Report:
        values: dict[str, Any] = json.loads(text)
        return cls(**values)


def main(work: Callable[[Job], Report | None]) -> None:
    """A contender's main: the report is the last line of standard output, whatever else is printed there."""
    report = work(Job.read(sys.stdin.read()))
    if report is not None:
        print("\n" + report.text(), flush=True)
