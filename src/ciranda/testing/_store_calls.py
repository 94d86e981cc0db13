"""Calls to a store as data: performed, repeated, generated, and what a store shows after them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ciranda.core.errors import Missing, StoreError
from ciranda.store.base import Store
from ciranda.store.memory import MemoryStore

RUNS = ("a", "b")


@dataclass(frozen=True)
class Call:
    """One call: the method's name and its arguments."""

    name: str
    arguments: tuple[Any, ...]

    def on(self, store: Store) -> Any:
        """Perform the call; returns its answer as JSON can say it, an error by the name of its class."""
        try:
            answer = getattr(store, self.name)(*self.arguments)
            if self.name == "open":
                with answer as opened:
                    answer = opened.read()
            return _plain(list(answer) if isinstance(answer, Iterator) else answer)
        except StoreError as error:
            return type(error).__name__


def digest(content: bytes) -> str:
    """The name of a blob."""
    return hashlib.sha256(content).hexdigest()


def content_of(store: Store, blob: str) -> bytes:
    """The whole blob."""
    with store.open(blob) as stream:
        return stream.read()


def snapshot(store: Store, blobs: Iterable[str]) -> dict[str, Any]:
    """All that can be read from `store` about `RUNS`, and which of `blobs` it has, whole."""
    view: dict[str, Any] = {"runs": store.runs(), "blobs": sorted(each for each in set(blobs) if _holds(store, each))}
    for run in RUNS:
        view[run] = _plain([store.read(run), list(store.claims(run, "")), list(store.events(run))])
    return view


def after(calls: Iterable[Call], blobs: Iterable[str]) -> dict[str, Any]:
    """What a store shows after `calls` without any fault."""
    model = MemoryStore()
    for call in calls:
        call.on(model)
    return snapshot(model, blobs)


def blobs_of(calls: Iterable[Call]) -> list[str]:
    """The digests of all blobs that `calls` put."""
    return [digest(b"".join(call.arguments[0])) for call in calls if call.name == "put"]


_ONE, _TWO = [b"one", b"", b"1" * 5000], [b"two", b"2" * 70_000]

# Every method, the writes more than once and with repeats, in an order in which each call leaves a visible trace.
SCRIPT = (
    Call("swap", ("a", 0, b"first", "writer-1")),
    Call("lease", ("a", "controller", "me", 3600.0)),
    Call("claim", ("a", "reply/1/x", b"mine")),
    Call("put", (_ONE,)),
    Call("append", ("a", "round-1", b"event one")),
    Call("read", ("a",)),
    Call("swap", ("a", 1, b"second" * 1000, "writer-2")),
    Call("claim", ("a", "reply/1/x", b"another's")),
    Call("claims", ("a", "reply/")),
    Call("append", ("a", "round-1", b"event one, again")),
    Call("append", ("a", "round-2", b"event two")),
    Call("events", ("a", 1)),
    Call("put", (_TWO,)),
    Call("open", (digest(b"".join(_TWO)),)),
    Call("collect", ([digest(b"".join(_TWO))],)),
    Call("runs", ()),
    Call("put", (_ONE,)),
    Call("swap", ("b", 0, b"another run", "writer-1")),
)


def stream(length: int) -> list[Call]:
    """`length` writes as a run makes them: blobs, state, records and events, with a collection now and then."""
    calls: list[Call] = []
    for number in range(length):
        content = [b"%d" % number, bytes([number % 251]) * (number * 997 % 90_000)]
        step = number % 6
        if step == 0:
            calls.append(Call("put", (content,)))
        elif step == 1:
            calls.append(Call("swap", ("a", number // 6, b"%d " % number * 300, f"writer-{number}")))
        elif step == 2:
            calls.append(Call("append", ("a", f"event-{number}", b"%d" % number)))
        elif step == 3:
            calls.append(Call("claim", ("b", f"reply/{number:04}", b"%d" % number)))
        elif step == 4:
            calls.append(Call("put", ([*content, b"reply"],)))
        else:
            calls.append(Call("collect", (blobs_of(calls)[-5:],)))
    return calls


def anything(seed: int, length: int) -> Iterator[Call]:
    """`length` calls at random, from few values so that they meet: stale versions, repeats, missing blobs."""
    draw = random.Random(seed)
    contents = [[b"x" * size, b"y"] for size in (0, 1, 100_000)] + [[]]
    keys = ["", "reply/1", "reply/2", "reply/10", "réply", "%", "_", "reply/1\0", "\U0001f483", "\uffff"]
    version = dict.fromkeys(RUNS, 0)
    for _ in range(length):
        run, key, text = draw.choice(RUNS), draw.choice(keys), b"%d" % draw.randrange(3)
        blobs = [digest(b"".join(content)) for content in contents]
        name = draw.choice(["read", "swap", "swap", "claim", "claims", "put", "open", "append", "events", "runs", "collect"])
        if name == "swap":
            expected = max(0, version[run] - draw.choice([0, 0, 0, 1, 2, -1]))
            version[run] += expected == version[run]
            yield Call(name, (run, expected, text, draw.choice("xyz")))
        elif name in ("claim", "append"):
            yield Call(name, (run, key, text))
        elif name == "claims":
            yield Call(name, (run, key[: draw.randrange(8)]))
        elif name == "events":
            yield Call(name, (run, draw.randrange(4)))
        elif name == "put":
            yield Call(name, (draw.choice(contents),))
        elif name == "open":
            yield Call(name, (draw.choice([*blobs, "", "../store", "A" * 64]),))
        elif name == "collect":
            yield Call(name, (draw.sample(blobs, 2),))
        else:
            yield Call(name, (run,) if name == "read" else ())


def _holds(store: Store, blob: str) -> bool:
    try:
        content = content_of(store, blob)
    except Missing:
        return False
    assert digest(content) == blob, f"blob {blob} is there, but not whole"
    return True


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value
