"""What a client keeps survives a kill at any moment, is whole or absent, and belongs to one process."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ciranda.core.errors import CirandaError, Missing, StoreError
from ciranda.protocol.participant import Job, Kept, Participant
from ciranda.runtimes.http.disk import Disk
from ciranda.testing.processes import Child, Report

REPLY = ("d" * 64, "m" * 64, b"a reply")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    it = Disk(tmp_path / "client")
    yield it
    it.close()


def state(round: int = 1) -> Participant:
    job = Job(f"{round}.1.0.train", "train", round, "m" * 64, f"{round}.1.0.train")
    return Participant("0", recorded=round - 1, kept=(Kept(job, REPLY[0]),))


def test_a_new_folder_knows_nothing(disk: Disk) -> None:
    assert disk.fact("identity") is None
    assert disk.participant("run", "7") == Participant("7")
    assert not disk.states("run").read("7")
    with pytest.raises(Missing, match="dddddddddddd is not kept here"):
        disk.reply("run", "d" * 64)


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_only_its_owner_may_look_into_the_folder(disk: Disk) -> None:
    """It holds the credential."""
    assert stat.S_IMODE(disk.folder.stat().st_mode) == 0o700


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=20), values=st.lists(_JSON, min_size=1, max_size=3))
def test_a_fact_is_what_was_kept_last(disk: Disk, name: str, values: list[Any]) -> None:
    for value in values:
        disk.keep(name, value)
    assert disk.fact(name) == values[-1]


def test_all_of_it_is_there_after_another_start(disk: Disk) -> None:
    disk.keep("identity", {"name": "a", "credential": "secret"})
    disk.advance("run", state(), REPLY)
    disk.states("run").write("0", 1, {"strategy": {"w": np.ones(3)}})
    disk.states("run").settle("0", 1, True)
    disk.close()
    with closing(Disk(disk.folder)) as again:
        assert again.fact("identity") == {"name": "a", "credential": "secret"}
        assert again.participant("run", "0") == state()
        assert again.reply("run", REPLY[0]) == REPLY[1:]
        np.testing.assert_array_equal(again.states("run").read("0")["strategy"]["w"], np.ones(3))


def test_a_participant_is_the_last_that_was_kept_and_each_run_has_its_own(disk: Disk) -> None:
    disk.advance("one", state(1), REPLY)
    disk.advance("one", state(2))
    disk.advance("two", state(5))
    assert disk.participant("one", "0") == state(2)
    assert disk.participant("two", "0") == state(5)
    assert disk.participant("three", "0") == Participant("0")


def test_a_reply_belongs_to_its_run_and_the_same_again_is_one(disk: Disk) -> None:
    disk.advance("one", state(), REPLY)
    disk.advance("one", state(), REPLY)
    with pytest.raises(Missing):
        disk.reply("two", REPLY[0])
    disk.forget("two", REPLY[0])
    assert disk.reply("one", REPLY[0]) == REPLY[1:]
    disk.forget("one", REPLY[0])
    disk.forget("one", REPLY[0])
    with pytest.raises(Missing):
        disk.reply("one", REPLY[0])


@settings(max_examples=20)
@given(names=st.lists(st.text(min_size=1, max_size=20), min_size=2, max_size=5, unique=True))
def test_states_of_different_runs_never_meet_nor_leave_the_folder(names: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    with closing(Disk(tmp_path_factory.mktemp("client"))) as disk:
        for number, name in enumerate(names):
            disk.states(name).write("0", 1, {"strategy": {"w": np.asarray(number)}})
            disk.states(name).settle("0", 1, True)
        for number, name in enumerate(names):
            assert disk.states(name).read("0")["strategy"]["w"] == number
        assert {path.name for path in disk.folder.iterdir()} <= {"states", "client.sqlite3", "client.sqlite3-wal", "client.sqlite3-shm"}


@pytest.mark.parametrize("run", ["..", ".", "../../elsewhere", "a/b", "con."])
def test_a_run_with_a_hostile_name_stays_in_the_folder(disk: Disk, run: str) -> None:
    disk.states(run).write("0", 1, {"strategy": {"w": np.ones(1)}})
    (found,) = (disk.folder / "states").iterdir()
    assert found.is_dir()
    assert "." not in found.name
    assert len(list(disk.folder.parent.iterdir())) == 1


def test_a_folder_has_one_user_and_the_second_is_told(disk: Disk) -> None:
    with pytest.raises(StoreError, match="Another process works with the client in") as caught:
        Disk(disk.folder)
    assert "--state" in caught.value.hint
    disk.close()
    Disk(disk.folder).close()


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "client.sqlite3").write_bytes(b"something else altogether" * 400)
    with pytest.raises(StoreError, match=f"The client's folder '{tmp_path}' failed: .*not a database"):
        Disk(tmp_path)


def test_a_folder_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "client").write_bytes(b"a file")
    with pytest.raises(StoreError, match="client"):
        Disk(tmp_path / "client")


def test_a_database_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "client.sqlite3").mkdir()
    with pytest.raises(StoreError, match=f"The client's folder '{tmp_path}' failed"):
        Disk(tmp_path)


def test_a_state_that_cannot_be_read_is_an_error_and_not_a_fresh_start(disk: Disk) -> None:
    """A client that took damage for a beginning would train twice."""
    disk.advance("run", state(), REPLY)
    disk._db.execute("UPDATE participants SET state = '{\"name\": 3}'")
    with pytest.raises(CirandaError):
        disk.participant("run", "0")


def test_a_full_disk_keeps_the_state_and_its_reply_or_neither(disk: Disk) -> None:
    disk.advance("run", state(1))
    (pages,) = disk._db.execute("PRAGMA page_count").fetchone()
    disk._db.execute(f"PRAGMA max_page_count = {pages}")
    large = ("e" * 64, "m" * 64, b"x" * 200_000)
    with pytest.raises(StoreError, match=f"No room to write in '{disk.folder}'"):
        disk.advance("run", state(2), large)
    assert disk.participant("run", "0") == state(1)
    with pytest.raises(Missing):
        disk.reply("run", large[0])
    disk._db.execute("PRAGMA max_page_count = 1000000")
    disk.advance("run", state(2), large)
    assert disk.reply("run", large[0]) == large[1:]


def test_a_write_that_breaks_off_leaves_what_was_there(disk: Disk) -> None:
    disk.advance("run", state(1))
    with pytest.raises(StoreError, match="failed"):
        disk.advance("run", state(2), ("e" * 64, "m" * 64, object()))  # type: ignore[arg-type]
    assert disk.participant("run", "0") == state(1)
    disk.advance("run", state(2))
    assert disk.participant("run", "0") == state(2)


@pytest.mark.parametrize("after", [1, 25])
def test_a_kill_leaves_the_state_and_its_reply_together(tmp_path: Path, after: int) -> None:
    def work(report: Report) -> None:
        disk = Disk(tmp_path)
        for number in range(1, 100_000):
            disk.advance("run", Participant("0", recorded=number), (str(number), "m", b"%d" % number))
            report(number)

    child = Child(work)
    told = 0
    for told in child.reports():
        if told == after:
            child.kill()
    child.join()
    with closing(Disk(tmp_path)) as again:
        kept = again.participant("run", "0").recorded
        assert kept in (told, told + 1), "what was told, or the one on its way"
        for number in range(1, kept + 1):
            assert again.reply("run", str(number)) == ("m", b"%d" % number)
        with pytest.raises(Missing):
            again.reply("run", str(kept + 1))
