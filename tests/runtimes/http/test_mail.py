"""Mail reaches each client at least once, in order, and nothing stands longer than it is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from ciranda.runtimes.http.mail import MOST, Mail


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 10))


def instruct(phase: str = "1.1.0.train") -> dict[str, Any]:
    return {"run": "r", "type": "instruct", "phase": phase}


def record(round: int) -> dict[str, Any]:
    return {"run": "r", "type": "record", "round": round, "accepted": ""}


def test_mail_that_waits_is_handed_out_at_once() -> None:
    async def work() -> None:
        mail = Mail()
        mail.put("a", record(1))
        mail.put("a", instruct("2.1.0.train"))
        mail.put("b", record(1))
        cursor, events = await mail.next("a", "", 60)
        assert events == [record(1), instruct("2.1.0.train")]
        assert (await mail.next("a", cursor, 0))[1] == []

    run(work())


def test_a_poll_waits_for_mail_and_for_no_other_client() -> None:
    async def work() -> None:
        mail = Mail()
        polls = {name: asyncio.ensure_future(mail.next(name, "", 60)) for name in ("a", "b")}
        await asyncio.sleep(0)
        assert mail.polling == 2
        mail.put("a", instruct())
        assert (await polls["a"])[1] == [instruct()]
        assert not polls["b"].done()
        mail.wake_all()
        assert (await polls["b"])[1] == []
        assert mail.polling == 0

    run(work())


def test_a_poll_ends_without_mail_when_its_time_is_over() -> None:
    async def work() -> None:
        mail = Mail()
        cursor, events = await mail.next("a", "", 0.01)
        assert events == []
        assert (await mail.next("a", cursor, 0))[0] == cursor

    run(work())


def test_what_was_not_acknowledged_is_told_again_and_what_was_is_not() -> None:
    async def work() -> None:
        mail = Mail()
        mail.put("a", record(1))
        cursor, _ = await mail.next("a", "", 0)
        assert (await mail.next("a", "", 0))[1] == [record(1)]
        await mail.next("a", cursor, 0)
        assert (await mail.next("a", "", 0))[1] == []

    run(work())


def test_an_instruction_stands_for_a_client_that_starts_again_until_it_is_answered() -> None:
    async def work() -> None:
        mail = Mail()
        mail.put("a", instruct())
        cursor, _ = await mail.next("a", "", 0)
        await mail.next("a", cursor, 0)
        assert (await mail.next("a", "", 0))[1] == [instruct()]
        mail.answered("a", "r", "another")
        assert (await mail.next("a", "", 0))[1] == [instruct()]
        mail.answered("a", "r", "1.1.0.train")
        assert (await mail.next("a", "", 0))[1] == []

    run(work())


def test_a_later_instruction_takes_the_place_of_the_one_before_and_a_cancellation_ends_it() -> None:
    async def work() -> None:
        mail = Mail()
        mail.put("a", instruct("1.1.0.train"))
        mail.put("a", instruct("1.2.0.train"))
        assert (await mail.next("a", "", 0))[1] == [instruct("1.2.0.train")]
        cancel = {"run": "r", "type": "cancel", "phase": "1.2.0.train"}
        mail.put("a", cancel)
        assert (await mail.next("a", "", 0))[1] == [cancel]

    run(work())


def test_the_end_of_a_run_withdraws_its_instruction_and_no_other() -> None:
    async def work() -> None:
        mail = Mail()
        other = {**instruct(), "run": "other"}
        mail.put("a", instruct())
        mail.put("a", other)
        end = {"run": "r", "type": "finish", "state": "finished", "reason": ""}
        mail.put("a", end)
        assert (await mail.next("a", "", 0))[1] == [other, end]

    run(work())


def test_a_cursor_of_another_start_or_of_nobody_counts_as_empty() -> None:
    async def work() -> None:
        before, mail = Mail(), Mail()
        before.put("a", record(1))
        old, _ = await before.next("a", "", 0)
        mail.put("a", record(2))
        for cursor in (old, "nonsense", "1.2.3", old.replace(".", ".9" * 20)):
            assert (await mail.next("a", cursor, 0))[1] == [record(2)]

    run(work())


def test_a_second_poll_of_a_client_ends_the_first() -> None:
    async def work() -> None:
        mail = Mail()
        first = asyncio.ensure_future(mail.next("a", "", 60))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(mail.next("a", "", 60))
        assert (await first)[1] == []
        mail.put("a", record(1))
        assert (await second)[1] == [record(1)]

    run(work())


def test_a_box_that_nobody_reads_stays_small() -> None:
    async def work() -> None:
        mail = Mail()
        for number in range(3 * MOST):
            mail.put("a", record(number))
        _, events = await mail.next("a", "", 0)
        assert events == [record(number) for number in range(2 * MOST, 3 * MOST)]

    run(work())


def test_when_a_client_was_heard() -> None:
    async def work() -> None:
        mail = Mail()
        assert mail.seen("a") is None
        poll = asyncio.ensure_future(mail.next("a", "", 60))
        await asyncio.sleep(0)
        assert mail.seen("a") == 0.0
        mail.forget("a")
        await poll
        assert mail.seen("a") is None

    run(work())
