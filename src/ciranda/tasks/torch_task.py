"""The task that a PyTorch user writes: a model, a loss, the data; the rest has defaults.

    class Digits(ciranda.TorchTask):
        def model(self): return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        def loss(self, model, batch): return F.cross_entropy(model(batch.x), batch.y)
        def data(self): return ciranda.data.from_arrays(*load_digits(return_X_y=True), test_fraction=0.2)

The engine never meets this class: `ciranda.tasks.torch_engine.TorchEngine` wraps it, so that a user's names cannot clash with it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ciranda.core.errors import ExperimentError
from ciranda.core.task import ClientSettings, FederatedData

OPTIMIZERS = ("sgd", "adam", "adamw")


@dataclass(frozen=True, slots=True)
class Batch:
    """`x`: what `transform` made of the inputs, shape (b, ...); `y`: int64 labels (b,) or float32 targets (b,) or (b, outputs)."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.x)


class TorchTask(ABC):
    """Base class of tasks in PyTorch. `model`, `loss` and `data` must be given; any other member may be replaced.

    Attributes:
        name: what records call the task; the class's name if empty.
        kind: "classification" (labels 0..classes - 1) or "regression".
        channels_last: lay 4-dimensional inputs and weights out with channels last, which is faster for convolutions, on a
            processor too. The model must then use `flatten` or `reshape` after them, not `view`.
        private: tensors that never leave a client, which trains and evaluates with its own: names as torch gives them, or their
            beginnings, such as ("head.",). Evaluate such a task on the clients: the server only has the first ones.
    """

    name: str = ""
    kind: Literal["classification", "regression"] = "classification"
    channels_last: bool = False
    private: tuple[str, ...] = ()

    @abstractmethod
    def model(self) -> nn.Module:
        """A new model with new random parameters, on the CPU. torch's generator is seeded around this call."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of the batch, a scalar tensor to call `backward` on."""

    @abstractmethod
    def data(self) -> FederatedData:
        """The data set, for example from `ciranda.data.from_arrays`."""

    def transform(self, x: Tensor) -> Tensor:
        """Turn stored inputs, shape (n, ...) and dtype as in the data, into what the model is fed; example by example.

        By default bytes and floating point numbers become float32 with their values unchanged, and other integers stay as they are.
        """
        return x.float() if x.is_floating_point() or x.dtype == torch.uint8 else x

    def predict(self, model: nn.Module, x: Tensor) -> Tensor:
        """Class probabilities, shape (n, classes), or predicted targets, for transformed inputs; the model is in evaluation mode."""
        outputs: Tensor = model(x)
        return torch.softmax(outputs, dim=1) if self.kind == "classification" else outputs

    def optimizer(self, parameters: Iterable[nn.Parameter], settings: ClientSettings) -> torch.optim.Optimizer:
        """The local optimizer; by default the one that `[client]` asks for."""
        return make_optimizer(parameters, settings)


def make_optimizer(parameters: Iterable[nn.Parameter], settings: ClientSettings) -> torch.optim.Optimizer:
    """torch's fused implementation of `settings.optimizer`; `settings.extra` may hold nesterov, dampening, beta1, beta2, eps.

    Raises:
        ExperimentError: the optimizer is not known.
    """
    rate, decay, extra = settings.learning_rate, settings.weight_decay, settings.extra
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=rate,
            momentum=settings.momentum,
            weight_decay=decay,
            dampening=extra.get("dampening", 0.0),
            nesterov=bool(extra.get("nesterov", 0.0)),
            fused=True,
        )
    betas, eps = (extra.get("beta1", 0.9), extra.get("beta2", 0.999)), extra.get("eps", 1e-8)
    if settings.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=rate, betas=betas, eps=eps, weight_decay=decay, fused=True)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, betas=betas, eps=eps, weight_decay=decay, fused=True)
    raise ExperimentError(
        "client.optimizer = '{optimizer}' is not known; allowed: {optimizers}.",
        optimizer=settings.optimizer,
        optimizers=", ".join(OPTIMIZERS),
    )
