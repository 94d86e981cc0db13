"""What a store promises to several threads and processes at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ciranda.core.errors import Conflict
from ciranda.store.base import Store
from ciranda.testing._store_calls import content_of, digest
from ciranda.testing.processes import Report, gather

MakeStore = Callable[[], Store]
Racer = Callable[[Store, int], Any]
Race = Callable[[Racer], list[Any]]
RACERS = 4


def increment(store: Store, number: int) -> list[int]:
    """Count to ten by compare-and-swap; returns the versions that this racer wrote."""
    written: list[int] = []
    while len(written) < 10:
        version, header = store.read("counter")
        try:
            new = store.swap("counter", version, b"%d" % (int(header or b"0") + 1), f"{number}/{len(written)}")
        except Conflict:
            continue
        written.append(new)
    return written


def swap_once(store: Store, number: int) -> list[int]:
    """Try to write versions 1 to 20, each once; returns those that succeeded."""
    won = []
    for version in range(20):
        while store.read("race")[0] < version:
            pass
        try:
            won.append(store.swap("race", version, b"%d" % number, f"racer {number}"))
        except Conflict:
            continue
    return won


class StoreRaces:
    """Races between racers with a handle each."""

    @pytest.fixture
    def race(self, make_store: MakeStore) -> Race:
        """Run a racer in several threads, all leaving the line together; returns what each returned."""
        return lambda racer: in_threads(make_store, racer)

    def test_of_racing_swaps_exactly_one_wins_each_version(self, race: Race, make_store: MakeStore) -> None:
        won = race(swap_once)
        assert sorted(version for each in won for version in each) == list(range(1, 21))
        assert make_store().read("race")[0] == 20

    def test_no_increment_is_lost(self, race: Race, make_store: MakeStore) -> None:
        written = race(increment)
        assert sorted(version for each in written for version in each) == list(range(1, 10 * RACERS + 1))
        assert make_store().read("counter") == (10 * RACERS, b"%d" % (10 * RACERS))

    def test_of_racing_claims_one_holds_for_all(self, race: Race, make_store: MakeStore) -> None:
        answers = race(lambda store, number: [store.claim("a", f"{key:02}", b"%d" % number).decode() for key in range(20)])
        held = [record.decode() for _, record in make_store().claims("a", "")]
        assert len(held) == 20
        assert answers == [held] * RACERS

    def test_racing_events_are_numbered_without_gap_or_repeat(self, race: Race, make_store: MakeStore) -> None:
        own = race(lambda store, number: [store.append("a", f"{number}/{each}", b"%d" % number) for each in range(20)])
        assert sorted(number for each in own for number in each) == list(range(1, 20 * RACERS + 1))
        assert all(each == sorted(each) for each in own)
        assert [number for number, _ in make_store().events("a")] == list(range(1, 20 * RACERS + 1))

    def test_the_same_event_from_all_is_there_once(self, race: Race, make_store: MakeStore) -> None:
        answers = race(lambda store, number: [store.append("a", f"{each}", b"%d" % number) for each in range(10)])
        assert answers == [list(range(1, 11))] * RACERS
        assert len(list(make_store().events("a"))) == 10

    def test_a_lease_has_one_holder(self, race: Race) -> None:
        answers = race(lambda store, number: [store.lease("a", f"{each}", f"racer {number}", 3600) for each in range(10)])
        for tokens in zip(*answers, strict=True):
            assert sum(token is not None for token in tokens) == 1

    def test_tokens_are_never_given_twice(self, race: Race) -> None:
        answers = race(lambda store, number: [store.lease("a", "x", f"racer {number}", 0) for _ in range(10)])
        tokens = [token for each in answers for token in each if token is not None]
        assert len(set(tokens)) == len(tokens)

    def test_puts_and_collections_of_kept_blobs_do_not_disturb_each_other(self, race: Race, make_store: MakeStore) -> None:
        contents = [b"%d" % each * 3000 for each in range(20)]
        kept = [digest(content) for content in contents]

        def racer(store: Store, number: int) -> list[bool]:
            if number == 0:
                return [store.collect(kept) == 0 for _ in contents]
            return [content_of(store, store.put([content, b""])) == content for content in contents]

        assert race(racer) == [[True] * 20] * RACERS
        assert make_store().collect([]) == 20

    def test_a_collected_blob_put_anew_is_whole_or_absent(self, race: Race, make_store: MakeStore) -> None:
        def racer(store: Store, number: int) -> bool:
            for _ in range(20):
                if number == 0:
                    store.collect([])
                else:
                    assert store.put([b"the same"]) == digest(b"the same")
            return True

        assert race(racer) == [True] * RACERS
        store = make_store()
        assert content_of(store, store.put([b"the same"])) == b"the same"
        assert store.collect([]) == 1


def in_threads(make_store: MakeStore, racer: Racer) -> list[Any]:
    """Run `racer` in several threads at once."""
    line = threading.Barrier(RACERS)

    def run(number: int) -> Any:
        store = make_store()
        line.wait(60)
        return racer(store, number)

    with ThreadPoolExecutor(RACERS) as pool:
        return list(pool.map(run, range(RACERS)))


def in_processes(make_store: MakeStore, racer: Racer) -> list[Any]:
    """Run `racer` in several processes at once."""

    def work(number: int) -> Callable[[Report], None]:
        return lambda report: report(racer(make_store(), number))

    return [reports[0] for reports in gather([work(number) for number in range(RACERS)])]
