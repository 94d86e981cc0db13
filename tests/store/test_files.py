"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.errors import StoreError
from ciranda.store.files import WholeFile, make_folder, remove_abandoned, write_whole
from ciranda.testing.faulty import kill
from ciranda.testing.processes import Child, Report


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@given(chunks=st.lists(st.binary(max_size=50), max_size=8))
def test_a_file_is_its_chunks(tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("files") / "result.json"
    assert write_whole(path, iter(chunks)) == sum(map(len, chunks))
    assert path.read_bytes() == b"".join(chunks)
    assert names(path.parent) == ["result.json"]


def test_an_older_file_is_replaced_and_the_usual_permissions_hold(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    mask = os.umask(0o027)
    try:
        for content in (b"a long old content", b"new"):
            write_whole(str(path), [content])
    finally:
        os.umask(mask)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640


def test_arrays_are_written_without_a_copy(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert write_whole(tmp_path / "array", [values.data]) == 24
    assert (tmp_path / "array").read_bytes() == values.tobytes()


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
    write_whole(tmp_path / "file", [b"0123456789", b"abcd"])
    assert (tmp_path / "file").read_bytes() == b"0123456789abcd"


def test_a_source_that_fails_leaves_the_older_file(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half of the new"
        raise KeyboardInterrupt

    write_whole(tmp_path / "file", [b"old"])
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "file", chunks())
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_with_the_file_and_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    write_whole(tmp_path / "model.safetensors", [b"old"])
    write = os.write
    written: list[int] = []

    def full(fd: int, data: memoryview) -> int:
        if len(written) == 2:
            raise OSError(code, os.strerror(code))
        written.append(len(data))
        return write(fd, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match=r"No room to write '.*/model\.safetensors': it needs 5,000 bytes, and [0-9,]+ are free") as raised:
        write_whole(tmp_path / "model.safetensors", iter([b"x" * 1000] * 5))
    assert "space" in raised.value.hint
    assert (tmp_path / "model.safetensors").read_bytes() == b"old"
    assert names(tmp_path) == ["model.safetensors"]


def test_a_limit_of_the_system_is_told_too_and_nothing_is_left(tmp_path: Path) -> None:
    def work(report: Report) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
        try:
            write_whole(tmp_path / "big", [bytes(8_000)] * 4)
        except StoreError as error:
            report(str(error))

    child = Child(work)
    (message,) = child.reports()
    assert child.join() == 0
    assert "it needs 32,000 bytes" in message
    assert names(tmp_path) == []


def test_a_disk_that_fails_to_sync_gives_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(StoreError, match="Input/output error"):
        write_whole(tmp_path / "file", [b"x"])
    assert names(tmp_path) == []


def test_content_is_synced_before_it_is_named_and_the_name_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only a power cut would show the difference, so the order itself is looked at.
    steps: list[str] = []
    sync, replace = os.fsync, os.replace

    def synced(fd: int) -> None:
        steps.append("folder" if os.path.isdir(f"/proc/self/fd/{fd}") else "content")
        sync(fd)

    def replaced(source: Path, target: Path) -> None:
        steps.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    write_whole(tmp_path / "file", [b"x"])
    assert steps == ["content", "name", "folder"]


def test_a_folder_that_is_not_there_or_in_the_way_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="absent/file"):
        write_whole(tmp_path / "absent" / "file", [b"x"])
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match="folder"):
        write_whole(tmp_path / "folder", [b"x"])
    assert names(tmp_path) == ["folder"]


def test_a_long_name_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    write_whole(path, [b"x"])
    assert path.read_bytes() == b"x"


def test_folders_are_made_with_their_parents(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match="file"):
            make_folder(path)


def test_a_killed_writer_leaves_the_older_file_and_a_rest_that_can_be_removed(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half of the new"
        kill()

    write_whole(tmp_path / "file", [b"old"])
    child = Child(lambda report: report(write_whole(tmp_path / "file", chunks())))
    assert list(child.reports()) == []
    assert child.join() == -signal.SIGKILL
    assert (tmp_path / "file").read_bytes() == b"old"
    assert len(names(tmp_path)) == 2
    assert remove_abandoned(tmp_path) == 1
    assert names(tmp_path) == ["file"]


def test_a_living_writer_in_another_process_is_not_disturbed(tmp_path: Path) -> None:
    def chunks(report: Report) -> Iterator[bytes]:
        yield b"one "
        report("half")
        while (tmp_path / "wait").exists():
            pass
        yield b"two"

    (tmp_path / "wait").touch()
    child = Child(lambda report: report(write_whole(tmp_path / "file", chunks(report))))
    reports = child.reports()
    assert next(reports) == "half"
    assert remove_abandoned(tmp_path) == 0
    (tmp_path / "wait").unlink()
    assert next(reports) == 7
    assert list(reports) == []
    assert child.join() == 0
    assert (tmp_path / "file").read_bytes() == b"one two"


def test_a_living_writer_in_this_process_is_not_disturbed(tmp_path: Path) -> None:
    with WholeFile(tmp_path, "label") as file:
        file.write([b"content"])
        assert remove_abandoned(tmp_path) == 0
        file.publish(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"content"
    assert names(tmp_path) == ["file"]


def test_a_file_taken_for_abandoned_in_its_first_instant_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create = os.open
    opened: list[int] = []

    def swept(path: Path, *arguments: int) -> int:
        fd = create(path, *arguments)
        if not opened:
            os.unlink(path)  # a sweep, just before the writer's mark
        opened.append(fd)
        return fd

    monkeypatch.setattr(os, "open", swept)
    write_whole(tmp_path / "file", [b"content"])
    monkeypatch.undo()
    assert (tmp_path / "file").read_bytes() == b"content"


def test_files_of_others_are_not_taken_for_abandoned(tmp_path: Path) -> None:
    for name in (".hidden", "file.part", "x.tmp"):
        (tmp_path / name).write_bytes(b"")
    assert remove_abandoned(tmp_path) == 0
    assert len(names(tmp_path)) == 3
