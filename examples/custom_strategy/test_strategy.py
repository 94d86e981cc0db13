"""What `ciranda check strategy.py` tries, as tests, and what this strategy promises beyond that. Run: python -m pytest"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from ciranda.core.errors import ExperimentError
from ciranda.core.update import Aggregate
from ciranda.testing.strategies import StrategyLaws

sys.path.insert(0, str(Path(__file__).parent))
from strategy import Cautious


class TestCautious(StrategyLaws):
    strategy = Cautious(limit=1.5)


def lengths(*steps: float, strategy: Cautious) -> list[float]:
    """How far the model moves in rounds whose mean differences have these lengths."""
    model = {"w": np.zeros(1)}
    state = strategy.init(model)
    found = []
    for step in steps:
        before = float(model["w"][0])
        state, moved = strategy.apply(state, model, Aggregate({"model": {"w": np.array([step])}}, 10, 2, {}))
        model = dict(moved)
        found.append(float(model["w"][0]) - before)
    return found


def test_usual_steps_are_taken_as_they_are() -> None:
    assert lengths(1.0, 1.2, 0.8, strategy=Cautious(limit=2.0)) == pytest.approx([1.0, 1.2, 0.8])


def test_a_step_much_longer_than_usual_is_shortened() -> None:
    assert lengths(1.0, 1.0, 50.0, strategy=Cautious(limit=2.0)) == pytest.approx([1.0, 1.0, 2.0])


def test_what_is_usual_follows_slowly() -> None:
    found = lengths(*[1.0] + [4.0] * 30, strategy=Cautious(limit=1.5, pace=0.5))
    assert found[1] == pytest.approx(1.5)
    assert found[-1] == pytest.approx(4.0)


def test_impossible_parameters_are_refused() -> None:
    with pytest.raises(ExperimentError):
        Cautious(limit=0.5)
