"""Settings as one mapping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flat(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """section -> key -> value as "section.key" -> value."""
    return {f"{section}.{key}": value for section, values in settings.items() for key, value in values.items()}
