"""What one client does in a round, whatever carries the messages: train, take the difference, pass it through the stages."""

from __future__ import annotations

from hashlib import sha256

from ciranda.core.errors import DataError
from ciranda.core.metrics import Sums
from ciranda.core.params import model_sha256
from ciranda.core.rng import Draw
from ciranda.core.stages import Chain
from ciranda.core.task import Arrays, ClientSettings, Examples, Task
from ciranda.core.update import Contract, Update, difference


def train_update(
    task: Task, model: Arrays, examples: Examples, settings: ClientSettings, contract: Contract, chain: Chain, draw: Draw
) -> Update:
    """One client's update, weighted by its number of examples.

    Raises:
        DataError: the client has no examples.
        SignatureError: training returned other tensors than the round's model has.
        DivergedError: the loss or a parameter is not finite.
    """
    if not len(examples):
        raise DataError("it has no examples to train on.", hint="Use fewer clients, or a partitioner with a minimum size.")
    trained = task.train(model, examples, settings, draw)
    contract.check_local(trained.arrays)
    return chain.encode(Update(difference(model, trained.arrays, task.part_of), len(examples), trained.metrics))


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
