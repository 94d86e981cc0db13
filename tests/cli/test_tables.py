"""CSV files as tasks: linear models on standardised columns."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ciranda.cli import compose
from ciranda.cli.dealing import population_of
from ciranda.cli.folder import RunFolder
from ciranda.cli.tables import csv_task
from ciranda.core.errors import DataError, ExperimentError
from ciranda.core.rng import Draw
from ciranda.core.task import ClientSettings
from ciranda.experiment.load import resolve
from ciranda.experiment.schema import DataSection, Experiment


def write(path: Path, *, rows: int = 200) -> str:
    generator = np.random.default_rng(0)
    lines = ["size,colour,constant,owner,price,dear"]
    for _ in range(rows):
        size, colour = generator.uniform(1000, 3000), generator.choice(["red", "blue"])
        price = 10_000 + 0.01 * size + (5.0 if colour == "red" else 0.0)
        lines.append(f"{size:.2f},{colour},3,{generator.choice(['a', 'b', 'c'])},{price:.4f},{'yes' if price > 10_022 else 'no'}")
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def experiment(tmp_path: Path, target: str, *overrides: str, client_column: str | None = None) -> Experiment:
    return resolve(write(tmp_path / "t.csv"), overrides, target=target, client_column=client_column)


def test_a_text_target_is_classified(tmp_path: Path) -> None:
    task = csv_task(experiment(tmp_path, "dear"))
    assert task.kind == "classification"
    assert task.data().classes == ("no", "yes")
    assert task.widths[-1] == 2


def test_a_number_is_regressed_and_found(tmp_path: Path) -> None:
    task = csv_task(experiment(tmp_path, "price", "data.test-fraction=0.25", client_column="dear"))
    loaded = task.data()
    assert task.kind == "regression"
    assert len(loaded.test) == 50
    trained = task.train(task.initial(Draw(1)), loaded.train, ClientSettings(6, 16, learning_rate=0.1), Draw(2))
    error = task.predict(trained.arrays, loaded.test.x).ravel() - loaded.test.y.ravel()
    # The target is a linear function of the columns.
    assert np.abs(error).max() < 0.5


def test_owners_become_groups_and_not_features(tmp_path: Path) -> None:
    data = csv_task(experiment(tmp_path, "price", client_column="owner")).data()
    assert data.record is not None
    assert data.record["owners"] == ["a", "b", "c"]
    assert data.record["survey"]["owners"] == 3
    assert not any(column["name"] == "owner" for column in data.record["encoding"]["columns"])


def test_what_clients_keep_back_shapes_no_feature(tmp_path: Path) -> None:
    data = csv_task(experiment(tmp_path, "price", 'evaluate.where="clients"', "federation.test-fraction=0.5")).data()
    record = data.record
    assert record is not None
    population = population_of(experiment(tmp_path, "price", 'evaluate.where="clients"', "federation.test-fraction=0.5"), data, Draw(1))
    learned = np.concatenate([population.train(rank).x for rank in range(population.size)])
    assert len(learned) == len(data.train) // 2
    np.testing.assert_allclose(learned[:, 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(learned[:, 0].std(), 1, atol=1e-6)
    assert abs(data.train.x[:, 0].mean()) > 1e-4


def test_data_keys_reach_the_table(tmp_path: Path) -> None:
    found = csv_task(experiment(tmp_path, "price", 'data.drop=["size", "owner"]', "data.min-count=500"))
    names = [column["name"] for column in (found.data().record or {})["encoding"]["columns"]]
    assert names == ["colour", "constant", "dear"]
    assert found.widths[0] == 3  # every category was withheld


def test_the_task_travels_to_worker_processes(tmp_path: Path) -> None:
    task = csv_task(experiment(tmp_path, "dear"))
    again = pickle.loads(pickle.dumps(task))  # noqa: S301  what multiprocessing does
    np.testing.assert_array_equal(again.data().train.x, task.data().train.x)


def test_a_missing_column_or_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="prize"):
        csv_task(experiment(tmp_path, "prize"))
    whole = experiment(tmp_path, "price")
    gone = whole.model_copy(update={"data": DataSection(csv=str(tmp_path / "none.csv"), target="y")})
    with pytest.raises(DataError, match="no file"):
        csv_task(gone)
    with pytest.raises(ExperimentError, match=r"data\.csv"):
        csv_task(whole.model_copy(update={"data": DataSection()}))


def test_a_run_keeps_what_it_found_and_counts_the_surveys_bytes(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    result = compose.run(
        experiment(tmp_path, "price", "rounds.num-rounds=2", client_column="owner"),
        tmp_path / "run",
        workers=1,
        on_event=lambda row: told.append(dict(row)),
    )
    folder = RunFolder(tmp_path / "run")
    record = folder.data_record()
    assert record is not None
    assert [row["event"] for row in told[:2]] == ["data", "start"]
    assert json.loads(json.dumps(told[0]["encoding"])) == record["encoding"]
    rounds = sum(row["bytes_up"] for row in folder.rows())
    assert result.bytes_up == rounds + record["survey"]["bytes_up"] > rounds


def test_a_damaged_record_is_told(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text("{")
    with pytest.raises(DataError, match=r"data\.json is damaged"):
        RunFolder(tmp_path).data_record()


def test_a_run_learns_from_a_table_without_a_setting(tmp_path: Path) -> None:
    result = compose.run(experiment(tmp_path, "price", client_column="owner"), tmp_path / "run", workers=1)
    assert result.metrics["server"]["r2"] > 0.97


def test_a_folder_of_files_is_a_federation(tmp_path: Path) -> None:
    (tmp_path / "clients").mkdir()
    for name in ("one", "two"):
        write(tmp_path / "clients" / f"{name}.csv", rows=60)
    found = resolve(str(tmp_path / "clients"), ["rounds.num-rounds=1"], target="price")
    assert found.experiment.name == "clients"
    compose.run(found, tmp_path / "run", workers=1)
    assert (RunFolder(tmp_path / "run").data_record() or {})["owners"] == ["one", "two"]
