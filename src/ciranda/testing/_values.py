"""What strategies, stages and selection rules have in common: each is a value with a name."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import is_dataclass
from typing import Any


def check_value(thing: Any, noun: str) -> None:
    """Raises AssertionError unless `thing` has a name and is a frozen dataclass, equal to its copy."""
    assert isinstance(thing.name, str), f"a {noun} needs a name"
    assert thing.name, f"a {noun} needs a name"
    assert is_dataclass(thing), f"a {noun} is a frozen dataclass of its parameters"
    assert vars(type(thing))["__dataclass_params__"].frozen, "its parameters can be assigned to: freeze the dataclass"
    assert deepcopy(thing) == thing, f"two of the kind {noun} with the same parameters must be equal"
