"""What a run keeps: its state, claims, events and blobs. The contract is `ciranda.store.base.Store`."""

from ciranda.store.base import MAX_HEADER, Store
from ciranda.store.memory import MemoryStore
from ciranda.store.sqlite import SqliteStore

__all__ = ["MAX_HEADER", "MemoryStore", "SqliteStore", "Store"]
