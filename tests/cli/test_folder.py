"""The run's folder: nothing half there, and clear words about what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ciranda.cli.folder import KEPT_CHECKPOINTS, RUN, RunFolder, free_folder
from ciranda.cli.result import Result, best_round, irreproducible, model_card, read_result
from ciranda.core.errors import DataError, Missing
from ciranda.experiment.load import resolve
from ciranda.protocol.plan import StopRule


def round_row(number: int, accuracy: float | None = None, **more: object) -> dict[str, object]:
    metrics = {"server": {"accuracy": accuracy}} if accuracy is not None else {}
    return {"event": "round", "round": number, "metrics": metrics, "failed": {}, "refusals": {}, "skipped": False, **more}


def test_a_folder_without_an_experiment_is_no_runs(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"no experiment\.toml"):
        RunFolder.existing(tmp_path)


def test_metrics_are_appended_and_read(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append_metrics(round_row(1))
    folder.append_metrics(round_row(2, 0.5))
    assert folder.rows() == [round_row(1), round_row(2, 0.5)]


def test_a_torn_line_is_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append_metrics(round_row(1))
    folder.metrics.write_text(folder.metrics.read_text() + '{"event": "rou')
    with pytest.raises(DataError, match="line 2 is not JSON"):
        folder.rows()


def test_rows_of_a_run_that_has_not_begun(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="has the run begun"):
        RunFolder(tmp_path).rows()


def test_metrics_are_rewritten_from_the_store(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    store = folder.open_store()
    store.append(RUN, "a", json.dumps(round_row(1)).encode())
    folder.append_metrics(round_row(9))
    assert folder.rewrite_metrics(store) == [round_row(1)]
    assert folder.rows() == [round_row(1)]
    store.close()


def test_the_last_checkpoints_and_the_best_are_kept(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    store = folder.open_store()
    for number in range(1, 9):
        folder.checkpoint(number, store, store.put([b"model %d" % number]), best=min(number, 2))
    kept = sorted(file.name for file in folder.checkpoints.iterdir())
    assert kept == ["round-0002.safetensors"] + [f"round-{number:04d}.safetensors" for number in range(9 - KEPT_CHECKPOINTS, 9)]
    assert (folder.checkpoints / "round-0002.safetensors").read_bytes() == b"model 2"
    store.collect([])
    assert (folder.checkpoints / "round-0008.safetensors").read_bytes() == b"model 8"
    store.close()


def test_a_checkpoint_is_a_copy_where_links_are_not_to_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.link", refuse)
    folder = RunFolder(tmp_path)
    store = folder.open_store()
    folder.checkpoint(1, store, store.put([b"model"]), best=1)
    assert (folder.checkpoints / "round-0001.safetensors").read_bytes() == b"model"
    store.close()


def test_folders_are_numbered(tmp_path: Path) -> None:
    assert free_folder("digits", tmp_path).name == "digits-001"
    (tmp_path / "digits-001").mkdir()
    assert free_folder("digits", tmp_path).name == "digits-002"


# --- results


@pytest.mark.parametrize(("mode", "best"), [("max", 2), ("min", 1)])
def test_the_best_round_is_by_the_rule(mode: str, best: int) -> None:
    rows = [round_row(1, 0.2), round_row(2, 0.9), round_row(3, 0.9), round_row(4)]
    assert best_round(rows, StopRule(mode=mode)) == best  # type: ignore[arg-type]


def test_without_evaluation_the_last_round_is_best() -> None:
    assert best_round([round_row(1), round_row(2)], StopRule()) == 2


@pytest.mark.parametrize(
    ("row", "probes", "overrides", "reason"),
    [
        (round_row(1, failed={"3": "lost"}), ["a"], (), "not every selected client was counted in round 1"),
        (round_row(2, refusals={"late": 1}), ["a"], (), "round 2"),
        (round_row(1), ["a", "b"], (), "probe digests differ"),
        (round_row(1), ["a"], ("rounds.close=first", "rounds.first=2"), "first replies"),
    ],
)
def test_what_makes_a_run_irreproducible_is_said(
    row: dict[str, object], probes: list[str], overrides: tuple[str, ...], reason: str
) -> None:
    assert any(reason in each for each in irreproducible([row], probes, resolve("digits", overrides)))


def test_a_plain_run_is_reproducible() -> None:
    assert irreproducible([round_row(1)], ["a", "a"], resolve("digits")) == []


def test_a_result_is_read_back(tmp_path: Path) -> None:
    result = Result("finished", "rounds", 2, {"server": {"accuracy": 0.5}}, "ab", True, [], 1, 2, 0.5, None, {"numpy": "2"}, "runs/x")
    (tmp_path / "result.json").write_text(result.text())
    assert read_result(tmp_path / "result.json") == result
    (tmp_path / "result.json").write_text(result.text()[:40])
    with pytest.raises(DataError, match="not a run's result"):
        read_result(tmp_path / "result.json")


def test_a_card_shows_the_main_metrics_and_the_classes() -> None:
    classes = {"precision.0": 1.0, "recall.0": 0.5, "f1.0": 2 / 3, "support.0": 4.0}
    metrics = {"server": {"accuracy": 0.5}, "server-classes": classes, "clients-spread": {"accuracy.min": 0.1}}
    result = Result("finished", "target", 2, metrics, "ab", False, ["x", "y"], 1, 2, 0.5, None, {}, "runs/x")
    card = model_card(result, resolve("digits"))
    assert "| server | accuracy | 0.5000 |" in card
    assert "| 0 | 1.0000 | 0.5000 | 0.6667 | 4 |" in card
    assert "accuracy.min" not in card
    assert "no: x; y" in card


def test_what_was_no_finite_number_is_a_dash_on_the_card() -> None:
    classes = {"precision.0": None, "recall.0": 0.5, "f1.0": None, "support.0": 4.0}
    metrics: dict[str, Any] = {"train": {"loss": None}, "server": {"loss": 0.25}, "server-classes": classes}
    card = model_card(Result("finished", "rounds", 2, metrics, "ab", True, [], 1, 2, 0.5, None, {}, "runs/x"), resolve("digits"))
    assert "| train | loss | – |" in card
    assert "| server | loss | 0.2500 |" in card
    assert "| 0 | – | 0.5000 | – | 4 |" in card
