"""Optimizers over one flat float32 vector, with torch.optim's definitions and names."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ciranda.core.errors import ExperimentError
from ciranda.core.task import ClientSettings

Floats = NDArray[np.float32]
OPTIMIZERS = ("sgd", "adam", "adamw")


def make_step(flat: Floats, gradient: Floats, settings: ClientSettings, correction: Floats | None = None) -> Callable[[], None]:
    """A function that updates `flat` in place from `gradient` (which it may overwrite).

    With `proximal_mu` the gradient gains mu (w - w0), w0 being `flat` as it is now: FedProx (Li et al. 2020, eq. 2). It also gains
    `correction`, of its shape.

    Raises:
        ExperimentError: an optimizer that is not in OPTIMIZERS.
    """
    if settings.optimizer not in OPTIMIZERS:
        raise ExperimentError(
            "client.optimizer = '{optimizer}' is not known; allowed: {optimizers}.",
            optimizer=settings.optimizer,
            optimizers=", ".join(OPTIMIZERS),
        )
    update = _sgd(flat, gradient, settings) if settings.optimizer == "sgd" else _adam(flat, gradient, settings)
    if correction is not None:
        update = _corrected(gradient, correction, update)
    if not settings.proximal_mu:
        return update
    anchor, mu = flat.copy(), np.float32(settings.proximal_mu)

    def proximal() -> None:
        np.add(gradient, mu * (flat - anchor), out=gradient)
        update()

    return proximal


def _corrected(gradient: Floats, correction: Floats, update: Callable[[], None]) -> Callable[[], None]:
    def corrected() -> None:
        np.add(gradient, correction, out=gradient)
        update()

    return corrected


def _sgd(flat: Floats, gradient: Floats, settings: ClientSettings) -> Callable[[], None]:
    rate, momentum, decay = np.float32(settings.learning_rate), np.float32(settings.momentum), np.float32(settings.weight_decay)
    # Starting from zero equals torch's "first velocity is the gradient": dampening is 0.
    velocity = np.zeros_like(flat) if momentum else gradient

    def step() -> None:
        if decay:
            np.add(gradient, decay * flat, out=gradient)
        if momentum:
            np.multiply(velocity, momentum, out=velocity)
            np.add(velocity, gradient, out=velocity)
            np.subtract(flat, rate * velocity, out=flat)
            return
        np.multiply(gradient, rate, out=gradient)
        np.subtract(flat, gradient, out=flat)

    return step


def _adam(flat: Floats, gradient: Floats, settings: ClientSettings) -> Callable[[], None]:
    """Adam (Kingma & Ba 2015, algorithm 1); AdamW decays weights apart from the gradient (Loshchilov & Hutter 2019, algorithm 2)."""
    rate, decay = settings.learning_rate, settings.weight_decay
    beta1, beta2 = settings.extra.get("beta1", 0.9), settings.extra.get("beta2", 0.999)
    epsilon = settings.extra.get("eps", 1e-8)
    mean, square = np.zeros_like(flat), np.zeros_like(flat)
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        if decay and settings.optimizer == "adamw":
            np.multiply(flat, np.float32(1.0 - rate * decay), out=flat)
        elif decay:
            np.add(gradient, np.float32(decay) * flat, out=gradient)
        mean[...] = np.float32(beta1) * mean + np.float32(1.0 - beta1) * gradient
        square[...] = np.float32(beta2) * square + np.float32(1.0 - beta2) * np.square(gradient)
        denominator = np.sqrt(square) * np.float32(1.0 / np.sqrt(1.0 - beta2**count)) + np.float32(epsilon)
        np.subtract(flat, np.float32(rate / (1.0 - beta1**count)) * mean / denominator, out=flat)

    return step
