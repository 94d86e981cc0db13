"""What the compressing stages with error feedback share: the part "model", what is still owed to it, and a check of messages."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ciranda.core.errors import RefusedUpdate
from ciranda.core.params import Array, Arrays, TensorSpec
from ciranda.core.update import Contract, Update

MODEL = "model"


def owed(update: Update, state: Arrays) -> dict[str, Array]:
    """The tensors of the part "model", each with what earlier messages lost of it."""
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused when the message is decoded
        return {name: values + state[name] if name in state else values for name, values in update.parts.get(MODEL, {}).items()}


def with_parts(update: Update, parts: Mapping[str, Arrays], without: str = "") -> Update:
    """`update` with these parts in place of its own, and without one."""
    kept = {part: arrays for part, arrays in update.parts.items() if part != without}
    return Update({**kept, **parts}, update.weight, update.metrics)


def expected(stage: str, message: Update, contract: Contract, beside: str) -> tuple[TensorSpec, ...]:
    """The agreed tensors of the part "model". Raises RefusedUpdate unless the message has them, and the part `beside` as well."""
    agreed = contract.parts[MODEL].signature if MODEL in contract.parts else None
    tensors = agreed.tensors if agreed is not None else ()
    names = {spec.name for spec in tensors}
    if any(message.parts.get(part, {}).keys() != names for part in (MODEL, beside)):
        raise RefusedUpdate("wrong-shape", "The {stage} message does not hold the agreed tensors.", stage=stage)
    return tensors


def demand(holds: bool, stage: str, name: str) -> None:
    """Raise RefusedUpdate unless `holds`."""
    if not holds:
        raise RefusedUpdate("wrong-shape", "Tensor '{name}' of the {stage} message is not of the agreed form.", name=name, stage=stage)
