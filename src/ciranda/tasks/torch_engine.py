"""The engine's view of a `TorchTask`: arrays in, arrays and exact sums out.

What makes it quick on one thread: the model and optimizer are built once per thread and loaded in place; an epoch's examples are
gathered as stored (bytes, for images), scaled a cache-sized block at a time, and cut into batches that are views; losses
stay tensors until the epoch ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from ciranda.core import metrics
from ciranda.core.errors import DataError, TaskError
from ciranda.core.metrics import Sums
from ciranda.core.rng import Draw
from ciranda.core.task import Array, Arrays, ClientSettings, Examples, FederatedData, Part, Trained
from ciranda.core.texts import Text
from ciranda.tasks.blame import blamed
from ciranda.tasks.numpy_models import diverged
from ciranda.tasks.torch_local import Local, usual_optimizer
from ciranda.tasks.torch_recipe import resolve_device, seeded
from ciranda.tasks.torch_task import Batch, TorchTask
from ciranda.tasks.watching import teller

BLOCK = 1024
PREDICTION_BATCH = 256


class TorchEngine:
    """A `ciranda.core.task.Task` made from a `TorchTask`. Safe to use from several threads; they train one after the other,
    because dropout draws from torch's one generator for the process."""

    def __init__(self, task: TorchTask, device: str = "auto") -> None:
        """Args: device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1", "mps"; looked up at first use."""
        self.task = task
        self.device = device
        self.name = task.name or type(task).__name__
        self.kind: Literal["classification", "regression"] = task.kind
        self._threads = threading.local()
        self._first: Local | None = None

    def __reduce__(self) -> tuple[Callable[..., TorchEngine], tuple[TorchTask, str]]:
        return TorchEngine, (self.task, self.device)

    def data(self) -> FederatedData:
        with blamed(self.task, "data()"):
            return self.task.data()

    def initial(self, draw: Draw) -> Arrays:
        """A new model under the draw. Raises SignatureError if the user's `model()` gives other tensors than it gave before."""
        fresh = self._build(draw, torch.device("cpu"))
        self._reference().check_same(fresh)
        return fresh.arrays()

    def part_of(self, name: str) -> Part:
        return self._reference().part_of(name)

    def train(self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw, correction: Arrays | None = None) -> Trained:
        """`settings.local_epochs` passes over `examples`, reshuffled each time; the last batch of a pass may be smaller.

        Raises:
            DataError: no examples. DivergedError: the loss or a parameter is not finite, with epoch and batch.
            SignatureError: `model` has other tensors than the task's. TaskError: the user's code fails, with its line.
        """
        if not len(examples):
            raise DataError(
                "{task}: a client has no examples to train on.", hint="Use fewer clients or another partitioner.", task=self.name
            )
        local = self._local()
        local.load(model)
        local.module.train()
        step = local.stepper(self.task, settings, correction)
        loss, steps = 0.0, 0
        tell = teller(settings.local_epochs * -(-len(examples) // settings.batch_size))
        with seeded(draw.at("torch"), local.device), blamed(self.task, "training", local.module):
            for epoch in range(1, settings.local_epochs + 1):
                order = draw.at("shuffle", epoch=epoch).generator().permutation(len(examples))
                losses = []
                for number, batch in enumerate(self._batches(examples, settings.batch_size, local.device, order), steps + 1):
                    losses.append(step(batch))
                    if tell is not None:
                        tell(number, losses[-1].item)
                loss += self._sum(losses, len(examples), settings, epoch)
                steps += len(losses)
        arrays = local.arrays()
        with np.errstate(all="ignore"):
            finite = all(np.isfinite(array.sum()) for array in arrays.values())
        if not finite:
            raise diverged(self.name, Text("epoch {epoch}", epoch=settings.local_epochs), settings.learning_rate)
        sums: Sums = {"n": len(examples) * settings.local_epochs, "loss": metrics.fixed(loss)}
        return Trained(arrays, sums, steps if usual_optimizer(self.task) else 0)

    def evaluate(self, model: Arrays, examples: Examples, batch_size: int) -> Sums:
        """Dropout off, running statistics fixed. For regression the loss is added to the errors' sums."""
        if not len(examples):
            raise DataError("{task}: there are no examples to evaluate on.", task=self.name)
        local = self._evaluating(model)
        total: Sums = {}
        with torch.no_grad(), blamed(self.task, "evaluation", local.module):
            for start in range(0, len(examples), batch_size):
                part = examples[start : start + batch_size]
                batch = next(self._batches(part, batch_size, local.device))
                loss, outputs = local.judge(self.task, batch)
                scores = outputs.float().cpu().numpy()
                if self.kind == "regression":
                    sums: Sums = {**metrics.regression(scores, part.y), "loss": metrics.fixed(float(loss) * len(part))}
                else:
                    sums = metrics.classification(scores, part.y, float(loss) * len(part), scores.shape[1])
                # Added up as integers, batch by batch: a test set cut at a multiple of the batch size has the same sums.
                total = metrics.add(total, sums)
        return total

    def predict(self, model: Arrays, x: Array) -> Array:
        local = self._evaluating(model)
        examples = Examples(x, np.zeros(len(x), np.int64))
        with torch.no_grad(), blamed(self.task, "prediction", local.module):
            batches = self._batches(examples, PREDICTION_BATCH, local.device)
            outputs = [self.task.predict(local.module, batch.x).float().cpu().numpy() for batch in batches]
        predicted: Array = np.concatenate(outputs) if outputs else np.zeros(0, np.float32)
        return predicted[:, 0] if self.kind == "regression" and predicted.ndim == 2 and predicted.shape[1] == 1 else predicted

    def _evaluating(self, model: Arrays) -> Local:
        local = self._local()
        local.load(model)
        local.module.eval()
        return local

    def _reference(self) -> Local:
        """A model to compare with, on the CPU: the process that forks the workers must not have touched a GPU."""
        if self._first is None:
            self._first = self._build(Draw(0), torch.device("cpu"))
        return self._first

    def _local(self) -> Local:
        """This thread's model; its first parameters are never used."""
        local: Local | None = getattr(self._threads, "local", None)
        if local is None:
            local = self._threads.local = self._build(Draw(0), resolve_device(self.device))
        return local

    def _build(self, draw: Draw, device: torch.device) -> Local:
        with seeded(draw.at("initial"), torch.device("cpu")), blamed(self.task, "model()"):
            module = self.task.model()
        if not isinstance(module, nn.Module):
            raise TaskError("{task}: model() returned {kind}, not a torch.nn.Module.", task=self.name, kind=type(module).__name__)
        return Local(module, self.name, device, self.task.channels_last, self.task.private)

    def _batches(self, examples: Examples, batch_size: int, device: torch.device, order: Array | None = None) -> Iterator[Batch]:
        block = max(1, BLOCK // batch_size) * batch_size
        for start in range(0, len(examples), block):
            chosen = slice(start, start + block) if order is None else order[start : start + block]
            x = self.task.transform(_tensor(examples.x[chosen], device))
            if self.task.channels_last and x.ndim == 4:
                x = x.contiguous(memory_format=torch.channels_last)
            y = _tensor(examples.y[chosen], device)
            y = y.float() if y.is_floating_point() else y.long()
            yield from map(Batch, torch.split(x, batch_size), torch.split(y, batch_size))

    def _sum(self, losses: list[Tensor], examples: int, settings: ClientSettings, epoch: int) -> float:
        """The epoch's loss summed over examples; the one place where training waits for a device."""
        values = torch.stack(losses).double().cpu().numpy()
        if not np.isfinite(values).all():
            batch = int(np.flatnonzero(~np.isfinite(values))[0]) + 1
            raise diverged(
                self.name,
                Text("epoch {epoch}, batch {batch} of {batches}", epoch=epoch, batch=batch, batches=len(values)),
                settings.learning_rate,
            )
        sizes = np.full(len(values), settings.batch_size)
        sizes[-1] = examples - settings.batch_size * (len(values) - 1)
        return float(values @ sizes)


def _tensor(array: Array, device: torch.device) -> Tensor:
    # torch warns about read-only memory, such as shared or decoded arrays; an index array above has already made a copy.
    return torch.from_numpy(array if array.flags.writeable else array.copy()).to(device)
