"""What fixes the bits of a torch result besides the experiment: device, threads, seeds; and a digest to compare them by."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ciranda.core.errors import ExperimentError
from ciranda.core.rng import Draw

DEVICES = ("auto", "cpu", "cuda", "mps")
# torch has one default generator for a process, so threads that draw from it take turns.
_GENERATOR = threading.RLock()


def resolve_device(name: str) -> torch.device:
    """The device that `experiment.device` means here. Raises ExperimentError if it is unknown or absent."""
    kind = name.partition(":")[0]
    if kind not in DEVICES:
        raise ExperimentError("experiment.device = '{name}' is not known; allowed: {devices}.", name=name, devices=", ".join(DEVICES))
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if kind == "auto":
        return torch.device(next(candidate for candidate, there in present.items() if there or candidate == "cpu"))
    if not present[kind]:
        raise ExperimentError(
            "experiment.device = '{name}', but this machine has none that torch can use.", hint='Use device = "auto".', name=name
        )
    return torch.device(name)


@contextmanager
def seeded(draw: Draw, device: torch.device) -> Iterator[None]:
    """torch's generators (the CPU's and `device`'s) seeded by `draw` inside, and as they were after."""
    devices = [device] if device.type != "cpu" else []
    with _GENERATOR, torch.random.fork_rng(devices=devices, device_type=device.type if devices else "cuda"):
        seed = draw.seed()
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.get_device_module(device).manual_seed(seed)
        yield


def torch_recipe(device: torch.device) -> dict[str, str]:
    """Everything that may change the bits of a result on the same experiment, as text."""
    return {
        "torch": torch.__version__,
        "capability": torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability(),
        "device": device.type,
        "threads": str(torch.get_num_threads()),
        "optimizer": "in-place sgd, else fused",
    }
