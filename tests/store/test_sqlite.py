"""What is particular to the store in a folder: whose file it is, damage, full disks, forks, and a kill at its every step."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ciranda.core.errors import Conflict, Missing, StoreError
from ciranda.store import SqliteStore
from ciranda.store.sqlite import FILE_NAME
from ciranda.testing._store_calls import SCRIPT, content_of, digest
from ciranda.testing._store_crashes import check_whole_or_absent, perform, repeat
from ciranda.testing.faulty import kill
from ciranda.testing.processes import Child, Report


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "store")
    yield store
    store.close()


def test_writes_are_synced_to_the_log(store: SqliteStore) -> None:
    pragmas = [store._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2]


def test_one_handle_serves_several_threads(store: SqliteStore) -> None:
    line = threading.Barrier(4)

    def work(number: int) -> int:
        line.wait(60)
        won = 0
        for each in range(10):
            store.append("a", f"{number}/{each}", b"")
            assert content_of(store, store.put([b"%d" % each])) == b"%d" % each
            with suppress(Conflict):
                won += bool(store.swap("a", each, b"", f"{number}"))
            assert len(list(store.events("a"))) > each
        return won

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == store.read("a")[0]
    assert [number for number, _ in store.events("a")] == list(range(1, 41))


def test_another_programs_database_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE accounts (name TEXT)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=rf"{FILE_NAME}' is a database of another program") as raised:
        SqliteStore(tmp_path)
    assert raised.value.hint
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [FILE_NAME]


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    SqliteStore(tmp_path).close()
    database = sqlite3.connect(tmp_path / FILE_NAME)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreError, match="has format 99"):
        SqliteStore(tmp_path)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"these are the notes of a student, not a database\n" * 100)
    with pytest.raises(StoreError, match=rf"{FILE_NAME}' is damaged, or not a database"):
        SqliteStore(tmp_path)


def test_damage_in_the_middle_of_the_file_is_named_when_it_is_met(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    for number in range(200):
        store.claim("a", f"{number:04}", bytes(1000))
    store.close()
    path = tmp_path / FILE_NAME
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    store = SqliteStore(tmp_path)
    with pytest.raises(StoreError, match=rf"{FILE_NAME}' is damaged"):
        list(store.claims("a", ""))
    with pytest.raises(StoreError, match=rf"{FILE_NAME}' is damaged"):
        store.claim("a", "0001", b"")
    store.close()


def test_a_folder_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="file"):
        SqliteStore(tmp_path / "file")
    (tmp_path / "folder" / FILE_NAME).mkdir(parents=True)
    with pytest.raises(StoreError, match=FILE_NAME):
        SqliteStore(tmp_path / "folder")


def test_a_name_that_is_not_text_is_refused(store: SqliteStore) -> None:
    for call in (lambda: store.read("\ud800"), lambda: store.claim("a", "\ud800", b""), lambda: store.swap("\ud800", 0, b"", "w")):
        with pytest.raises(StoreError, match="not valid text"):
            call()


def test_a_writer_that_holds_on_too_long_is_told(tmp_path: Path) -> None:
    SqliteStore(tmp_path).close()
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    store = SqliteStore(tmp_path, busy_seconds=0)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked by another process"):
        store.swap("a", 0, b"", "me")
    assert store.read("a") == (0, b"")
    other.execute("ROLLBACK")
    other.close()
    assert store.swap("a", 0, b"", "me") == 1
    store.close()


@pytest.mark.parametrize("damage", [b"", b"short", b"X" * 3000], ids=["empty", "shorter", "as long"])
def test_a_damaged_blob_is_not_given_out_and_put_anew(tmp_path: Path, damage: bytes) -> None:
    store = SqliteStore(tmp_path)
    name = store.put([b"c" * 3000])
    path = tmp_path / "blobs" / name
    path.write_bytes(damage)
    os.utime(path, ns=(0, 0))
    for handle in (store, SqliteStore(tmp_path)):
        with pytest.raises(StoreError, match=rf"{name}' is damaged") as raised:
            handle.open(name)
        assert not isinstance(raised.value, Missing)
    assert store.put([b"c" * 3000]) == name
    assert content_of(store, name) == b"c" * 3000
    store.close()


def test_a_blob_that_is_there_is_not_written_again(store: SqliteStore) -> None:
    name = store.put([b"content"])
    path = store.folder / "blobs" / name
    before = path.stat()
    second = SqliteStore(store.folder)
    assert store.put([b"content"]) == second.put(iter([b"con", b"tent"])) == name
    assert second.put([b"content"]) == name
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    second.close()


def test_a_large_blob_is_stored_without_being_held_in_memory(store: SqliteStore) -> None:
    tracemalloc.start()
    try:
        name = store.put(bytes([number]) * (1 << 20) for number in range(40))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20
    assert len(content_of(store, name)) == 40 << 20


def test_an_open_blob_stays_readable_when_it_is_collected(store: SqliteStore) -> None:
    with store.open(store.put([b"content"])) as stream:
        assert store.collect([]) == 1
        assert stream.read() == b"content"


def test_a_collection_removes_what_killed_writers_left_and_no_file_of_others(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield bytes(9 << 20)
        yield b"second"
        yield b"third"
        kill()

    child = Child(lambda report: report(SqliteStore(tmp_path).put(chunks())))
    assert list(child.reports()) == []
    assert child.join() == -signal.SIGKILL
    (tmp_path / "blobs" / "README").write_bytes(b"mine")
    store = SqliteStore(tmp_path)
    assert len(list((tmp_path / "blobs").iterdir())) == 2
    assert store.collect([]) == 0
    assert [each.name for each in (tmp_path / "blobs").iterdir()] == ["README"]
    store.close()


def test_a_store_does_not_cross_a_fork(store: SqliteStore) -> None:
    store.swap("a", 0, b"", "me")

    def work(report: Report) -> None:
        for call in (lambda: store.read("a"), lambda: store.put([b""]), lambda: store.swap("a", 1, b"", "me"), lambda: store.collect([])):
            try:
                call()
            except StoreError as error:
                report(error.hint)
        store.close()

    child = Child(work)
    hints = list(child.reports())
    assert child.join() == 0
    assert len(hints) == 4
    assert all("fork" in hint for hint in hints)
    assert store.swap("a", 1, b"", "me") == 2


def test_a_step_that_fails_inside_a_write_undoes_it(store: SqliteStore) -> None:
    store.append("a", "one", b"1")
    with suppress(ZeroDivisionError), store._write() as db:
        db.execute("DELETE FROM events")
        raise ZeroDivisionError
    assert list(store.events("a")) == [(1, b"1")]


@pytest.mark.slow
def test_a_kill_at_each_inner_step_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Every statement and every call to the system, from the creation of the store on."""
    for step in count(1):
        folder = tmp_path / f"{step}"

        def work(report: Report, step: int = step, folder: Path = folder) -> None:
            perform(_killed_at(step, lambda: SqliteStore(folder)), SCRIPT, report)

        child = Child(work)
        answers = list(child.reports())
        status = child.join()
        store = SqliteStore(folder)
        check_whole_or_absent(store, SCRIPT, len(answers))
        repeat(store, answers)
        store.close()
        if status == 0:
            break
        assert status == -signal.SIGKILL
    sys.stdout.write(f"killed at each of {step - 1} steps\n")
    assert step > 100
    assert len(answers) == len(SCRIPT)


def _killed_at(step: int, make_store: Callable[[], SqliteStore]) -> SqliteStore:
    """A store whose process dies before its `step`-th statement or system call."""
    steps = count(1)

    def advance(*_: object) -> None:
        if next(steps) == step:
            kill()

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(*arguments: Any, **options: Any) -> Any:
            advance()
            return function(*arguments, **options)

        return stepping

    for name in ("open", "write", "fsync", "replace", "unlink", "mkdir"):
        setattr(os, name, wrapped(getattr(os, name)))
    connect = sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(advance)
        return connection

    sqlite3.connect = traced  # type: ignore[assignment]
    return make_store()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # a failed test may have left a file open


def test_a_full_disk_stops_writes_and_harms_nothing(small_disk: Path) -> None:
    store = SqliteStore(small_disk / "store")
    name = store.put([b"a" * 1000])
    store.swap("a", 0, b"header", "me")
    with pytest.raises(StoreError, match=r"No room to write .* needs 2,000,000 bytes"):
        store.put([b"b" * 1_000_000] * 2)
    assert not [path for path in (small_disk / "store" / "blobs").iterdir() if path.name != name]
    with pytest.raises(StoreError, match=rf"No room to write .*{FILE_NAME}"):
        [store.append("a", f"{number}", os.urandom(30_000)) for number in count(1)]
    number = len(list(store.events("a"))) + 1
    assert number > 2
    assert store.read("a") == (1, b"header")
    assert content_of(store, name) == b"a" * 1000
    assert [each for each, _ in store.events("a")] == list(range(1, number))
    store.collect([])
    store.close()
    store = SqliteStore(small_disk / "store")
    assert [each for each, _ in store.events("a")] == list(range(1, number))
    assert store.append("a", f"{number}", b"small") == number
    store.close()


def test_a_limit_on_file_sizes_stops_writes_and_harms_nothing(tmp_path: Path) -> None:
    def work(report: Report) -> None:
        import resource

        store = SqliteStore(tmp_path)
        name = store.put([b"a" * 1000])
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
        failures = []
        try:
            store.put([b"b" * 1_000_000])
        except StoreError as error:
            failures.append(str(error))
        number = 0
        try:
            for number in count(1):
                store.append("a", f"{number}", os.urandom(30_000))
        except StoreError as error:
            failures.append(str(error))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        store.append("a", f"{number}", b"small")
        report([name, number, failures])

    child = Child(work)
    ((name, number, failures),) = child.reports()
    assert child.join() == 0
    assert len(failures) == 2
    assert "needs 1,000,000 bytes" in failures[0]
    assert FILE_NAME in failures[1]
    store = SqliteStore(tmp_path)
    assert name == digest(b"a" * 1000)
    assert content_of(store, name) == b"a" * 1000
    assert [each for each, _ in store.events("a")] == list(range(1, number + 1))
    assert len(list((tmp_path / "blobs").iterdir())) == 1
    store.close()
