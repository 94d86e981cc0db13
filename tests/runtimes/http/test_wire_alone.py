"""The wire by itself: what it admits, stores before it tells, answers, counts, and restores after a crash."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ciranda.core.errors import CirandaError, DataError, Missing, RunError, StoreError
from ciranda.core.message import encode_sums, encode_update
from ciranda.core.metrics import Sums
from ciranda.core.params import model_sha256
from ciranda.core.stages import Chain
from ciranda.core.task import Arrays
from ciranda.core.update import Contract, Update, finish
from ciranda.protocol.messages import (
    EVALUATOR,
    Acknowledge,
    Arm,
    Cancel,
    Close,
    DeadlinePassed,
    Disarm,
    Failed,
    Instruct,
    PhaseKind,
    Record,
    Refuse,
    Replied,
    StopAsked,
)
from ciranda.runtimes.base import Published
from ciranda.runtimes.http.models import Models
from ciranda.runtimes.http.replies import Replies
from ciranda.runtimes.http.wire import Arrival, HttpWire, Verdict

PHASE = "1.1.0.train"
NAMES = ("0", "1", "2")


def published(value: float, broadcast: Arrays | None = None) -> Published:
    arrays = {"w": np.full(2, value, np.float32)}
    contract = Contract.for_model(arrays, lambda name: "model", max_weight=9, cohort=3, population=3)
    return Published(model_sha256(arrays), arrays, contract, broadcast or {})


MODEL = published(1.0)


@dataclass
class Desk:
    """Where mail goes, and where answers are given at once."""

    mail: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def send(self, mail: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        self.mail.extend(mail)

    def run(self, calls: Sequence[Callable[[], None]]) -> None:
        for call in calls:
            call()


class Bench:
    """A wire with its folder, and clients by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.desk = folder, Desk()
        self.evaluate: Callable[[Arrays], Sums] = lambda model: {"n": int(model["w"][0])}
        self.recorded: set[tuple[str, str, str]] = set()
        self.progress: list[tuple[int, str, int, int]] = []
        self.verdicts: dict[str, list[Verdict]] = {}
        self.open()

    def open(self) -> None:
        """Another start of the server."""
        self.replies, self.models = Replies(self.folder), Models(self.folder / "models")
        self.wire = HttpWire(
            self.replies,
            self.models,
            self.desk,
            Chain(),
            lambda model: self.evaluate(model),
            lambda *what: what in self.recorded,
            lambda *what: self.progress.append(what),
        )
        self.wire.population = 3
        self.wire.publish(MODEL)

    def ask(self, names: Sequence[str] = NAMES, phase: str = PHASE, kind: PhaseKind = "train", model: Published = MODEL) -> None:
        self.wire.carry([Instruct(f"{phase}/{name}", name, phase, kind, int(phase[0]), model.digest) for name in names])

    def comes(self, name: str, body: bytes, *, phase: str = PHASE, model: str = MODEL.digest, large: bool = False) -> str:
        """A reply arrives; returns its digest. The verdicts on it gather under its sender."""
        digest = sha256(body).hexdigest()
        if large:
            self.replies.upload(name, digest).write_bytes(body)
        answer = self.verdicts.setdefault(name, []).append
        self.wire.tell(Arrival(phase, name, digest, model, len(body), None if large else body, answer))
        return digest

    def stored(self, name: str, digest: str, *, phase: str = PHASE, status: Any = "stored") -> None:
        self.wire.carry([Acknowledge("a", name, phase, digest, status)])

    def refused(self, name: str, digest: str, reason: str) -> None:
        self.wire.carry([Refuse("r", name, PHASE, digest, reason)])

    def total(self, accepted: dict[str, str]) -> tuple[int, float]:
        """(how many were counted, the mean of the first coordinate) of the phase closed over these replies."""
        gathered = self.wire.gather(Close("c", PHASE, "train", 1, MODEL.digest, tuple(sorted(accepted.items()))))
        assert gathered.total is not None
        assert sorted(gathered.metrics) == sorted(accepted)
        return gathered.total.count, float(finish(MODEL.contract, gathered.total).parts["model"]["w"][0]) if accepted else 0.0

    def kept(self, name: str, digest: str, phase: str = PHASE) -> bool:
        try:
            self.replies.load(phase, name, digest)
        except Missing:
            return False
        return True


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    it = Bench(tmp_path)
    yield it
    it.wire.close()


def update(value: float, *, weight: int = 2, size: int = 2) -> bytes:
    return encode_update(Update({"model": {"w": np.full(size, value, np.float32)}}, weight, {"n": weight}))


# --- instructions


@pytest.mark.parametrize("broadcast", [{}, {"c": np.ones(1)}])
def test_an_instruction_says_all_that_a_client_needs(bench: Bench, broadcast: Arrays) -> None:
    model = published(2.0, broadcast)
    bench.wire.publish(model)
    bench.ask(["1"], model=model)
    assert bench.desk.mail == [
        (
            "1",
            {
                "type": "instruct",
                "phase": PHASE,
                "kind": "train",
                "round": 1,
                "model": model.digest,
                "broadcast": bool(broadcast),
                "max_weight": 9,
                "cohort": 3,
                "population": 3,
            },
        )
    ]


def test_a_phase_has_limits_while_it_is_open(bench: Bench) -> None:
    assert bench.wire.limits(PHASE) is None
    bench.ask()
    assert bench.wire.limits(PHASE) is MODEL.contract
    assert bench.wire.limits("2.1.0.train") is None
    bench.total({})
    assert bench.wire.limits(PHASE) is None


def test_a_cancellation_is_mailed(bench: Bench) -> None:
    bench.wire.carry([Cancel("c", "2", PHASE)])
    assert bench.desk.mail == [("2", {"type": "cancel", "phase": PHASE})]


# --- replies


@pytest.mark.parametrize("large", [False, True])
def test_a_reply_is_on_the_disk_before_it_is_told_and_answered_after(bench: Bench, large: bool) -> None:
    bench.ask()
    digest = bench.comes("1", update(4.0), large=large)
    assert bench.wire.events() == [Replied(PHASE, "1", digest, 2, "")]
    assert bench.kept("1", digest)
    assert bench.verdicts["1"] == []
    bench.stored("1", digest)
    assert bench.verdicts["1"] == [Verdict("stored")]
    assert bench.total({"1": digest}) == (1, 4.0)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "malformed"),
        (b"\x80\x04\x95", "malformed"),
        (update(1.0)[:-1], "malformed"),
        (encode_sums({"n": 1}), "malformed"),
        (update(1.0, size=3), "wrong-shape"),
        (update(float("nan")), "non-finite"),
        (update(float("-inf")), "non-finite"),
        (update(1.0, weight=10), "out-of-range"),
        (update(3e38), "out-of-range"),
    ],
)
@pytest.mark.parametrize("large", [False, True])
def test_a_reply_that_cannot_be_admitted_is_told_with_its_reason_and_not_stored(
    bench: Bench, body: bytes, reason: str, large: bool
) -> None:
    bench.ask()
    digest = bench.comes("0", body, large=large and bool(body))
    assert bench.wire.events() == [Replied(PHASE, "0", digest, 0, reason)]
    assert not bench.kept("0", digest)
    bench.refused("0", digest, reason)
    assert bench.verdicts["0"] == [Verdict("refused", reason)]
    assert bench.total({}) == (0, 0.0)


def test_an_answer_on_another_model_is_of_another_round(bench: Bench) -> None:
    bench.ask()
    digest = bench.comes("0", update(1.0), model="b" * 64)
    assert bench.wire.events() == [Replied(PHASE, "0", digest, 0, "wrong-round")]
    assert not bench.kept("0", digest)


@pytest.mark.parametrize("phase", ["2.1.0.train", "1.2.0.train", "nonsense"])
def test_a_reply_to_a_phase_that_is_not_open_is_left_to_the_coordinator_unstored(bench: Bench, phase: str) -> None:
    bench.ask()
    digest = bench.comes("0", update(1.0), phase=phase)
    assert bench.wire.events() == [Replied(phase, "0", digest, 0, "")]
    assert not bench.kept("0", digest, phase)


def test_a_large_reply_whose_file_is_gone_is_malformed(bench: Bench) -> None:
    bench.ask()
    digest = bench.comes("0", update(1.0), large=True)
    bench.replies.upload("0", digest).unlink()
    assert bench.wire.events() == [Replied(PHASE, "0", digest, 0, "malformed")]


def test_other_bytes_of_a_client_that_was_heard_are_dropped_and_not_counted(bench: Bench) -> None:
    bench.ask()
    first, second = bench.comes("0", update(1.0)), bench.comes("0", update(8.0))
    bench.wire.events()
    bench.stored("0", first)
    bench.refused("0", second, "conflicting")
    assert bench.kept("0", first)
    assert not bench.kept("0", second)
    assert bench.total({"0": first}) == (1, 1.0)


def test_the_same_bytes_twice_at_once_are_answered_twice_and_counted_once(bench: Bench) -> None:
    bench.ask()
    digest = bench.comes("0", update(1.0))
    bench.comes("0", update(1.0))
    assert len(bench.wire.events()) == 2
    bench.stored("0", digest)
    bench.stored("0", digest, status="duplicate")
    assert bench.verdicts["0"] == [Verdict("stored")] * 2
    assert bench.total({"0": digest}) == (1, 1.0)


def test_the_same_bytes_again_later_are_a_duplicate_and_counted_once(bench: Bench) -> None:
    bench.ask()
    digest = bench.comes("0", update(1.0))
    bench.wire.events()
    bench.stored("0", digest)
    bench.comes("0", update(1.0))
    bench.wire.events()
    bench.stored("0", digest, status="duplicate")
    assert bench.verdicts["0"] == [Verdict("stored"), Verdict("duplicate")]
    assert bench.total({"0": digest}) == (1, 1.0)


def test_a_reply_that_counts_in_a_recorded_round_is_a_duplicate_without_further_ado(bench: Bench) -> None:
    """Its sender did not hear so before the server was started again."""
    bench.ask(phase="2.1.0.train")
    digest = sha256(update(1.0)).hexdigest()
    bench.recorded = {(PHASE, "0", digest)}
    bench.comes("0", update(1.0))
    bench.wire.request_stop("test")
    assert bench.wire.events() == [StopAsked("test")]
    assert bench.verdicts["0"] == [Verdict("duplicate")]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_total_is_of_exactly_the_accepted_in_any_order_large_or_small(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bench = Bench(tmp_path_factory.mktemp("wire"))
    try:
        names = data.draw(st.permutations(NAMES))
        accepted = data.draw(st.sets(st.sampled_from(NAMES), min_size=1))
        bench.ask()
        digests = {name: bench.comes(name, update(2.0 ** int(name)), large=data.draw(st.booleans())) for name in names}
        bench.wire.events()
        for name in data.draw(st.permutations(NAMES)):
            bench.stored(name, digests[name])
        count, mean = bench.total({name: digests[name] for name in accepted})
        assert count == len(accepted)
        assert mean == pytest.approx(sum(2.0 ** int(name) for name in accepted) / len(accepted), rel=1e-6)
    finally:
        bench.wire.close()


def test_progress_counts_clients(bench: Bench) -> None:
    bench.ask()
    for name in ("2", "0"):
        digest = bench.comes(name, update(1.0))
        bench.wire.events()
        bench.stored(name, digest)
    assert bench.progress == [(1, "train", 1, 3), (1, "train", 2, 3)]


def test_bytes_are_counted_once(bench: Bench) -> None:
    for number in (1, 2):
        phase = f"{number}.1.0.train"
        bench.ask(phase=phase)
        body = update(1.0)
        digest = bench.comes("0", body, phase=phase)
        bench.wire.sent(1000)
        bench.wire.events()
        bench.stored("0", digest, phase=phase)
        gathered = bench.wire.gather(Close("c", phase, "train", number, MODEL.digest, (("0", digest),)))
        assert (gathered.bytes_up, gathered.bytes_down) == (len(body), 1000)


@pytest.mark.parametrize("kind", ["evaluate", "candidates"])
def test_an_evaluation_brings_sums_and_no_total(bench: Bench, kind: PhaseKind) -> None:
    phase = f"1.1.0.{kind}"
    bench.ask(["0"], phase, kind)
    digest = bench.comes("0", encode_sums({"n": 7}), phase=phase)
    assert bench.wire.events() == [Replied(phase, "0", digest, 0, "")]
    bench.stored("0", digest, phase=phase)
    gathered = bench.wire.gather(Close("c", phase, kind, 1, MODEL.digest, (("0", digest),)))
    assert gathered.total is None
    assert gathered.metrics == {"0": {"n": 7}}


# --- a crash between the store and the answer


@pytest.mark.parametrize("large", [False, True])
def test_what_was_stored_before_a_crash_is_counted_after_it(bench: Bench, large: bool) -> None:
    bench.ask()
    digests = {name: bench.comes(name, update(float(name)), large=large) for name in NAMES}
    bench.wire.events()
    bench.wire.close()
    bench.open()
    assert bench.total(digests) == (3, 1.0)


def test_replies_from_before_and_after_a_crash_are_counted_together(bench: Bench) -> None:
    bench.ask()
    digests = {"0": bench.comes("0", update(0.0))}
    bench.wire.events()
    bench.wire.close()
    bench.open()
    bench.ask(["1"])
    digests["1"] = bench.comes("1", update(3.0))
    bench.wire.events()
    bench.stored("1", digests["1"])
    assert bench.total(digests) == (2, 1.5)


def test_a_reply_that_is_not_there_after_a_crash_is_an_error_and_not_left_out(bench: Bench) -> None:
    with pytest.raises(Missing, match="client 0 to phase"):
        bench.total({"0": "a" * 64})


def test_replies_that_are_counted_but_not_accepted_do_not_stay_in_the_total(bench: Bench) -> None:
    bench.ask()
    digests = {name: bench.comes(name, update(float(name))) for name in NAMES}
    bench.wire.events()
    for name, digest in digests.items():
        bench.stored(name, digest)
    assert bench.total({"2": digests["2"]}) == (1, 2.0)


# --- a full disk


def test_what_could_not_be_stored_is_not_told_and_its_sender_tries_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.ask()

    def full(_: object) -> NoReturn:
        raise StoreError("No room to keep replies.")

    with monkeypatch.context() as patched:
        patched.setattr(bench.replies, "keep", full)
        bench.comes("0", update(1.0))
        spoilt = bench.comes("1", b"spoilt")
        bench.wire.tell(Failed(PHASE, "2", "the battery is low"))
        assert bench.wire.events() == [Replied(PHASE, "1", spoilt, 0, "malformed"), Failed(PHASE, "2", "the battery is low")]
    assert bench.verdicts["0"] == [Verdict("failed", "No room to keep replies.")]
    digest = bench.comes("0", update(1.0))
    bench.wire.events()
    bench.stored("0", digest)
    assert bench.verdicts["0"][1:] == [Verdict("stored")]
    assert bench.total({"0": digest}) == (1, 1.0)


# --- evaluation on the server


def test_the_evaluator_is_asked_like_a_client_and_gets_no_mail(bench: Bench) -> None:
    phase = "1.1.0.evaluate"
    bench.ask([EVALUATOR], phase, "evaluate")
    (event,) = bench.wire.events()
    assert isinstance(event, Replied)
    assert event.name == EVALUATOR
    assert bench.desk.mail == []
    gathered = bench.wire.gather(Close("c", phase, "evaluate", 1, MODEL.digest, ((EVALUATOR, event.digest),)))
    assert gathered.metrics == {EVALUATOR: {"n": 1}}


def test_the_evaluation_that_a_crash_lost_is_done_again(bench: Bench) -> None:
    gathered = bench.wire.gather(Close("c", "1.1.0.evaluate", "evaluate", 1, MODEL.digest, ((EVALUATOR, "d"),)))
    assert gathered.metrics == {EVALUATOR: {"n": 1}}


@pytest.mark.parametrize(
    ("problem", "kind", "text"),
    [(DataError("No data."), DataError, "No data."), (ZeroDivisionError("a user's"), RunError, "ZeroDivisionError: a user's")],
)
def test_an_evaluation_that_fails_ends_the_run_with_its_reason(
    bench: Bench, problem: Exception, kind: type[CirandaError], text: str
) -> None:
    def evaluate(_: Arrays) -> Sums:
        raise problem

    bench.evaluate = evaluate
    bench.ask([EVALUATOR], "1.1.0.evaluate", "evaluate")
    with pytest.raises(kind, match=text):
        bench.wire.events()


# --- deadlines, records, the end


def test_deadlines_pass_in_their_order_and_only_while_they_are_armed(bench: Bench) -> None:
    bench.wire.carry([Arm("1", "late", 0.02), Arm("2", "never", 0.0), Arm("3", "soon", 0.0), Disarm("4", "never")])
    heard: list[object] = []
    while len(heard) < 2:
        heard.extend(bench.wire.events())
    assert heard == [DeadlinePassed("soon"), DeadlinePassed("late")]


def test_a_deadline_is_told_once(bench: Bench) -> None:
    bench.wire.carry([Arm("1", "a", 0.0)])
    assert bench.wire.events() == [DeadlinePassed("a")]
    bench.wire.request_stop("test")
    assert bench.wire.events() == [StopAsked("test")]


def row(round: int, **told: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {"accepted": [], "evaluated": [], "failed": {}, "unevaluated": {}, "refused": {}}
    return {"round": round, **empty, **told}


def test_a_record_is_told_to_everybody_who_was_asked_with_what_was_accepted_of_theirs(bench: Bench) -> None:
    told = row(
        3,
        accepted=[["0", "d0"], ["1", "d1"]],
        evaluated=[["1", "e1"], ["5", "e5"], [EVALUATOR, "e"]],
        failed={"2": "no-answer"},
        unevaluated={"3": "no-answer"},
        refused={"4": "late"},
    )
    bench.wire.carry([Record("r", told)])
    accepted = {"0": "d0", "1": "d1", "2": "", "3": "", "4": "", "5": ""}
    assert dict(bench.desk.mail) == {name: {"type": "record", "round": 3, "accepted": digest} for name, digest in accepted.items()}
    assert len(bench.desk.mail) == 6


def test_replies_of_a_recorded_round_are_forgotten(bench: Bench) -> None:
    bench.ask()
    digest = bench.comes("0", update(1.0), large=True)
    bench.wire.events()
    bench.stored("0", digest)
    bench.wire.carry([Record("r", row(1))])
    assert not bench.replies.upload("0", digest).exists()


def test_an_error_that_is_told_ends_the_run(bench: Bench) -> None:
    bench.wire.tell(RunError("The server ends."))
    with pytest.raises(RunError, match="The server ends"):
        bench.wire.events()


def test_at_the_end_everybody_who_waits_or_comes_later_is_answered(bench: Bench) -> None:
    bench.ask()
    bench.comes("0", update(1.0))
    bench.wire.events()
    bench.comes("1", update(1.0))
    bench.wire.close()
    bench.comes("2", update(1.0))
    bench.wire.close()
    over = [Verdict("failed", "the run is not going on")]
    assert bench.verdicts == {"0": over, "1": over, "2": over}


def test_the_last_two_models_may_be_asked_for(bench: Bench) -> None:
    models = [MODEL, published(2.0), published(3.0)]
    for model in models[1:]:
        bench.wire.publish(model)
    for number, model in enumerate(models[1:], 1):
        bench.ask(["0"], f"{number}.1.0.train", model=model)
    with pytest.raises(KeyError):
        bench.ask(["0"], "3.1.0.train", model=MODEL)
