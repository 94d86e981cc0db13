"""What clients keep: tentative until the round's record, whole whatever happens, and cheap when there is nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ciranda.core.errors import CodecError, StoreError
from ciranda.core.task import Arrays
from ciranda.store.client_states import ClientStates
from ciranda.testing.processes import Child, Report

MakeStates = Callable[[], ClientStates]


@pytest.fixture(params=["durable", "deferred"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> MakeStates:
    """Another view of the same folder at each call, as another process has it."""
    return lambda: ClientStates(tmp_path / "clients", deferred=request.param == "deferred")


def state(value: float) -> dict[str, dict[str, np.ndarray]]:
    return {"strategy": {"w": np.full(3, value, np.float32)}, "top-k": {"layer.weight": np.full((2, 2), -value), "b": np.asarray(value)}}


def same(a: Mapping[str, Arrays], b: Mapping[str, Arrays]) -> bool:
    return a.keys() == b.keys() and all(
        a[owner].keys() == b[owner].keys() and all(np.array_equal(a[owner][key], b[owner][key]) for key in a[owner]) for owner in a
    )


def test_a_client_without_state_costs_no_folder(make: MakeStates, tmp_path: Path) -> None:
    states = make()
    assert states.read("7") == {}
    states.write("7", 1, {})
    states.settle("7", 1, commit=True)
    states.sync(1, ["7"])
    assert list(tmp_path.iterdir()) == []


def test_what_is_tentative_does_not_hold(make: MakeStates) -> None:
    make().write("7", 1, state(1))
    assert make().read("7") == {}
    assert same(make().read("7", tentative=1), state(1))
    assert make().read("7", tentative=2) == {}


def test_a_commit_makes_it_hold(make: MakeStates) -> None:
    make().write("7", 1, state(1))
    make().sync(1, ["7", "8"])
    make().settle("7", 1, commit=True)
    assert same(make().read("7"), state(1))
    assert same(make().read("7", tentative=1), state(1))


def test_a_drop_leaves_what_was(make: MakeStates) -> None:
    make().write("7", 1, state(1))
    make().settle("7", 1, commit=True)
    make().write("7", 2, state(2))
    make().settle("7", 2, commit=False)
    assert same(make().read("7", tentative=2), state(1))


@pytest.mark.parametrize("commit", [True, False])
def test_settling_twice_is_settling_once(make: MakeStates, commit: bool) -> None:
    make().write("7", 1, state(1))
    for _ in range(2):
        make().settle("7", 1, commit=commit)
    assert same(make().read("7"), state(1) if commit else {})


def test_a_round_that_was_given_up_cannot_be_committed_by_a_later_one(make: MakeStates) -> None:
    make().write("7", 1, state(1))
    make().settle("7", 2, commit=True)
    assert make().read("7") == {}
    make().write("7", 2, state(2))
    make().write("7", 1, state(9))  # an answer that comes late
    make().settle("7", 2, commit=True)
    assert same(make().read("7"), state(2))


def test_training_again_replaces_what_was_tentative(make: MakeStates) -> None:
    make().write("7", 1, state(1))
    make().write("7", 1, state(2))
    make().settle("7", 1, commit=True)
    assert same(make().read("7"), state(2))


def test_a_state_can_become_empty(make: MakeStates) -> None:
    make().write("7", 1, state(1))
    make().settle("7", 1, commit=True)
    make().write("7", 2, {})
    make().settle("7", 2, commit=True)
    assert make().read("7") == {}


NAMES = ["7", "07", "7.1", "a/b", "a%2Fb", "..", "", " ", "São Paulo", "x" * 300, "x" * 301, "7.1.tentative"]


def test_names_do_not_meet(make: MakeStates) -> None:
    for number, name in enumerate(NAMES):
        make().write(name, 1, state(number))
        make().settle(name, 1, commit=True)
    for number, name in enumerate(NAMES):
        assert same(make().read(name), state(number)), name


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(owner=st.text(max_size=5), key=st.text(max_size=5))
def test_any_owner_and_any_tensor(make: MakeStates, owner: str, key: str) -> None:
    try:
        make().write("7", 1, {owner: {key: np.arange(3)}})
    except CodecError:  # names that the format cannot hold are refused, not changed
        return
    make().settle("7", 1, commit=True)
    assert same(make().read("7"), {owner: {key: np.arange(3)}})


def test_a_kill_at_any_moment_leaves_one_state_or_the_other(make: MakeStates) -> None:
    def work(report: Report) -> None:
        states = make()
        for round in range(1, 1000):
            states.write("7", round, {"strategy": {"w": np.full(5000, round)}})
            states.settle("7", round, commit=True)
            report(round)

    child = Child(work)
    done = 0
    for done in child.reports():
        if done == 20:
            child.kill()
    child.join()
    kept = make().read("7")["strategy"]["w"]
    assert len(np.unique(kept)) == 1
    assert done <= kept[0] <= done + 1


def test_a_damaged_state_is_refused(make: MakeStates, tmp_path: Path) -> None:
    make().write("7", 1, state(1))
    make().settle("7", 1, commit=True)
    (file,) = (tmp_path / "clients").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CodecError):
        make().read("7")


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "clients").write_text("a file")
    with pytest.raises(StoreError, match="clients"):
        ClientStates(tmp_path / "clients").write("7", 1, state(1))
