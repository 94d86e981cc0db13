"""A client works once for what it is asked, sends the same bytes until it hears what became of them, and settles what it learned."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from ciranda.core.errors import CirandaError, DataError, Missing, RefusedUpdate, RunError
from ciranda.core.message import decode_sums, decode_update
from ciranda.runtimes.http.client import Limits
from ciranda.runtimes.http.disk import Disk
from ciranda.runtimes.http.link import Cut, Rejected
from tests.runtimes.http.stand_in import Stage, learned


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "client")


def state_of(stage: Stage) -> float:
    """How many rounds the client has learned from for good."""
    disk = Disk(stage.folder)
    try:
        return learned(disk.states("toy").read("7"))
    finally:
        disk.close()


# --- before the rounds


def test_a_client_enrols_once_and_is_known_after_a_restart(stage: Stage) -> None:
    for _ in range(2):
        with stage.playing() as play:
            stage.server.finish()
            assert play.end() == "finished"
    assert stage.server.posted["enrol"] == [{"name": "me", "token": "once"}]
    assert stage.server.posted["join"] == [{"partition": [7, 9], "probe": "probe"}] * 2
    assert stage.learner.begun == [("7", 5)] * 2
    assert stage.joined == [("toy", "7", "secret")] * 2
    assert stage.told[0].experiment == "[experiment]"


@pytest.mark.parametrize("step", ["/v1/enrol", "/v1/runs", "/experiment", "/join"])
@pytest.mark.parametrize("error", [Cut("Nobody answers."), Rejected(503, "starting", "Not yet."), Rejected(429, "too-many", "Slowly.")])
def test_what_may_pass_is_tried_again_at_every_step(stage: Stage, step: str, error: CirandaError) -> None:
    stage.server.faults = [(step, error), (step, error)]
    with stage.playing(run="") as play:
        stage.server.finish()
        assert play.end() == "finished"
    assert len([line for line in stage.server.asked if line.split("?")[0].endswith(step)]) >= 3


@pytest.mark.parametrize("step", ["/v1/enrol", "/v1/runs", "/experiment", "/join"])
@pytest.mark.parametrize("status", [401, 403, 404, 409, 410, 422])
def test_what_does_not_pass_ends_the_client(stage: Stage, step: str, status: int) -> None:
    stage.server.faults = [(step, Rejected(status, "no", "No."))]
    with stage.playing(run="") as play, pytest.raises(Rejected) as caught:
        play.end()
    assert caught.value.status == status
    assert not stage.learner.begun


@pytest.mark.parametrize(
    ("statuses", "taken"),
    [
        (["running"], 0),
        (["finished", "running", "waiting"], 2),
        (["paused", "running"], 1),
        (["finished", "pending", "running"], 1),
        (["error", "paused"], 1),
    ],
)
def test_a_client_that_names_no_run_takes_the_first_that_still_admits_it(stage: Stage, statuses: list[str], taken: int) -> None:
    stage.server.runs = [{"run": f"run-{number}", "status": status, "reason": ""} for number, status in enumerate(statuses)]
    with stage.playing(run="") as play:
        stage.server.finish()
        stage.server.tell("finish", run=f"run-{taken}", state="finished", reason="")
        assert play.end() == "finished"
    assert f"POST /v1/runs/run-{taken}/join" in stage.server.asked


def test_a_client_that_comes_when_all_is_over_is_told_how_it_ended(stage: Stage) -> None:
    stage.server.runs = [{"run": "a", "status": "finished", "reason": ""}, {"run": "b", "status": "aborted", "reason": "stopped"}]
    with stage.playing(run="") as play:
        assert play.end() == "aborted"
    assert "join" not in stage.server.posted


@pytest.mark.parametrize("status", ["finished", "aborted", "error"])
def test_a_run_that_is_over_at_the_join_is_not_begun(stage: Stage, status: str) -> None:
    stage.server.status = status
    with stage.playing() as play:
        assert play.end() == status
    assert not stage.learner.begun


def test_a_client_that_is_stopped_while_there_is_no_run(stage: Stage) -> None:
    stage.server.runs = []
    with stage.playing(run="") as play:
        play.client.stop()
        assert play.end() == "stopped"


# --- work


def test_an_instruction_is_answered_with_what_was_learned(stage: Stage) -> None:
    server = stage.server
    with stage.playing() as play:
        phase = server.instruct(1, server.offer(2.0))
        got, digest, body = server.reply()
        server.finish()
        assert play.end() == "finished"
    assert got == phase
    assert digest == sha256(body).hexdigest()
    update = decode_update(body)
    np.testing.assert_array_equal(update.parts["model"]["w"], np.full(4, 3.0, np.float32))
    assert update.weight == 2
    assert stage.learner.limits == Limits(9, 2, 3, False)


def test_what_goes_beside_the_model_reaches_the_training(stage: Stage) -> None:
    server = stage.server
    with stage.playing():
        server.instruct(1, server.offer(2.0), broadcast=True)
        server.reply()
    np.testing.assert_array_equal(stage.learner.broadcast["c"], np.arange(3.0))


def test_the_same_instruction_again_is_answered_with_the_same_bytes(stage: Stage) -> None:
    server = stage.server
    with stage.playing():
        digest = server.offer(1.0)
        server.instruct(1, digest)
        first = server.reply()
        server.instruct(1, digest)
        assert server.reply() == first
    assert stage.learner.trained == [1]


def test_another_attempt_on_the_same_model_is_answered_with_the_same_bytes(stage: Stage) -> None:
    server = stage.server
    with stage.playing():
        digest = server.offer(1.0)
        server.instruct(1, digest)
        _, *first = server.reply()
        phase = server.instruct(1, digest, attempt=2)
        again, *second = server.reply()
    assert again == phase
    assert second == first
    assert stage.learner.trained == [1]


def test_a_round_on_another_model_is_trained_again(stage: Stage) -> None:
    server = stage.server
    with stage.playing():
        server.instruct(1, server.offer(1.0))
        first = server.reply()
        server.instruct(1, server.offer(2.0), attempt=2)
        assert server.reply()[1] != first[1]
    assert stage.learner.trained == [1, 1]


@pytest.mark.parametrize(
    "error",
    [
        Cut("Nobody answers."),
        Rejected(503, "not-begun", "Not yet."),
        Rejected(507, "not-stored", "No room."),
        Rejected(428, "not-uploaded", "?"),
    ],
)
def test_a_reply_that_does_not_come_through_is_sent_again_as_it_is(stage: Stage, error: CirandaError) -> None:
    server = stage.server
    server.faults = [("/replies/", error)] * 3
    with stage.playing():
        server.instruct(1, server.offer(1.0))
        server.reply()
    assert stage.learner.trained == [1]
    assert len([line for line in server.asked if "/replies/" in line]) == 4


@pytest.mark.parametrize("reason", ["late", "conflicting", "out-of-range"])
def test_a_refused_reply_is_not_sent_again(stage: Stage, reason: str) -> None:
    server = stage.server
    server.faults = [("/replies/", Rejected(409, reason, "No."))]
    with stage.playing():
        server.instruct(1, server.offer(1.0))
        server.fault()
        server.instruct(2, server.offer(2.0))
        server.record(1, "")
        assert server.reply()[0] == "2.1.0.train"
    assert len([line for line in server.asked if "/replies/1." in line]) == 1


@pytest.mark.parametrize("status", [401, 410])
@pytest.mark.parametrize("where", ["/replies/", "/failures/", "/v1/next", "/records/"])
def test_a_credential_that_is_refused_ends_the_client_wherever_it_hears_so(stage: Stage, where: str, status: int) -> None:
    server, learner = stage.server, stage.learner
    if where == "/failures/":
        learner.problem = lambda: DataError("No data.")
    with stage.playing() as play:
        if where == "/records/":
            server.instruct(1, server.offer(1.0))
            server.reply()
        server.faults = [(where, Rejected(status, "revoked", "It was revoked."))]
        server.instruct(2, server.offer(2.0))
        with pytest.raises(Rejected) as caught:
            play.end()
    assert caught.value.status == status


def test_a_client_that_was_stopped_before_its_reply_came_through_sends_the_same_bytes_and_trains_no_more(stage: Stage) -> None:
    server = stage.server
    server.verdict = "lost"  # nothing that a client can take for an answer
    with stage.playing() as play:
        server.instruct(1, server.offer(1.0))
        first = server.reply()
        play.client.stop()
        assert play.end() == "stopped"
    server.verdict = "duplicate"
    while not server.replies.empty():
        assert server.reply() == first
    server.keep_silent()
    with stage.playing():
        assert server.reply() == first
    assert stage.learner.trained == [1]


def test_a_client_that_was_stopped_at_its_work_begins_it_again(stage: Stage) -> None:
    server, learner = stage.server, stage.learner
    learner.go_on.clear()
    with stage.playing() as play:
        server.instruct(1, server.offer(1.0))
        assert learner.busy.wait(20)
        play.client.stop()
        learner.go_on.set()
        assert play.end() == "stopped"
    server.keep_silent()
    with stage.playing():
        assert server.reply()[0] == "1.1.0.train"
    assert learner.trained == [1, 1]


# --- what is learned, and records


@pytest.mark.parametrize(("accepted", "count"), [(True, 1.0), (False, 0.0)])
def test_the_record_says_whether_what_was_learned_holds(stage: Stage, accepted: bool, count: float) -> None:
    server = stage.server
    with stage.playing() as play:
        server.instruct(1, server.offer(1.0))
        _, digest, _ = server.reply()
        server.record(1, digest if accepted else "")
        server.finish()
        play.end()
        with pytest.raises(Missing):
            play.disk.reply("toy", digest)
    assert state_of(stage) == count


def test_a_reply_is_kept_until_the_record_is_out(stage: Stage) -> None:
    server = stage.server
    with stage.playing() as play:
        server.instruct(1, server.offer(1.0))
        _, digest, body = server.reply()
        server.finish()
        play.end()
        assert play.disk.reply("toy", digest)[1] == body


@pytest.mark.parametrize("fault", [None, Cut("Nobody answers."), Rejected(404, "not-recorded", "Not yet."), Rejected(503, "starting", "?")])
def test_a_record_that_was_missed_is_asked_for_before_the_next_training(stage: Stage, fault: CirandaError | None) -> None:
    server = stage.server
    with stage.playing() as play:
        server.instruct(1, server.offer(1.0))
        _, digest, _ = server.reply()
        server.records[1] = digest
        server.faults = [("/records/", fault)] if fault else []
        server.instruct(2, server.offer(2.0))
        _, second, _ = server.reply()
        server.record(2, second)
        server.finish()
        play.end()
    assert stage.learner.trained == [1, 2]
    assert state_of(stage) == 2.0
    assert server.asked.count("GET /v1/runs/toy/records/1") == (2 if fault else 1)


def test_an_evaluation_sees_what_its_round_has_learned_and_candidates_do_not(stage: Stage) -> None:
    server = stage.server
    with stage.playing() as play:
        digest = server.offer(1.0)
        server.instruct(1, digest, kind="candidates")
        server.reply()
        server.instruct(1, digest)
        server.reply()
        following = server.offer(5.0)
        server.tell(
            "instruct",
            phase="1.1.2.evaluate",
            kind="evaluate",
            round=1,
            model=following,
            max_weight=9,
            cohort=2,
            population=3,
            broadcast=False,
        )
        phase, _, body = server.reply()
        server.finish()
        play.end()
    assert phase == "1.1.2.evaluate"
    assert decode_sums(body) == {"n": 3}
    assert stage.learner.evaluated == [("candidates", 1.0, 0.0), ("evaluate", 5.0, 1.0)]


# --- what goes wrong


def _refused() -> RefusedUpdate:
    return RefusedUpdate("out-of-range", "The weight is too large.")


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (lambda: DataError("No data."), "No data."),
        (_refused, "out-of-range: The weight is too large."),
        (lambda: ZeroDivisionError("by a user's code"), "ZeroDivisionError: by a user's code"),
        (lambda: RuntimeError("x" * 5000), ("RuntimeError: " + "x" * 5000)[:2000]),
    ],
)
def test_a_training_that_fails_is_told_and_the_next_one_goes_on(stage: Stage, problem: Callable[[], Exception], reason: str) -> None:
    server, learner = stage.server, stage.learner
    learner.problem = problem
    with stage.playing():
        phase = server.instruct(1, server.offer(1.0))
        assert server.failure() == (phase, reason)
        learner.problem = None
        server.instruct(2, server.offer(2.0))
        assert server.reply()[0] == "2.1.0.train"


def test_a_failure_that_could_not_be_told_is_told_again(stage: Stage) -> None:
    server = stage.server
    stage.learner.problem = lambda: DataError("No data.")
    server.faults = [("/failures/", Cut("Nobody answers.")), ("/failures/", Rejected(503, "starting", "Not yet."))]
    with stage.playing():
        server.instruct(1, server.offer(1.0))
        assert server.failure()[1] == "No data."


def test_a_failure_that_nobody_wants_to_hear_is_not_repeated(stage: Stage) -> None:
    server, learner = stage.server, stage.learner
    learner.problem = lambda: DataError("No data.")
    server.faults = [("/failures/1.", Rejected(409, "not-a-member", "No."))]
    with stage.playing():
        server.instruct(1, server.offer(1.0))
        server.fault()
        server.instruct(2, server.offer(2.0))
        assert server.failure()[0] == "2.1.0.train"
    assert len([line for line in server.asked if "/failures/1." in line]) == 1


def test_a_cancelled_training_is_not_answered_and_the_next_one_is(stage: Stage) -> None:
    server, learner = stage.server, stage.learner
    learner.go_on.clear()
    with stage.playing():
        phase = server.instruct(1, server.offer(1.0))
        assert learner.busy.wait(20)
        server.tell("cancel", phase=phase)
        server.instruct(2, server.offer(2.0))
        learner.go_on.set()
        assert server.reply()[0] == "2.1.0.train"
    assert server.replies.empty()
    assert not [line for line in server.asked if "/replies/1." in line]


def test_a_model_that_is_another_than_announced_is_not_trained_on(stage: Stage) -> None:
    server = stage.server
    announced, other = server.offer(1.0), server.offer(2.0)
    server.models[announced] = server.models[other]
    with stage.playing():
        server.instruct(1, announced)
        _, reason = server.failure()
    assert announced[:12] in reason
    assert not stage.learner.trained


def test_a_model_that_is_not_offered_any_more_is_told(stage: Stage) -> None:
    with stage.playing():
        stage.server.instruct(1, "a" * 64)
        assert "404" in stage.server.failure()[1]


@pytest.mark.parametrize("cuts", [[1], [0, 5], [3, 3, 3, 40]])
def test_a_download_that_is_cut_goes_on_where_it_was(stage: Stage, cuts: list[int]) -> None:
    server = stage.server
    server.cuts = list(cuts)
    with stage.playing():
        server.instruct(1, server.offer(4.0))
        body = server.reply()[2]
    assert decode_update(body).parts["model"]["w"][0] == 5.0
    assert len([line for line in server.asked if "/models/" in line]) == len(cuts) + 1


def test_a_model_is_fetched_once_for_all_that_is_done_on_it(stage: Stage) -> None:
    server = stage.server
    with stage.playing():
        digest = server.offer(1.0)
        server.instruct(1, digest, kind="candidates")
        server.reply()
        server.instruct(1, digest)
        server.reply()
    assert len([line for line in server.asked if "/models/" in line]) == 1


def test_work_of_a_kind_that_this_version_does_not_know_ends_the_client_with_a_hint(stage: Stage) -> None:
    with stage.playing() as play:
        stage.server.instruct(1, stage.server.offer(1.0), kind="dream")
        with pytest.raises(RunError, match="'dream'") as caught:
            play.end()
    assert "Upgrade" in caught.value.hint


def test_news_of_other_runs_and_of_unknown_kinds_change_nothing(stage: Stage) -> None:
    server = stage.server
    with stage.playing() as play:
        server.tell("finish", run="other", state="error", reason="")
        server.tell("weather", sky="blue")
        server.instruct(1, server.offer(1.0))
        server.reply()
        server.finish("aborted")
        assert play.end() == "aborted"


@pytest.mark.parametrize("error", [Cut("Nobody answers."), Rejected(503, "starting", "Not yet."), Rejected(429, "too-many", "Slowly.")])
def test_news_are_asked_for_again_from_where_they_were(stage: Stage, error: CirandaError) -> None:
    server = stage.server
    with stage.playing() as play:
        server.instruct(1, server.offer(1.0))
        server.reply()
        server.faults = [("after=c.1", error), ("after=c.2", error)]
        server.instruct(2, server.offer(2.0))
        server.record(1, "")
        server.reply()
        server.finish()
        assert play.end() == "finished"
    cursors = [line.split("after=")[1].split("&")[0] for line in server.asked if "/v1/next" in line]
    assert cursors[0] == ""
    assert sorted(set(cursors)) == ["", *(f"c.{number}" for number in range(1, len(set(cursors))))]
