"""Files that are whole or absent: written beside their place, synced, then renamed.

`write_whole` is all that most callers need. `WholeFile` is for those that learn the final name only at the end,
and `remove_abandoned` clears what killed writers left behind.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from ciranda.core.errors import StoreError

if sys.platform != "win32":
    import fcntl

Chunk = bytes | bytearray | memoryview
_SUFFIX = ".part"
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_whole(path: str | Path, chunks: Iterable[Chunk], *, mode: int = 0o666) -> int:
    """Write `chunks` as the file `path`, replacing an older one; returns the number of bytes. `mode`: 0o600 for secrets.

    When the call returns the file survives a power cut; whenever it is interrupted, the older file (or none) is in place.
    Raises StoreError, naming the file and, on a full disk, the bytes needed; the temporary file is gone then.
    """
    path = Path(path)
    with WholeFile(path.parent, path.name, mode) as file:
        file.write(chunks)
        file.publish(path)
    return file.size


class WholeFile:
    """A file under way, in `folder`, nameless to readers until `publish`; discarded on leaving the `with` block without it."""

    def __init__(self, folder: Path, label: str, mode: int = 0o666) -> None:
        self.size = 0
        self._label = folder / label
        self._fd, self._path = _create(folder, label, mode)

    def write(self, chunks: Iterable[Chunk]) -> None:
        """Append `chunks`. On a full disk the rest of them is measured, for the message. Raises StoreError."""
        rest = iter(chunks)
        for chunk in rest:
            view = memoryview(chunk).cast("B")
            done = 0
            try:
                while done < len(view):
                    done += os.write(self._fd, view[done:])
            except OSError as error:
                needed = self.size + len(view) + sum(memoryview(later).nbytes for later in rest)
                raise explain(error, self._label, needed) from error
            self.size += len(view)

    def sync(self) -> None:
        """Bring what was written to the disk. Raises StoreError."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise explain(error, self._label, self.size) from error

    def publish(self, path: Path) -> None:
        """Give the file its name, durably. Raises StoreError."""
        self.sync()
        self.rename(path)
        sync_folder(path.parent)

    def rename(self, path: Path) -> None:
        """Give the synced file its name; durable only after `sync_folder`. Raises StoreError."""
        if sys.platform == "win32":
            self._close()  # an open file cannot be renamed there
        try:
            os.replace(self._path, path)
        except OSError as error:
            raise explain(error, path, self.size) from error
        self._close()

    def __enter__(self) -> WholeFile:
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0 or self._path.exists():
            self._close()
            self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable. Raises StoreError."""
    if sys.platform == "win32":
        return  # folders cannot be opened there, and renames are journaled
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise explain(error, folder) from error


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents, durably. Raises StoreError."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain(error, folder) from error
    for each in missing:
        sync_folder(each.parent)


def remove_abandoned(folder: Path) -> int:
    """Delete the temporary files of writers that died; those of living writers, in any process, stay. Returns how many."""
    removed = 0
    for path in folder.glob(f".*{_SUFFIX}"):
        try:
            fd = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            if _lock(fd):
                path.unlink(missing_ok=True)
                removed += 1
        except PermissionError:
            continue  # Windows: open in a living writer
        finally:
            os.close(fd)
    return removed


def explain(error: OSError, path: Path, needed: int = 0) -> StoreError:
    """The StoreError for a failed system call on `path`; `needed` is the size of the file in bytes, where known."""
    if error.errno in _DISK_FULL:
        message = "No room to write '{path}', and {free:,} bytes are free."
        if needed:
            message = "No room to write '{path}': it needs {needed:,} bytes, and {free:,} are free."
        hint = "Free some space, or choose another folder."
        return StoreError(message, hint=hint, path=path, needed=needed, free=_free(path))
    return StoreError(
        "Cannot write '{path}': {error}.",
        hint="Check that the folder exists and may be written to.",
        path=path,
        error=error.strerror or error,
    )


def _free(path: Path) -> int:
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:
        return 0


def _create(folder: Path, label: str, mode: int) -> tuple[int, Path]:
    while True:
        path = folder / f".{label[:100]}.{secrets.token_hex(8)}{_SUFFIX}"
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        except OSError as error:
            raise explain(error, folder / label) from error
        # A sweep may have taken the file for abandoned between its creation and its lock: then start over.
        if _lock(fd) and os.fstat(fd).st_nlink:
            return fd, path
        os.close(fd)


def _lock(fd: int) -> bool:
    """Mark the file as somebody's; the mark goes with the process, however that ends."""
    if sys.platform == "win32":
        return True  # an open file cannot be deleted there: no other mark is needed
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
