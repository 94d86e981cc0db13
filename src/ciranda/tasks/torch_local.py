"""One thread's torch model: arrays go in and out in place, and batches step it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import compress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ciranda.core.errors import SignatureError, TaskError
from ciranda.core.task import Array, Arrays, ClientSettings, Part
from ciranda.tasks.torch_task import Batch, TorchTask

FLOATS = (torch.float32, torch.float64)


class Local:
    """A module on a device. Tensors are named as in torch; tied parameters appear once, under their first name."""

    def __init__(self, module: nn.Module, name: str, device: torch.device, channels_last: bool, private: tuple[str, ...] = ()) -> None:
        self.name = name
        self.device = device
        _refuse(module, name)
        layout: dict[str, Any] = {"memory_format": torch.channels_last} if channels_last else {}
        self.module = module.to(device, **layout)
        kept = set(module.state_dict(keep_vars=True))
        self.tensors: dict[str, Tensor] = {key: value.data for key, value in module.named_parameters()}
        buffers = dict(module.named_buffers())
        self.tensors.update({key: value for key, value in buffers.items() if key in kept})
        # Buffers that are not saved are a client's scratch: each client starts from what model() made.
        self._scratch = [(value, value.clone()) for key, value in buffers.items() if key not in kept]
        self._parts: dict[str, Part] = dict.fromkeys(self.tensors, "model")
        self._parts.update({key: "buffers" if buffers[key].is_floating_point() else "counters" for key in buffers if key in kept})
        self._parts.update({key: "private" for key in self.tensors if key.startswith(private)})
        for beginning in private:
            if not any(key.startswith(beginning) for key in self.tensors):
                raise SignatureError(
                    "{task}: private names '{beginning}', but no tensor's name begins so; there are {tensors}.",
                    task=name,
                    beginning=beginning,
                    tensors=", ".join(self.tensors),
                )
        if "model" not in self._parts.values():
            raise TaskError("{task}: every parameter is private, so there is nothing to learn together.", task=name)
        # Numpy's view of each tensor's memory, in the tensor's own order of axes: the quickest way in and out.
        self._views = {key: value.numpy() for key, value in self.tensors.items()} if device.type == "cpu" else {}
        self._settings: ClientSettings | None = None
        self._optimizer: torch.optim.Optimizer | None = None

    def part_of(self, name: str) -> Part:
        if name not in self._parts:
            raise SignatureError(
                "{task}: the model has no tensor '{name}'; it has {parts}.", task=self.name, name=name, parts=", ".join(sorted(self._parts))
            )
        return self._parts[name]

    def arrays(self) -> dict[str, Array]:
        """A copy of every tensor, C-contiguous, dtype as in the model."""
        if self._views:
            return {key: np.array(view, order="C") for key, view in self._views.items()}
        return {key: np.array(value.cpu().numpy(), order="C") for key, value in self.tensors.items()}

    def load(self, model: Arrays) -> None:
        """Copy `model` in. Raises SignatureError naming the tensor and both shapes."""
        if model.keys() != self.tensors.keys():
            missing, extra = sorted(self.tensors.keys() - model.keys()), sorted(model.keys() - self.tensors.keys())
            raise SignatureError(
                "{task}: the tensors differ from the model's: missing {missing}, unexpected {extra}.",
                task=self.name,
                missing=missing,
                extra=extra,
            )
        for key, tensor in self.tensors.items():
            array = model[key]
            if array.shape != tensor.shape:
                raise changed(self.name, key, tuple(tensor.shape), array.shape)
            if self._views:
                np.copyto(self._views[key], array, casting="same_kind")
            else:
                tensor.copy_(torch.from_numpy(np.array(array)))
        for buffer, first in self._scratch:
            buffer.copy_(first)

    def check_same(self, other: Local) -> None:
        """Raises SignatureError unless `other` has the same names and shapes."""
        if other.tensors.keys() != self.tensors.keys():
            names = sorted(other.tensors.keys() ^ self.tensors.keys())
            raise SignatureError(
                "{task}: model() gives other tensors on each call; only in one of two: {names}.", task=self.name, names=", ".join(names)
            )
        for key, tensor in self.tensors.items():
            if other.tensors[key].shape != tensor.shape:
                raise changed(self.name, key, tuple(tensor.shape), tuple(other.tensors[key].shape))

    def stepper(self, task: TorchTask, settings: ClientSettings, correction: Arrays | None = None) -> Callable[[Batch], Tensor]:
        """A function that takes one optimizer step on a batch, with `correction` added to its gradients, and returns its detached loss."""
        module, loss_of = self.module, task.loss
        parameters = [value for value in module.parameters() if value.requires_grad]
        update = self._update(task, settings, parameters)
        mu = settings.proximal_mu
        added = self._added(correction or {})
        anchors = [value.detach().clone() for value in parameters] if mu else []

        def step(batch: Batch) -> Tensor:
            for value in parameters:
                value.grad = None
            loss = loss_of(module, batch)
            if not isinstance(loss, Tensor) or loss.ndim:
                raise TaskError(
                    "{task}: loss() must return a scalar tensor, not {found}.",
                    hint="Return its mean().",
                    task=self.name,
                    found=_describe(loss),
                )
            loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
            if mu:
                _pull(parameters, anchors, mu)
            for value, extra in added:
                value.grad = extra.clone() if value.grad is None else value.grad.add_(extra)
            update()
            return loss.detach()

        return step

    def _added(self, correction: Arrays) -> list[tuple[nn.Parameter, Tensor]]:
        """What `correction` holds for the parameters that are trained, on their device."""
        named = [(key, value) for key, value in self.module.named_parameters() if key in correction and value.requires_grad]
        return [(value, torch.tensor(correction[key], dtype=value.dtype, device=self.device)) for key, value in named]

    def judge(self, task: TorchTask, batch: Batch) -> tuple[Tensor, Tensor]:
        """The batch's mean loss, and scores or predictions of shape (b, ...)."""
        seen: list[Any] = []
        handle = self.module.register_forward_hook(lambda module, given, output: seen.append(output))
        try:
            loss = task.loss(self.module, batch)
        finally:
            handle.remove()
        # The usual loss runs the model once on the batch: its output serves twice, unless the user predicts in another way.
        usual = type(task).predict is TorchTask.predict and len(seen) == 1 and isinstance(seen[0], Tensor) and len(seen[0]) == len(batch)
        return loss, seen[0] if usual else task.predict(self.module, batch.x)

    def _update(self, task: TorchTask, settings: ClientSettings, parameters: list[nn.Parameter]) -> Callable[[], object]:
        """What moves the parameters by their gradients: an optimizer without history."""
        usual = usual_optimizer(task)
        if usual and self.device.type == "cpu" and settings.optimizer == "sgd" and not settings.weight_decay and not settings.extra:
            return _sgd(parameters, settings.learning_rate, settings.momentum)
        if self._optimizer is None or settings != self._settings or not usual:
            self._optimizer, self._settings = task.optimizer(parameters, settings), settings
        self._optimizer.state.clear()
        return self._optimizer.step


def usual_optimizer(task: TorchTask) -> bool:
    """Whether the task steps with the optimizer that `[client]` asks for, and not with one of its own."""
    return type(task).optimizer is TorchTask.optimizer


def changed(name: str, tensor: str, expected: tuple[int, ...], given: tuple[int, ...]) -> SignatureError:
    """The error for a tensor whose shape is not the agreed one."""
    layer = tensor.rpartition(".")[0] or "the model"
    return SignatureError(
        "{task}: tensor '{tensor}' of layer '{layer}' has shape {given}, expected {expected}.",
        hint=("model() must build the same layers on every call: take nothing in it from random numbers, counters or a client's data."),
        task=name,
        tensor=tensor,
        layer=layer,
        given=given,
        expected=expected,
    )


def _sgd(parameters: list[nn.Parameter], rate: float, momentum: float) -> Callable[[], None]:
    """v = momentum v + g (from v = 0), w = w - rate v: one call of a fused kernel, the bits of torch.optim.SGD's plain implementation.

    The optimizer's bookkeeping, which is left out, is about 0.1 ms a step: 4 % of a step of the small CNN on MNIST.
    """
    values = [parameter.data for parameter in parameters]
    velocities = [torch.zeros_like(value) for value in values] if momentum else []

    def update() -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        moved, moving = values, velocities
        if len(gradients) < len(parameters):
            reached = [parameter.grad is not None for parameter in parameters]
            moved, moving = list(compress(values, reached)), list(compress(velocities, reached))
        torch._fused_sgd_(
            moved,
            gradients,
            moving,
            weight_decay=0.0,
            momentum=momentum,
            lr=rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=False,
        )

    return update


def _pull(parameters: list[nn.Parameter], anchors: list[Tensor], mu: float) -> None:
    """Add FedProx's mu (w - w0) to the gradients (Li et al. 2020, eq. 2)."""
    for value, anchor in zip(parameters, anchors, strict=True):
        if value.grad is not None:
            value.grad.add_(value.detach() - anchor, alpha=mu)


def _refuse(module: nn.Module, name: str) -> None:
    """Raises TaskError for parameters that cannot be averaged as they are."""
    for key, value in module.named_parameters():
        if nn.parameter.is_lazy(value):
            raise TaskError(
                "{task}: parameter '{key}' has no shape yet (a Lazy layer).", hint="Give the layer its input size.", task=name, key=key
            )
        if value.dtype not in FLOATS:
            raise TaskError(
                "{task}: parameter '{key}' is {dtype}; parameters must be float32 or float64.",
                hint="Keep float32 master weights in the model, and use torch.autocast inside loss() for lower precision.",
                task=name,
                key=key,
                dtype=str(value.dtype).removeprefix("torch."),
            )
    if not any(True for _ in module.parameters()):
        raise TaskError("{task}: the model has no parameters to train.", task=name)


def _describe(value: object) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
