"""Who is in a run: everybody once, under the right name, and the same after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest

from ciranda.core.errors import RunError
from ciranda.runtimes.http.access import Denied
from ciranda.runtimes.http.roster import Member, Room, Roster
from ciranda.store.base import Store
from ciranda.store.memory import MemoryStore


@pytest.fixture
def store() -> Iterator[Store]:
    store = MemoryStore()
    yield store
    store.close()


def room(store: Store, minimum: int = 3, maximum: int = 3, wait_s: float | None = None) -> Room:
    return Room(store, "run", 3, minimum, maximum, wait_s)


def test_the_roster_is_complete_when_the_last_has_come_in_whatever_order(store: Store) -> None:
    it = room(store)
    found: list[Roster] = []
    waiting = Thread(target=lambda: found.append(it.wait()))
    waiting.start()
    for number in (2, 0, 1):
        assert not found
        it.join(f"client-{number}", (number, 3), examples=10 + number)
    waiting.join(10)
    (roster,) = found
    assert [roster.name(rank) for rank in range(3)] == ["0", "1", "2"]
    assert roster.by_client["client-2"].name == "2"
    assert roster.max_examples == 12


def test_named_clients_are_ranked_by_name_after_numbered_ones() -> None:
    members = [Member("zoe", "zoe"), Member("x", "10", 10), Member("ana", "ana"), Member("y", "9", 9)]
    roster = Roster(members)
    assert [roster.name(rank) for rank in range(4)] == ["9", "10", "ana", "zoe"]
    assert roster.max_examples is None


def test_a_client_that_joins_again_is_the_same_member(store: Store) -> None:
    it = room(store)
    first = it.join("a", (0, 3), probe="p")
    assert it.join("a", (0, 3), probe="q") == first
    assert it.join("a", None) == first
    with pytest.raises(Denied, match="takes part with partition 0"):
        it.join("a", (1, 3))


@pytest.mark.parametrize(
    ("client", "partition", "message"),
    [
        ("b", (0, 3), "'0' is taken by the client 'a'"),
        ("b", (0, 4), "Partition 0 of 4 does not fit"),
        ("b", (3, 3), "Partition 3 of 3 does not fit"),
        ("b", (-1, 3), "Partition -1 of 3 does not fit"),
        ("0", None, "'0' is taken by the client 'a'"),
    ],
)
def test_who_does_not_fit_is_told_why(store: Store, client: str, partition: Any, message: str) -> None:
    it = room(store)
    it.join("a", (0, 3))
    with pytest.raises(Denied, match=message) as caught:
        it.join(client, partition)
    assert caught.value.status == 409


def test_a_full_room_and_a_run_that_has_begun_take_nobody_in(store: Store) -> None:
    it = room(store, maximum=2, minimum=2)
    it.join("a", None)
    it.join("b", None)
    with pytest.raises(Denied, match="all of its 2 clients"):
        it.join("c", None)
    it.wait()
    with pytest.raises(Denied, match="begun without 'c'"):
        it.join("c", None)
    assert it.join("a", None).name == "a"


def test_a_restarted_server_knows_who_has_come_and_the_roster_it_began_with(store: Store) -> None:
    before = room(store, minimum=1, wait_s=0.01)
    before.join("a", (1, 3), examples=7)
    assert len(before.wait()) == 1
    after = room(store)
    assert after.roster is not None
    assert after.roster.by_name["1"].examples == 7
    assert [member.client for member in after.members()] == ["a"]
    assert len(after.wait()) == 1


def test_members_that_came_before_a_restart_count(store: Store) -> None:
    room(store).join("a", (0, 3))
    it = room(store)
    it.join("b", (1, 3))
    it.join("c", (2, 3))
    assert len(it.wait()) == 3


def test_too_few_in_time_end_the_wait_and_enough_do_not(store: Store) -> None:
    it = room(store, minimum=2, wait_s=0.01)
    it.join("a", None)
    with pytest.raises(RunError, match=r"1 clients came within 0\.01 seconds; the run needs 2"):
        it.wait()
    it.join("b", None)
    assert len(it.wait()) == 2


def test_the_view_says_what_is_waited_for(store: Store) -> None:
    it = room(store, minimum=2, wait_s=100.0)
    assert it.view() == {"waiting": True, "minimum": 2, "maximum": 3, "seconds_left": None, "clients": []}
    told: list[dict[str, Any]] = []

    def tell() -> None:
        told.append(it.view())
        if len(told) == 2:
            it.shut(RunError("enough"))

    def wait() -> None:
        with pytest.raises(RunError, match="enough"):
            it.wait(tell)

    it.join("b", (1, 3), examples=5)
    waiting = Thread(target=wait)
    waiting.start()
    it.join("a", (0, 3))
    waiting.join(10)
    assert told[-1]["clients"][0] == {"client": "a", "name": "0", "examples": None}
    assert 0 < told[0]["seconds_left"] <= 100
    assert it.view()["waiting"] is False
