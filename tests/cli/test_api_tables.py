"""Tables from Python: one call trains, and later rows are predicted as they come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ciranda
from ciranda.core.errors import ExperimentError


def frame() -> pd.DataFrame:
    generator = np.random.default_rng(7)
    size, town = generator.normal(60, 20, 150), generator.choice(["north", "south", "west"], 150)
    price = 5 * size + np.where(town == "north", 90, 0) + generator.normal(0, 5, 150)
    return pd.DataFrame({"size": size, "town": town, "owner": generator.choice(["x", "y"], 150), "price": price})


def test_a_frame_trains_in_one_call_and_predicts_later_rows(tmp_path: Path) -> None:
    data = ciranda.data.from_frame(frame(), target="price", client_column="owner", name="flats")
    run = ciranda.run(data, out=tmp_path / "run", quiet=True, workers=1)
    assert run.result.metrics["server"]["r2"] > 0.9
    later = pd.DataFrame({"town": ["north", "south"], "size": [60.0, 60.0]})
    first, second = run.predict(later)
    assert first - second == pytest.approx(90, abs=25)
    later.to_csv(tmp_path / "later.csv", index=False)
    np.testing.assert_array_equal(run.predict(str(tmp_path / "later.csv")), run.predict(later))
    np.testing.assert_array_equal(run.predict(data.test.x[:3]), run.predict(data.test.x)[:3])
    assert len(run.metrics) == 20


def test_a_files_columns_are_said_as_settings(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "flats.csv", index=False)
    file = str(tmp_path / "flats.csv")
    run = ciranda.run(file, target="price", client_column="owner", drop=["town"], num_rounds=1, out=tmp_path / "run", quiet=True, workers=1)
    assert len(run.model["layer1.weight"]) == 1
    assert len(run.metrics) == 1
    with pytest.raises(ExperimentError, match="Which column"):
        ciranda.run(file)
