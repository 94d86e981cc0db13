"""The faulty store fails where it is told to, and children tell what they did before they died."""

from __future__ import annotations

import signal

import pytest

from ciranda.core.errors import Missing, StoreError
from ciranda.store import MemoryStore
from ciranda.testing._store_calls import SCRIPT, digest
from ciranda.testing.faulty import CALLS, WRITES, Fault, FaultyStore, fail
from ciranda.testing.processes import Child, Report, gather


def test_calls_are_counted_in_order() -> None:
    store = FaultyStore(MemoryStore())
    for call in SCRIPT:
        call.on(store)
    assert store.calls == [call.name for call in SCRIPT]
    assert set(store.calls) == CALLS


def test_only_the_chosen_calls_are_counted() -> None:
    store = FaultyStore(MemoryStore(), Fault(2, act=fail), counted=WRITES)
    store.swap("a", 0, b"", "me")
    store.read("a")
    assert store.runs() == ["a"]
    with pytest.raises(StoreError, match="injected"):
        store.append("a", "key", b"")
    assert store.calls == ["swap", "append"]


@pytest.mark.parametrize("number", range(1, len(SCRIPT) + 1))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_fault_strikes_its_call_alone(number: int, when: str) -> None:
    inner = MemoryStore()
    store = FaultyStore(inner, Fault(number, when, fail))  # type: ignore[arg-type]
    twin = MemoryStore()
    for position, call in enumerate(SCRIPT, 1):
        if position == number:
            assert call.on(store) == "StoreError"
            if when == "after":
                call.on(twin)
        else:
            assert call.on(store) == call.on(twin)
        assert (inner.runs(), inner.read("a"), list(inner.events("a"))) == (twin.runs(), twin.read("a"), list(twin.events("a")))


def test_a_fault_before_does_nothing_and_a_fault_after_loses_only_the_answer() -> None:
    inner = MemoryStore()
    store = FaultyStore(inner, Fault(1, "before", fail), Fault(2, "after", fail))
    with pytest.raises(StoreError):
        store.swap("a", 0, b"header", "me")
    assert inner.read("a") == (0, b"")
    with pytest.raises(StoreError):
        store.swap("a", 0, b"header", "me")
    assert inner.read("a") == (1, b"header")
    assert store.swap("a", 0, b"header", "me") == 1


def test_a_fault_during_a_put_leaves_no_blob() -> None:
    inner = MemoryStore()
    store = FaultyStore(inner, Fault(1, "during", fail))
    with pytest.raises(StoreError):
        store.put([b"one", b"two"])
    for content in (b"one", b"onetwo"):
        with pytest.raises(Missing):
            inner.open(digest(content))
    assert store.put([b"one", b"two"]) == digest(b"onetwo")


def test_a_kill_leaves_what_was_reported() -> None:
    def work(report: Report) -> None:
        store = FaultyStore(MemoryStore(), Fault(3))
        for number in range(5):
            report([number, store.append("a", f"{number}", b"")])

    child = Child(work)
    assert list(child.reports()) == [[0, 1], [1, 2]]
    assert child.join() == -signal.SIGKILL


def test_a_child_that_fails_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    def work(report: Report) -> None:
        report("begun")
        raise ValueError("of the child")

    child = Child(work)
    assert list(child.reports()) == ["begun"]
    assert child.join() == 1
    assert "ValueError: of the child" in capfd.readouterr().err
    with pytest.raises(AssertionError, match="child process failed"):
        gather([work, lambda report: report(1)])


def test_children_run_together_and_answer_in_order() -> None:
    def work(number: int) -> list[int]:
        return [number, number]

    def child(number: int) -> object:
        return lambda report: [report(each) for each in work(number)]

    assert gather([child(number) for number in range(3)]) == [[0, 0], [1, 1], [2, 2]]  # type: ignore[misc]
