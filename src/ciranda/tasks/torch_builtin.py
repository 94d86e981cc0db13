"""The built-in image tasks in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ciranda.core.task import FederatedData
from ciranda.tasks.preprocess import Affine
from ciranda.tasks.torch_models import CnnMcMahan, CnnMnist, LeNet, Mlp, as_images
from ciranda.tasks.torch_task import Batch, TorchTask

NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "mlp": lambda: Mlp((784, 200, 200, 10)),
    "mlp-256-128": lambda: Mlp((784, 256, 128, 10)),
    "lenet": lambda: LeNet(1, padding=2),
    "cnn-mnist": CnnMnist,
    "cnn-cifar": lambda: LeNet(3, padding=0),
    "cnn-mcmahan": CnnMcMahan,
}


class Images(TorchTask):
    """Image classification with a network that gives log-probabilities; bytes in, scaled by `scale`."""

    channels_last = True

    def __init__(self, name: str, load: Callable[[], FederatedData], network: str, scale: Affine) -> None:
        self.name = name
        self._load = load
        self._network = network
        self._scale, self._shift = torch.from_numpy(scale.scale), torch.from_numpy(scale.shift)

    def model(self) -> nn.Module:
        return NETWORKS[self._network]()

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return F.nll_loss(model(batch.x), batch.y)

    def data(self) -> FederatedData:
        return self._load()

    def transform(self, x: Tensor) -> Tensor:
        scale, shift = self._scale.to(x.device), self._shift.to(x.device)
        return as_images(x.float().mul_(scale).add_(shift))
