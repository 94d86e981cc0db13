"""What clients keep between rounds, in files: one committed state each, and tentative ones until their round is recorded.

A round's training reads the committed state and writes a tentative one; the round's record settles it. So a client whose update was
refused, or whose round was given up, goes on from where it was, and a round repeated after a crash starts from the same state.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, unquote

from ciranda.core.codec import decode, encode
from ciranda.core.params import Array, Arrays
from ciranda.store.files import WholeFile, explain, make_folder, sync_folder

_COMMITTED, _TENTATIVE = "state", "tentative"
_LONGEST = 100


class ClientStates:
    """The states of any number of clients in `folder`, which is created with the first one.

    Safe to use from several processes at once, as long as no two train the same client for the same round differently.

    Args:
        deferred: `write` and `settle` need not survive a power cut before `sync` is called (they survive the end of the process).
    """

    def __init__(self, folder: Path, *, deferred: bool = False) -> None:
        self._folder, self._deferred = folder, deferred
        self._there = partial(os.path.isdir, str(folder))

    def read(self, name: str, tentative: int | None = None) -> Mapping[str, Arrays]:
        """Owner -> arrays as committed, {} if there is nothing; the state of round `tentative` instead, where there is one.

        Raises CodecError if the file is damaged, StoreError if it cannot be read.
        """
        if not self._there():  # most runs keep no state at all, and this is asked for every client
            return {}
        paths = [self._path(name, _COMMITTED)]
        if tentative is not None:
            paths.insert(0, self._path(name, f"{tentative}.{_TENTATIVE}"))
        for path in paths:
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise explain(error, path) from error
            return _split(decode(data)[0])
        return {}

    def write(self, name: str, round: int, states: Mapping[str, Arrays]) -> None:
        """Keep the tentative state that the client has if its update of `round` counts. Raises StoreError."""
        if not self._there():
            if not states:
                return
            make_folder(self._folder)
        path = self._path(name, f"{round}.{_TENTATIVE}")
        with WholeFile(self._folder, path.name) as file:
            file.write(
                [encode({f"{quote(owner, safe='')}/{key}": array for owner, arrays in states.items() for key, array in arrays.items()})]
            )
            if self._deferred:
                file.rename(path)
            else:
                file.publish(path)

    def settle(self, name: str, round: int, commit: bool) -> None:
        """The record of `round` is out: make the client's tentative state the committed one, or drop it. Again is once."""
        if not self._there():
            return
        path = self._path(name, f"{round}.{_TENTATIVE}")
        try:
            if commit:
                os.replace(path, self._path(name, _COMMITTED))
            else:
                path.unlink()
        except FileNotFoundError:
            return  # it kept nothing, or is settled already
        except OSError as error:
            raise explain(error, path) from error
        if not self._deferred:
            sync_folder(self._folder)

    def sync(self, round: int, names: Iterable[str]) -> None:
        """Bring the tentative states of `names`, and everything settled so far, to the disk. Raises StoreError."""
        if not self._there():
            return
        for name in names:
            path = self._path(name, f"{round}.{_TENTATIVE}")
            try:
                with path.open("rb+") as file:
                    os.fsync(file.fileno())
            except FileNotFoundError:
                continue  # it kept nothing
            except OSError as error:
                raise explain(error, path) from error
        sync_folder(self._folder)

    def _path(self, name: str, ending: str) -> Path:
        # Names may hold anything; two of them never meet in one file name.
        readable = quote(name, safe="").replace(".", "%2E")
        return self._folder / f"{readable if len(readable) <= _LONGEST else sha256(name.encode()).hexdigest()}.{ending}"


def _split(arrays: Arrays) -> dict[str, dict[str, Array]]:
    states: dict[str, dict[str, Array]] = {}
    for path, array in arrays.items():
        owner, _, key = path.partition("/")
        states.setdefault(unquote(owner), {})[key] = array
    return states
