"""The participant by tables: it answers once, repeats the same bytes, and settles its own state by the record."""

from __future__ import annotations

import pytest

from ciranda.core.errors import CodecError
from ciranda.protocol.messages import Acknowledge, Cancel, Instruct, PhaseKind, Recovered, Refuse, parse_phase, phase_id
from ciranda.protocol.participant import (
    Abandon,
    AskRecord,
    Command,
    Event,
    Forget,
    Participant,
    Recorded,
    Report,
    Send,
    Settle,
    Stuck,
    Tick,
    Work,
    Worked,
    step,
)


def instruct(phase: str, model: str = "m0", name: str = "ana") -> Instruct:
    round, _, _, kind = parse_phase(phase) or (0, 0, 0, "")
    known: PhaseKind = "evaluate" if kind == "evaluate" else "train"
    return Instruct(f"run/0/{phase}/instruct/{name}", name, phase, known, round, model)


class Client:
    """A participant whose every state goes through JSON."""

    def __init__(self, *events: Event) -> None:
        self.state = Participant("ana")
        self.feed(*events)

    def feed(self, *events: Event) -> list[Command]:
        out: list[Command] = []
        for event in events:
            before = self.state.to_json()
            after, commands = step(self.state, event)
            assert self.state.to_json() == before
            self.state = Participant.from_json(after.to_json())
            assert self.state == after
            out += commands
        return out


TRAIN = "1.1.0.train"
DONE = (instruct(TRAIN), Worked(TRAIN, "d1"))


def test_an_instruction_is_worked_on_and_answered() -> None:
    client = Client()
    assert client.feed(instruct(TRAIN)) == [Work(TRAIN, "train", 1, "m0")]
    assert client.feed(Worked(TRAIN, "d1")) == [Send(TRAIN, "d1")]
    assert client.feed(Acknowledge("i", "ana", TRAIN, "d1", "stored")) == []
    assert client.feed(Tick()) == []


@pytest.mark.parametrize(
    ("before", "event", "commands"),
    [
        # the same instruction again
        ((instruct(TRAIN),), instruct(TRAIN), []),
        (DONE, instruct(TRAIN), [Send(TRAIN, "d1")]),
        (DONE, instruct("1.2.0.train"), [Send("1.2.0.train", "d1")]),
        ((*DONE, instruct("1.2.0.train")), instruct(TRAIN), []),
        ((instruct(TRAIN), instruct("1.2.0.train")), Worked(TRAIN, "d1"), [Send("1.2.0.train", "d1")]),
        # another model for the same round
        (DONE, instruct("1.2.0.train", "other"), [Settle(1, False), Forget("d1"), Work("1.2.0.train", "train", 1, "other")]),
        (DONE, instruct(TRAIN, "other"), [Report(TRAIN, "another model was announced for this phase before")]),
        ((instruct(TRAIN),), instruct("1.2.0.train", "other"), [Abandon(TRAIN), Work("1.2.0.train", "train", 1, "other")]),
        # later and earlier phases
        (DONE, instruct("1.1.1.evaluate", "m1"), [Work("1.1.1.evaluate", "evaluate", 1, "m1")]),
        ((instruct(TRAIN),), instruct("1.1.1.evaluate", "m1"), [Abandon(TRAIN), Work("1.1.1.evaluate", "evaluate", 1, "m1")]),
        ((instruct("1.1.1.evaluate", "m1"),), instruct(TRAIN), []),
        ((instruct("2.1.0.train"),), instruct(TRAIN), []),
        ((Recorded(1, ""),), instruct(TRAIN), []),
        ((), instruct("2.1.0.train", "m1"), [Work("2.1.0.train", "train", 2, "m1")]),
        # not for us, or no phase at all
        ((), instruct(TRAIN, name="bia"), []),
        ((), Instruct("i", "ana", "nonsense", "train", 1, "m0"), []),
        ((), Instruct("i", "ana", TRAIN, "train", 2, "m0"), []),
        # work that ends otherwise
        ((instruct(TRAIN),), Stuck(TRAIN, "no memory"), [Report(TRAIN, "no memory")]),
        ((instruct(TRAIN), Stuck(TRAIN, "no memory")), instruct(TRAIN), [Work(TRAIN, "train", 1, "m0")]),
        ((instruct(TRAIN),), Worked("1.2.0.train", "d1"), []),
        ((), Worked(TRAIN, "d1"), []),
        ((), Stuck(TRAIN, "x"), []),
        (DONE, Worked(TRAIN, "d2"), []),
        # called off
        ((instruct(TRAIN),), Cancel("i", "ana", TRAIN), [Abandon(TRAIN)]),
        ((Cancel("i", "ana", TRAIN),), instruct(TRAIN), []),
        ((Cancel("i", "ana", TRAIN),), instruct("1.2.0.train"), [Work("1.2.0.train", "train", 1, "m0")]),
        ((instruct(TRAIN), instruct("1.2.0.train")), Cancel("i", "ana", TRAIN), []),
        ((*DONE, Cancel("i", "ana", TRAIN)), Tick(), []),
        ((*DONE, Cancel("i", "ana", TRAIN)), instruct("1.2.0.train"), [Send("1.2.0.train", "d1")]),
        ((), Cancel("i", "ana", "nonsense"), []),
        # trying again
        (DONE, Tick(), [Send(TRAIN, "d1")]),
        ((*DONE, Acknowledge("i", "ana", TRAIN, "other", "stored")), Tick(), [Send(TRAIN, "d1")]),
        ((*DONE, Acknowledge("i", "ana", "1.2.0.train", "d1", "stored")), Tick(), [Send(TRAIN, "d1")]),
        ((*DONE, Refuse("i", "ana", TRAIN, "d1", "late")), Tick(), []),
        # the record
        (DONE, Recorded(1, "d1"), [Settle(1, True), Forget("d1")]),
        (DONE, Recorded(1, ""), [Settle(1, False), Forget("d1")]),
        (DONE, Recorded(1, "other"), [Settle(1, False), Forget("d1")]),
        ((*DONE, Refuse("i", "ana", TRAIN, "d1", "late")), Recorded(1, "d1"), [Settle(1, True), Forget("d1")]),
        ((*DONE, Recorded(1, "d1")), Recorded(1, ""), []),
        ((instruct(TRAIN),), Recorded(1, ""), [Abandon(TRAIN)]),
        ((instruct("2.1.0.train"),), Recorded(1, ""), []),
        (DONE, Recorded(3, ""), [AskRecord(1)]),
        ((instruct("1.1.1.evaluate", "m1"), Worked("1.1.1.evaluate", "e1")), Recorded(1, ""), [Forget("e1")]),
    ],
)
def test_events(before: tuple[Event, ...], event: Event, commands: list[Command]) -> None:
    assert Client(*before).feed(event) == commands


def test_the_next_round_waits_for_the_record_of_the_last() -> None:
    client = Client(*DONE)
    assert client.feed(instruct("2.1.0.train", "m1")) == [AskRecord(1)]
    assert client.feed(Tick()) == [Send(TRAIN, "d1"), AskRecord(1)]
    assert client.feed(Recorded(1, "d1")) == [Settle(1, True), Forget("d1"), Work("2.1.0.train", "train", 2, "m1")]


def test_a_waiting_instruction_can_be_called_off_replaced_or_outrun() -> None:
    waiting = (*DONE, instruct("2.1.0.train", "m1"))
    assert Client(*waiting, Cancel("i", "ana", "2.1.0.train")).feed(Recorded(1, "d1")) == [Settle(1, True), Forget("d1")]
    assert Client(*waiting, instruct("3.1.0.train", "m2")).feed(Recorded(1, ""))[-1] == Work("3.1.0.train", "train", 3, "m2")
    assert Client(*waiting).feed(instruct(TRAIN)) == [Send(TRAIN, "d1")]


def test_after_a_crash_everything_unfinished_is_done_again() -> None:
    client = Client(*DONE, instruct("1.1.1.evaluate", "m1"))
    assert client.feed(Recovered()) == [Send(TRAIN, "d1"), Work("1.1.1.evaluate", "evaluate", 1, "m1")]
    client.feed(Recorded(1, "d1"))
    assert client.feed(Recovered()) == [Settle(1, True), Forget("d1")]


def test_a_foreign_text_is_refused() -> None:
    text = Client(*DONE).state.to_json()
    with pytest.raises(CodecError, match="schema"):
        Participant.from_json(text.replace('"schema":1', '"schema":9'))


@pytest.mark.parametrize(
    "phase",
    ["", "1", "1.1.0", "1.1.0.train.x", "a.1.0.train", "-1.1.0.train", "1..0.train", "²2.1.0.train", "9" * 99 + ".1.0.train"],
)
def test_what_is_no_phase_id(phase: str) -> None:
    assert parse_phase(phase) is None


def test_phase_ids_read_back() -> None:
    assert parse_phase(phase_id(3, 2, 1, "evaluate")) == (3, 2, 1, "evaluate")
