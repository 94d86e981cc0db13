"""What a client has for whoever sits at its machine: the newest models, predictions, and training for itself.

The run goes on undisturbed: nothing here is kept where the rounds keep theirs, or drawn where they draw.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hmac import compare_digest
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from ciranda.core.client import PRIVATE, personal
from ciranda.core.codec import decode, encode
from ciranda.core.errors import CodecError, Missing
from ciranda.core.params import model_sha256
from ciranda.core.stages import States
from ciranda.core.task import Arrays
from ciranda.runtimes.http.access import secret_of
from ciranda.runtimes.http.answers import ApiError
from ciranda.runtimes.http.link import Cut, Link, Rejected
from ciranda.runtimes.http.run import Part, Predictor
from ciranda.store.files import write_whole

log = logging.getLogger(__name__)
_GLOBAL, _PERSONAL = "global.safetensors", "personal.safetensors"


@dataclass(frozen=True)
class Wish:
    """How to train on demand; None as the experiment says. `turn` keys the draws, so that two trainings differ."""

    local_epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    turn: int = 0


class Owner(Protocol):
    """The client's side of a task, as far as its own door needs it; handed in."""

    predictor: Predictor

    def train_alone(self, model: Arrays, wish: Wish) -> tuple[Arrays, dict[str, Any]]:
        """The model after training on this client's examples, and what there is to tell of it."""


class Home:
    """The models at a client: the newest global one that it could get, and its own. For any thread.

    Args:
        folder: the client's own. connect: makes a line to the server. states: what the client keeps between the rounds, by (run, name).
    """

    def __init__(self, folder: Path, connect: Callable[[], Link], states: Callable[[str, str], States]) -> None:
        self._folder, self._connect, self._states = folder, connect, states
        self._secret = secret_of(folder / "door.token")
        self._lock = Lock()
        self._link: Link | None = None
        self._turns = 0
        self.run = self.name = ""
        self.owner: Owner | None = None

    def open(self, run: str, name: str, credential: str, owner: Owner) -> None:
        """The run let this client in as `name`."""
        self._link = self._connect()
        self._link.credential = credential
        self.run, self.name, self.owner = run, name, owner

    def close(self) -> None:
        """Hang up."""
        if self._link is not None:
            self._link.close()

    def admits(self, authorization: str) -> bool:
        """Whether this is the header of somebody who knows the client's own token."""
        kind, _, secret = authorization.partition(" ")
        return kind.lower() == "bearer" and compare_digest(secret.encode("utf-8", "replace"), self._secret.encode())

    def model(self, which: str) -> Arrays:
        """The global model, or this client's own: what it trained for itself, else the global one with its private tensors.

        Raises:
            ApiError: there is none (yet).
        """
        with self._lock:
            if which == "personal" and (own := self._read(_PERSONAL)):
                return own
            arrays = self._newest()
        if which == "global":
            return arrays
        states = self._states(self.run, self.name)
        if not states.get(PRIVATE):
            hint = "POST /train makes one."
            raise ApiError(409, "no-model", "The client '{client}' has no model of its own.", hint=hint, client=self.name)
        return personal(arrays, states)

    def train(self, which: str, wish: Wish) -> tuple[str, dict[str, Any]]:
        """Train for this client alone, from this model, and keep what comes out as its own; returns its digest and what to tell."""
        owner = self._owner()
        self._turns += 1
        arrays, told = owner.train_alone(self.model(which), replace(wish, turn=self._turns))
        with self._lock:
            digest = self._keep(_PERSONAL, arrays)
        return digest, told

    def predict(self, which: str, parts: Sequence[Part], top: int) -> tuple[str, list[dict[str, Any]]]:
        """The digest of the model, and what it says of the examples in `parts`."""
        owner, arrays = self._owner(), self.model(which)
        return model_sha256(arrays), owner.predictor.predict(arrays, parts, top)

    def _owner(self) -> Owner:
        if self.owner is None:
            raise ApiError(503, "not-joined", "This client is not in a run yet.")
        return self.owner

    def _newest(self) -> Arrays:
        """The run's latest model; without the server the latest that was seen here."""
        self._owner()
        assert self._link is not None
        kept = self._read(_GLOBAL)
        etag = {"If-None-Match": f'"{model_sha256(kept)}"'} if kept else {}
        try:
            answer = self._link.ask("GET", f"/v1/runs/{self.run}/model", headers=etag, timeout=10.0)
            if answer.status == 304:
                return kept
            arrays = decode(answer.body)[0]
            if f'"{model_sha256(arrays)}"' != answer.headers.get("etag"):
                raise CodecError("The model that came does not have the digest that was told.")
        except (Cut, Rejected, CodecError) as error:
            if kept:
                log.info("%s", error)
                return kept
            raise ApiError(503, "no-model", "There is no model here yet: {reason}", reason=error) from error
        self._keep(_GLOBAL, arrays)
        return arrays

    def _keep(self, file: str, arrays: Arrays) -> str:
        digest = model_sha256(arrays)
        write_whole(self._folder / file, [encode(arrays, {"model_sha256": digest, "run": self.run, "format": "pt"})])
        return digest

    def _read(self, file: str) -> Arrays:
        """The model that lies here; nothing if there is none, or one of another run."""
        if not (self._folder / file).is_file():
            return {}
        try:
            arrays, metadata = decode((self._folder / file).read_bytes())
        except (OSError, CodecError) as error:
            raise Missing("The model in {file} cannot be read: {error}.", file=self._folder / file, error=str(error)) from error
        return {name: array.copy() for name, array in arrays.items()} if metadata.get("run") == self.run else {}
