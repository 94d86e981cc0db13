"""One client's round in one process: a bare eager PyTorch loop against Ciranda's task, on the same data, alternated.

    python -m benchmarks.step_speed [CASE ...] [--repeats N]

Both sides start from a model's arrays and end with the difference from it, on one thread. The eager loop is what a good engineer
writes first: float32 NCHW tensors scaled once beforehand, index batches `x[perm[i:i+b]]`, torch.optim.SGD, F.nll_loss. Ciranda starts
from the stored bytes. Prints the median and quartiles of the ratio of neighbouring times, Ciranda / eager.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.contenders.local import Cnn
from ciranda.core.rng import Draw
from ciranda.core.task import Array, Arrays, ClientSettings, Examples
from ciranda.core.update import difference
from ciranda.tasks.recipe import prepare_worker
from ciranda.tasks.registry import TASKS
from ciranda.tasks.torch_models import CnnMcMahan, LeNet


@dataclass(frozen=True)
class Case:
    task: str
    network: Callable[[], nn.Module]
    examples: int
    batch_size: int
    local_epochs: int
    repeats: int


def softmax() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.LogSoftmax(dim=1))


CASES = {
    "classic": Case("mnist-cnn", Cnn, 3_000, 32, 1, 15),
    "mcmahan": Case("mnist-cnn-mcmahan", CnnMcMahan, 600, 10, 1, 10),
    "cifar10": Case("cifar10-cnn", lambda: LeNet(3, padding=0), 2_500, 32, 1, 15),
    "tiny": Case("mnist-softmax", softmax, 60, 10, 1, 300),
}
RATE = 0.01


def eager(case: Case, x: Tensor, y: Tensor) -> Callable[[], None]:
    model = case.network()
    start = {name: value.clone() for name, value in model.state_dict().items()}

    def client() -> None:
        model.load_state_dict(start)
        model.train()
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        for _ in range(case.local_epochs):
            order = torch.randperm(len(x))
            for i in range(0, len(x), case.batch_size):
                index = order[i : i + case.batch_size]
                optimizer.zero_grad()
                loss = F.nll_loss(model(x[index]), y[index])
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        {name: value - start[name] for name, value in model.state_dict().items()}

    return client


def ours(case: Case, examples: Examples) -> Callable[[], None]:
    task = TASKS[case.task].make(device="cpu")
    start: Arrays = task.initial(Draw(1))
    settings = ClientSettings(local_epochs=case.local_epochs, batch_size=case.batch_size, learning_rate=RATE)

    def client() -> None:
        difference(start, task.train(start, examples, settings, Draw(2)).arrays, task.part_of)

    return client


def seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(name: str, case: Case, repeats: int) -> str:
    """One line of results."""
    generator = np.random.default_rng(0)
    shape = (32, 32, 3) if case.task.startswith("cifar") else (28, 28)
    pixels: Array = generator.integers(0, 256, (case.examples, *shape)).astype(np.uint8)
    labels = generator.integers(0, 10, case.examples)
    x = torch.from_numpy(pixels).float() / 255
    x = x.unsqueeze(1) if x.ndim == 3 else x.permute(0, 3, 1, 2).contiguous()
    bare, task = eager(case, x, torch.from_numpy(labels)), ours(case, Examples(pixels, labels))
    bare(), task()
    times = np.array([(seconds(bare), seconds(task)) for _ in range(repeats)])
    low, middle, high = np.percentile(times[:, 1] / times[:, 0], [25, 50, 75])
    bare_ms, task_ms = 1e3 * np.median(times, axis=0)
    ratio = f"ratio {middle:.3f} (quartiles {low:.3f} to {high:.3f}, n={repeats})"
    return f"{name:8} eager {bare_ms:8.2f} ms   ciranda {task_ms:8.2f} ms   {ratio}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("case", nargs="*", choices=[*CASES, []], help=f"of {', '.join(CASES)}; all by default")
    parser.add_argument("--repeats", type=int, default=0, help="pairs of runs for each case")
    arguments = parser.parse_args()
    with prepare_worker(uses_torch=True):
        for name in arguments.case or CASES:
            print(measure(name, CASES[name], arguments.repeats or CASES[name].repeats), flush=True)


if __name__ == "__main__":
    main()
