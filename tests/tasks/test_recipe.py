"""What fixes the bits: the worker's preparation, the recipe, the probe; and equal bits in fresh processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ciranda
from ciranda.core.params import model_sha256
from ciranda.core.rng import Draw
from ciranda.core.task import ClientSettings, Examples
from ciranda.tasks.recipe import prepare_worker, probe, recipe
from ciranda.tasks.registry import TASKS

IMAGES = Examples(np.random.default_rng(0).integers(0, 256, (40, 28, 28)).astype(np.uint8), np.arange(40) % 10)

TRAIN = """
import sys
import numpy as np
from ciranda.core.params import model_sha256
from ciranda.core.rng import Draw
from ciranda.core.task import ClientSettings, Examples
from ciranda.tasks.recipe import prepare_worker
from ciranda.tasks.registry import TASKS
junk = [np.ones(int(n)) for n in range(1000, 1000 + 37 * int(sys.argv[2]))]
images = Examples(np.random.default_rng(0).integers(0, 256, (40, 28, 28)).astype(np.uint8), np.arange(40) % 10)
with prepare_worker("softmax" not in sys.argv[1]):
    task = TASKS[sys.argv[1]].make()
    settings = ClientSettings(local_epochs=2, batch_size=16, learning_rate=0.05)
    print(model_sha256(task.train(task.initial(Draw(1)), images, settings, Draw(2)).arrays))
"""


@pytest.mark.parametrize("name", ["mnist-softmax", "mnist-cnn"])
def test_fresh_processes_give_the_same_bits(name: str) -> None:
    if TASKS[name].extra:
        pytest.importorskip("torch")
    task = TASKS[name].make(device="cpu")
    settings = ClientSettings(local_epochs=2, batch_size=16, learning_rate=0.05)
    here = model_sha256(task.train(task.initial(Draw(1)), IMAGES, settings, Draw(2)).arrays)
    environment = {**os.environ, "PYTHONPATH": str(Path(ciranda.__file__).parents[1])}
    for junk in ("0", "3"):
        done = subprocess.run([sys.executable, "-c", TRAIN, name, junk], capture_output=True, text=True, check=True, env=environment)
        assert done.stdout.strip() == here


def test_a_prepared_worker_has_one_thread_and_is_left_as_it_was() -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with prepare_worker(uses_torch=True):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_recipe_names_what_matters() -> None:
    assert {"numpy", "machine"} <= set(recipe(TASKS["digits-mlp"].make()))
    torch = pytest.importorskip("torch")
    found = recipe(TASKS["mnist-cnn"].make(device="cpu"))
    assert found["torch"] == torch.__version__
    assert found["capability"] == torch.backends.cpu.get_cpu_capability()
    assert (found["device"], found["threads"]) == ("cpu", "1")
    assert all(isinstance(value, str) for value in found.values())


@pytest.mark.parametrize("name", ["digits-mlp", "diabetes-linear", "iris-mlp"])
def test_the_probe_does_not_depend_on_whose_data_it_is(name: str) -> None:
    task = TASKS[name].make()
    train = task.data().train
    assert probe(task, train[:1]) == probe(task, train[20:30]) == probe(TASKS[name].make(), train)


def test_the_probe_depends_on_the_computation() -> None:
    train = TASKS["digits-mlp"].make().data().train
    assert probe(TASKS["digits-mlp"].make(), train) != probe(TASKS["digits-softmax"].make(), train)


def test_the_probe_of_a_torch_task() -> None:
    pytest.importorskip("torch")
    tasks = [TASKS["mnist-cnn"].make(device="cpu") for _ in range(2)]
    assert probe(tasks[0], IMAGES) == probe(tasks[1], IMAGES[:1])
