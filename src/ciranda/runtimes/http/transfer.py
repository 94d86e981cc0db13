"""Bodies in and out: models downloaded in ranges, replies checked as they stream, large ones in pieces that survive a cut line."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from ciranda.core.errors import StoreError
from ciranda.runtimes.http.answers import ApiError
from ciranda.runtimes.http.models import Content
from ciranda.store.files import explain, sync_folder

INLINE = 1024 * 1024
"""A reply up to this many bytes comes within the request that gives it; a longer one is uploaded before."""

_PATIENCE_S = 30.0  # without a byte
_SLOWEST = 16 * 1024  # bytes a second, on the whole
_CHUNK = 512 * 1024
_BLOCK = 1024 * 1024
_SYNC = 16 * 1024 * 1024
_RANGE = re.compile(r"bytes=([0-9]{1,18})?-([0-9]{1,18})?")


def declared(request: Request, limit: int) -> int:
    """The length that the request declares for its body. Raises ApiError 411 or 413."""
    text = request.headers.get("content-length", "")
    if not text.isascii() or not text.isdigit():
        raise ApiError(411, "length-required", "The length of the body must be declared.")
    if len(text) > 18 or int(text) > limit:
        raise ApiError(413, "oversized", "The body has {length} bytes; at most {limit} are of use here.", length=text[:20], limit=limit)
    return int(text)


async def chunks(request: Request, length: int) -> AsyncIterator[bytes]:
    """The body as it comes, at most `length` bytes of it. Raises ApiError 408 when it does not go on, 413 when it goes on and on."""
    loop = asyncio.get_running_loop()
    last = loop.time() + _PATIENCE_S + length / _SLOWEST
    got = 0
    try:
        async with asyncio.timeout(_PATIENCE_S) as patience:
            async for chunk in request.stream():
                got += len(chunk)
                if got > length:
                    raise ApiError(413, "oversized", "The body is longer than was declared.")
                if chunk:
                    yield chunk
                patience.reschedule(min(last, loop.time() + _PATIENCE_S))
    except TimeoutError:
        raise ApiError(408, "too-slow", "The body did not go on: {got} of {length} bytes came.", got=got, length=length) from None


async def whole(request: Request, limit: int) -> bytes:
    """A body of at most `limit` bytes, in memory. Raises ApiError."""
    length = declared(request, limit)
    body = bytearray()
    async for chunk in chunks(request, length):
        body += chunk
    return bytes(body)


def send(request: Request, content: Content, etag: str) -> tuple[Response, int]:
    """(the answer to a GET of `content`, how many bytes of it are sent); ranges and revalidation as in RFC 9110."""
    headers = {"ETag": f'"{etag}"', "Accept-Ranges": "bytes", "Cache-Control": "private, max-age=31536000, immutable"}
    if request.headers.get("if-none-match", "").strip() in (f'"{etag}"', "*"):
        return Response(status_code=304, headers=headers), 0
    begin, end, status = 0, content.size, 200
    wanted = request.headers.get("range")
    if wanted is not None and request.headers.get("if-range", f'"{etag}"') == f'"{etag}"':
        found = _range(wanted, content.size)
        if found is None:
            headers["Content-Range"] = f"bytes */{content.size}"
            raise ApiError(416, "no-such-range", "There is no range {wanted}.", wanted=wanted[:100], headers=headers)
        begin, end = found
        status = 206
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{content.size}"
    kind = "application/octet-stream"
    if content.data is not None:
        return Response(content.data[begin:end], status, headers, kind), end - begin
    assert content.file is not None
    headers["Content-Length"] = str(end - begin)
    # Opened here, so that a model that is replaced meanwhile is still sent to its end.
    stream = content.file.open("rb")
    return StreamingResponse(_pieces(stream, begin, end), status, headers, kind), end - begin


def _range(text: str, size: int) -> tuple[int, int] | None:
    found = _RANGE.fullmatch(text.strip())
    if found is None or found.group(1) is found.group(2) is None:
        return None
    first, last = found.groups()
    if first is None:
        begin, end = max(0, size - int(last)), size
    else:
        begin, end = int(first), size if last is None else min(size, int(last) + 1)
    return (begin, end) if begin < end else None


async def _pieces(stream: Any, begin: int, end: int) -> AsyncIterator[bytes]:
    with stream:
        stream.seek(begin)
        while begin < end:
            piece = stream.read(min(_CHUNK, end - begin))  # from the page cache: quicker than asking a thread
            begin += len(piece)
            yield piece


@dataclass
class _Partial:
    """An upload under way. `turn` counts its requests: the latest may write, an older one finds that its line is dead."""

    digest: str
    length: int
    path: Path
    offset: int = 0
    sha: Any = field(default_factory=sha256)
    turn: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    unsynced: int = 0


class Uploads:
    """Large replies on their way: one for each client at a time."""

    def __init__(self) -> None:
        self._partial: dict[tuple[str, str], _Partial] = {}
        self._writers = ThreadPoolExecutor(4, "ciranda-upload")

    async def offset(self, run: str, name: str, target: Path, digest: str) -> int | None:
        """How many bytes of the upload are kept, None for none of it."""
        if target.exists():
            return target.stat().st_size
        partial = await self._find(run, name, target, digest)
        if partial is None:
            return None
        offset = partial.offset
        if partial.sha.hexdigest() == digest:  # whole, but a crash or a full disk kept it from its place
            await self._finish(run, name, partial, target)
        return offset

    async def write(self, request: Request, run: str, name: str, target: Path, digest: str, offset: int, length: int) -> tuple[int, bool]:
        """Take in what comes from `offset` on; (bytes kept, whether the upload is whole and durable). Raises ApiError."""
        if target.exists():
            return target.stat().st_size, True
        partial = await self._find(run, name, target, digest)
        if partial is None or partial.length not in (0, length) or offset == 0:
            partial = self._begin(run, name, target, digest, length)
        partial.length = length
        async with partial.lock:  # what an older request has begun to write is written
            partial.turn += 1
            turn = partial.turn
        if offset != partial.offset:
            raise ApiError(
                409,
                "wrong-offset",
                "The upload stands at byte {kept}, not {offset}.",
                kept=partial.offset,
                offset=offset,
                headers={"Upload-Offset": str(partial.offset)},
            )
        await self._receive(request, partial, turn, declared(request, length - offset))
        if partial.offset < length:
            return partial.offset, False
        await self._finish(run, name, partial, target)
        return length, True

    async def _receive(self, request: Request, partial: _Partial, turn: int, count: int) -> None:
        """Take the body in, hashed and written by another thread in blocks, and brought to the disk on the way, not all at the end."""
        descriptor = os.open(partial.path, os.O_WRONLY | os.O_CREAT, 0o600)
        held: list[bytes] = []
        size = 0
        try:
            os.lseek(descriptor, partial.offset, os.SEEK_SET)
            async for chunk in chunks(request, count):
                held.append(chunk)
                size += len(chunk)
                if size >= _BLOCK:
                    await self._keep(partial, turn, descriptor, held)
                    held, size = [], 0
        except ClientDisconnect:
            pass  # what came is kept
        finally:
            try:
                await self._keep(partial, turn, descriptor, held)
            finally:
                os.close(descriptor)

    async def _keep(self, partial: _Partial, turn: int, descriptor: int, held: list[bytes]) -> None:
        async with partial.lock:
            if partial.turn != turn:
                raise ApiError(409, "superseded", "A later request goes on with this upload.")
            if held:
                await asyncio.get_running_loop().run_in_executor(self._writers, _append, partial, descriptor, held)

    async def _finish(self, run: str, name: str, partial: _Partial, target: Path) -> None:
        try:
            async with partial.lock:  # whoever asks meanwhile waits, and finds it in its place
                if not target.exists():
                    await self._complete(partial, target)
        finally:
            if self._partial.get((run, name)) is partial:
                del self._partial[run, name]

    async def _complete(self, partial: _Partial, target: Path) -> None:
        if partial.sha.hexdigest() != partial.digest:
            partial.path.unlink(missing_ok=True)
            raise ApiError(422, "wrong-digest", "What was uploaded does not have the digest {digest}.", digest=partial.digest)
        await asyncio.to_thread(_publish, partial.path, target)

    async def _find(self, run: str, name: str, target: Path, digest: str) -> _Partial | None:
        """The upload under way, in memory or, after a restart, on the disk."""
        partial = self._partial.get((run, name))
        if partial is not None:
            return partial if partial.digest == digest else None
        path = _partial_path(target)
        if not path.exists():
            return None
        partial = _Partial(digest, 0, path)
        await asyncio.to_thread(_rehash, partial)
        return self._partial.setdefault((run, name), partial)

    def _begin(self, run: str, name: str, target: Path, digest: str, length: int) -> _Partial:
        before = self._partial.pop((run, name), None)
        if before is not None:
            before.turn += 1
            before.path.unlink(missing_ok=True)
        partial = self._partial[run, name] = _Partial(digest, length, _partial_path(target))
        partial.path.unlink(missing_ok=True)
        return partial


def _partial_path(target: Path) -> Path:
    return target.with_name(target.name + ".upload")


def _append(partial: _Partial, descriptor: int, held: list[bytes]) -> None:
    """Write and hash; from a thread."""
    try:
        for chunk in held:
            view = memoryview(chunk)
            while view:
                view = view[os.write(descriptor, view) :]
            partial.sha.update(chunk)
            partial.offset += len(chunk)
            partial.unsynced += len(chunk)
        if partial.unsynced >= _SYNC:
            os.fdatasync(descriptor)
            partial.unsynced = 0
    except OSError as error:
        raise explain(error, partial.path) from error


def _publish(path: Path, target: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(path, target)
    except OSError as error:
        raise explain(error, target) from error
    sync_folder(target.parent)


def _rehash(partial: _Partial) -> None:
    try:
        for piece in _file(partial.path):
            partial.sha.update(piece)
            partial.offset += len(piece)
    except OSError as error:
        raise StoreError("Cannot read '{path}': {error}.", path=partial.path, error=error.strerror or "") from error


def _file(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            yield piece
