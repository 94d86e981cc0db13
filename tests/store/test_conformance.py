"""Our own stores keep the laws."""

from __future__ import annotations

from pathlib import Path

import pytest

from ciranda.store import MemoryStore, SqliteStore
from ciranda.store.base import Store
from ciranda.testing.faulty import FaultyStore
from ciranda.testing.stores import DurableStoreConformance, MakeStore, StoreConformance


class TestSqliteStore(DurableStoreConformance):
    @pytest.fixture
    def make_store(self, tmp_path: Path) -> MakeStore:
        return lambda: SqliteStore(tmp_path / "store")


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def make_store(self) -> MakeStore:
        store = MemoryStore()
        return lambda: store


class TestFaultyStoreWithoutFaults(StoreConformance):
    @pytest.fixture
    def make_store(self) -> MakeStore:
        store: Store = FaultyStore(MemoryStore())
        return lambda: store
