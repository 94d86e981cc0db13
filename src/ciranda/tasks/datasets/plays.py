"""A play as a federation: every speaker is a client, and the task is to tell the next character.

The convention is that of McMahan et al. 2017 (section 3, Shakespeare): a client is a role with enough to say, and the first four fifths of
its lines are for training, the last fifth for the test.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from ciranda.core.errors import DataError
from ciranda.core.task import Examples, FederatedData

LENGTH = 48
STRIDE = 16
LEAST = 900  # characters: whoever says less is no client
TEST_FRACTION = 0.2
ALPHABET = "\n !&'(),-.12:;?" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + "abcdefghijklmnopqrstuvwxyz"
CLASSES = tuple({"\n": "newline", " ": "space"}.get(one, one) for one in ALPHABET)


def hamlet() -> FederatedData:
    """Hamlet's 16 roles that say most: x uint8 (n, 48), places in `ALPHABET`; y int64 (n,), the place of the character that follows.

    Windows of a role's speeches, one after the other, a new one every 16 characters; the test has the last fifth of each role's.
    `groups` names the role. W. Shakespeare, in the public domain.
    """
    return federate(speeches("hamlet"), "hamlet")


def speeches(name: str) -> dict[str, str]:
    """Everything that each role says, speeches separated by a line break, by role in order of the alphabet. Raises DataError."""
    try:
        packed = (files(__package__) / "files" / f"{name}.txt.gz").read_bytes()
        text = gzip.decompress(packed).decode()
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(
            "The packed data set '{name}' is missing or damaged: {error}.", hint="Install ciranda again.", name=name, error=str(error)
        ) from error
    said: dict[str, list[str]] = {}
    for speech in text.strip().split("\n\n"):
        role, _, lines = speech.partition(".\n")
        said.setdefault(role, []).append(lines)
    return {role: "\n".join(said[role]) + "\n" for role in sorted(said)}


def federate(said: Mapping[str, str], name: str) -> FederatedData:
    """Windows over what each role says. Raises DataError if nobody says enough."""
    kept = {role: text for role, text in said.items() if len(text) >= LEAST}
    if not kept:
        raise DataError("Nobody in '{name}' says {least} characters.", name=name, least=LEAST)
    parts: dict[str, list[tuple[NDArray[np.uint8], NDArray[np.int64]]]] = {"train": [], "test": []}
    owners: list[str] = []
    for role, text in kept.items():
        cut = round(len(text) * (1 - TEST_FRACTION))
        # No window spans the cut, so that the test holds nothing that was trained on.
        for part, piece in (("train", text[:cut]), ("test", text[cut:])):
            parts[part].append(windows(piece))
        owners += [role] * len(parts["train"][-1][1])
    train, test = (Examples(*(np.concatenate(arrays) for arrays in zip(*parts[part], strict=True))) for part in ("train", "test"))
    return FederatedData(train, test, CLASSES, np.asarray(owners), name=name, source="package")


def windows(text: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(x, y): every `STRIDE` characters a window of `LENGTH`, and what follows it. Raises DataError for a character that is not known."""
    codes = codes_of(text)
    starts = np.arange(0, len(codes) - LENGTH, STRIDE)
    return codes[starts[:, None] + np.arange(LENGTH)], codes[starts + LENGTH].astype(np.int64)


def codes_of(text: str) -> NDArray[np.uint8]:
    """The place of each character in `ALPHABET`. Raises DataError for one that is not in it."""
    place = {one: position for position, one in enumerate(ALPHABET)}
    strange = sorted(set(text) - set(place))
    if strange:
        raise DataError(
            "The character {character!r} is not in the model's alphabet.",
            character=strange[0],
            hint="It knows: {known}.",
            known=ALPHABET.strip(),
        )
    return np.fromiter((place[one] for one in text), np.uint8, len(text))
