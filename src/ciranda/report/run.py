"""One run as plain data: what its folder holds, read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ciranda.report.records import Records, rises


@dataclass(frozen=True)
class Run:
    """A run to tell of.

    Attributes:
        name: what the run is called in tables. folder: where it lies, as text.
        settings: section -> key -> value of the experiment. result: the content of result.json, {} while there is none.
        manifest: the content of partition.json, {} if there is none.
    """

    name: str
    records: Records
    settings: Mapping[str, Mapping[str, Any]]
    result: Mapping[str, Any] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""

    def setting(self, section: str, key: str, default: Any = None) -> Any:
        """A key of the experiment."""
        return self.settings.get(section, {}).get(key, default)

    @property
    def group(self) -> str:
        """Where the model was evaluated: "server" before "clients"; "train" if nowhere."""
        groups = self.records.groups
        return next((group for group in ("server", "clients") if groups.get(group)), "train")

    @property
    def metric(self) -> str:
        """The metric that tells most."""
        return self.records.headline()

    def best(self) -> tuple[float, int] | None:
        """(value, round) of the best evaluation by the headline metric."""
        curve = self.records.curve(self.group, self.metric)
        if not curve:
            return None
        place = int(np.argmax(curve.values) if rises(self.metric) else np.argmin(curve.values))
        return float(curve.values[place]), int(curve.rounds[place])

    def sizes(self) -> dict[str, int]:
        """Examples of each client, as far as the manifest says."""
        return {str(rank): int(client["size"]) for rank, client in enumerate(self.manifest.get("per_client", ()))}

    @property
    def clients(self) -> int:
        """How many clients there are."""
        return int(self.manifest.get("clients") or self.records.roster or len(self.records.names))


def flat(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """section -> key -> value as "section.key" -> value."""
    return {f"{section}.{key}": value for section, values in settings.items() for key, value in values.items()}
