"""What clients fetch: the published models, and what the strategy sends beside them, each encoded once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ciranda.core.codec import encode
from ciranda.core.errors import StoreError
from ciranda.runtimes.base import Published
from ciranda.store.files import make_folder

_IN_MEMORY = 1024 * 1024


@dataclass(frozen=True)
class Content:
    """Bytes to be sent: in memory, or in a file when they are many."""

    size: int
    data: bytes | None
    file: Path | None


@dataclass(frozen=True)
class Offer:
    """One published model as clients see it; `broadcast` is None when the strategy sends nothing beside it."""

    published: Published
    model: Content
    broadcast: Content | None


class Models:
    """The last two published models, by digest. Written by the run's thread, read by any."""

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self._folder = folder
        for left in folder.glob("*.safetensors"):
            left.unlink(missing_ok=True)
        self._offers: dict[str, Offer] = {}
        self._written = 0
        self.latest = ""

    def publish(self, published: Published) -> None:
        """Offer a model. Raises StoreError when its file cannot be written."""
        digest = published.digest
        metadata = {"model_sha256": digest, "format": "pt"}
        model = self._content(encode(published.arrays, metadata))
        beside = self._content(encode(published.broadcast)) if published.broadcast else None
        before = {name: held for name, held in self._offers.items() if name == self.latest and name != digest}
        for name, held in self._offers.items():
            if name not in before:
                self._forget(held)
        self._offers = {**before, digest: Offer(published, model, beside)}
        self.latest = digest

    def get(self, digest: str) -> Offer | None:
        """The model of this digest while it is offered."""
        return self._offers.get(digest)

    def _content(self, data: bytes) -> Content:
        if len(data) <= _IN_MEMORY:
            return Content(len(data), data, None)
        # Not synced: after a crash the model is published, and this file written, again.
        self._written += 1
        file = self._folder / f"{self._written}.safetensors"
        try:
            file.write_bytes(data)
        except OSError as error:
            raise StoreError("Cannot write '{file}': {error}.", hint="Free some space.", file=file, error=error.strerror or "") from error
        return Content(len(data), None, file)

    @staticmethod
    def _forget(offer: Offer) -> None:
        for content in (offer.model, offer.broadcast):
            if content is not None and content.file is not None:
                content.file.unlink(missing_ok=True)  # a download in progress keeps its open file
