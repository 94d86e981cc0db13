"""The networks of the literature: sizes, outputs, and equality with the published order of operations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ciranda.core.task import FederatedData
from ciranda.tasks.preprocess import CIFAR10, MNIST
from ciranda.tasks.torch_builtin import NETWORKS, Images
from ciranda.tasks.torch_models import CnnMcMahan, CnnMnist, LeNet, Mlp, as_images


@pytest.mark.parametrize(
    ("make", "parameters", "shape"),
    [
        (CnnMnist, 21_840, (1, 28, 28)),
        (lambda: LeNet(3, padding=0), 62_006, (3, 32, 32)),
        (lambda: LeNet(1, padding=2), 61_706, (1, 28, 28)),
        (CnnMcMahan, 1_663_370, (1, 28, 28)),
        (lambda: Mlp((784, 200, 200, 10)), 199_210, (1, 28, 28)),
        (lambda: Mlp((784, 256, 128, 10)), 235_146, (1, 28, 28)),
    ],
)
def test_sizes_and_outputs(make: Callable[[], nn.Module], parameters: int, shape: tuple[int, ...]) -> None:
    model = make()
    assert sum(value.numel() for value in model.parameters()) == parameters
    outputs = model.eval()(torch.rand(4, *shape))
    assert outputs.shape == (4, 10)
    assert torch.allclose(outputs.exp().sum(dim=1), torch.ones(4), atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_dropping_channels_after_pooling_is_dropping_them_before(training: bool) -> None:
    model = CnnMnist().train(training)

    def published(x: Tensor) -> Tensor:
        x = F.relu(F.max_pool2d(model.conv1(x), 2))
        x = F.relu(F.max_pool2d(model.conv2_drop(model.conv2(x)), 2))
        x = F.relu(model.fc1(x.view(-1, 320)))
        return F.log_softmax(model.fc2(F.dropout(x, training=training)), dim=1)

    x = torch.rand(8, 1, 28, 28)
    results = []
    for forward in (model, published):
        torch.manual_seed(3)
        outputs = forward(x)
        model.zero_grad()
        outputs[:, 0].sum().backward()
        results.append([outputs.detach(), *(value.grad.clone() for value in model.parameters() if value.grad is not None)])
    assert torch.equal(results[0][0], results[1][0])
    assert all(torch.allclose(ours, theirs, atol=1e-6) for ours, theirs in zip(*results, strict=True))


def test_images_are_seen_with_channels_first_and_kept_with_channels_last() -> None:
    grey, colour = torch.rand(2, 4, 5), torch.rand(2, 4, 5, 3)
    assert as_images(grey).shape == (2, 1, 4, 5)
    seen = as_images(colour)
    assert seen.shape == (2, 3, 4, 5)
    assert seen.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(seen[1, 2, 3], colour[1, 3, :, 2])


def no_data() -> FederatedData:
    raise AssertionError("not needed here")


def test_bytes_are_normalised_as_in_the_field() -> None:
    pixels = torch.arange(784, dtype=torch.int64).remainder(256).to(torch.uint8).reshape(1, 28, 28)
    scaled = Images("mnist", no_data, "cnn-mnist", MNIST).transform(pixels)
    assert scaled.shape == (1, 1, 28, 28)
    assert torch.allclose(scaled, ((pixels / 255.0) - 0.1307).unsqueeze(1) / 0.3081, atol=1e-5)
    colour = torch.full((2, 32, 32, 3), 255, dtype=torch.uint8)
    assert np.allclose(Images("cifar", no_data, "cnn-cifar", CIFAR10).transform(colour), 1.0)


def test_every_network_can_be_made() -> None:
    assert all(isinstance(make(), nn.Module) for make in NETWORKS.values())
