"""A task whose training costs nothing, with a model as large as CIRANDA_BENCH_WIDTH says (floats): what remains is the wire."""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np

from ciranda.core.metrics import Sums, regression
from ciranda.core.rng import Draw
from ciranda.core.task import Array, Arrays, ClientSettings, Examples, FederatedData, Part, Trained

WIDTH = "CIRANDA_BENCH_WIDTH"


class Still:
    """Learns next to nothing, at once."""

    name = "still"
    kind: Literal["classification", "regression"] = "regression"

    def data(self) -> FederatedData:
        x = np.arange(20_000, dtype=np.float32).reshape(10_000, 2)
        return FederatedData(Examples(x, x.mean(axis=1)), Examples(x[:10], x[:10].mean(axis=1)), name="still")

    def initial(self, draw: Draw) -> Arrays:
        return {"w": np.ones(int(os.environ.get(WIDTH, "1000")), np.float32)}

    def part_of(self, name: str) -> Part:
        return "model"

    def train(self, model: Arrays, examples: Examples, settings: ClientSettings, draw: Draw) -> Trained:
        moved = model["w"] + np.float32(len(examples) % 7 / 8)
        return Trained({"w": moved}, {"n": len(examples), "loss": 0})

    def evaluate(self, model: Arrays, examples: Examples, batch_size: int) -> Sums:
        return regression(self.predict(model, examples.x), examples.y)

    def predict(self, model: Arrays, x: Array) -> Array:
        answer: np.ndarray[Any, Any] = np.full(len(x), model["w"][:1000].mean(), np.float32)
        return answer
