"""SCAFFOLD: Karimireddy, Kale, Mohri, Reddi, Stich, Suresh, "SCAFFOLD: stochastic controlled averaging for federated learning", ICML 2020,
https://arxiv.org/abs/1910.06378, Algorithm 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from ciranda.core.exact import Scale
from ciranda.core.params import Signature
from ciranda.core.reducers import PartContract
from ciranda.core.strategies.base import ClientRule, StrategyState, Work, moved
from ciranda.core.strategies.local_steps import Weighting, demand_sgd, gain
from ciranda.core.strategies.server import ServerStep, scaled
from ciranda.core.task import Array, Arrays, ClientSettings, Trained
from ciranda.core.update import Aggregate, Update

CONTROL = "control"
_BOUND = 2.0**20  # of a coordinate of a gradient; the mean over 100 clients is then exact to 2^-35


@dataclass(frozen=True)
class Scaffold(ServerStep):
    """Control variates take out of every local gradient what it has of the client's own direction.

    The server keeps c, each client c_i; all are 0 at first. A client takes K local steps from the round's model x (lines 8 to 10),
    y_i <- y_i - eta_l (g_i(y_i) - c_i + c), and then (line 12)

        option II (`control = "steps"`):     c_i+ = c_i - c + (x - y_i) / (K eta_l)
        option I  (`control = "gradient"`):  c_i+ = g_i(x), the gradient over all of its examples, for one more pass

    and sends y_i - x and c_i+ - c_i. The server sets (lines 16 and 17)

        x <- x + eta_g mean_S(y_i - x),   c <- c + (1/N) sum_S (c_i+ - c_i)

    over the round's clients S and the number of all clients N. c_i+ becomes the client's only if its update counted.

    With momentum, K is replaced by the sum of the steps' coefficients (`local_steps.gain`), which leaves (x - y_i) / (K eta_l) a mean of
    gradients. The paper's mean over S is the plain one.

    Attributes:
        control: which of the two options.
        weighting: "uniform" as in the paper, for f = (1/N) sum f_i; "examples" weights the models (not the controls) as fedavg does.
    """

    control: Literal["steps", "gradient"] = "steps"
    weighting: Weighting = "uniform"

    name: ClassVar[str] = "scaffold"
    summary: ClassVar[str] = "control variates against client drift; clients keep a state (Karimireddy et al. 2020)"
    features: ClassVar[tuple[str, ...]] = ("parts-beside-the-model",)

    @property
    def client(self) -> ClientRule:
        return self

    def client_settings(self, settings: ClientSettings) -> ClientSettings:
        demand_sgd(self.name, settings)
        return settings

    def init(self, model: Arrays) -> StrategyState:
        return {**self.clock(), **{_key(name): np.zeros_like(tensor) for name, tensor in model.items()}}

    def broadcast(self, state: StrategyState) -> Arrays:
        return {key.removeprefix(_key("")): value for key, value in state.items() if key.startswith(_key(""))}

    def parts(self, model: Arrays, max_weight: int, cohort: int, population: int) -> Mapping[str, PartContract]:
        scales = (Scale(_BOUND, 1, cohort),) * len(model)
        return {CONTROL: PartContract("mean-of-n", Signature.of(model), scales, population)}

    def train(self, work: Work, state: Arrays) -> tuple[Update, Arrays]:
        """Raises TaskError for a task that takes no correction or, for option II, does not tell its steps."""
        c, own = work.broadcast, {name: state.get(name, np.zeros_like(tensor)) for name, tensor in work.broadcast.items()}
        trained = work.fit(_each(np.subtract, c, own))
        update = work.update(trained)
        if self.control == "steps":
            slope = _slope(work, trained, work.settings)
            change = _each(np.subtract, slope, c)
        else:
            change = _each(np.subtract, _gradient(work), own)
        weight = 1 if self.weighting == "uniform" else update.weight
        return Update({**update.parts, CONTROL: change}, weight, update.metrics), _each(np.add, own, change)

    def apply(self, state: StrategyState, model: Arrays, aggregate: Aggregate) -> tuple[StrategyState, Arrays]:
        round, clock = self.tick(state)
        controls = {_key(name): value for name, value in _each(np.add, self.broadcast(state), aggregate.parts[CONTROL]).items()}
        return {**state, **clock, **controls}, moved(model, scaled(aggregate.parts["model"], self.rate(round)))


def _slope(work: Work, trained: Trained, settings: ClientSettings) -> dict[str, Array]:
    """The mean gradient, correction included, that led from the model to what was trained."""
    length = settings.learning_rate * gain(work.steps(trained), settings)
    with np.errstate(all="ignore"):  # what is not finite is refused where it arrives
        return {
            name: np.asarray((work.model[name].astype(np.float64) - trained.arrays[name]) / length, work.model[name].dtype)
            for name in work.broadcast
        }


def _gradient(work: Work) -> dict[str, Array]:
    """The gradient over all examples at the round's model: one step on all of them, undone."""
    settings = replace(work.settings, local_epochs=1, batch_size=len(work.examples), momentum=0.0)
    alone = replace(work, settings=settings, draw=work.draw.at("control"))
    return _slope(alone, alone.fit(), settings)


def _each(operation: np.ufunc, a: Arrays, b: Arrays) -> dict[str, Array]:
    # `asarray`: of two 0-d arrays comes a scalar otherwise.
    with np.errstate(all="ignore"):
        return {name: np.asarray(operation(a[name], b[name])) for name in a}


def _key(name: str) -> str:
    return f"control/{name}"
