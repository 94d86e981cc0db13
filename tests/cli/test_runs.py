"""The commands that train, without a command line around them: what goes to which stream, and the exit status."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ciranda.cli import compose, runs
from ciranda.cli.result import Result
from ciranda.cli.runs import Look
from ciranda.core.errors import ExperimentError, RunError
from ciranda.experiment.load import load

SETTINGS = ["rounds.num-rounds=1", "client.local-epochs=1"]
ENDINGS = {
    "finished": ("rounds", 0),
    "aborted": ("stop-asked:client 3", 1),
    "error": ("The disk is full.", 1),
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CIRANDA_LANG", "en")


def ended(state: str, reason: str, out: Path) -> Result:
    """Leave the folder of a run that ended so."""
    result = Result(
        state=state,
        stop_reason=reason,
        rounds=1,
        metrics={"server": {"accuracy": 0.5}},
        model_sha256="ab" * 32,
        reproducible=False,
        reasons=["x"],
        bytes_up=1,
        bytes_down=2,
        seconds=0.5,
        epsilon=None,
        versions={},
        out=str(out),
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "experiment.toml").write_text('[experiment]\ntask = "digits-mlp"\n')
    (out / "result.json").write_text(result.text())
    return result


def started(look: Look, *, out: Path | None = None, what: str = "digits", overrides: tuple[str, ...] = ()) -> int:
    return runs.run(what, [*SETTINGS, *overrides], on="local", target=None, client_column=None, workers=1, out=out, look=look)


@pytest.mark.parametrize("state", ENDINGS)
@pytest.mark.parametrize("look", [Look(), Look(json=True), Look(quiet=True), Look(json=True, quiet=True)])
def test_every_ending_is_told_in_every_way(
    state: str, look: Look, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reason, status = ENDINGS[state]
    monkeypatch.setattr(compose, "run", lambda experiment, out, **more: ended(state, reason, out))
    assert started(look) == status
    out = capsys.readouterr().out
    if look.json:
        assert out == Path("runs/digits-001/result.json").read_text()
    elif look.quiet:
        assert out == "runs/digits-001\n"
    else:
        assert "Result: runs/digits-001" in out
        assert ("ciranda resume runs/digits-001" in out) == (state != "finished")


def test_ctrl_c_has_a_status_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "run", lambda experiment, out, **more: ended("aborted", "stop-asked:ctrl-c", out))
    assert started(Look()) == 130


def test_what_is_asked_for_reaches_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, Any] = {}

    def run(experiment: Any, out: Path, **more: Any) -> Result:
        asked.update(experiment=experiment, out=out, workers=more["workers"])
        return ended("finished", "rounds", out)

    monkeypatch.setattr(compose, "run", run)
    assert started(Look(quiet=True), out=tmp_path / "mine", overrides=("experiment.seed=9",)) == 0
    assert (asked["out"], asked["workers"]) == (tmp_path / "mine", 1)
    assert (asked["experiment"].experiment.seed, asked["experiment"].rounds.num_rounds) == (9, 1)


def test_an_error_leaves_nothing_on_standard_output(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(experiment: Any, out: Path, **more: Any) -> Result:
        raise RunError("A worker died.")

    monkeypatch.setattr(compose, "run", run)
    with pytest.raises(RunError):
        started(Look(json=True))
    assert capsys.readouterr().out == ""
    assert not Path("runs").exists()


def test_rows_are_shown_on_standard_error_with_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[Mapping[str, Any]] = [
        {"event": "start", "rounds": 1, "clients": 2, "done": 0},
        {"event": "round", "round": 1, "accepted": [], "refused": {}, "metrics": {}, "seconds": 0.0},
    ]

    def run(experiment: Any, out: Path, **more: Any) -> Result:
        for row in rows:
            more["on_event"](row)
        return ended("finished", "rounds", out)

    monkeypatch.setattr(compose, "run", run)
    assert started(Look(json=True)) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["state"] == "finished"
    assert captured.err.splitlines() == ["digits: 1 round, 2 clients, seed 1", "Round 1/1  0 clients  0 ms"]


def test_a_wrong_level_or_wire_is_found_before_anything_begins() -> None:
    with pytest.raises(ExperimentError, match="--log-level"):
        started(Look(log_level="loud"))
    with pytest.raises(ExperimentError, match="not built"):
        runs.run("digits", [], on="mqtt", target=None, client_column=None, workers=1, out=None, look=Look())
    assert not Path("runs").exists()


def test_resume_takes_the_latest_run_and_its_changes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ended("aborted", "stop-asked:ctrl-c", Path("runs/a-001"))
    asked: dict[str, Any] = {}

    def resume(out: Path, **more: Any) -> Result:
        asked.update(out=out, overrides=more["overrides"])
        return ended("finished", "rounds", out)

    monkeypatch.setattr(compose, "resume", resume)
    assert runs.resume(None, ["rounds.num-rounds=7"], workers=None, look=Look()) == 0
    assert asked == {"out": Path("runs/a-001"), "overrides": ["rounds.num-rounds=7"]}
    assert "Finished" in capsys.readouterr().out


def test_a_wrong_change_is_found_before_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    ended("aborted", "stop-asked:ctrl-c", Path("runs/a-001"))
    before = load(Path("runs/a-001/experiment.toml"))
    with pytest.raises(ExperimentError, match="num-rounds"):
        runs.resume(None, ["rounds.num-rounds=0"], workers=None, look=Look())
    assert load(Path("runs/a-001/experiment.toml")) == before
