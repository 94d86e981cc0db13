"""The paper's pseudocode and the engine's strategy, on the same clients' updates, make the same model."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ciranda.core.strategies import FedAvg
from ciranda.core.task import Array, Part
from ciranda.core.update import Contract, Update, difference, finish, fold, zero

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "fedavg_pseudocode.py"


@pytest.fixture(scope="module")
def paper() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fedavg_pseudocode", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parameter(name: str) -> Part:
    return "model"


def engine_average(w: dict[str, Array], replies: list[tuple[int, dict[str, Array]]]) -> dict[str, Array]:
    """One round of the engine: differences, the exact sum, the strategy."""
    contract = Contract.for_model(w, parameter, max_weight=max(n_k for n_k, _ in replies), cohort=len(replies))
    total = zero(contract)
    for k, (n_k, w_k) in enumerate(replies):
        total = fold(contract, total, str(k), Update(difference(w, w_k, parameter), n_k, {}))
    _, model = FedAvg().apply({}, w, finish(contract, total))
    return dict(model)


def replies_to(w: dict[str, Array], seed: int) -> list[tuple[int, dict[str, Array]]]:
    generator = np.random.default_rng(seed)
    steps = [{name: generator.normal(scale=0.3, size=tensor.shape) for name, tensor in w.items()} for _ in range(7)]
    return [(int(generator.integers(1, 600)), {name: (w[name] + step[name]).astype(w[name].dtype) for name in w}) for step in steps]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-14), ("float32", 2e-7)])
@pytest.mark.parametrize("seed", range(5))
def test_one_round_gives_the_papers_average(paper: ModuleType, dtype: str, tolerance: float, seed: int) -> None:
    generator = np.random.default_rng(100 + seed)
    w: dict[str, Any] = {"weight": generator.normal(size=(20, 3)).astype(dtype), "bias": generator.normal(size=3).astype(dtype)}
    replies = replies_to(w, seed)
    expected, found = paper.average(replies), engine_average(w, replies)
    for name in w:
        assert found[name].dtype == dtype
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=tolerance * 4)


def test_whole_training_ends_in_the_same_model(paper: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Algorithm 1 twice, once with its own average and once with the engine's in its place."""
    generator = np.random.default_rng(0)
    clients = [(generator.normal(size=(n_k, 4)), generator.integers(0, 3, n_k)) for n_k in (5, 12, 30, 8, 21)]
    w = {"weight": np.zeros((4, 3)), "bias": np.zeros(3)}
    settings = {"rounds": 10, "C": 0.6, "E": 2, "B": 4, "eta": 0.2, "seed": 3}
    expected = paper.server_executes(w, clients, **settings)
    previous = [w]

    def average(replies: list[tuple[int, dict[str, Array]]]) -> dict[str, Array]:
        previous.append(engine_average(previous[-1], replies))
        return previous[-1]

    monkeypatch.setattr(paper, "average", average)
    found = paper.server_executes(w, clients, **settings)
    assert len(previous) == 11
    for name in w:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-12)
        assert np.abs(expected[name]).max() > 0.01


def test_the_example_runs(tmp_path: Path) -> None:
    answer = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert float(answer.stdout.split(":")[1]) > 0.85
