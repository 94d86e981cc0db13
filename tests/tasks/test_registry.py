"""The registry: what is in it, what it costs to import, and its real data."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ciranda.core.errors import MissingExtra
from ciranda.core.metrics import summarise
from ciranda.core.rng import Draw
from ciranda.core.task import ClientSettings
from ciranda.tasks import registry
from ciranda.tasks.registry import TASKS

SIZES = {
    "digits-softmax": 650,
    "digits-mlp": 4_810,
    "iris-mlp": 83,
    "diabetes-linear": 11,
    "diabetes-mlp": 171,
    "mnist-softmax": 7_850,
    "mnist-mlp": 199_210,
    "mnist-cnn": 21_840,
    "mnist-cnn-mcmahan": 1_663_370,
    "fashion-cnn": 21_840,
    "fashion-lenet": 61_706,
    "fashion-mlp": 235_146,
    "cifar10-cnn": 62_006,
    "hamlet-gru": 62_171,
    "hamlet-lstm-mcmahan": 816_475,
}


def test_every_task_is_described_under_its_name() -> None:
    assert set(SIZES) == set(TASKS)
    for name, entry in TASKS.items():
        assert entry.name == name
        assert entry.description
        assert "\n" not in entry.description


@pytest.mark.parametrize("name", sorted(SIZES))
def test_parameters_are_as_many_as_stated(name: str) -> None:
    entry = TASKS[name]
    if entry.extra:
        pytest.importorskip("torch")
    task = entry.make(device="cpu")
    assert task.name == name
    count = sum(array.size for array in task.initial(Draw(0)).values())
    assert count == SIZES[name]
    if "parameters" in entry.description:
        assert f"{count:,} parameters" in entry.description


def test_importing_the_registry_imports_no_large_library() -> None:
    code = "import sys, ciranda.tasks.registry, ciranda.tasks.user, ciranda.tasks.check, ciranda.tasks.recipe; print(*sys.modules)"
    source = str(Path(registry.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": source}
    )
    assert not {"torch", "pyarrow", "PIL", "sklearn", "pydantic", "matplotlib"} & set(done.stdout.split())


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"mnist-cnn.*torch") as caught:
        TASKS["mnist-cnn"].make()
    assert "ciranda[torch]" in caught.value.hint
    assert TASKS["digits-mlp"].make().name == "digits-mlp"


def test_mnist_in_one_pass(data_root: Path) -> None:
    if not (data_root / "mnist").is_dir():
        pytest.skip(f"no MNIST in {data_root}")
    task = TASKS["mnist-softmax"].make()
    data = task.data()
    assert data.train.x.dtype == np.uint8
    settings = ClientSettings(batch_size=100, learning_rate=0.05)
    trained = task.train(task.initial(Draw(1)), data.train[:20_000], settings, Draw(1)).arrays
    assert summarise(task.evaluate(trained, data.test, 500))["accuracy"] > 0.87


def test_the_small_cnn_learns_mnist(data_root: Path) -> None:
    pytest.importorskip("torch")
    if not (data_root / "mnist").is_dir():
        pytest.skip(f"no MNIST in {data_root}")
    task = TASKS["mnist-cnn"].make(device="cpu")
    data = task.data()
    settings = ClientSettings(batch_size=32, learning_rate=0.05, momentum=0.5)
    trained = task.train(task.initial(Draw(1)), data.train[:3_000], settings, Draw(1)).arrays
    assert summarise(task.evaluate(trained, data.test[:1_000], 250))["accuracy"] > 0.75
