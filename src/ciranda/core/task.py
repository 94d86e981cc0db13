"""What the engine asks of a task: a model, how to train and evaluate it, and its data.

The engine sees numpy arrays only. A task may use any library inside; it holds no state between calls that
changes a result, so that one object serves every client of a worker process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from ciranda.core.metrics import Sums
from ciranda.core.rng import Draw

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Part = Literal["model", "buffers", "counters", "private"]


@dataclass(frozen=True)
class Examples:
    """Examples of one owner or one split.

    `x` has shape (n, ...), any numeric dtype, as stored (a task scales it); `y` has shape (n,) or (n, outputs):
    integer class labels or float targets. Slicing by an index array gives Examples again.
    """

    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Any) -> Examples:
        return Examples(self.x[index], self.y[index])


@dataclass(frozen=True)
class FederatedData:
    """A data set before it is dealt out to clients.

    Attributes:
        train: examples to be partitioned over the clients.
        test: examples kept for evaluation on the server; may be empty.
        classes: class names in label order; empty for regression.
        groups: for each training example the id of its natural owner, shape (n,), or None.
        name, source: what it is and where it was read from, for records.
        record: how raw rows became these examples, ready for JSON, where that was found out from the data; kept in the run's folder.
    """

    train: Examples
    test: Examples
    classes: Sequence[str] = ()
    groups: Array | None = None
    name: str = "data"
    source: str = ""
    record: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ClientSettings:
    """How a client trains, as told by the instruction. `proximal_mu` is FedProx's mu (0 = plain SGD)."""

    local_epochs: int = 1
    batch_size: int = 32
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.0
    weight_decay: float = 0.0
    proximal_mu: float = 0.0
    extra: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """The outcome of local training.

    Attributes:
        arrays: the local model, of the same names as the round's.
        metrics: summed over everything trained on.
        steps: how many steps of `settings.optimizer` led there; 0 if the task steps in a way of its own. Rules that undo the steps
            (SCAFFOLD, FedNova) need it.
    """

    arrays: Arrays
    metrics: Sums
    steps: int = 0


class Task(Protocol):
    """The seam between the engine and what is learned. Implementations: `ciranda.tasks`."""

    name: str
    kind: Literal["classification", "regression"]

    def data(self) -> FederatedData:
        """Load the data; called once per process that needs it. Raises DataError."""

    def initial(self, draw: Draw) -> Arrays:
        """The initial model, a function of the draw alone: name -> array, parameters and buffers."""

    def part_of(self, name: str) -> Part:
        """Which part of an update the tensor `name` belongs to."""

    def train(self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw, correction: Arrays | None = None) -> Trained:
        """Train from `model` on `examples`; must not write into `model`. Raises DivergedError.

        `correction` (name -> array; parameters, not all of them need be there) is added to every gradient before the optimizer sees it.
        """

    def evaluate(self, model: Arrays, examples: Examples, batch_size: int) -> Sums:
        """Exact metric sums of `model` on `examples` in evaluation mode (see `core.metrics`)."""

    def predict(self, model: Arrays, x: Array) -> Array:
        """Class probabilities, shape (n, classes), or predicted targets, for raw inputs as in `Examples.x`."""
