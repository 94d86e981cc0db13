"""CSV files as tasks: linear models on standardised columns."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from ciranda.cli.tables import csv_task, read_table
from ciranda.core.errors import DataError, ExperimentError
from ciranda.core.rng import Draw
from ciranda.core.task import ClientSettings
from ciranda.experiment.schema import DataSection


def write(path: Path, *, rows: int = 200) -> str:
    generator = np.random.default_rng(0)
    lines = ["size,colour,constant,owner,price,dear"]
    for _ in range(rows):
        size, colour = generator.uniform(1000, 3000), generator.choice(["red", "blue"])
        price = 10_000 + 0.01 * size + (5.0 if colour == "red" else 0.0)
        lines.append(f"{size:.2f},{colour},3,{generator.choice(['a', 'b', 'c'])},{price:.4f},{'yes' if price > 10_022 else 'no'}")
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def section(tmp_path: Path, target: str, **more: float | str) -> DataSection:
    return DataSection.model_validate({"csv": write(tmp_path / "t.csv"), "target": target, **more})


def test_a_text_target_is_classified(tmp_path: Path) -> None:
    task = csv_task(section(tmp_path, "dear"))
    assert task.kind == "classification"
    assert task.data().classes == ("no", "yes")
    assert task.widths[-1] == 2


def test_a_number_is_regressed_and_found(tmp_path: Path) -> None:
    data = section(tmp_path, "price")
    data = DataSection(csv=data.csv, target="price", client_column="dear", test_fraction=0.25)
    task = csv_task(data)
    loaded = task.data()
    assert task.kind == "regression"
    assert len(loaded.test) == 50
    trained = task.train(task.initial(Draw(1)), loaded.train, ClientSettings(6, 16, learning_rate=0.1), Draw(2))
    error = task.predict(trained.arrays, loaded.test.x).ravel() - loaded.test.y.ravel()
    # The target is a linear function of the columns.
    assert np.abs(error).max() < 0.5


def test_owners_become_groups_and_not_features(tmp_path: Path) -> None:
    data, encoding = read_table(section(tmp_path, "price", **{"client-column": "owner"}))
    assert data.groups is not None
    assert len(np.unique(data.groups)) == 3
    assert not any(name.startswith("owner") for name in encoding.features)


def test_the_task_travels_to_worker_processes(tmp_path: Path) -> None:
    task = csv_task(section(tmp_path, "dear"))
    again = pickle.loads(pickle.dumps(task))  # noqa: S301  what multiprocessing does
    np.testing.assert_array_equal(again.data().train.x, task.data().train.x)


def test_a_missing_column_or_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="prize"):
        csv_task(section(tmp_path, "prize"))
    with pytest.raises(DataError):
        csv_task(DataSection(csv=str(tmp_path / "none.csv"), target="y"))
    with pytest.raises(ExperimentError, match=r"data\.csv"):
        csv_task(DataSection())
