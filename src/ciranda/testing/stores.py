"""The laws of a store, as tests that anybody can run on a store of their own.

    class TestMyStore(DurableStoreConformance):
        @pytest.fixture
        def make_store(self, tmp_path):
            return lambda: MyStore(tmp_path / "store")

`make_store()` opens the same storage, empty when the test begins, as often as it is called: a second handle beside the
first, or a new one after a crash. A store that dies with its process subclasses `StoreConformance` instead, and may
return the same object every time.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator

import pytest

from ciranda.core.errors import Conflict, Missing, StoreError
from ciranda.store.base import MAX_HEADER, Store
from ciranda.store.memory import MemoryStore
from ciranda.testing._store_calls import SCRIPT, Call, after, anything, blobs_of, content_of, digest, snapshot
from ciranda.testing._store_crashes import StoreCrashes
from ciranda.testing._store_races import MakeStore, Race, StoreRaces, in_processes, in_threads


class StoreLaws:
    """What each method promises to one caller at a time."""

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Iterator[Store]:
        store = make_store()
        yield store
        store.close()

    def test_a_run_never_written_is_at_version_zero(self, store: Store) -> None:
        assert store.read("a") == (0, b"")
        assert store.runs() == []

    def test_swap_replaces_the_header_and_counts(self, store: Store) -> None:
        assert [store.swap("a", version, b"%d" % version, f"w{version}") for version in range(3)] == [1, 2, 3]
        assert store.read("a") == (3, b"2")
        assert store.read("b") == (0, b"")

    @pytest.mark.parametrize("version", [0, 1, 3, -1])
    def test_swap_from_another_version_is_a_conflict_and_changes_nothing(self, store: Store, version: int) -> None:
        store.swap("a", 0, b"first", "me")
        store.swap("a", 1, b"second", "me")
        with pytest.raises(Conflict):
            store.swap("a", version, b"third", "another")
        assert store.read("a") == (2, b"second")

    def test_a_repeated_swap_recognises_its_own_success_even_after_others(self, store: Store) -> None:
        store.swap("a", 0, b"first", "me")
        assert store.swap("a", 0, b"first", "me") == 1
        store.swap("a", 1, b"second", "another")
        assert store.swap("a", 0, b"first", "me") == 1
        assert store.read("a") == (2, b"second")

    def test_a_writer_that_reuses_its_name_does_not_mistake_another_write_for_its_own(self, store: Store) -> None:
        store.swap("a", 0, b"first", "me")
        with pytest.raises(Conflict):
            store.swap("a", 0, b"something else", "me")

    def test_a_header_over_the_limit_is_refused_and_changes_nothing(self, store: Store) -> None:
        store.swap("a", 0, b"h" * MAX_HEADER, "me")
        with pytest.raises(StoreError, match="header"):
            store.swap("a", 1, b"h" * (MAX_HEADER + 1), "me")
        assert store.read("a") == (1, b"h" * MAX_HEADER)

    def test_runs_are_those_with_a_header_sorted(self, store: Store) -> None:
        store.append("no header", "key", b"event")
        for run in ("b", "a/1", "é", "B"):
            store.swap(run, 0, b"", "me")
        assert store.runs() == ["B", "a/1", "b", "é"]

    def test_the_first_claim_holds(self, store: Store) -> None:
        assert store.claim("a", "key", b"first") == b"first"
        assert store.claim("a", "key", b"second") == b"first"
        assert store.claim("a", "other", b"second") == b"second"
        assert store.claim("b", "key", b"second") == b"second"
        assert store.claim("a", "empty", b"") == store.claim("a", "empty", b"not empty") == b""

    def test_claims_come_in_key_order_by_exact_prefix(self, store: Store) -> None:
        keys = ["r/1", "r/10", "r/2", "r", "R/1", "r0", "%", "_/1", "é/1", "r/\U0001f483", "r/\uffff"]
        for key in reversed(keys):
            store.claim("a", key, key.encode())
        for prefix in ("", "r/", "r/1", "_", "%", "é", "absent", "r/\U0001f483"):
            expected = [(key, key.encode()) for key in sorted(keys) if key.startswith(prefix)]
            assert list(store.claims("a", prefix)) == expected
        assert list(store.claims("b", "")) == []

    def test_many_claims_and_events_are_all_listed(self, store: Store) -> None:
        for number in range(300):
            store.claim("a", f"k{number:04}", b"")
            store.append("a", f"k{number:04}", b"%d" % number)
        assert [key for key, _ in store.claims("a", "k")] == [f"k{number:04}" for number in range(300)]
        assert list(store.events("a", 10)) == [(number + 1, b"%d" % number) for number in range(10, 300)]

    @pytest.mark.parametrize("chunks", [[], [b""], [b"one"], [b"a", b"", b"b" * 100_000], [bytes(1 << 20)] * 10, [bytes(9 << 20)]])
    def test_a_blob_comes_back_under_its_hash(self, store: Store, chunks: list[bytes]) -> None:
        content = b"".join(chunks)
        name = store.put(iter(chunks))
        assert name == hashlib.sha256(content).hexdigest()
        with store.open(name) as stream:
            assert stream.read() == content
            stream.seek(1)
            assert stream.read(2) == content[1:3]

    def test_the_same_blob_is_kept_once(self, store: Store) -> None:
        assert store.put([b"ab"]) == store.put(iter([b"a", b"b"]))
        assert store.collect([]) == 1

    @pytest.mark.parametrize("name", ["0" * 64, "", ".", "../store.sqlite3", "A" * 64, "\0"])
    def test_a_blob_that_is_not_there_is_missing(self, store: Store, name: str) -> None:
        with pytest.raises(Missing):
            store.open(name)

    @pytest.mark.parametrize("size", [10, 9 << 20])
    def test_a_blob_whose_source_fails_leaves_nothing(self, store: Store, size: int) -> None:
        def chunks() -> Iterator[bytes]:
            yield b"x" * size
            yield b"x"
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            store.put(chunks())
        for length in (size, size + 1):
            with pytest.raises(Missing):
                store.open(digest(b"x" * length))
        assert store.collect([]) == 0

    def test_collect_deletes_what_is_not_kept(self, store: Store) -> None:
        names = [store.put([b"%d" % number]) for number in range(5)]
        assert store.collect([*names[:2], "0" * 64]) == 3
        assert [content_of(store, name) for name in names[:2]] == [b"0", b"1"]
        for name in names[2:]:
            with pytest.raises(Missing):
                store.open(name)
        assert store.put([b"4"]) == names[4]
        assert content_of(store, names[4]) == b"4"

    @pytest.mark.parametrize("size", [10, 9 << 20])
    def test_collect_spares_a_blob_being_written(self, make_store: MakeStore, size: int) -> None:
        store, other = make_store(), make_store()

        def chunks() -> Iterator[bytes]:
            yield b"x" * size
            yield b"y"
            assert other.collect([]) == 0
            yield b"z"

        name = store.put(chunks())
        assert content_of(other, name) == b"x" * size + b"yz"

    def test_events_are_numbered_from_one_and_appended_once(self, store: Store) -> None:
        assert [store.append("a", key, key.encode()) for key in ("x", "y", "x", "z")] == [1, 2, 1, 3]
        assert store.append("b", "y", b"of another run") == 1
        assert store.append("a", "y", b"changed") == 2
        assert list(store.events("a")) == [(1, b"x"), (2, b"y"), (3, b"z")]
        assert list(store.events("a", 2)) == [(3, b"z")]
        assert list(store.events("a", 3)) == list(store.events("c")) == []

    def test_a_lease_keeps_others_out_until_it_ends(self, store: Store) -> None:
        token = store.lease("a", "controller", "me", 3600)
        assert token is not None
        assert store.lease("a", "controller", "another", 3600) is None
        assert store.lease("a", "controller", "me", 3600) == token
        assert store.lease("a", "other name", "another", 3600) is not None
        assert store.lease("b", "controller", "another", 3600) is not None

    def test_every_taking_of_a_lease_has_a_larger_token(self, store: Store) -> None:
        tokens = [store.lease("a", "controller", holder, 0) for holder in ("me", "another", "another", "me")]
        assert None not in tokens
        assert tokens == sorted(set(tokens), key=tokens.index)
        assert all(one < two for one, two in itertools.pairwise(tokens) if one is not None and two is not None)

    def test_a_holder_gives_its_lease_back_with_zero_seconds(self, store: Store) -> None:
        first = store.lease("a", "controller", "me", 3600)
        assert store.lease("a", "controller", "me", 0) == first
        second = store.lease("a", "controller", "another", 3600)
        assert first is not None
        assert second is not None
        assert second > first

    @pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
    def test_a_lease_of_an_impossible_length_is_refused(self, store: Store, seconds: float) -> None:
        with pytest.raises(StoreError, match="lease"):
            store.lease("a", "controller", "me", seconds)

    @pytest.mark.parametrize("call", SCRIPT, ids=lambda call: call.name)
    def test_a_closed_store_refuses_every_call(self, make_store: MakeStore, call: Call) -> None:
        store = make_store()
        store.close()
        store.close()
        assert call.on(store) == "StoreError"

    @pytest.mark.parametrize("seed", range(8))
    def test_any_calls_have_the_answers_of_the_model(self, store: Store, seed: int) -> None:
        model = MemoryStore()
        calls = list(anything(seed, 150))
        for number, call in enumerate(calls):
            assert call.on(store) == call.on(model), f"call {number} of seed {seed}: {call}"
        assert snapshot(store, blobs_of(calls)) == snapshot(model, blobs_of(calls))

    def test_a_second_handle_sees_every_write_of_the_first(self, make_store: MakeStore) -> None:
        first, second = make_store(), make_store()
        blobs = blobs_of(SCRIPT)
        for number, call in enumerate(SCRIPT, 1):
            call.on(first)
            assert snapshot(second, blobs) == after(SCRIPT[:number], blobs)
        assert second.lease("a", "controller", "another", 1) is None
        second.close()
        first.close()


class StoreConformance(StoreLaws, StoreRaces):
    """The laws for one caller and for several threads."""


class DurableStoreConformance(StoreConformance, StoreCrashes):
    """All laws: also for several processes, for a later one, and after `kill -9`."""

    @pytest.fixture(params=["threads", "processes"])
    def race(self, request: pytest.FixtureRequest, make_store: MakeStore) -> Race:
        run = in_threads if request.param == "threads" else in_processes
        return lambda racer: run(make_store, racer)

    def test_a_later_handle_sees_all_that_was_written(self, make_store: MakeStore) -> None:
        blobs = blobs_of(SCRIPT)
        for number, call in enumerate(SCRIPT, 1):
            store = make_store()
            call.on(store)
            store.close()
            store = make_store()
            assert snapshot(store, blobs) == after(SCRIPT[:number], blobs)
            store.close()


__all__ = ["DurableStoreConformance", "MakeStore", "StoreConformance"]
