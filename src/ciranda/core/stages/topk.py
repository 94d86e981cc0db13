"""The largest coordinates only, with error feedback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ciranda.core.errors import ExperimentError
from ciranda.core.params import Array, Arrays
from ciranda.core.stages.base import Kind, Stage
from ciranda.core.stages.feedback import MODEL, demand, expected, owed, with_parts
from ciranda.core.update import Contract, Update

_PLACES = "top-k-places"


@dataclass(frozen=True)
class TopK(Stage):
    """Sends the k largest coordinates of the part "model", and makes up for the others in the client's next rounds.

    With e what earlier messages lost (zeros at first) and x = u + e: the message holds the k coordinates of x of largest magnitude, over
    all of its tensors together, and their places; the next e is x without them, so nothing is lost for good. Of equal magnitudes those that
    come first are kept, tensors in name order. Other parts pass unchanged.

    Stich, Cordonnier, Jaggi, "Sparsified SGD with memory", NeurIPS 2018, Algorithm 1.

    Attributes:
        fraction: k over the number of coordinates, more than 0 and at most 1; k is rounded up.
    """

    fraction: float = 0.01

    name: ClassVar[str] = "top-k"
    summary: ClassVar[str] = "the largest coordinates only; the next rounds make up for the others"
    kind: ClassVar[Kind] = "compress"
    feeds_back: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise ExperimentError(
                "stage.fraction is {fraction}; it must be more than 0 and at most 1.", hint="Start with 0.01.", fraction=self.fraction
            )

    def encode(self, update: Update, state: Arrays) -> tuple[Update, Arrays]:
        wanted = owed(update, state)
        kept = self._largest({name: wanted[name] for name in sorted(wanted)})
        sent: dict[str, Array] = {}
        places: dict[str, Array] = {}
        lost: dict[str, Array] = {}
        for name, values in wanted.items():
            places[name] = np.flatnonzero(kept[name]).astype(_place_dtype(values.size))
            sent[name] = values.reshape(-1)[kept[name]]
            lost[name] = np.where(kept[name].reshape(values.shape), values.dtype.type(0), values)
        return with_parts(update, {MODEL: sent, _PLACES: places}), lost

    def decode(self, message: Update, contract: Contract) -> Update:
        opened: dict[str, Array] = {}
        for spec in expected(self.name, message, contract, _PLACES):
            sent, places = message.parts[MODEL][spec.name], message.parts[_PLACES][spec.name]
            demand(sent.ndim == 1 and sent.dtype.name == spec.dtype, self.name, spec.name)
            demand(places.shape == sent.shape and places.dtype == _place_dtype(spec.size), self.name, spec.name)
            ascending = bool((places[1:] > places[:-1]).all())
            demand(ascending and (not len(places) or int(places[-1]) < spec.size), self.name, spec.name)
            opened[spec.name] = np.zeros(spec.shape, sent.dtype)
            opened[spec.name].reshape(-1)[places] = sent
        return with_parts(message, {MODEL: opened}, without=_PLACES)

    def _largest(self, tensors: Arrays) -> dict[str, Array]:
        """Which coordinates to send: name -> truth values of shape (size,). NaN counts as largest, so that it is noticed."""
        sizes = np.concatenate([np.abs(values).reshape(-1) for values in tensors.values()] or [np.zeros(0)])
        most = -int(-sizes.size * self.fraction // 1)
        if not most:
            return {name: np.zeros(values.size, bool) for name, values in tensors.items()}
        sizes = np.where(np.isnan(sizes), np.inf, sizes)
        threshold = np.partition(sizes, sizes.size - most)[sizes.size - most]
        kept = sizes > threshold
        kept[np.flatnonzero(sizes == threshold)[: most - np.count_nonzero(kept)]] = True
        ends = np.cumsum([values.size for values in tensors.values()])
        return dict(zip(tensors, np.split(kept, ends[:-1]), strict=True))


def _place_dtype(size: int) -> np.dtype[np.unsignedinteger]:
    """The smallest dtype that can number `size` coordinates."""
    return np.min_scalar_type(max(0, size - 1))
