"""Whole runs with what a user can choose or bring along: selection by loss, compression, schedules, classes from a file."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ciranda.cli import compose
from ciranda.cli.folder import RunFolder
from ciranda.cli.result import Result
from ciranda.core.errors import DivergedError, ExperimentError
from ciranda.core.metrics import summarise
from ciranda.core.population import rank_of
from ciranda.core.selection import SELECTIONS
from ciranda.core.stages import STAGES
from ciranda.experiment.load import load, resolve
from ciranda.experiment.schema import Experiment

EXAMPLE = Path(__file__).parent.parent / "examples" / "custom_strategy"
BY_LOSS = ("rounds.selection=power-of-choice", "rounds.candidates=8", "rounds.fraction-train=0.2")


def small(*overrides: str) -> Experiment:
    return resolve("digits", ["rounds.num-rounds=3", "client.local-epochs=1", *overrides])


def ran(folder: Path, *overrides: str, workers: int = 1) -> tuple[Result, list[dict[str, Any]]]:
    result = compose.run(small(*overrides), folder, workers=workers)
    return result, RunFolder(folder).rows()


# --- selection


def test_by_loss_those_train_whom_the_model_fits_worst(tmp_path: Path) -> None:
    _, rows = ran(tmp_path / "run", *BY_LOSS)
    assembly = compose.assemble(small(*BY_LOSS))
    model = assembly.initial()
    first = rows[0]
    losses = {name: first["clients"][name]["candidate_loss"] for name, _ in first["candidates"]}
    assert len(losses) == 8
    assert {name for name, _ in first["accepted"]} == set(sorted(losses, key=lambda name: -losses[name])[:4])
    for name, loss in losses.items():
        sums = assembly.task.evaluate(model, assembly.population.train(rank_of(name)), 1000)
        assert loss == pytest.approx(summarise(sums)["loss"])
    assert first["metrics"]["candidates"]["loss"] == pytest.approx(np.mean(list(losses.values())), rel=0.05)


def test_candidates_are_sent_the_model_once(tmp_path: Path) -> None:
    _, rows = ran(tmp_path / "run", *BY_LOSS)
    _, plain = ran(tmp_path / "plain", "rounds.fraction-train=0.2")
    assert rows[0]["bytes_down"] == 2 * plain[0]["bytes_down"], "eight candidates, four of which train"
    assert rows[0]["bytes_up"] == plain[0]["bytes_up"]


@pytest.mark.parametrize("name", SELECTIONS)
def test_every_rule_gives_the_same_bits_for_any_number_of_workers(tmp_path: Path, name: str) -> None:
    overrides = BY_LOSS if name == "power-of-choice" else (f"rounds.selection={name}", "rounds.fraction-train=0.2")
    one, rows = ran(tmp_path / "one", *overrides)
    two, again = ran(tmp_path / "two", *overrides, workers=2)
    assert one.model_sha256 == two.model_sha256
    assert [row["accepted"] for row in rows] == [row["accepted"] for row in again]
    assert all(len(row["accepted"]) == 4 for row in rows)


NOISE = """
from dataclasses import dataclass
from typing import ClassVar
import ciranda

@dataclass(frozen=True)
class Hidden(ciranda.Stage):
    name: ClassVar[str] = "hidden"
    kind: ClassVar[str] = "KIND"
    def encode(self, update, state): return update, state
"""


@pytest.mark.parametrize(("kind", "feature"), [("privatise", "differential-privacy"), ("mask", "secure-aggregation")])
def test_losses_are_not_asked_for_where_they_should_stay_private(tmp_path: Path, kind: str, feature: str) -> None:
    (tmp_path / "noise.py").write_text(NOISE.replace("KIND", kind))
    experiment = small(*BY_LOSS, f"stage.name={tmp_path}/noise.py")
    with pytest.raises(ExperimentError, match=f"'{feature}' and 'loss-based-selection' cannot work together"):
        compose.assemble(experiment)
    compose.assemble(small(f"stage.name={tmp_path}/noise.py"))


def test_a_run_selected_by_loss_resumes_and_replays_to_the_same_model(tmp_path: Path) -> None:
    whole, rows = ran(tmp_path / "whole", *BY_LOSS)
    compose.run(small(*BY_LOSS), tmp_path / "cut", workers=1, until=2)
    assert compose.resume(tmp_path / "cut", workers=1).model_sha256 == whole.model_sha256
    assert compose.replay(tmp_path / "whole", tmp_path / "again", workers=1).model_sha256 == whole.model_sha256
    assert [row["candidates"] for row in RunFolder(tmp_path / "again").rows()] == [[], [], []]
    assert [len(row["candidates"]) for row in rows] == [8, 8, 8]


# --- compression


@pytest.mark.parametrize(("name", "most"), [("float16", 0.51), ("int8", 0.26), ("top-k", 0.09)])
def test_compression_is_counted_and_hardly_costs(tmp_path: Path, name: str, most: float) -> None:
    plain, rows = ran(tmp_path / "plain", "rounds.num-rounds=6")
    extra = ("stage.fraction=0.05",) if name == "top-k" else ()
    result, small_rows = ran(tmp_path / "run", "rounds.num-rounds=6", f"stage.name={name}", *extra)
    assert small_rows[0]["bytes_up"] < most * rows[0]["bytes_up"]
    assert small_rows[0]["bytes_down"] == rows[0]["bytes_down"]
    assert result.metrics["server"]["loss"] < (2.0 if name == "top-k" else 1.05) * plain.metrics["server"]["loss"] + 0.05


@pytest.mark.parametrize("name", STAGES)
def test_what_is_owed_is_kept_between_rounds_for_any_number_of_workers(tmp_path: Path, name: str) -> None:
    one, _ = ran(tmp_path / "one", f"stage.name={name}")
    two, _ = ran(tmp_path / "two", f"stage.name={name}", workers=2)
    compose.run(small(f"stage.name={name}"), tmp_path / "cut", workers=1, until=1)
    assert one.model_sha256 == two.model_sha256 == compose.resume(tmp_path / "cut", workers=2).model_sha256


def test_clipping_goes_with_compression(tmp_path: Path) -> None:
    result, rows = ran(tmp_path / "run", "privacy.clipping-norm=0.05", "stage.name=top-k", "stage.fraction=0.05", "rounds.num-rounds=8")
    assert result.state == "finished"
    assert all(row["refusals"] == {} for row in rows), "what is owed may exceed the norm"


# --- the server's rate


def test_a_schedule_survives_a_cut(tmp_path: Path) -> None:
    overrides = (
        "strategy.name=fedavg",
        "strategy.server-schedule=cosine",
        "strategy.server-decay-rounds=3",
        "strategy.server-warmup-rounds=2",
    )
    whole, _ = ran(tmp_path / "whole", *overrides)
    plain, _ = ran(tmp_path / "plain")
    compose.run(small(*overrides), tmp_path / "cut", workers=1, until=1)
    assert compose.resume(tmp_path / "cut", workers=1).model_sha256 == whole.model_sha256 != plain.model_sha256


# --- what users bring along


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "mine", ignore=shutil.ignore_patterns("__pycache__")))


def test_the_example_runs_and_goes_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = ["rounds.num-rounds=5", "client.local-epochs=1", "strategy.limit=1", "strategy.pace=1"]
    experiment = load(folder / "experiment.toml", short)
    assert experiment.strategy.name == f"{folder / 'strategy.py'}:Cautious"
    whole = compose.run(experiment, tmp_path / "whole", workers=2)
    compose.run(experiment, tmp_path / "cut", workers=1, until=1)
    monkeypatch.chdir("/")
    assert compose.resume(tmp_path / "cut", workers=1).model_sha256 == whole.model_sha256
    assert compose.replay(tmp_path / "whole", tmp_path / "again", workers=1).model_sha256 == whole.model_sha256
    loose = compose.run(load(folder / "experiment.toml", [*short, "strategy.limit=1e9"]), tmp_path / "loose", workers=1)
    assert loose.model_sha256 != whole.model_sha256


def test_the_examples_own_tests_pass(folder: Path) -> None:
    answer = subprocess.run([sys.executable, "-m", "pytest", "-q", "."], cwd=folder, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout
    assert "passed" in answer.stdout


@pytest.mark.parametrize("file", ["README.md", "README.pt.md"])
def test_the_examples_commands_name_its_files(file: str) -> None:
    text = (EXAMPLE / file).read_text(encoding="utf-8")
    for name in ("strategy.py", "experiment.toml", "test_strategy.py"):
        assert name in text
        assert (EXAMPLE / name).is_file()


def test_its_parameters_are_checked_with_file_and_line(folder: Path) -> None:
    text = (folder / "experiment.toml").read_text()
    for wrong, words in (
        ("limit = 0.5", "strategy.limit cannot work: limit must be at least 1"),
        ("limit = true", "strategy.limit must be a number, not True"),
        ("limits = 2", "strategy.limits is unknown: did you mean 'limit'?"),
    ):
        (folder / "wrong.toml").write_text(text.replace("limit = 1.5", wrong))
        with pytest.raises(ExperimentError, match=r"wrong\.toml, line 2[01]: ") as caught:
            load(folder / "wrong.toml")
        assert words in str(caught.value)


BAD = """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
import ciranda

@dataclass(frozen=True)
class Bad(ciranda.BaseStrategy):
    how: str = "raises"
    name: ClassVar[str] = "bad"
    summary: ClassVar[str] = "for tests"
    def init(self, model): return {}
    def apply(self, state, model, aggregate):
        if self.how == "raises":
            return state, model[0]
        if self.how == "reshapes":
            return state, {name: tensor[None] for name, tensor in model.items()}
        return state, {name: np.full_like(tensor, np.nan) for name, tensor in model.items()}
"""


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raises", r"bad: KeyError: 0 .*bad\.py, line 16"),
        ("reshapes", "the model that the strategy 'bad' made"),
        ("diverges", "not finite"),
    ],
)
def test_a_strategy_that_goes_wrong_in_a_run_is_named(tmp_path: Path, how: str, words: str) -> None:
    (tmp_path / "bad.py").write_text(BAD)
    experiment = small(f"strategy.name={tmp_path}/bad.py:Bad", f"strategy.how='{how}'")
    if how == "diverges":
        with pytest.raises(DivergedError, match=words):
            compose.run(experiment, tmp_path / "run", workers=1)
    else:
        compose.run(experiment, tmp_path / "run", workers=1)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["state"] == "error"
    assert re.search(words, result["stop_reason"]), result["stop_reason"]


def test_a_stage_and_a_rule_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        BAD
        + """
@dataclass(frozen=True)
class Rounded(ciranda.Stage):
    digits: int = 3
    name: ClassVar[str] = "rounded"
    kind: ClassVar[str] = "transform"
    def encode(self, update, state):
        model = {name: np.round(values, self.digits) for name, values in update.parts["model"].items()}
        return type(update)({**update.parts, "model": model}, update.weight, update.metrics), state

@dataclass(frozen=True)
class Late(ciranda.SelectionRule):
    name: ClassVar[str] = "late"
    summary: ClassVar[str] = "the last ones, for tests"
    def choose(self, call, losses):
        return range(call.roster - call.size, call.roster)
"""
    )
    mine = f"{tmp_path}/mine.py"
    result, rows = ran(
        tmp_path / "run", f"stage.name={mine}:Rounded", "stage.digits=2", f"rounds.selection={mine}:Late", "rounds.fraction-train=0.1"
    )
    assert result.state == "finished"
    assert [name for name, _ in rows[0]["accepted"]] == ["18", "19"]
    plain, _ = ran(tmp_path / "plain", f"rounds.selection={mine}", "rounds.fraction-train=0.1")
    assert plain.model_sha256 != result.model_sha256
