"""Models that the literature and well-known examples of federated learning use."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Mlp(nn.Sequential):
    """Fully connected, rectified linear hidden layers, log-probabilities out; `widths` from inputs to outputs.

    (784, 200, 200, 10) is the "2NN" of McMahan et al. 2017, 199,210 parameters.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in itertools.pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        super().__init__(*layers[:-1], nn.LogSoftmax(dim=1))


class CnnMnist(nn.Module):
    """Two convolutions and two linear layers with dropout, 21,840 parameters; (b, 1, 28, 28) -> log-probabilities (b, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
        self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
        self.conv2_drop = nn.Dropout2d()
        self.fc1 = nn.Linear(320, 50)
        self.fc2 = nn.Linear(50, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        # The original drops channels before pooling. A factor of 0 or 2 for a whole channel commutes with the maximum and the
        # rectifier, bit for bit, and here it meets a quarter of the numbers.
        x = self.conv2_drop(F.relu(F.max_pool2d(self.conv2(x), 2)))
        x = F.relu(self.fc1(x.flatten(1)))
        x = F.dropout(x, training=self.training)
        return F.log_softmax(self.fc2(x), dim=1)


class LeNet(nn.Module):
    """LeNet-5 (LeCun et al. 1998) with rectifiers and maxima; (b, channels, h, w) -> log-probabilities (b, 10).

    61,706 parameters for one channel of 28 x 28 with a padding of 2, 62,006 for three of 32 x 32 without.
    """

    def __init__(self, channels: int, padding: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=padding)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        x = F.relu(self.fc1(x.flatten(1)))
        x = F.relu(self.fc2(x))
        return F.log_softmax(self.fc3(x), dim=1)


class CnnMcMahan(nn.Module):
    """The MNIST CNN of McMahan et al. 2017, section 3, 1,663,370 parameters; (b, 1, 28, 28) -> log-probabilities (b, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 64, 5, padding=2)
        self.fc1 = nn.Linear(64 * 7 * 7, 512)
        self.fc2 = nn.Linear(512, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        x = F.relu(self.fc1(x.flatten(1)))
        return F.log_softmax(self.fc2(x), dim=1)


def as_images(x: Tensor) -> Tensor:
    """(n, h, w) -> (n, 1, h, w); (n, h, w, c) -> (n, c, h, w), the same memory seen with channels last."""
    return x.unsqueeze(1) if x.ndim == 3 else torch.movedim(x, -1, 1)
