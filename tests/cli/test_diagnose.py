"""The diagnosis of real runs: what they tell while they go on, and `ciranda doctor RUN`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ciranda.cli import compose, diagnose
from ciranda.cli.app import main
from ciranda.cli.diagnose import facts_of
from ciranda.cli.find import find_run
from ciranda.core.errors import DataError, Missing
from ciranda.experiment.load import resolve

Events = list[dict[str, Any]]


def run(folder: Path, preset: str, *overrides: str) -> Events:
    """The events of a short run."""
    events: Events = []
    compose.run(resolve(preset, overrides), folder, workers=1, on_event=lambda row: events.append(dict(row)))
    return events


def findings(events: Events) -> list[str]:
    return [event["code"] for event in events if event["event"] == "finding"]


@pytest.mark.parametrize("preset", ["digits", "iris", "diabetes"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_presets_run_raises_no_alarm(tmp_path: Path, preset: str, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    events = run(tmp_path / "run", preset, f"experiment.seed={seed}")
    assert findings(events) == []
    assert diagnose.doctor(str(tmp_path / "run"), as_json=True) == 0
    assert [found["code"] for found in json.loads(capsys.readouterr().out) if found["severity"] != "info"] == []


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["classic-mnist", "fashion-mnist-dirichlet"])
def test_a_torch_presets_run_raises_no_alarm(tmp_path: Path, preset: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    try:
        events = run(tmp_path / "run", preset, "rounds.num-rounds=5", "client.local-epochs=1", "rounds.fraction-train=0.1")
    except DataError as error:
        pytest.skip(str(error))
    assert findings(events) == []
    assert diagnose.doctor(str(tmp_path / "run"), as_json=True) == 0
    assert [found["code"] for found in json.loads(capsys.readouterr().out) if found["severity"] != "info"] == []


def test_the_facts_are_those_of_the_run() -> None:
    experiment = resolve("digits", ["evaluate.where=both", "federation.partitioner=dirichlet", "federation.alpha=0.3"])
    assembly = compose.assemble(experiment)
    facts = facts_of(assembly)
    assert abs(facts.sizes.sum() - 0.8 * assembly.population.partition.sizes.sum()) < 20
    assert (facts.cohort, facts.num_rounds, facts.strategy) == (10, 10, "fedavg")
    assert facts.client["learning_rate"] == 0.1
    assert facts.heterogeneity is not None
    assert facts.heterogeneity > 0.3


def test_the_doctor_remembers_what_was_foreseen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sorted_out = ("federation.partitioner=pathological", "federation.num-classes-per-partition=1", "rounds.num-rounds=2")
    assert findings(run(tmp_path / "run", "digits", *sorted_out)) == ["heterogeneous"]
    assert diagnose.doctor(str(tmp_path / "run")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "The clients' labels are very unlike (heterogeneity 0.90, dealt at random 0.14)." in lines[3]
    assert "strategy.name=scaffold" in lines[4]


def test_targets_of_a_regression_are_compared_by_tenths() -> None:
    sorted_out = compose.assemble(resolve("diabetes", ["federation.partitioner=continuous", "federation.strictness=1.0"]))
    assert facts_of(sorted_out).beyond_chance > 0.4
    assert facts_of(compose.assemble(resolve("diabetes"))).beyond_chance < 0.1


def test_what_may_go_wrong_is_told_before_the_first_round(tmp_path: Path) -> None:
    events = run(
        tmp_path / "run",
        "digits",
        *("rounds.num-rounds=1", "federation.partitioner=pathological", "federation.num-classes-per-partition=1"),
    )
    kinds = [event["event"] for event in events]
    assert kinds.index("start") < kinds.index("finding") < kinds.index("round")
    assert findings(events) == ["heterogeneous"]
    (told,) = [event for event in events if event["event"] == "finding"]
    assert told["severity"] == "warning"
    assert json.loads(json.dumps(told)) == told
    assert "scaffold" in told["line"]


def test_a_run_whose_clients_all_diverge_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = run(tmp_path / "run", "digits", "client.learning-rate=1000")
    assert findings(events) == ["learning-rate", "out-of-range"]
    assert diagnose.doctor(str(tmp_path / "run")) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert "too few replies" in lines[0]
    assert "0 of" in lines[2]
    assert "out-of-range" in lines[3]
    assert "client.learning-rate" in lines[4]


def test_a_model_that_guesses_is_told_once_while_it_runs(tmp_path: Path) -> None:
    events = run(tmp_path / "run", "digits", "client.learning-rate=3", "client.momentum=0.9")
    assert findings(events) == ["learning-rate", "stalled"]
    rounds = [event["round"] for event in events[: [event.get("code") for event in events].index("stalled")] if event["event"] == "round"]
    assert rounds[-1] == 5


def test_a_resumed_run_does_not_tell_again(tmp_path: Path) -> None:
    run(tmp_path / "run", "digits", "client.learning-rate=3", "client.momentum=0.9", "rounds.num-rounds=6")
    events: Events = []
    compose.resume(tmp_path / "run", overrides=["rounds.num-rounds=8"], workers=1, on_event=lambda row: events.append(dict(row)))
    assert findings(events) == []


def test_a_good_run_is_explained_in_five_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "run", "iris", "rounds.num-rounds=3")
    assert main(["doctor", str(tmp_path / "run")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("iris: finished after 3 rounds")
    assert "accuracy" in lines[1]
    assert "best" in lines[1]
    assert lines[2].startswith("2 clients took part, 6 of 6 replies counted, accuracy from ")


def test_a_run_that_goes_on_is_explained_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "run", "digits", "rounds.num-rounds=2", "evaluate.where=none")
    (tmp_path / "run" / "result.json").unlink()
    assert diagnose.doctor(str(tmp_path / "run")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "digits: not ended, 2 rounds so far"
    assert lines[1] == "The model was not evaluated."


def test_the_advice_names_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    run(folder, "digits", "rounds.num-rounds=6", "client.learning-rate=0.02", "client.momentum=0.0")
    diagnose.doctor(str(folder))
    assert f"ciranda resume {folder} --set rounds.num-rounds=12" in capsys.readouterr().out


def test_no_such_run(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        diagnose.doctor(str(tmp_path))
    with pytest.raises(Missing):
        find_run(None, tmp_path)
