"""Stages one after another, and which choices cannot work together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations, pairwise
from typing import get_args

from ciranda.core.errors import ExperimentError
from ciranda.core.params import Arrays
from ciranda.core.stages.base import Kind, Stage, States
from ciranda.core.texts import Text, joined
from ciranda.core.update import Contract, Total, Update

RESERVED = ("strategy", "private")  # what owns a client's state beside the stages
_ORDER: tuple[str, ...] = get_args(Kind)


class Chain:
    """Stages one after another.

    Raises ExperimentError for stages out of order, twice the same, one that must be decoded before a linear one, and pairs of
    `INCOMPATIBLE`.
    """

    def __init__(self, stages: Sequence[Stage] = ()) -> None:
        self.stages = tuple(stages)
        names = [stage.name for stage in self.stages]
        for name in names:
            if name in RESERVED:
                raise ExperimentError("A stage cannot be called '{name}': clients keep another state under that name.", name=name)
            if names.count(name) > 1:
                raise ExperimentError("The stage '{name}' occurs twice.", name=name)
        for first, second in pairwise(self.stages):
            if _ORDER.index(first.kind) > _ORDER.index(second.kind):
                raise ExperimentError(
                    "The stage '{second}' ({later}) cannot come after '{first}' ({earlier}).",
                    hint="Stages go in the order {order}.",
                    second=second.name,
                    later=second.kind,
                    first=first.name,
                    earlier=first.kind,
                    order=", ".join(_ORDER),
                )
        for first, second in combinations(self.stages, 2):
            if second.linear and first.kind in ("compress", "mask") and not first.linear:
                raise ExperimentError(
                    "'{first}' has to be decoded message by message, but after '{second}' only their sum can be opened.",
                    first=first.name,
                    second=second.name,
                )
        self.check()

    def check(self, beside: Collection[str] = ()) -> None:
        """Raise ExperimentError if the stages cannot work with each other, or with features `beside` them, such as a strategy's."""
        if reasons := incompatible({*self.features(), *beside}):
            raise ExperimentError("{reasons}", reasons=joined(" ", reasons))

    def encode(self, update: Update) -> Update:
        """The message of a client that keeps no state between rounds."""
        return self.step(update, {})[0]

    def step(self, update: Update, states: States) -> tuple[Update, States]:
        """The message for `update`, and the client's next states."""
        following: dict[str, Arrays] = {}
        for stage in self.stages:
            update, following[stage.name] = stage.encode(update, states.get(stage.name, {}))
        return update, {name: state for name, state in following.items() if state}

    @property
    def feeds_back(self) -> bool:
        """Whether a message may exceed the norm of its update, by what earlier ones lost."""
        return any(stage.feeds_back for stage in self.stages)

    def features(self) -> set[str]:
        """What the stages are, in the words of `INCOMPATIBLE`."""
        found = {stage.name for stage in self.stages}
        for kind, feature in (("privatise", "differential-privacy"), ("mask", "secure-aggregation")):
            if any(stage.kind == kind for stage in self.stages):
                found.add(feature)
        return found | ({"error-feedback"} if self.feeds_back else set())

    def decode(self, message: Update, contract: Contract) -> Update:
        """What is folded: the message without the stages that are undone one by one. Raises RefusedUpdate as they do."""
        for stage in reversed(self.stages):
            if not stage.linear:
                message = stage.decode(message, contract)
        return message

    def finish(self, total: Total) -> Total:
        """The total of the updates, from the total of what `decode` gave."""
        for stage in reversed(self.stages):
            if stage.linear:
                total = stage.finish(total)
        return total


_SUM_ONLY = Text("under secure aggregation nobody sees a single update, only their sum")
_SUM_NOISE = Text("the noise is calibrated for a sum of clipped updates")

INCOMPATIBLE: Mapping[tuple[str, str], Text] = {
    ("secure-aggregation", "whole-cohort-rule"): Text(
        "{sum_only}; medians, Krum and the like compare the updates one by one.", sum_only=_SUM_ONLY
    ),
    ("secure-aggregation", "float16"): Text("{sum_only}; float16 messages would have to be decoded one by one.", sum_only=_SUM_ONLY),
    ("secure-aggregation", "int8"): Text("{sum_only}; every int8 message has scales of its own.", sum_only=_SUM_ONLY),
    ("secure-aggregation", "top-k"): Text("{sum_only}; every top-k message has coordinates of its own.", sum_only=_SUM_ONLY),
    ("secure-aggregation", "concatenated-parts"): Text("{sum_only}; trees are kept one by one.", sum_only=_SUM_ONLY),
    ("secure-aggregation", "counters"): Text(
        "{sum_only}; the largest of the clients' counters is no sum. Use GroupNorm for BatchNorm.", sum_only=_SUM_ONLY
    ),
    ("secure-aggregation", "loss-based-selection"): Text("the clients' single losses, which selection needs, are part of what is hidden."),
    ("secure-aggregation", "asynchronous"): Text("masks cancel within one cohort only, and asynchronous rounds have none."),
    ("differential-privacy", "running-statistics"): Text(
        "running statistics leave the client unclipped and without noise. Use GroupNorm for BatchNorm."
    ),
    ("differential-privacy", "counters"): Text("counters leave the client without noise and tell how many examples it has."),
    ("differential-privacy", "loss-based-selection"): Text(
        "a client's loss tells about its data, and selecting by it spends privacy that the accountant does not count."
    ),
    (
        "differential-privacy",
        "error-feedback",
    ): Text(
        "what earlier messages lost is added to an update that is clipped already, and the noise is calibrated for the clipping norm alone."
    ),
    ("differential-privacy", "whole-cohort-rule"): Text(
        "{sum_noise}; the sensitivity of a median or of Krum is another.", sum_noise=_SUM_NOISE
    ),
    ("differential-privacy", "concatenated-parts"): Text("{sum_noise}; trees are neither.", sum_noise=_SUM_NOISE),
    ("differential-privacy", "parts-beside-the-model"): Text(
        "what the strategy has clients send beside the model (a control variate, a norm "
        "of steps, a loss) leaves them unclipped and without noise."
    ),
    (
        "clip",
        "scaled-updates",
    ): Text("the strategy has clients scale their updates by how badly the model serves them; clipping takes that away."),
}
"""Features that exclude one another -> why. The one table: whoever adds a feature adds its rows here."""


def incompatible(features: Collection[str]) -> list[Text]:
    """Why `features` cannot be chosen together: one sentence for each pair of `INCOMPATIBLE`, none if they can."""
    return [
        Text("'{a}' and '{b}' cannot work together: {reason}", a=a, b=b, reason=reason)
        for (a, b), reason in INCOMPATIBLE.items()
        if a in features and b in features
    ]
