"""The shape of every stage: what happens to an update between training and the sum.

Stages come in the order of their kinds: transform (leaves an update of the same signature, such as clipping), privatise (adds
noise to it), compress (fewer bytes), mask (hides it inside the sum). Transform and privatise stages need no undoing; a compress or
mask stage either decodes each message, or is linear, so that messages add up as they are and `finish` opens the total.
`ciranda.testing.stages` checks a new one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal, Protocol

from ciranda.core.params import Arrays
from ciranda.core.update import Contract, Total, Update

Kind = Literal["transform", "privatise", "compress", "mask"]
States = Mapping[str, Arrays]
"""A client's state, by stage name: kept by the client between rounds, {} at first."""


class Stage(Protocol):
    """One stage. Subclass it: a stage that changes nothing on the way back inherits `decode` and `finish`.

    Laws, checked for every stage: a transform or privatise stage keeps the parts' signatures, the weight and the metrics. If
    `linear`, finish(sum of encode(u_i)) is the sum of the updates; else decode(encode(u)) is u within the stage's stated error.

    Attributes:
        name: as in an experiment's `stage.name`; a stage that keeps a state between rounds keeps it under this name.
        summary: one line for listings.
        linear: messages add up as they are.
        feeds_back: a message also carries what earlier messages lost, so that it may exceed the norm of its update.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    kind: ClassVar[Kind]
    linear: ClassVar[bool] = False
    feeds_back: ClassVar[bool] = False

    @abstractmethod
    def encode(self, update: Update, state: Arrays) -> tuple[Update, Arrays]:
        """The message for `update`, and the client's next state. Writes into neither argument."""

    def decode(self, message: Update, contract: Contract) -> Update:
        """The update that one message stands for. `contract` says what it must look like: nothing is allocated on a message's word.

        Raises RefusedUpdate for a message that does not fit.
        """
        return message

    def finish(self, total: Total) -> Total:
        """The total of the updates from the total of their messages; its `count` and `weight` tell how many they are."""
        return total
