"""A task whose every outcome can be worked out by hand, for tests of what surrounds tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from ciranda.core.errors import StopRequested
from ciranda.core.metrics import Sums, regression
from ciranda.core.rng import Draw
from ciranda.core.task import Array, Arrays, ClientSettings, Examples, FederatedData, Part, Trained


class MeanTask:
    """Learns the mean: a client moves w half of the way to the mean of its own x, in one step.

    Args:
        clients: how many clients the data is meant for; each of them has `each` examples of width `width`.
        faults: what goes wrong for the client that holds an example whose first value is the key: "stop" asks for the run's end, "raise" is
            an error of a user's code, "nan" an update that is not finite.
    """

    name = "mean"
    kind: Literal["classification", "regression"] = "regression"

    def __init__(self, clients: int = 4, each: int = 3, width: int = 2, faults: Mapping[float, str] | None = None) -> None:
        self._clients, self._each, self._width = clients, each, width
        self._faults = dict(faults or {})

    def data(self) -> FederatedData:
        count = self._clients * self._each
        x = np.arange(count * self._width, dtype=np.float32).reshape(count, self._width)
        return FederatedData(Examples(x, x.mean(axis=1)), Examples(x[: self._each], x[: self._each].mean(axis=1)), name="mean")

    def initial(self, draw: Draw) -> Arrays:
        return {"w": np.zeros(self._width, np.float32)}

    def part_of(self, name: str) -> Part:
        return "model"

    def train(self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw, correction: Arrays | None = None) -> Trained:
        faults = [self._faults[value] for value in examples.x[:, 0].tolist() if value in self._faults]
        if "stop" in faults:
            raise StopRequested("it has seen enough")
        if "raise" in faults:
            raise ZeroDivisionError("a user's mistake")
        w = (model["w"] + examples.x.mean(axis=0, dtype=np.float32)) / np.float32(2)
        if "nan" in faults:
            w = np.full_like(w, np.nan)
        if correction is not None:
            w = w - np.float32(settings.learning_rate) * correction["w"]
        return Trained({"w": w}, {"n": len(examples), "loss": 0}, steps=1)

    def evaluate(self, model: Arrays, examples: Examples, batch_size: int) -> Sums:
        return regression(self.predict(model, examples.x), examples.y)

    def predict(self, model: Arrays, x: Array) -> Array:
        return np.full(len(x), model["w"].mean(), np.float32)
