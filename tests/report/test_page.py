"""The report of a run: what it says, in which language, and that it stands alone."""

from __future__ import annotations

import re
from html import unescape

import numpy as np
import pytest

from ciranda.i18n import speaking
from ciranda.report import raster
from ciranda.report.clients import MOST_LINES, MOST_ROWS
from ciranda.report.confusion import matrix
from ciranda.report.page import report
from ciranda.report.participation import LEVELS, cells
from ciranda.report.records import COUNTED, FAILED
from tests.report.history import SHA, manifest, result, rows, run, settings, tables
from tests.report.test_html import assert_self_contained, assert_well_formed


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "en")


def words(page: str) -> str:
    body = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", body)))


def test_a_report_says_how_the_run_went() -> None:
    page = report(run())
    said = words(page)
    for part in (
        "Finished after 6 rounds: all rounds done.", "task digits-mlp", "strategy fedavg", "seed 1", "Learning curves", "by round",
        "by time", "by bytes", "The clients", "All clients together", "Each client", "Worst 10 %", "Gini coefficient",
        "Lorenz curve", "What is mistaken for what", "Who took part when", "Settings and origin", "[federation]", "dirichlet", "x86_64",
        SHA, "reproducible", "ciranda replay runs/digits-001",
    ):  # fmt: skip
        assert part in said, part
    assert_self_contained(page)
    assert_well_formed(page)


def test_the_same_run_gives_the_same_bytes() -> None:
    assert report(run()) == report(run())


def test_a_name_is_never_markup() -> None:
    evil = "<script>alert(1)</script>"
    made = settings()
    made["experiment"]["task"] = evil
    history = rows(2, 3)
    history[0]["clients"][evil] = {"accuracy": 0.5}
    history[0]["accepted"].append([evil, SHA])
    history[1]["failed"] = {"x": evil}
    page = report(run(history, name=evil, settings=made, result=result(stop_reason=evil, reasons=[evil], reproducible=False), folder=evil))
    assert page.count("<script>") == 1
    assert evil in unescape(page)
    assert_well_formed(page)


def test_values_are_those_of_the_rows() -> None:
    history = rows()
    said = words(report(run(history)))
    final = history[-1]["metrics"]["server"]["accuracy"]
    best = max(row["metrics"]["server"]["accuracy"] for row in history)
    assert f"Accuracy {final:.4f}" in said
    assert f"{best:.4f}" in said
    own = sorted(history[-1]["clients"][name]["accuracy"] for name in history[-1]["clients"])
    assert f"{own[0]:.4f}" in said


def test_a_run_that_goes_on_and_one_that_failed_say_so() -> None:
    assert "Not finished: 6 rounds so far." in words(report(run(result={})))
    failed = words(
        report(run(result=result(state="error", stop_reason="Round 3: out of paper.", reproducible=False, reasons=["it failed"])))
    )
    assert "Ended by an error after 6 rounds: Round 3: out of paper." in failed
    assert "Why: it failed." in failed
    assert "not reproducible" in failed


def test_skipped_rounds_are_not_counted_and_private_runs_tell_their_budget() -> None:
    skipped = {"event": "round", "round": 7, "skipped": True, "metrics": {}, "clients": {}, "seconds": 1.0}
    said = words(report(run([*rows(), skipped], result=result(epsilon=1.5), settings={**settings(), "privacy": {"delta": 1e-5}})))
    assert "after 6 rounds" in said
    assert "ε = 1.500" in said
    assert "δ = 1e-05" in said


def test_sections_without_anything_to_say_are_left_out() -> None:
    bare = [{"event": "round", "round": 1, "metrics": {"train": {"loss": 1.0}}, "clients": {}, "seconds": 0.0}]
    said = words(report(run(bare, result={}, manifest={}, settings={"experiment": {"task": "t"}}, folder="")))
    for part in ("The clients", "What is mistaken", "Who took part"):
        assert part not in said
    assert "Learning curves" in said


def test_regression_and_training_losses_draw_too() -> None:
    history = rows(4, 5, classes=0, evaluated=False)
    for row in history:
        row["metrics"]["server"] = {"rmse": 3.0 / row["round"], "r2": -1.0, "loss": 9.0}
    said = words(report(run(history)))
    assert "R²" in said
    assert "Clients told only of their training" in said
    assert "training loss" in said


@pytest.mark.parametrize("clients", [1, 2, MOST_LINES, MOST_LINES + 1])
@pytest.mark.parametrize("rounds", [1, 30])
def test_any_size_draws(clients: int, rounds: int) -> None:
    page = report(run(rows(rounds, clients), manifest=manifest(clients)))
    assert_well_formed(page)
    assert not re.search(r'="[^"]*\bnan\b', page)
    assert (page.count("how many clients") > 0) == (clients > MOST_LINES)


def test_every_client_has_a_line_with_its_curve_and_the_worst_come_first() -> None:
    history = rows(3, 8)
    page = report(run(history))
    body = page[page.index('id="clients"') :]
    names = re.findall(r'<tr[^>]*><td>([^<]+)</td><td class="n" data-v="([^"]+)"', body)
    assert len(names) == 8
    values = [float(value) for _name, value in names]
    assert values == sorted(values)
    assert body.count('class="spark"') == 8
    assert body.count('class="low') == 1
    assert body.index(">80<") > 0  # the examples of the largest client


def test_thousands_of_clients_are_cut_and_said_so() -> None:
    page = report(run(rows(1, MOST_ROWS + 5, classes=0), manifest={}))
    assert page.count('class="spark"') == MOST_ROWS
    assert "Here are the first 1,000." in words(page)
    assert len(page) < 1_000_000


def test_the_confusion_matrix_is_whole_again() -> None:
    groups = tables(5)
    labels, counts = matrix(groups["server-classes"], groups["server-confusion"])
    assert labels == ["0", "1", "2", "3", "4"]
    assert counts.sum(axis=1).tolist() == [10] * 5
    assert np.diag(counts).tolist() == [10, 9, 8, 7, 6]
    assert counts[4, 0] == 4
    said = words(report(run(rows(2, 3, classes=5), manifest={**manifest(), "classes": ["cat", "dog", "cow", "hen", "ant"]})))
    assert "40 of 50 examples are recognised (80.0 %)" in said
    assert "ant for cat (4), hen for ant (3), cow for hen (2)" in said


def test_many_classes_are_a_picture() -> None:
    page = report(run(rows(2, 3, classes=30)))
    assert 'class="matrix"' not in page
    assert "Confusion matrix" in page
    assert_well_formed(page)


def test_participation_keeps_who_was_counted_and_who_was_missing() -> None:
    at, who, how = np.array([0, 1, 1]), np.array([0, 0, 2]), np.array([COUNTED, COUNTED, FAILED])
    assert cells(at, who, how, (3, 2)).tolist() == [[LEVELS, LEVELS], [0, 0], [0, LEVELS + 1]]
    large = cells(np.zeros(4000, np.int64), np.arange(4000), np.full(4000, COUNTED), (4000, 1))
    assert (large == LEVELS).all()
    assert len(large) < 4000
    assert len(raster.shades((0, 0, 0), LEVELS + 1)) == LEVELS + 1
    said = words(report(run(rows(6, 8))))
    assert "2 answers (4.2 %) were missing or refused." in said
    assert "deadline" in said
    assert "late" in said


def test_portuguese_pages_have_a_decimal_comma() -> None:
    with speaking("pt"):
        page = report(run())
    assert 'lang="pt-BR"' in page
    assert re.search(r">0,\d{4}<", page)
    assert_well_formed(page)
