"""The folder that a run leaves: what lies where, and how it is written so that nothing is ever half there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from ciranda.core.errors import DataError, Missing
from ciranda.store.base import Store
from ciranda.store.files import write_whole
from ciranda.store.sqlite import SqliteStore

RUN = "run"
KEPT_CHECKPOINTS = 3


class RunFolder:
    """One run's files. Nothing is created before `open_store` or a write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.experiment = path / "experiment.toml"
        self.metrics = path / "metrics.jsonl"
        self.model = path / "model.safetensors"
        self.card = path / "model-card.md"
        self.result = path / "result.json"
        self.manifest = path / "partition.json"
        self.data = path / "data.json"
        self.checkpoints = path / "checkpoints"
        self.clients = path / "clients"  # what simulated clients keep between rounds; there only if they do

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """The folder of a run that was started. Raises Missing."""
        folder = cls(path)
        if not folder.experiment.is_file():
            raise Missing("{path} is not a run's folder: it has no experiment.toml.", hint="`ciranda run --out DIR` makes one.", path=path)
        return folder

    def open_store(self) -> Store:
        """The run's store, created when there is none."""
        return SqliteStore(self.path / "store")

    def write(self, file: Path, content: str | bytes) -> None:
        """Write one of the run's files whole."""
        write_whole(file, [content.encode() if isinstance(content, str) else content])

    def rewrite_metrics(self, store: Store) -> list[dict[str, Any]]:
        """Make metrics.jsonl what the store says, and return the rows."""
        lines = [event for _, event in store.events(RUN)]
        self.write(self.metrics, b"".join(line + b"\n" for line in lines))
        return [json.loads(line) for line in lines]

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add a row that the store has already; a crash here is mended by `rewrite_metrics`."""
        with self.metrics.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row, separators=(",", ":")) + "\n")

    def rows(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl. Raises DataError naming the line that cannot be read."""
        return list(self.each_row())

    def each_row(self) -> Iterator[dict[str, Any]]:
        """The same, one at a time."""
        if not self.metrics.is_file():
            raise Missing("{path} has no metrics.jsonl: has the run begun?", path=self.path)
        with self.metrics.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    row = from_json(line)  # json.loads takes more than twice as long, and these files grow large
                except ValueError:
                    raise DataError(
                        "{metrics}, line {number} is not JSON.",
                        hint="`ciranda resume` writes the file anew.",
                        metrics=self.metrics,
                        number=number,
                    ) from None
                yield row

    def data_record(self) -> dict[str, Any] | None:
        """How raw rows became the run's examples, as its data set recorded it; None if it did not. Raises DataError."""
        if not self.data.is_file():
            return None
        try:
            record: dict[str, Any] = json.loads(self.data.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError("{path} is damaged: {error}.", path=self.data, error=str(error)) from error
        return record

    def checkpoint(self, round_number: int, store: Store, blob: str, best: int) -> None:
        """Name the round's model among the checkpoints; keep the last few and the best."""
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        target = self._checkpoint(round_number)
        with store.open(blob) as stream:
            try:
                os.link(stream.name, target)
            except (FileExistsError, AttributeError):
                pass
            except OSError:  # a file system without hard links
                write_whole(target, [stream.read()])
        kept = {self._checkpoint(best), *(self._checkpoint(round_number - back) for back in range(KEPT_CHECKPOINTS))}
        for file in self.checkpoints.glob("round-*.safetensors"):
            if file not in kept:
                file.unlink(missing_ok=True)

    def _checkpoint(self, round_number: int) -> Path:
        return self.checkpoints / f"round-{round_number:04d}.safetensors"


def free_folder(name: str, root: Path = Path("runs")) -> Path:
    """runs/NAME-001, or the first number that is free."""
    number = 1
    while (root / f"{name}-{number:03d}").exists():
        number += 1
    return root / f"{name}-{number:03d}"
