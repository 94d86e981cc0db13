"""A client's reply on its way to the server: in one request, or, when it is large, in pieces that go on where a cut line left them."""

from __future__ import annotations

from typing import Literal

from ciranda.protocol.envelope import Envelope
from ciranda.protocol.messages import parse_phase
from ciranda.runtimes.http.link import Answer, Cut, Link, Rejected

INLINE = 1024 * 1024
"""A body up to this many bytes goes within the request that gives the reply."""

_SLOWEST = 16 * 1024  # bytes a second
_BINARY = {"Content-Type": "application/octet-stream"}


def deliver(link: Link, run: str, name: str, phase: str, model: str, digest: str, body: bytes) -> Literal["stored", "duplicate"]:
    """Send a reply and return what became of it.

    Raises:
        Cut: try again later; what was uploaded stays so.
        Rejected: its `code` is the reason when the reply was refused.
    """
    if len(body) > INLINE:
        _upload(link, run, digest, body)
    parsed = parse_phase(phase) or (0, 0, 0, "")
    envelope = Envelope(
        run=run,
        sender=name,
        to="@server",
        kind="reply",
        id=f"{run}/{phase}/{name}/reply",
        round=parsed[0],
        attempt=parsed[1],
        phase=phase,
        in_reply_to=f"{run}/{phase}",
        model=model,
        body=digest,
        length=len(body),
    )
    text = envelope.to_json().encode()
    inline = body if len(body) <= INLINE else b""
    frame = b"".join([len(text).to_bytes(4, "little"), text, inline])
    answer: Answer = link.ask("PUT", f"/v1/runs/{run}/replies/{phase}", frame, _BINARY, timeout=120.0)
    match answer.json():
        case {"status": "stored" | "duplicate" as status}:
            return status  # type: ignore[no-any-return]
    raise Cut("The answer to a reply cannot be understood.")


def _upload(link: Link, run: str, digest: str, body: bytes) -> None:
    path = f"/v1/runs/{run}/uploads/{digest}"
    offset = 0
    try:
        kept = link.ask("HEAD", path)
        told = kept.headers.get("upload-offset", "")
        if not told.isdecimal():
            raise Cut("The upload stands at byte {offset}.", offset=told)
        offset = int(told)
    except Rejected as error:
        if error.status != 404:
            raise
    if offset >= len(body):
        return
    rest = memoryview(body)[offset:]
    query = f"{path}?offset={offset}&length={len(body)}"
    answer = link.ask("PUT", query, rest, _BINARY, timeout=60.0 + len(rest) / _SLOWEST)
    if answer.status != 201:
        raise Cut("The upload stands at byte {offset}.", offset=answer.headers.get("upload-offset", "?"))
