"""Comparisons of made-up runs, whose every number can be worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from ciranda.cli.study.compare import compare, parse_target
from ciranda.core.errors import DataError, ExperimentError, Missing
from ciranda.core.paired import paired
from tests.cli.study.made_up import run_folder

PROX = ("strategy.name=fedprox", "strategy.proximal-mu=0.1")


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """Two strategies under two seeds; fedprox's best is not its last."""
    run_folder(tmp_path / "a1", [0.5, 0.8], seed=1)
    run_folder(tmp_path / "a2", [0.6, 0.9], seed=2)
    run_folder(tmp_path / "p1", [0.7, 0.6], *PROX, seed=1)
    run_folder(tmp_path / "p2", [0.9, 0.8], *PROX, seed=2)
    return tmp_path


def test_seeds_are_gathered_and_every_number_is_right(four: Path) -> None:
    first, second = compare([four], target=0.8).rows
    assert first["run"] == "fedavg"
    assert second["run"] == "fedprox, proximal-mu 0.1"
    assert (first["seeds"], first["rounds"]) == (2, 2)
    assert first["accuracy"] == pytest.approx(0.85)
    assert first["accuracy_std"] == pytest.approx(0.0707107, abs=1e-6)
    assert [second["accuracy"], second["best_accuracy"]] == pytest.approx([0.7, 0.8])
    assert (first["rounds_to_target"], first["reached_target"]) == (2, 2)
    assert (second["rounds_to_target"], second["reached_target"]) == (1, 1)
    assert first["bytes"] == 2 * 3000
    assert first["seconds"] == 1.0


def test_the_difference_is_paired_by_seed(four: Path) -> None:
    first, second = compare([four]).rows
    test = paired([0.6, 0.8], [0.8, 0.9])
    assert test is not None
    assert (first["difference"], first["p"]) == (None, None)
    assert [second["difference"], second["p"]] == pytest.approx([test.mean, test.p])


def test_only_seeds_that_both_have_are_paired(four: Path) -> None:
    run_folder(four / "p9", [0.1, 0.1], *PROX, seed=9)
    found = compare([four]).differences[1].test
    assert found is not None
    assert found.n == 2
    assert found.mean == pytest.approx(-0.15)


def test_a_clear_difference_is_marked_and_luck_is_not(tmp_path: Path) -> None:
    for seed, (low, noisy) in enumerate([(0.50, 0.4), (0.51, 0.8), (0.52, 0.6), (0.50, 0.7)], start=1):
        run_folder(tmp_path / f"a{seed}", [0.6 + seed / 1000], seed=seed)
        run_folder(tmp_path / f"low{seed}", [low], *PROX, seed=seed)
        run_folder(tmp_path / f"noisy{seed}", [noisy], "client.batch-size=20", seed=seed)
    found = compare([tmp_path])
    assert [difference.significant for difference in found.differences] == [False, True, False]
    text = found.table.text()
    assert "p < 0.001) *" in text
    assert "4 seeds" in text


def test_several_tests_are_corrected(tmp_path: Path) -> None:
    for seed, change in enumerate((0.01, 0.02, 0.04), start=1):
        for place, name in enumerate(("", *PROX[:1], "client.batch-size=20")):
            overrides = [name] if name else []
            run_folder(tmp_path / f"{place}-{seed}", [0.5 + place * change], *overrides, seed=seed)
    found = compare([tmp_path])
    raw = found.differences[1].test
    assert raw is not None
    assert found.differences[1].p == pytest.approx(2 * raw.p)


def test_one_seed_is_not_tested(tmp_path: Path) -> None:
    run_folder(tmp_path / "a", [0.5])
    run_folder(tmp_path / "p", [0.6], *PROX)
    found = compare([tmp_path / "a", tmp_path / "p"])
    assert found.rows[1]["p"] is None
    assert found.rows[0]["accuracy_std"] is None
    assert "±" not in found.table.rows[0][3]
    assert "One seed" in found.notes[0]


def test_one_line_needs_no_test_and_no_column_for_it(tmp_path: Path) -> None:
    found = compare([run_folder(tmp_path / "a", [0.5])])
    assert found.notes == []
    assert len(found.table.head) == len(found.table.rows[0]) == 7
    assert found.table.rows[0][0] == "digits"


def test_a_falling_metric_is_best_where_it_is_least(tmp_path: Path) -> None:
    run_folder(tmp_path / "a", [0.3, 0.1, 0.2], metric="rmse")
    row = compare([tmp_path], target="rmse=0.15").rows[0]
    assert (row["rmse"], row["best_rmse"], row["rounds_to_target"]) == (0.2, 0.1, 2)


def test_a_target_out_of_reach_says_so(four: Path) -> None:
    found = compare([four], target="accuracy=0.99")
    assert found.rows[0]["rounds_to_target"] is None
    assert found.rows[0]["reached_target"] == 0
    assert "not reached" in found.table.rows[0]


def test_rounds_without_an_evaluation_are_passed_over(tmp_path: Path) -> None:
    run_folder(tmp_path / "a", [None, 0.5, None, 0.7])
    row = compare([tmp_path], target=0.6).rows[0]
    assert (row["rounds"], row["accuracy"], row["rounds_to_target"]) == (4, 0.7, 4)


def test_the_metric_can_be_chosen(four: Path) -> None:
    assert compare([four], metric="loss").rows[0]["loss"] == 0.5
    assert compare([four], metric="train.loss").rows[0]["loss"] == 1.0


def test_without_a_choice_it_is_what_all_have(tmp_path: Path) -> None:
    run_folder(tmp_path / "a", [0.5])
    run_folder(tmp_path / "b", [0.5], *PROX, metric="f1")
    found = compare([tmp_path])
    assert (found.group, found.metric) == ("server", "loss")


def test_runs_evaluated_in_different_places_have_only_the_training_in_common(tmp_path: Path) -> None:
    run_folder(tmp_path / "a", [0.5])
    run_folder(tmp_path / "b", [0.5], *PROX, group="clients")
    found = compare([tmp_path])
    assert (found.group, found.metric) == ("train", "loss")
    with pytest.raises(DataError, match=r"Not every run measured server\.accuracy") as caught:
        compare([tmp_path], metric="server.accuracy")
    assert "clients.accuracy" in caught.value.hint


def test_runs_of_different_data_are_refused(tmp_path: Path) -> None:
    run_folder(tmp_path / "a", [0.5])
    run_folder(tmp_path / "b", [0.5], *PROX, labels={"0": 70, "1": 40})
    with pytest.raises(DataError, match=r"different data.*/a has 100 examples.*/b has 110 examples"):
        compare([tmp_path])


def test_the_same_run_twice_is_one_line_but_its_copy_is_refused(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "a", [0.5])
    assert compare([run, run, tmp_path]).rows[0]["seeds"] == 1
    run_folder(tmp_path / "again", [0.5])
    with pytest.raises(DataError, match="same experiment with the same seed"):
        compare([tmp_path])


def test_what_holds_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="holds no run"):
        compare([tmp_path])
    with pytest.raises(Missing, match="not a run's folder"):
        compare([tmp_path / "nothing"])
    run_folder(tmp_path / "empty", [])
    with pytest.raises(DataError, match="no finished round") as caught:
        compare([tmp_path])
    assert "ciranda resume" in caught.value.hint


def test_targets_are_read_with_and_without_a_metric() -> None:
    assert parse_target(None) == (None, None)
    assert parse_target(0.5) == (None, 0.5)
    assert parse_target("0.5") == (None, 0.5)
    assert parse_target("server.accuracy=0.9") == ("server.accuracy", 0.9)
    for wrong in ("accuracy", "accuracy=high", "nan", "accuracy=inf", ""):
        with pytest.raises(ExperimentError, match="is not a number"):
            parse_target(wrong)


def test_a_target_and_a_metric_must_agree(four: Path) -> None:
    with pytest.raises(ExperimentError, match="--target is of accuracy, but --metric is loss"):
        compare([four], metric="loss", target="accuracy=0.9")
    assert compare([four], metric="server.accuracy", target="accuracy=0.9").target == 0.9


def test_it_writes_tables_and_curves(four: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    files = compare([four / "a1", four / "p1"]).save(out, "rounds", "bytes")
    names = [
        "table.md",
        "table.tex",
        "table.csv",
        "curves-by-rounds.png",
        "curves-by-rounds.svg",
        "curves-by-bytes.png",
        "curves-by-bytes.svg",
    ]
    assert [file.name for file in files] == names
    assert all(file.stat().st_size > 50 for file in files)


def test_curves_by_something_else_are_refused(four: Path) -> None:
    with pytest.raises(ExperimentError, match="not drawn by weight"):
        compare([four]).plot("weight")
