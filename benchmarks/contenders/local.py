"""What the bare loop and Flower's clients share: MNIST in torch, the two networks, and one epoch of SGD as it is usually written."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.work import Work

State = Mapping[str, Tensor]


class Cnn(nn.Module):
    """The network of Ciranda's task `mnist-cnn`: 21,840 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
        self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
        self.conv2_drop = nn.Dropout2d()
        self.fc1 = nn.Linear(320, 50)
        self.fc2 = nn.Linear(50, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2_drop(self.conv2(x)), 2))
        x = F.relu(self.fc1(x.view(-1, 320)))
        x = F.dropout(x, training=self.training)
        return F.log_softmax(self.fc2(x), dim=1)


class Softmax(nn.Module):
    """Softmax regression, log-probabilities: 7,850 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(784, 10)

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(self.linear(x), dim=1)


def network(work: Work) -> nn.Module:
    """A new network for the work, drawn under a fixed seed."""
    torch.manual_seed(1)
    return Cnn() if work.model == "cnn" else Softmax()


@cache
def mnist(file: str, model: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(x, y, test x, test y): images as float32, (n, 1, 28, 28) for the CNN and (n, 784) otherwise, standardised; labels int64."""
    with np.load(file) as arrays:
        return (_images(arrays["x"], model), _labels(arrays["y"]), _images(arrays["test_x"], model), _labels(arrays["test_y"]))


def _images(stored: np.ndarray, model: str) -> Tensor:
    x = torch.from_numpy(stored).float().div_(255).sub_(0.1307).div_(0.3081)
    return x.view(-1, 1, 28, 28) if model == "cnn" else x.view(-1, 784)


def _labels(stored: np.ndarray) -> Tensor:
    return torch.from_numpy(stored.astype(np.int64))


@cache
def shares(file: str, model: str, clients: int) -> tuple[list[Tensor], list[Tensor]]:
    """Each client's images and labels: equal shares of the shuffled training images."""
    x, y, _, _ = mnist(file, model)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1)).chunk(clients)
    return [x[index] for index in order], [y[index] for index in order]


def train(net: nn.Module, x: Tensor, y: Tensor, work: Work) -> None:
    """One epoch."""
    optimizer = torch.optim.SGD(net.parameters(), lr=work.learning_rate, momentum=work.momentum)
    net.train()
    order = torch.randperm(len(x))
    for start in range(0, len(x), work.batch_size):
        chosen = order[start : start + work.batch_size]
        optimizer.zero_grad()
        loss = F.nll_loss(net(x[chosen]), y[chosen])
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        optimizer.step()


def accuracy(net: nn.Module, file: str, work: Work) -> float:
    """On the test images."""
    _, _, x, y = mnist(file, work.model)
    net.eval()
    with torch.no_grad():
        right = [net(images).argmax(1) == labels for images, labels in zip(torch.split(x, 1000), torch.split(y, 1000), strict=True)]
    return float(torch.cat(right).float().mean())
