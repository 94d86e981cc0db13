"""The benchmark of sweeps times the same runs on both sides, and reports a miss."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import sweep_speed
from ciranda.cli.folder import RunFolder

QUICK = ("rounds.num-rounds=1", "client.local-epochs=1", "federation.validation-fraction=0.2")


def test_both_sides_do_the_same_runs(tmp_path: Path) -> None:
    assert sweep_speed.one_by_one(tmp_path / "runs", QUICK) > 0
    assert sweep_speed.side_by_side(tmp_path / "sweep", QUICK, 2) > 0
    alone = {file.parent.name: RunFolder(file.parent).rows()[-1]["model"] for file in (tmp_path / "runs").rglob("metrics.jsonl")}
    together = {
        str(int(file.parts[-3])): RunFolder(file.parent).rows()[-1]["model"] for file in (tmp_path / "sweep").rglob("metrics.jsonl")
    }
    assert alone == together
    assert len(alone) == 8
    assert not (tmp_path / "sweep" / "winner").exists()


def test_the_ratio_is_of_the_sweep_to_the_sum_over_the_workers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sweep_speed, "measure", lambda repeats, workers: [(8.0, 4.0), (8.0, 4.4), (8.0, 5.0)])
    assert sweep_speed.main([]) == 0
    assert "median ratio 1.100 (1.000 to 1.250), 3 alternated" in capsys.readouterr().out
    monkeypatch.setattr(sweep_speed, "measure", lambda repeats, workers: [(8.0, 4.5)])
    assert sweep_speed.main([]) == 1


def test_repetitions_begin_with_another_side_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def note(name: str) -> float:
        order.append(name)
        return 1.0

    monkeypatch.setattr(sweep_speed, "one_by_one", lambda folder, settings: note("alone"))
    monkeypatch.setattr(sweep_speed, "side_by_side", lambda folder, settings, workers: note("together"))
    assert sweep_speed.measure(2, 2) == [(1.0, 1.0), (1.0, 1.0)]
    assert order == ["alone", "together", "together", "alone"]
