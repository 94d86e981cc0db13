"""What the local steps of stochastic gradient descent add up to, for strategies that undo them or take their mean."""

from __future__ import annotations

from typing import Literal

from ciranda.core.errors import ExperimentError
from ciranda.core.task import ClientSettings

Weighting = Literal["uniform", "examples"]


def demand_sgd(strategy: str, settings: ClientSettings) -> None:
    """Raise ExperimentError unless clients step by SGD, plain or with momentum: other steps are no sum of gradients known beforehand."""
    if settings.optimizer != "sgd":
        raise ExperimentError(
            "The strategy '{strategy}' needs client.optimizer = 'sgd', not '{optimizer}'.",
            hint="Momentum is allowed. With another optimizer choose fedavg, or an adaptive strategy on the server such as fedadam.",
            strategy=strategy,
            optimizer=settings.optimizer,
        )
    for key in ("nesterov", "dampening"):
        if settings.extra.get(key):
            raise ExperimentError("The strategy '{strategy}' does not work with client.{key}.", strategy=strategy, key=key)


def gain(steps: int, settings: ClientSettings) -> float:
    """How far `steps` local steps go under a gradient of 1, in units of the learning rate: |a|_1 of FedNova.

    A step is v <- rho v + g + mu (w - w_0), w <- w - eta v, so the way is eta sum_s a_s g_s, where a depends on steps, rho and eta mu
    alone. Plain SGD has a = (1, ..., 1) and a gain of `steps`.
    """
    rho, alpha = settings.momentum, settings.learning_rate * settings.proximal_mu
    if not rho and not alpha:
        return float(steps)
    velocity = way = 0.0
    for _ in range(steps):
        velocity = rho * velocity + 1.0 - alpha * way
        way += velocity
    return way
