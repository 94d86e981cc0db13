"""Exports, read back by the readers of the tools that they are for."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ciranda.core.errors import MissingExtra, StoreError
from ciranda.report.exports import mlflow, tensorboard
from ciranda.report.exports.tables import as_csv, as_jsonl, client_rows, round_rows
from ciranda.report.run import flat
from tests.report.history import SHA, rows, run

STARTED = 1_700_000_000.0
SKIPPED = {"event": "round", "round": 7, "skipped": True, "metrics": {}, "clients": {}, "seconds": 1.0}


def test_rounds_are_flat_and_complete() -> None:
    history = [*rows(), SKIPPED]
    found = list(round_rows(run(history).records))
    assert [row["round"] for row in found] == [1, 2, 3, 4, 5, 6, 7]
    assert found[2]["counted"] == 7
    assert found[2]["missing"] == 1
    assert found[0]["server.accuracy"] == history[0]["metrics"]["server"]["accuracy"]
    assert found[0]["bytes_up"] == history[0]["bytes_up"]
    assert found[6]["skipped"]
    assert found[6]["server.accuracy"] is None


def test_csv_comes_back_exactly() -> None:
    made = run([*rows(), SKIPPED])
    files = {name: b"".join(pieces).decode() for name, pieces in as_csv(made.records).items()}
    assert list(files) == ["rounds.csv", "clients.csv"]
    read = list(csv.DictReader(io.StringIO(files["rounds.csv"])))
    for row, wanted in zip(read, round_rows(made.records), strict=True):
        assert float(row["train.loss"] or "nan") == pytest.approx(wanted["train.loss"] or float("nan"), nan_ok=True, abs=0)
        assert row["skipped"] == str(wanted["skipped"]).lower()
    clients = list(csv.reader(io.StringIO(files["clients.csv"])))
    assert clients[0] == ["round", "client", "metric", "value"]
    assert [(int(a), b, c, float(d)) for a, b, c, d in clients[1:]] == list(client_rows(made.records))


def test_large_tables_come_in_pieces() -> None:
    pieces = list(as_csv(run(rows(20, 400, classes=0)).records)["clients.csv"])
    assert len(pieces) > 3
    assert max(map(len, pieces)) < 1 << 18


def test_json_lines_come_back_exactly() -> None:
    made = run()
    files = {name: [json.loads(line) for line in b"".join(pieces).splitlines()] for name, pieces in as_jsonl(made.records).items()}
    assert files["rounds.jsonl"] == list(round_rows(made.records))
    assert [tuple(row.values()) for row in files["clients.jsonl"]] == list(client_rows(made.records))


def test_nothing_is_an_empty_table() -> None:
    files = {name: b"".join(pieces) for name, pieces in as_csv(run([]).records).items()}
    assert files["clients.csv"] == b"round,client,metric,value\n"


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    made = run([*rows(), SKIPPED])
    tensorboard.write(made, tmp_path, STARTED)
    reader = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0, "histograms": 0})
    reader.Reload()
    tags = reader.Tags()
    assert {"server/accuracy", "server/loss", "clients/accuracy", "train/loss", "cost/bytes_up", "cost/seconds"} <= set(tags["scalars"])
    curve = made.records.curve("server", "accuracy")
    events = reader.Scalars("server/accuracy")
    assert [event.step for event in events] == curve.rounds.tolist()
    assert [event.value for event in events] == pytest.approx(curve.values, abs=1e-7)
    assert [event.wall_time for event in events] == pytest.approx(STARTED + made.records.axis("seconds")[curve.at])
    assert "clients/train_loss" in tags["histograms"]
    spread = reader.Histograms("clients/accuracy")[0].histogram_value
    own = [values["accuracy"] for values in rows()[0]["clients"].values()]
    assert (spread.num, spread.min, spread.max) == (8, min(own), max(own))
    assert spread.sum == pytest.approx(sum(own))
    assert sum(spread.bucket) == 8


def test_tensorboard_has_the_settings(tmp_path: Path) -> None:
    from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG, parse_session_start_info_plugin_data

    made = run()
    tensorboard.write(made, tmp_path, STARTED)
    reader = EventAccumulator(str(tmp_path))
    reader.Reload()
    start = parse_session_start_info_plugin_data(reader.SummaryMetadata(SESSION_START_INFO_TAG).plugin_data.content)
    assert start.start_time_secs == STARTED
    assert start.hparams["strategy.name"].string_value == "fedavg"
    assert start.hparams["client.learning-rate"].number_value == 0.1
    assert set(start.hparams) == set(flat(made.settings))


def test_a_second_export_replaces_the_first(tmp_path: Path) -> None:
    foreign = tmp_path / "events.out.tfevents.1.other"
    foreign.write_bytes(b"")
    for _ in range(2):
        tensorboard.write(run(), tmp_path, STARTED)
    assert foreign.is_file()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_histogram_holds_every_value() -> None:
    found = tensorboard.histogram(np.array([1.0, 1.0, 1.0]))
    assert sum(found["bucket"]) == 3
    assert found["bucket_limit"][-1] >= 1.0


@pytest.mark.filterwarnings("ignore")
def test_mlflow_reads_what_was_written(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    made = run([*rows(), SKIPPED])
    file = tmp_path / "experiment.toml"
    file.write_text("[experiment]\n")
    store = tmp_path / "store"
    key = mlflow.write(made, str(store), [file], STARTED)
    client = MlflowClient(tracking_uri=f"sqlite:///{store / 'mlflow.db'}")
    found = client.get_run(key)
    assert found.info.run_name == "digits"
    assert found.info.status == "FINISHED"
    assert (found.info.start_time, found.info.end_time) == (int(STARTED * 1000), int((STARTED + 4) * 1000))
    assert found.data.params == {name: str(value) for name, value in flat(made.settings).items()}
    assert found.data.tags["ciranda.model_sha256"] == SHA
    assert found.data.tags["ciranda.version.ciranda"] == "0.1.0"
    curve = made.records.curve("server", "accuracy")
    history = sorted(client.get_metric_history(key, "server/accuracy"), key=lambda metric: metric.step)
    assert [metric.step for metric in history] == curve.rounds.tolist()
    assert [metric.value for metric in history] == pytest.approx(curve.values)
    assert [artifact.path for artifact in client.list_artifacts(key)] == ["experiment.toml"]
    second = mlflow.write(made, str(store), [], STARTED)
    assert {each.info.run_id for each in client.search_runs([found.info.experiment_id])} == {key, second}


@pytest.mark.filterwarnings("ignore")
def test_a_store_that_mlflow_cannot_reach_is_named() -> None:
    with pytest.raises(StoreError, match="nowhere://x"):
        mlflow.write(run(), "nowhere://x", [], STARTED)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtra, match="'mlflow'"):
        mlflow.write(run(), str(tmp_path), [], STARTED)
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)
    with pytest.raises(MissingExtra, match="'tensorboard'") as caught:
        tensorboard.write(run(), tmp_path, STARTED)
    assert "ciranda[tracking]" in caught.value.hint
