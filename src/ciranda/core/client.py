"""What one client does in a round, whatever carries the messages: train, take the difference, pass it through the stages."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from ciranda.core.errors import DataError
from ciranda.core.metrics import Sums
from ciranda.core.params import model_sha256
from ciranda.core.stages import Chain, States
from ciranda.core.stages.chain import RESERVED
from ciranda.core.strategies.base import ClientRule, Work
from ciranda.core.task import Arrays
from ciranda.core.update import Update

STRATEGY, PRIVATE = RESERVED
"""The owners of a client's state beside the stages, which have theirs under their names."""


def train_update(work: Work, chain: Chain, rule: ClientRule | None = None, states: States | None = None) -> tuple[Update, States]:
    """One client's message and its next states, which hold only once the round's record names it among the accepted.

    Args:
        work: the model is the round's as published; the client's private tensors come from `states`.
        rule: the strategy's; None trains plainly, weighted by the number of examples.

    Raises:
        DataError: the client has no examples.
        RefusedUpdate: a stage cannot pass the update on.
        SignatureError: training returned other tensors than the round's model has.
        DivergedError: the loss or a parameter is not finite.
    """
    if not len(work.examples):
        raise DataError("it has no examples to train on.", hint="Use fewer clients, or a partitioner with a minimum size.")
    states, task = states or {}, work.task
    if states.get(PRIVATE):
        work = replace(work, model=personal(work.model, states))
    own: Arrays = {}
    if rule is not None:
        update, own = rule.train(work, states.get(STRATEGY, {}))
    else:
        update = work.update(task.train(work.model, work.examples, work.settings, work.draw))
    private = update.parts.get(PRIVATE, {})
    if private:
        update = Update({part: arrays for part, arrays in update.parts.items() if part != PRIVATE}, update.weight, update.metrics)
    message, kept = chain.step(update, states)
    return message, {owner: arrays for owner, arrays in {**kept, STRATEGY: own, PRIVATE: private}.items() if arrays}


def personal(model: Arrays, states: States) -> Arrays:
    """`model` with the client's own private tensors in it."""
    return {**model, **states.get(PRIVATE, {})}


def update_digest(update: Update) -> str:
    """SHA-256 over the arrays of all parts: what names a training reply."""
    return model_sha256({f"{part}/{name}": array for part, arrays in update.parts.items() for name, array in arrays.items()})


def sums_digest(sums: Sums) -> str:
    """SHA-256 over metric sums in name order: what names an evaluation reply."""
    state = sha256()
    for name in sorted(sums):
        value = sums[name]
        state.update(name.encode() + b"=")
        state.update(str(value).encode() if isinstance(value, int) else value.astype("<i8").tobytes())
    return state.hexdigest()
