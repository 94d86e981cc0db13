"""`ciranda export`: formats, places, and runs that cannot be exported."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ciranda.cli.app import main
from ciranda.cli.export import FORMATS, export
from ciranda.core.errors import CirandaError, DataError, Missing
from tests.report.history import folder, rows


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return folder(tmp_path / "run")


def test_tables_lie_below_the_run_by_default(made: Path) -> None:
    for form in ("csv", "jsonl"):
        files = [Path(file) for file in export(str(made), form, None)]
        assert files == [made / "export" / form / f"{stem}.{form}" for stem in ("rounds", "clients")]
    with (made / "export" / "csv" / "rounds.csv").open(newline="") as stream:
        assert [row["round"] for row in csv.DictReader(stream)] == list("123456")
    first = json.loads((made / "export" / "jsonl" / "clients.jsonl").read_text().splitlines()[0])
    assert first["round"] == 1
    assert set(first) == {"round", "client", "metric", "value"}


def test_tensorboard_goes_where_it_is_told(made: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "tb"
    assert export(str(made), "tensorboard", str(target)) == [str(target)]
    reader = EventAccumulator(str(target))
    reader.Reload()
    assert [event.value for event in reader.Scalars("server/accuracy")] == pytest.approx(
        [row["metrics"]["server"]["accuracy"] for row in rows()], abs=1e-7
    )


@pytest.mark.filterwarnings("ignore")
def test_mlflow_gets_the_files_of_the_run(made: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    told = export(str(made), "mlflow", str(tmp_path / "store"))
    place, key = told[0].split()
    client = MlflowClient(tracking_uri=f"sqlite:///{Path(place) / 'mlflow.db'}")
    names = {artifact.path for artifact in client.list_artifacts(key)}
    assert names == {"experiment.toml", "metrics.jsonl", "partition.json", "result.json"}
    began = (made / "experiment.toml").stat().st_mtime
    assert client.get_run(key).info.start_time == int(began * 1000)


def test_what_cannot_be_exported_is_said(made: Path, tmp_path: Path) -> None:
    with pytest.raises(CirandaError, match="xml") as caught:
        export(str(made), "xml", None)
    assert all(form in caught.value.hint for form in FORMATS)
    with pytest.raises(Missing):
        export(str(tmp_path), "csv", None)
    with pytest.raises(DataError, match="no finished round"):
        export(str(folder(tmp_path / "empty", [])), "csv", None)


def test_the_command_prints_what_it_wrote(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(made), "--to", "csv"]) == 0
    assert capsys.readouterr().out.split() == [str(made / "export/csv/rounds.csv"), str(made / "export/csv/clients.csv")]
