"""Replies are on the disk before anybody is told so: all of a batch or none, across a kill, until their round is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ciranda.core.errors import Missing, StoreError
from ciranda.runtimes.http.replies import Replies, Reply
from ciranda.testing.processes import Child, Report

PHASE = "3.1.0.train"


def reply(name: str, body: bytes | None, phase: str = PHASE) -> Reply:
    return Reply(phase, name, sha256(body or name.encode()).hexdigest(), body)


@pytest.fixture
def replies(tmp_path: Path) -> Iterator[Replies]:
    it = Replies(tmp_path)
    yield it
    it.close()


def uploaded(replies: Replies, name: str, body: bytes) -> Reply:
    """A large reply whose file is there."""
    digest = sha256(body).hexdigest()
    replies.upload(name, digest).write_bytes(body)
    return Reply(PHASE, name, digest, None)


def missing(replies: Replies, it: Reply) -> bool:
    try:
        replies.load(it.phase, it.name, it.digest)
    except Missing:
        return True
    return False


def test_what_was_kept_is_there_after_another_start(replies: Replies, tmp_path: Path) -> None:
    kept = [reply("0", b"small"), reply("1", b""), uploaded(replies, "2", b"large")]
    replies.keep(kept)
    replies.close()
    with closing(Replies(tmp_path)) as again:
        assert bytes(again.load(PHASE, "0", kept[0].digest)) == b"small"
        assert bytes(again.load(PHASE, "1", kept[1].digest)) == b""
        assert bytes(again.load(PHASE, "2", kept[2].digest)) == b"large"


@pytest.mark.parametrize("asked", [("4.1.0.train", "0"), (PHASE, "1")])
def test_what_was_not_kept_is_missing_by_name(replies: Replies, asked: tuple[str, str]) -> None:
    it = reply("0", b"small")
    replies.keep([it])
    with pytest.raises(Missing, match=f"client {asked[1]} to phase {asked[0]}"):
        replies.load(*asked, it.digest)
    with pytest.raises(Missing):
        replies.load(PHASE, "0", "0" * 64)


def test_nothing_to_keep_writes_nothing(replies: Replies, tmp_path: Path) -> None:
    before = (tmp_path / "replies.sqlite3-wal").stat().st_size
    replies.keep([])
    assert (tmp_path / "replies.sqlite3-wal").stat().st_size == before


def test_the_same_reply_again_is_one(replies: Replies) -> None:
    it = reply("0", b"small")
    replies.keep([it])
    replies.keep([it, it])
    assert bytes(replies.load(PHASE, "0", it.digest)) == b"small"


def test_two_clients_with_the_same_bytes_have_a_copy_each(replies: Replies) -> None:
    first, second = uploaded(replies, "0", b"the same"), uploaded(replies, "1", b"the same")
    assert first.digest == second.digest
    replies.keep([first, second])
    replies.drop(PHASE, "0", first.digest)
    assert missing(replies, first)
    assert bytes(replies.load(PHASE, "1", second.digest)) == b"the same"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.text(min_size=1, max_size=30), min_size=2, max_size=8, unique=True))
def test_uploads_of_different_clients_never_share_a_file_and_stay_in_the_folder(replies: Replies, names: list[str]) -> None:
    paths = [replies.upload(name, "a" * 64) for name in names]
    assert len(set(paths)) == len(names)
    assert all(path.parent == replies.files and len(path.name) < 200 for path in paths)


def test_a_reply_that_was_dropped_is_gone(replies: Replies) -> None:
    small, large = reply("0", b"small"), uploaded(replies, "1", b"large")
    replies.keep([small, large])
    for it in (small, large):
        replies.drop(it.phase, it.name, it.digest)
        assert missing(replies, it)
    assert not list(replies.files.iterdir())


def test_replies_of_recorded_rounds_are_forgotten_and_later_ones_are_not(replies: Replies) -> None:
    old, new = reply("0", b"old", "3.1.0.train"), reply("0", b"new", "4.1.0.train")
    replies.keep([old, uploaded(replies, "1", b"large")])
    replies.recorded(3)
    assert not list(replies.files.iterdir())
    replies.recorded(1)  # news that comes late
    replies.keep([new])
    assert missing(replies, old)
    assert not missing(replies, new)
    replies.recorded(2)  # news that comes again
    replies.keep([reply("1", b"another", "4.1.0.train")])
    assert not missing(replies, new)


def test_a_large_reply_whose_file_is_gone_is_missing(replies: Replies) -> None:
    it = uploaded(replies, "0", b"large")
    replies.keep([it])
    replies.upload("0", it.digest).unlink()
    with pytest.raises(Missing, match=it.digest[:12]):
        replies.load(PHASE, "0", it.digest)


def test_an_empty_file_is_missing_too(replies: Replies) -> None:
    replies.upload("0", "a" * 64).touch()
    with pytest.raises(Missing):
        replies.map("0", "a" * 64)


def _shrink(replies: Replies) -> None:
    """No room for another page."""
    (pages,) = replies._db.execute("PRAGMA page_count").fetchone()
    replies._db.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_keeps_all_of_a_batch_or_none(replies: Replies) -> None:
    before = reply("before", b"x" * 100)
    replies.keep([before])
    _shrink(replies)
    batch = [reply("0", b"small"), reply("1", b"y" * 100_000)]
    with pytest.raises(StoreError, match="No room to keep replies"):
        replies.keep(batch)
    assert all(missing(replies, it) for it in batch)
    assert not missing(replies, before)
    replies._db.execute("PRAGMA max_page_count = 1000000")
    replies.keep(batch)
    assert not any(missing(replies, it) for it in batch)


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "replies.sqlite3").mkdir()
    with pytest.raises(StoreError, match=f"The replies in '{tmp_path}' cannot be kept"):
        Replies(tmp_path)


def test_a_damaged_file_is_named_and_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    with closing(Replies(tmp_path)) as replies:
        replies.keep([reply("0", b"small")])
    (tmp_path / "replies.sqlite3").write_bytes(b"something else altogether" * 400)
    with pytest.raises(StoreError, match=f"The replies in '{tmp_path}' cannot be kept"):
        Replies(tmp_path)


def test_what_goes_wrong_after_the_close_is_told(replies: Replies, tmp_path: Path) -> None:
    replies.close()
    with pytest.raises(StoreError, match="cannot be kept"):
        replies.keep([reply("0", b"small")])


def test_a_batch_that_breaks_off_in_the_middle_leaves_nothing_behind(replies: Replies) -> None:
    good = reply("0", b"small")
    with pytest.raises(StoreError):
        replies.keep([good, Reply(PHASE, "1", "digest", object())])  # type: ignore[arg-type]
    assert missing(replies, good)
    replies.keep([good])
    assert not missing(replies, good)


@pytest.mark.parametrize("after", [1, 20])
def test_a_kill_loses_nothing_that_was_told(tmp_path: Path, after: int) -> None:
    def work(report: Report) -> None:
        replies = Replies(tmp_path)
        for number in range(100_000):
            replies.keep([reply(str(number), b"body %d" % number)])
            report(number)

    child = Child(work)
    told = -1
    for told in child.reports():
        if told == after:
            child.kill()
    child.join()
    assert told >= after
    with closing(Replies(tmp_path)) as again:
        for number in range(told + 1):
            it = reply(str(number), b"body %d" % number)
            assert bytes(again.load(PHASE, it.name, it.digest)) == it.body
