"""Whatever is put, polled, lost and polled again: a client that takes its cursors in hears everything that still stands, in order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ciranda.runtimes.http.mail import MOST, Mail

RUNS = st.sampled_from(["r", "s"])
CLIENT = "a"


class MailMachine(RuleBasedStateMachine):
    """`owed`: by what it is about, the events that the client has not taken in; `standing`: the instruction of each run."""

    def __init__(self) -> None:
        super().__init__()
        self.mail = Mail()
        self.round = self.number = 0
        self.taken = ""
        self.owed: dict[str, dict[str, Any]] = {}
        self.standing: dict[str, dict[str, Any]] = {}
        self.polled: tuple[str, list[dict[str, Any]]] | None = None

    def _put(self, event: dict[str, Any], about: str) -> None:
        self.number += 1
        event["number"] = self.number  # so that no two are equal
        assert self.mail.put(CLIENT, event)
        self.owed.pop(about, None)
        self.owed[about] = event

    def _poll(self, after: str) -> tuple[str, list[dict[str, Any]]]:
        cursor, events = asyncio.run(self.mail.next(CLIENT, after, 0))
        return cursor, [dict(event) for event in events]

    def _withdraw(self, run: str) -> None:
        self.standing.pop(run, None)
        self.owed.pop(f"{run}/instruct", None)

    @rule(run=RUNS)
    def instruct(self, run: str) -> None:
        self.round += 1
        event = {"run": run, "type": "instruct", "phase": f"{self.round}.1.0.train"}
        self._put(event, f"{run}/instruct")
        self.standing[run] = event

    @rule(run=RUNS)
    def record(self, run: str) -> None:
        if len(self.owed) < MOST - 4:
            self.round += 1
            self._put({"run": run, "type": "record", "round": self.round, "accepted": ""}, f"{run}/record/{self.round}")

    @rule(run=RUNS)
    def cancel(self, run: str) -> None:
        if run in self.standing:
            phase = self.standing[run]["phase"]
            self._withdraw(run)
            self._put({"run": run, "type": "cancel", "phase": phase}, f"{run}/cancel")

    @rule(run=RUNS)
    def finish(self, run: str) -> None:
        self._withdraw(run)
        self._put({"run": run, "type": "finish", "state": "finished", "reason": ""}, f"{run}/finish")

    @rule(run=RUNS)
    def answer(self, run: str) -> None:
        if run in self.standing:
            self.mail.answered(CLIENT, run, self.standing[run]["phase"])
            self._withdraw(run)

    @rule(run=RUNS)
    def answer_another_phase(self, run: str) -> None:
        self.mail.answered(CLIENT, run, "0.0.0.train")

    @rule()
    def poll(self) -> None:
        """The answer arrives, and counts as taken in with the next poll."""
        self.polled = self._poll(self.taken)
        assert self.polled[1] == list(self.owed.values())

    @rule()
    def poll_and_lose_the_answer(self) -> None:
        assert self._poll(self.taken)[1] == list(self.owed.values())

    @rule()
    def take_in(self) -> None:
        if self.polled is None:
            return
        (cursor, events), self.polled = self.polled, None
        self.taken = cursor
        for event in events:
            self.owed = {about: it for about, it in self.owed.items() if it != event}

    @rule()
    def start_again(self) -> None:
        """A client that was started again has no cursor: it hears what stands, and what it had not acknowledged."""
        self.taken, self.polled = "", None
        _, events = self._poll("")
        for event in [*self.owed.values(), *self.standing.values()]:
            assert event in events
        self.owed = {}
        for event in events:
            about = f"{event['run']}/{event['type']}"
            self.owed[f"{about}/{event['round']}" if event["type"] == "record" else about] = event

    @invariant()
    def what_is_asked_is_what_stands(self) -> None:
        for run in ("r", "s"):
            assert self.mail.asked(CLIENT, run) == self.standing.get(run)


MailMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestMail = MailMachine.TestCase


def test_who_was_revoked_gets_no_mail_and_nobody_else_loses_any() -> None:
    mail = Mail()
    event = {"run": "r", "type": "instruct", "phase": "1.1.0.train"}
    assert mail.put("a", event)
    mail.forget("a")
    assert not mail.put("a", event)
    assert mail.asked("a", "r") is None
    assert mail.put("b", event)
    assert mail.asked("b", "r") == event


@pytest.mark.parametrize("wait", [0.0, 60.0])
def test_the_client_that_is_cut_while_it_waits_leaves_no_waiter(wait: float) -> None:
    async def work() -> None:
        mail = Mail()
        poll = asyncio.ensure_future(mail.next("a", "", wait))
        await asyncio.sleep(0)
        assert mail.polling == (1 if wait else 0)
        poll.cancel()
        await asyncio.gather(poll, return_exceptions=True)
        assert mail.polling == 0
        event = {"run": "r", "type": "record", "round": 1}
        mail.put("a", event)
        assert (await mail.next("a", "", 0))[1] == [event]

    asyncio.run(asyncio.wait_for(work(), 10))
