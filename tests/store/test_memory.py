"""What is particular to the store in memory."""

from __future__ import annotations

import pytest

from ciranda.core.errors import StoreError
from ciranda.store import MemoryStore
from ciranda.testing._store_calls import content_of


def test_two_stores_share_nothing() -> None:
    one, other = MemoryStore(), MemoryStore()
    one.swap("a", 0, b"header", "me")
    one.put([b"content"])
    assert other.runs() == []
    assert other.collect([]) == 0


def test_a_blob_does_not_change_with_the_callers_buffer() -> None:
    store = MemoryStore()
    buffer = bytearray(b"first")
    name = store.put([buffer])
    buffer[:] = b"later"
    assert content_of(store, name) == b"first"


def test_a_list_of_claims_is_of_one_moment() -> None:
    store = MemoryStore()
    for key in "ab":
        store.claim("a", key, b"")
    claims = store.claims("a", "")
    first = next(claims)
    store.claim("a", "c", b"")
    assert [first, *claims] == [("a", b""), ("b", b"")]


def test_a_closed_store_asks_for_no_chunk() -> None:
    store = MemoryStore()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.put(pytest.fail("asked") for _ in range(1))
