"""Linear models and multilayer perceptrons in numpy alone: the tasks of the base install.

One network covers them: no hidden layer and a softmax is softmax regression, no hidden layer and a linear output is linear
regression by gradient descent. Gradients are written by hand. A client of 60 examples takes six steps of about 20 microseconds,
so everything a step needs is allocated before the first one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ciranda.core import metrics
from ciranda.core.errors import DataError, DivergedError, SignatureError
from ciranda.core.metrics import Sums
from ciranda.core.rng import Draw
from ciranda.core.task import Array, Arrays, ClientSettings, Examples, FederatedData, Part, Trained
from ciranda.core.texts import Text
from ciranda.tasks.numpy_optim import make_step
from ciranda.tasks.preprocess import NONE, Affine
from ciranda.tasks.watching import Tell, teller

Floats = NDArray[np.float32]
SMALLEST = np.finfo(np.float32).tiny


@dataclass
class NumpyTask:
    """A fully connected network with rectified linear hidden layers, float32.

    Tensors: "layerL.weight" of shape (inputs, outputs) and "layerL.bias" of shape (outputs,), L from 1.

    Attributes:
        name: what records call the task.
        load: reads the data; must be picklable (a function of a module).
        widths: inputs, hidden layers' widths, outputs; an example's `x` is flattened to `widths[0]` numbers.
        kind: "classification" ends in a softmax with cross-entropy; "regression" in the mean over a batch of half the
            squared error, on the targets as scaled by `scale_y` (predictions and metrics are in the stored unit).
        scale_x, scale_y: preprocessing of inputs and of regression targets.
    """

    name: str
    load: Callable[[], FederatedData]
    widths: tuple[int, ...]
    kind: Literal["classification", "regression"] = "classification"
    scale_x: Affine = NONE
    scale_y: Affine = field(default=NONE)

    def data(self) -> FederatedData:
        return self.load()

    def initial(self, draw: Draw) -> Arrays:
        """Uniform on +-sqrt(6 / inputs) before a rectifier (He et al. 2015, eq. 10), +-1/sqrt(inputs) at the output; biases 0."""
        generator = draw.at("initial").generator()
        arrays: dict[str, Array] = {}
        last = len(self.widths) - 1
        for layer, (inputs, outputs) in enumerate(zip(self.widths, self.widths[1:], strict=False), start=1):
            bound = np.sqrt((1.0 if layer == last else 6.0) / inputs)
            arrays[f"layer{layer}.weight"] = generator.uniform(-bound, bound, (inputs, outputs)).astype(np.float32)
            arrays[f"layer{layer}.bias"] = np.zeros(outputs, np.float32)
        return arrays

    def part_of(self, name: str) -> Part:
        return "model"

    def train(self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw, correction: Arrays | None = None) -> Trained:
        """Mini-batch gradient descent from `model`; the last batch of an epoch may be smaller. Raises DataError, DivergedError."""
        if not len(examples):
            raise DataError(
                "{task}: a client has no examples to train on.", hint="Use fewer clients or another partitioner.", task=self.name
            )
        net = _Net(self.widths, min(settings.batch_size, len(examples)), self.kind)
        net.load(model, self.name)
        x, y = self._inputs(examples.x), self._targets(examples.y)
        step = make_step(net.flat, net.gradient, settings, net.flattened(correction) if correction is not None else None)
        loss, batches = 0.0, -(-len(x) // settings.batch_size)
        tell = teller(settings.local_epochs * batches)
        for epoch in range(1, settings.local_epochs + 1):
            order = draw.at("shuffle", epoch=epoch).generator().permutation(len(x))
            # Overflow shows in the loss; numpy's warning would only say it a second time.
            with np.errstate(all="ignore"):
                epoch_loss = net.epoch(x[order], y[order], step, tell, (epoch - 1) * batches)
                finite = np.isfinite(epoch_loss) and np.isfinite(net.flat.sum())
            if not finite:
                raise diverged(self.name, Text("epoch {epoch}", epoch=epoch), settings.learning_rate)
            loss += epoch_loss
        return Trained(net.arrays(), {"n": len(x) * settings.local_epochs, "loss": metrics.fixed(loss)}, settings.local_epochs * batches)

    def evaluate(self, model: Arrays, examples: Examples, batch_size: int) -> Sums:
        if not len(examples):
            raise DataError("{task}: there are no examples to evaluate on.", task=self.name)
        total: Sums = {}
        for start in range(0, len(examples), batch_size):
            batch = examples[start : start + batch_size]
            outputs = self._outputs(model, batch.x)
            if self.kind == "regression":
                sums: Sums = metrics.regression(self._unscaled(outputs), batch.y)
            else:
                loss = -float(np.log(np.maximum(outputs[np.arange(len(batch)), batch.y], SMALLEST)).sum(dtype=np.float64))
                sums = metrics.classification(outputs, batch.y, loss, self.widths[-1])
            total = metrics.add(total, sums)
        return total

    def predict(self, model: Arrays, x: Array) -> Array:
        outputs = self._outputs(model, x)
        return outputs if self.kind == "classification" else self._unscaled(outputs)

    def _inputs(self, x: Array) -> Floats:
        """(n, widths[0] + 1) scaled inputs with a last column of ones, which makes the bias one more row of the weights."""
        flat = x.reshape(len(x), -1)
        if flat.shape[1] != self.widths[0]:
            raise SignatureError(
                "{task}: layer 'layer1' expects {first} numbers for each example; the data has {second}.",
                task=self.name,
                first=self.widths[0],
                second=flat.shape[1],
            )
        inputs = np.empty((len(flat), self.widths[0] + 1), np.float32)
        self.scale_x.apply(flat, out=inputs[:, :-1])
        inputs[:, -1] = 1.0
        return inputs

    def _targets(self, y: Array) -> Floats:
        """(n, outputs): one-hot rows, or scaled targets."""
        if self.kind == "regression":
            return self.scale_y.apply(y.reshape(len(y), -1))
        targets = np.zeros((len(y), self.widths[-1]), np.float32)
        targets[np.arange(len(y)), y] = 1.0
        return targets

    def _outputs(self, model: Arrays, x: Array) -> Floats:
        net = _Net(self.widths, len(x), self.kind)
        net.load(model, self.name)
        with np.errstate(all="ignore"):
            return net.forward(self._inputs(x))

    def _unscaled(self, outputs: Floats) -> Floats:
        values = self.scale_y.invert(outputs)
        return values[:, 0] if values.shape[1] == 1 else values


def diverged(name: str, where: Text, learning_rate: float) -> DivergedError:
    """The error for a loss or parameter that is no longer finite."""
    return DivergedError(
        "{task}: the loss or a parameter became infinite or not a number in {where}, at learning rate {learning_rate:g}.",
        hint="Lower client.learning-rate (a tenth is a good next try), and look for missing or huge values in the data.",
        task=name,
        where=where,
        learning_rate=learning_rate,
    )


class _Net:
    """Parameters in one flat vector, and room for the activations of one batch.

    A layer's weights and bias are one matrix (inputs + 1, outputs), bias last; every activation that feeds a layer ends in a
    column of ones. So a layer is one product forward and one for its gradient, and a step of the optimizer is one pass over `flat`.
    """

    def __init__(self, widths: tuple[int, ...], batch: int, kind: str) -> None:
        shapes = [(inputs + 1, outputs) for inputs, outputs in itertools.pairwise(widths)]
        sizes = [rows * columns for rows, columns in shapes]
        self.flat = np.empty(sum(sizes), np.float32)
        self.gradient = np.empty_like(self.flat)
        self.weights = [part.reshape(shape) for part, shape in zip(np.split(self.flat, np.cumsum(sizes)[:-1]), shapes, strict=True)]
        self.gradients = [part.reshape(shape) for part, shape in zip(np.split(self.gradient, np.cumsum(sizes)[:-1]), shapes, strict=True)]
        self.softmax = kind == "classification"
        self.hidden = [np.ones((batch, width + 1), np.float32) for width in widths[1:-1]]
        self.deltas = [np.empty((batch, width), np.float32) for width in widths[1:]]
        self.column = np.empty((batch, 1), np.float32)

    def load(self, model: Arrays, name: str) -> None:
        expected: Mapping[str, Any] = {key: view.shape for key, view in self._views(self.weights)}
        given = {key: array.shape for key, array in model.items()}
        if given != expected:
            key = next(key for key in sorted({*given, *expected}) if given.get(key) != expected.get(key))
            raise SignatureError(
                "{task}: tensor '{key}' has shape {given}, expected {expected}.",
                task=name,
                key=key,
                given=given.get(key, Text("none")),
                expected=expected.get(key, Text("none")),
            )
        for key, view in self._views(self.weights):
            view[...] = model[key]

    def arrays(self) -> dict[str, Array]:
        return {key: view.copy() for key, view in self._views(self.weights)}

    def flattened(self, arrays: Arrays) -> Floats:
        """`arrays`, some or all of the parameters, laid out as `flat`; the others are 0."""
        flat = np.zeros_like(self.flat)
        ends = np.cumsum([matrix.size for matrix in self.weights])[:-1]
        matrices = [part.reshape(matrix.shape) for part, matrix in zip(np.split(flat, ends), self.weights, strict=True)]
        for key, view in self._views(matrices):
            if key in arrays:
                view[...] = arrays[key]
        return flat

    @staticmethod
    def _views(matrices: list[Floats]) -> list[tuple[str, Floats]]:
        views: list[tuple[str, Floats]] = []
        for layer, matrix in enumerate(matrices, start=1):
            views += [(f"layer{layer}.weight", matrix[:-1]), (f"layer{layer}.bias", matrix[-1])]
        return views

    def forward(self, x: Floats, out: Floats | None = None) -> Floats:
        """Probabilities or scaled predictions, shape (len(x), outputs); `len(x)` is at most the batch size."""
        rows = len(x)
        for weights, buffer in zip(self.weights, self.hidden, strict=False):
            inner = buffer[:rows]
            delta = np.dot(x, weights)
            np.maximum(delta, 0.0, out=inner[:, :-1])
            x = inner
        outputs = np.dot(x, self.weights[-1], out=out)
        if self.softmax:
            column = self.column[:rows]
            outputs -= np.maximum.reduce(outputs, axis=1, keepdims=True, out=column)
            np.exp(outputs, out=outputs)
            outputs /= np.add.reduce(outputs, axis=1, keepdims=True, out=column)
        return outputs

    def backward(self, x: Floats, delta: Floats) -> None:
        """Fill `gradient` from `delta`, the loss's derivative by the last layer's sums; call after `forward(x)`."""
        rows = len(x)
        for layer in range(len(self.weights) - 1, -1, -1):
            inner = self.hidden[layer - 1][:rows] if layer else x
            np.dot(inner.T, delta, out=self.gradients[layer])
            if layer:
                below = self.deltas[layer - 1][:rows]
                np.dot(delta, self.weights[layer][:-1].T, out=below)
                below *= inner[:, :-1] > 0.0
                delta = below

    def epoch(self, x: Floats, y: Floats, step: Callable[[], None], tell: Tell | None = None, before: int = 0) -> float:
        """One pass over (x, y) in their order; returns the summed loss. `tell` counts batches from `before` on."""
        outputs = np.empty_like(y)
        batch = len(self.deltas[-1])
        for number, start in enumerate(range(0, len(x), batch), before + 1):
            inputs = x[start : start + batch]
            result = self.forward(inputs, outputs[start : start + batch])
            delta = np.subtract(result, y[start : start + batch], out=self.deltas[-1][: len(inputs)])
            delta *= np.float32(1.0 / len(inputs))
            self.backward(inputs, delta)
            step()
            if tell is not None:
                tell(number, partial(self._mean_loss, result, y[start : start + batch]))
        return self._loss(outputs, y)

    def _mean_loss(self, outputs: Floats, y: Floats) -> float:
        return self._loss(outputs, y) / len(y)

    def _loss(self, outputs: Floats, y: Floats) -> float:
        """The loss summed over examples."""
        if self.softmax:
            # The probability given to the right class: y is one-hot.
            picked = np.maximum(np.einsum("ij,ij->i", outputs, y), SMALLEST)
            return -float(np.log(picked).sum(dtype=np.float64))
        return float(0.5 * np.square(outputs - y, dtype=np.float64).sum())
