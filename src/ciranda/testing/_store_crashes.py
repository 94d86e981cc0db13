"""What a store promises to whoever comes after a process that was killed with `kill -9`."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from ciranda.store.base import Store
from ciranda.testing._store_calls import SCRIPT, Call, after, blobs_of, snapshot, stream
from ciranda.testing._store_races import MakeStore
from ciranda.testing.faulty import Fault, FaultyStore
from ciranda.testing.processes import Child, Report

_MOMENTS = [Fault(number, when) for number in range(1, len(SCRIPT) + 1) for when in ("before", "after")]
_MOMENTS += [Fault(number, "during") for number, call in enumerate(SCRIPT, 1) if call.name == "put"]


class StoreCrashes:
    """Kills a process at every call of a script, and at random moments, and looks at what it leaves."""

    @pytest.mark.parametrize("fault", _MOMENTS, ids=lambda fault: f"{fault.when}-{fault.call}-{SCRIPT[fault.call - 1].name}")
    def test_killed_at_a_call(self, make_store: MakeStore, fault: Fault) -> None:
        child = Child(lambda report: perform(FaultyStore(make_store(), fault), SCRIPT, report))
        answers = list(child.reports())
        assert child.join() == -signal.SIGKILL
        assert len(answers) == fault.call - 1
        done = fault.call if fault.when == "after" else fault.call - 1
        blobs = blobs_of(SCRIPT)
        store = make_store()
        assert snapshot(store, blobs) == after(SCRIPT[:done], blobs)
        if "lease" in [call.name for call in SCRIPT[:done]]:
            assert store.lease("a", "controller", "another", 1) is None
        repeat(store, answers)
        store.close()

    @pytest.mark.parametrize("seed", range(20))
    def test_killed_at_a_random_moment(self, make_store: MakeStore, seed: int) -> None:
        calls = stream(120)
        draw = random.Random(seed)
        wait_for, spin = draw.randrange(100), draw.randrange(3000)

        def work(report: Report) -> None:
            perform(make_store(), calls, report)
            signal.pause()

        child = Child(work)
        reports = child.reports()
        done = sum(1 for _ in zip(range(wait_for), reports, strict=False))
        for _ in range(spin):  # lands the kill between two acknowledgements, where no call is safe
            pass
        child.kill()
        done += sum(1 for _ in reports)
        assert child.join() == -signal.SIGKILL
        sys.stdout.write(f"seed {seed}: killed after {done} acknowledged calls\n")
        blobs = blobs_of(calls)
        store = make_store()
        check_whole_or_absent(store, calls, done)
        for call in calls:
            call.on(store)
        assert snapshot(store, blobs) == after(calls, blobs)
        store.close()


def perform(store: Store, calls: Sequence[Call], report: Report) -> None:
    """Make `calls` one by one, and report each answer once it is there."""
    for call in calls:
        report(call.on(store))


def repeat(store: Store, answers: Sequence[Any]) -> None:
    """The whole script again: what was answered is answered alike, and it ends as if nothing had happened."""
    again = [call.on(store) for call in SCRIPT]
    for call, old, new in zip(SCRIPT, answers, again, strict=False):
        if call.name in ("swap", "claim", "append", "lease", "put"):
            assert old == new, f"{call.name} was answered {old}, and then {new}"
    assert snapshot(store, blobs_of(SCRIPT)) == after(SCRIPT, blobs_of(SCRIPT))
    assert store.collect([]) == 2


def check_whole_or_absent(store: Store, calls: Sequence[Call], done: int) -> None:
    """What was acknowledged is there, and the one call that was under way is done or not; a collection may be half done."""
    blobs = blobs_of(calls)
    found, before, behind = snapshot(store, blobs), after(calls[:done], blobs), after(calls[: done + 1], blobs)
    if calls[done : done + 1] and calls[done].name == "collect":
        kept = found.pop("blobs")
        assert set(behind.pop("blobs")) <= set(kept) <= set(before.pop("blobs"))
    assert found in (before, behind)
