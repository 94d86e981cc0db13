"""Sections that name something and hold its parameters: [strategy], [stage], and the selection rule in [rounds]."""

from __future__ import annotations

from pathlib import Path

import pytest

from ciranda.core.errors import ExperimentError
from ciranda.experiment.load import dump, loads
from ciranda.experiment.schema import Experiment

BASE = '[experiment]\ntask = "digits-mlp"\n'
MINE = """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar, Literal
import ciranda

@dataclass(frozen=True)
class Mine(ciranda.BaseStrategy):
    how: Literal["much", "little"] = "much"
    rounds_of_rest: int = 0
    name: ClassVar[str] = "mine"
    summary: ClassVar[str] = "for tests"
    def __post_init__(self):
        if self.rounds_of_rest > 9:
            raise ValueError("too much rest")
    def init(self, model): return {}
    def apply(self, state, model, aggregate): return state, model
"""


def read(text: str, folder: Path | None = None) -> Experiment:
    return loads(BASE + text, "exp.toml", folder=folder)


def test_numbers_truth_values_and_texts_are_parameters() -> None:
    read_back = read('[strategy]\nname = "fedavgm"\nnesterov = true\nserver-momentum = 0\nserver-schedule = "exponential"')
    assert read_back.strategy.params == {"nesterov": True, "server_momentum": 0.0, "server_schedule": "exponential"}
    assert loads(dump(read_back), "again.toml") == read_back


def test_the_selection_rules_parameters_stand_with_the_rounds() -> None:
    experiment = read('[rounds]\nselection = "power-of-choice"\ncandidates = 8\nfraction-train = 0.5')
    assert experiment.rounds.params == {"candidates": 8}
    assert loads(dump(experiment), "again.toml") == experiment
    assert read("").rounds.params == {}


def test_a_stage_and_its_parameters() -> None:
    experiment = read('[stage]\nname = "top-k"\nfraction = 0.5')
    assert (experiment.stage.name, experiment.stage.params) == ("top-k", {"fraction": 0.5})
    assert loads(dump(experiment), "again.toml") == experiment
    assert "[stage]" not in dump(read(""))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[rounds]\nselection = "power-of-chance"', 4, "did you mean 'power-of-choice'?"),
        ('[rounds]\nselection = "power-of-choice"', 3, "needs the parameter 'candidates'"),
        ("[rounds]\ncandidates = 8", 4, "rounds.candidates does not go with the selection rule 'random', but with: power-of-choice"),
        ('[rounds]\nselection = "power-of-choice"\ncandidates = 4', 5, "10 of 10 clients train in a round, so it must be from 10 to 10"),
        ('[rounds]\nselection = "power-of-choice"\ncandidates = 11\nmin-replies = 2', 5, "must be from 10 to 10"),
        ('[rounds]\nselection = "power-of-choice"\ncandidates = "8"', 5, "rounds.candidates must be a whole number"),
        ('[rounds]\nselection = "power-of-choice"\ncandidate = 8', 5, "did you mean 'candidates'?"),
        ('[stage]\nname = "int9"', 4, "did you mean 'int8'?"),
        ('[stage]\nname = "top-k"\nfraction = 2', 5, "stage.fraction is 2.0; it must be more than 0"),
        ('[stage]\nname = "int8"\nfraction = 0.1', 5, "stage.fraction does not go with the stage 'int8', but with: top-k"),
        ("[stage]\nfraction = 0.1", 4, "goes with stage.name"),
        ('[strategy]\nname = "fedadam"\nbeta-1 = 2', 5, "strategy.beta-1 is 2.0; it must be 0 or more and less than 1"),
        ('[strategy]\nname = "fedadam"\nbias-correction = "flour"', 5, "must be one of: none, adam, flower"),
        ('[strategy]\nname = "fedavgm"\nnesterov = 1', 5, "strategy.nesterov must be true or false"),
        ('[strategy]\nname = "fedavg"\nserver-schedule = "step"', 3, "server-decay-rounds is needed"),
        ('[strategy]\nname = "nowhere.py:Mine"', 4, "There is no file"),
    ],
)
def test_what_cannot_work_names_the_key_and_the_line(text: str, line: int, words: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        read(text)
    assert words in str(caught.value)
    assert f"exp.toml, line {line}: " in str(caught.value)


def test_a_file_is_looked_for_beside_the_experiment(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    experiment = read('[strategy]\nname = "mine.py:Mine"\nhow = "little"\nrounds-of-rest = 3', tmp_path)
    assert experiment.strategy.name == f"{tmp_path / 'mine.py'}:Mine"
    assert experiment.strategy.params == {"how": "little", "rounds_of_rest": 3}
    assert loads(dump(experiment), "again.toml", folder=Path("/")) == experiment


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ('how = "some"', "strategy.how must be one of: much, little"),
        ("rounds-of-rest = 10", "ValueError: too much rest"),
        ("rest = 1", "strategy.rest is unknown"),
    ],
)
def test_a_class_of_ones_own_is_checked_as_well(tmp_path: Path, keys: str, words: str) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    with pytest.raises(ExperimentError) as caught:
        read(f'[strategy]\nname = "mine.py:Mine"\n{keys}', tmp_path)
    assert words in str(caught.value)
    assert "exp.toml, line 5: " in str(caught.value)


def test_an_error_in_the_file_is_told_with_both_places(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("x = 1\ny = 1 / 0\n")
    with pytest.raises(ExperimentError, match=r"exp\.toml, line 4: strategy\.name cannot be used: .*mine\.py, line 2: ZeroDivisionError"):
        read('[strategy]\nname = "mine.py"', tmp_path)
