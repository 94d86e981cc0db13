"""Clients that die, dawdle, repeat themselves, lie or attack: nothing is lost or counted twice, and no round stalls past its deadline."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ciranda.core.message import encode_update
from ciranda.core.params import digest_of
from ciranda.core.update import Update
from ciranda.protocol.messages import CloseRule
from ciranda.runtimes.http import transfer
from ciranda.runtimes.http.link import Rejected
from tests.runtimes.http.harness import House, RawClient, Toy

CLIENTS = 3


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Three clients; one round, which closes when all have answered or half a second is over."""
    with House(Toy(tmp_path, clients=CLIENTS, rounds=1, rule=CloseRule(deadline_s=60.0))) as house:
        yield house


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[House]:
    with House(Toy(tmp_path, clients=CLIENTS, rounds=1, rule=CloseRule(deadline_s=0.5))) as house:
        yield house


def started(house: House, raw: int = 1) -> list[RawClient]:
    """The run begun, with `raw` clients by hand and honest ones for the rest."""
    house.begin()
    raws = [RawClient(house, rank) for rank in range(raw)]
    house.everybody(range(raw, CLIENTS))
    return raws


def row_of(house: House) -> dict[str, Any]:
    """The only round's row, once the run is over."""
    run = house.service.runs["toy"]
    assert run.over.wait(30)
    assert run.status == "finished", run.reason
    (row,) = run.rows
    return row


def refused(attempt: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(Rejected) as caught:
        attempt()
    return caught.value.status, caught.value.code


def test_a_client_that_dies_in_a_round_is_named_and_the_round_closes_at_its_deadline(hasty: House) -> None:
    (raw,) = started(hasty)
    raw.instruction()
    raw.link.close()
    row = row_of(hasty)
    assert [name for name, _ in row["accepted"]] == ["1", "2"]
    assert row["failed"] == {"0": "no-answer"}


def test_a_late_answer_is_refused_as_late_and_not_counted(hasty: House) -> None:
    (raw,) = started(hasty)
    instruction = raw.instruction()
    body = encode_update(raw.update(instruction))
    row = row_of(hasty)
    assert refused(lambda: raw.send(instruction, body)) == (409, "late")
    assert [name for name, _ in row["accepted"]] == ["1", "2"]


def test_the_same_bytes_again_are_a_duplicate_and_count_once(house: House) -> None:
    first, second = started(house, 2)
    instruction = first.instruction()
    assert first.answer(instruction).json()["status"] == "stored"
    assert first.answer(instruction).json()["status"] == "duplicate"
    second.answer(second.instruction())
    row = row_of(house)
    assert [name for name, _ in row["accepted"]] == ["0", "1", "2"]
    assert row["refusals"] == {}


def test_other_bytes_for_the_same_phase_are_conflicting(house: House) -> None:
    first, second = started(house, 2)
    instruction = first.instruction()
    stored = encode_update(first.update(instruction))
    first.send(instruction, stored)
    assert refused(lambda: first.answer(instruction, shift=1.0)) == (409, "conflicting")
    second.answer(second.instruction())
    row = row_of(house)
    assert dict(row["accepted"])["0"] == digest_of(stored)
    assert row["refusals"] == {"conflicting": 1}


def test_an_answer_to_another_round_or_on_another_model_is_refused(house: House) -> None:
    (raw,) = started(house)
    instruction = raw.instruction()
    body = encode_update(raw.update(instruction))
    assert refused(lambda: raw.send({**instruction, "phase": "7.1.0.train"}, body)) == (409, "wrong-round")
    assert refused(lambda: raw.send({**instruction, "model": "0" * 64}, body)) == (409, "wrong-round")
    row = row_of(house)
    assert row["refusals"] == {"wrong-round": 2}
    assert "0" not in dict(row["accepted"])


def _other_shape(update: Update) -> Update:
    return Update({"model": {"w": np.zeros(3, np.float32)}}, update.weight, update.metrics)


def _not_finite(update: Update) -> Update:
    return Update({"model": {"w": np.array([np.nan, 0], np.float32)}}, update.weight, update.metrics)


def _too_heavy(update: Update) -> Update:
    return Update(update.parts, 10**6, update.metrics)


@pytest.mark.parametrize(
    ("spoil", "status", "reason"),
    [(_other_shape, 422, "wrong-shape"), (_not_finite, 422, "non-finite"), (_too_heavy, 422, "out-of-range")],
)
def test_an_update_that_cannot_be_admitted_is_refused_with_its_reason(
    house: House, spoil: Callable[[Update], Update], status: int, reason: str
) -> None:
    (raw,) = started(house)
    instruction = raw.instruction()
    body = encode_update(spoil(raw.update(instruction)))
    assert refused(lambda: raw.send(instruction, body)) == (status, reason)
    row = row_of(house)
    assert row["refused"] == {"0": reason}
    assert [name for name, _ in row["accepted"]] == ["1", "2"]


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was loaded",))


def test_a_hostile_pickle_is_malformed_and_never_loaded(house: House) -> None:
    (raw,) = started(house)
    instruction = raw.instruction()
    assert refused(lambda: raw.send(instruction, pickle.dumps(_Bomb()))) == (422, "malformed")
    assert row_of(house)["refused"] == {"0": "malformed"}


@pytest.mark.parametrize("change", [{"length": 5}, {"length": 10**12}, {"body": "0" * 64}])
def test_an_envelope_that_lies_about_its_body_is_malformed(house: House, change: dict[str, Any]) -> None:
    (raw,) = started(house)
    instruction = raw.instruction()
    body = encode_update(raw.update(instruction))
    assert refused(lambda: raw.send(instruction, body, **change)) == (422, "malformed")
    raw.send(instruction, body)
    assert row_of(house)["refusals"] == {}


@pytest.mark.parametrize("change", [{"sender": "1"}, {"run": "other"}, {"kind": "failed"}, {"phase": "2.1.0.train"}])
def test_nobody_answers_for_another(house: House, change: dict[str, Any]) -> None:
    (raw,) = started(house)
    instruction = raw.instruction()
    body = encode_update(raw.update(instruction))
    assert refused(lambda: raw.send(instruction, body, **change)) == (422, "malformed")
    raw.send(instruction, body)
    row_of(house)


def spoken(
    house: House, raw: RawClient, phase: str, head: str, body: bytes = b"", *, then: Callable[[], None] | None = None, rest: bytes = b""
) -> bytes:
    """What the server says to a request whose headers go on with `head`; `then` happens before the `rest` of the body is sent."""
    with socket.create_connection((house.server.host, house.server.port), timeout=20) as line:
        begin = f"PUT /v1/runs/toy/replies/{phase} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {raw.link.credential}\r\n"
        line.sendall(f"{begin}{head}\r\n".encode() + body)
        if then is not None:
            then()
            line.sendall(rest)
        return line.recv(4096)


def test_a_declared_length_beyond_the_limit_is_refused_before_a_byte_is_read(house: House) -> None:
    (raw,) = started(house)
    phase = raw.instruction()["phase"]
    answer = spoken(house, raw, phase, "Content-Length: 100000000000\r\n")
    assert b" 413 " in answer.splitlines()[0]
    assert b"oversized" in answer
    raw.link.post(f"/v1/runs/toy/failures/{phase}", {"reason": "enough"})
    row_of(house)


def test_a_body_without_a_length_is_refused(house: House) -> None:
    (raw,) = started(house)
    phase = raw.instruction()["phase"]
    assert b" 411 " in spoken(house, raw, phase, "Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n").splitlines()[0]
    raw.link.post(f"/v1/runs/toy/failures/{phase}", {"reason": "enough"})
    assert row_of(house)["failed"] == {"0": "enough"}


def test_a_body_that_never_ends_is_cut_off(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_PATIENCE_S", 0.2)
    (raw,) = started(house)
    phase = raw.instruction()["phase"]
    assert b" 408 " in spoken(house, raw, phase, "Content-Length: 1000\r\n", b"only this").splitlines()[0]
    raw.link.post(f"/v1/runs/toy/failures/{phase}", {"reason": "enough"})
    row_of(house)


def test_a_client_that_was_not_chosen_is_refused(tmp_path: Path) -> None:
    with House(Toy(tmp_path, clients=CLIENTS, rounds=1, fraction=0.34)) as house:
        house.begin()
        raws = [RawClient(house, rank) for rank in range(CLIENTS)]
        chosen = None
        while chosen is None:
            chosen = next(((raw, event) for raw in raws for event in raw.news(0.05) if event["type"] == "instruct"), None)
        holder, instruction = chosen
        other = next(raw for raw in raws if raw is not holder)
        assert refused(lambda: other.answer(instruction)) == (409, "not-selected")
        holder.answer(instruction)
        row = row_of(house)
        assert [name for name, _ in row["accepted"]] == [holder.name]
        assert row["refused"] == {other.name: "not-selected"}


def test_a_full_disk_refuses_nothing_for_good(house: House) -> None:
    """The reply that could not be stored is not counted; sent again when there is room, it is."""
    first, second = started(house, 2)
    instruction = first.instruction()
    run = house.service.runs["toy"]
    pages = run.replies._db.execute("PRAGMA page_count").fetchone()[0]
    run.replies._db.execute(f"PRAGMA max_page_count = {pages}")
    filler = {"run-" + "x" * 60 + str(number): number for number in range(60)}
    honest = first.update(instruction)
    large = encode_update(Update(honest.parts, honest.weight, {**honest.metrics, **filler}))
    assert refused(lambda: first.send(instruction, large)) == (507, "not-stored")
    run.replies._db.execute("PRAGMA max_page_count = 100000")
    assert first.send(instruction, large).json()["status"] == "stored"
    second.answer(second.instruction())
    row = row_of(house)
    assert [name for name, _ in row["accepted"]] == ["0", "1", "2"]
    assert row["refusals"] == {}


def test_a_client_that_says_it_cannot_is_not_waited_for(house: House) -> None:
    (raw,) = started(house)
    raw.link.post(f"/v1/runs/toy/failures/{raw.instruction()['phase']}", {"reason": "the battery is low"})
    assert row_of(house)["failed"] == {"0": "the battery is low"}


def test_too_few_clients_leave_a_waiting_room_that_says_so_and_a_deadline(tmp_path: Path) -> None:
    with House(Toy(tmp_path, clients=CLIENTS, rounds=1, wait_s=0.4)) as house:
        run = house.begin()
        raw = RawClient(house, 0)
        room = raw.link.ask("GET", "/v1/runs/toy/room").json()
        assert (room["waiting"], room["minimum"], len(room["clients"])) == (True, CLIENTS, 1)
        assert 0 < room["seconds_left"] <= 0.4
        assert raw.link.ask("GET", "/v1/runs/toy").json()["status"] == "waiting"
        assert run.over.wait(20)
        assert run.status == "error"
        assert "1 clients came within 0.4 seconds; the run needs 3" in run.reason
        assert [event["type"] for event in raw.news()] == ["finish"]


def test_the_minimum_suffices_when_the_wait_is_over(tmp_path: Path) -> None:
    with House(Toy(tmp_path, clients=CLIENTS, rounds=1, wait_s=1.0, minimum=2)) as house:
        house.begin()
        house.everybody([0, 2])
        row = row_of(house)
        assert [name for name, _ in row["accepted"]] == ["0", "2"]
