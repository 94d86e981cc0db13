"""What the runtime asks of tasks as a whole: a process prepared to compute reproducibly, what fixes the bits here, and a digest of them."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import numpy as np
from threadpoolctl import threadpool_limits

from ciranda.core.params import model_sha256
from ciranda.core.rng import Draw
from ciranda.core.task import ClientSettings, Examples, Task

_STEPS, _BATCH = 3, 8


@contextmanager
def prepare_worker(uses_torch: bool) -> Iterator[None]:
    """One thread for the arithmetic of numpy and torch while inside, as sums in an operator depend on how it is split; as before after.

    Args:
        uses_torch: whether the task does; importing torch for nothing would cost a worker a second.
    """
    with threadpool_limits(1):
        if not uses_torch or find_spec("torch") is None:
            yield
            return
        import torch

        # The limit above reaches the libraries that are loaded; torch keeps a count of its own besides.
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def recipe(task: Task) -> dict[str, str]:
    """Everything besides the experiment that may change the bits of its result here, as text."""
    parts = {"numpy": np.__version__, "machine": platform.machine()}
    device = getattr(task, "device", "")
    if device:
        from ciranda.tasks.torch_recipe import resolve_device, torch_recipe

        parts.update(torch_recipe(resolve_device(device)))
    return parts


def probe(task: Task, like: Examples) -> str:
    """The digest of the model after three fixed training steps: equal where two machines compute alike.

    Args:
        like: examples of the data; only the shape and dtype of one are used, never its values, so that owners of different data agree.
    """
    count = _STEPS * _BATCH
    shape = (count, *like.x.shape[1:])
    draw = Draw(0).at("probe")
    if like.x.dtype.kind == "f":
        x = draw.generator().random(shape).astype(like.x.dtype)
    elif like.x.dtype == np.uint8:
        # Small enough for digits, which go to 16; other integers may be indices of a table of any size.
        x = draw.generator().integers(0, 17, shape).astype(np.uint8)
    else:
        x = np.zeros(shape, like.x.dtype)
    y = np.zeros((count, *like.y.shape[1:]), like.y.dtype)
    settings = ClientSettings(batch_size=_BATCH, learning_rate=0.01)
    return model_sha256(task.train(task.initial(draw), Examples(x, y), settings, draw).arrays)
