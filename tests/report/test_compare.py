"""The report of several runs beside each other."""

from __future__ import annotations

import re

import numpy as np
import pytest

from ciranda.report.charts import WIDTH
from ciranda.report.compare import Figures, Way, _ranges, comparison
from ciranda.report.records import over_seeds, read
from ciranda.report.run import Run
from tests.report.history import result, rows, run, settings
from tests.report.test_html import assert_self_contained, assert_well_formed
from tests.report.test_page import words

FIGURES = Figures(["run", "accuracy"], [["fedavg", "0.9 ± 0.1"], ["fedprox", "0.8 ± 0.1"]], ["Two seeds say little."])


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "en")


def one(strategy: str, seed: int, rounds: int = 6, **more: object) -> Run:
    return run(rows(rounds, seed=seed), settings=settings(seed, strategy), folder=f"runs/{strategy}-{seed}", **more)


def ways(seeds: int = 2, **more: object) -> list[Way]:
    return [Way(name, [one(name, seed, **more) for seed in range(1, seeds + 1)]) for name in ("fedavg", "fedprox")]  # type: ignore[arg-type]


def test_a_comparison_says_what_was_compared_and_what_came_out() -> None:
    page = comparison(ways(), "server", "accuracy", FIGURES)
    said = words(page)
    for part in (
        "Comparison: digits", "4 runs of 2 ways of training.", "0.9 ± 0.1", "Two seeds say little.", "by round", "by time", "by bytes",
        "bands one standard deviation", "Fairness", "worst 10 %", "What tells them apart", "strategy.name", "What they have in common",
        "[federation]", "runs/fedprox-2", "digest of the model",
    ):  # fmt: skip
        assert part in said, part
    assert page.count('class="area f1"') >= 6
    assert_self_contained(page)
    assert_well_formed(page)


def test_the_best_is_named_by_the_metrics_direction() -> None:
    good, bad = rows(seed=1), rows(seed=1)
    for row in bad:
        row["metrics"]["server"] = {"accuracy": 0.1, "loss": 9.0}
    pair = [Way("good", [run(good)]), Way("bad", [run(bad)])]
    assert "is that of good." in words(comparison(pair, "server", "accuracy", FIGURES))
    assert "is that of good." in words(comparison(pair, "server", "loss", FIGURES))


def test_one_seed_has_no_band_and_is_not_said_to_have_one() -> None:
    page = comparison(ways(seeds=1), "server", "accuracy", FIGURES)
    assert "standard deviation." not in words(page)
    assert 'class="area' not in page


def test_runs_of_one_way_have_no_settings_that_tell_them_apart() -> None:
    said = words(comparison([Way("fedavg", [one("fedavg", 1), one("fedavg", 2)])], "server", "accuracy", FIGURES))
    assert "2 runs of 1 way of training." in said
    assert "What tells them apart" not in said


def test_long_labels_are_cut_in_the_figure_and_whole_below() -> None:
    label = "fedadam, learning-rate 0.001, momentum 0.95"
    page = comparison([Way(label, [one("fedadam", 1)]), Way("b", [one("fedavg", 1)])], "server", "accuracy", FIGURES)
    assert "fedadam, learnin…" in page
    assert label in words(page)


@pytest.mark.parametrize(("metric", "worst"), [("train_loss", 3.0), ("accuracy", 0.01)])
def test_the_worst_tenth_is_drawn_inside_the_figure(metric: str, worst: float) -> None:
    found = {"mean": 0.4, "std": 0.3, "worst": worst, "p10": 0.1, "median": 0.3, "p90": 0.8, "best": 0.9}
    drawn = str(_ranges([Way("fedavg", [one("fedavg", 1)])], [found], metric))
    places = [float(place) for place in re.findall(r'(?:cx|x1|x2)="([\d.-]+)"|d="M([\d.-]+)', drawn) for place in place if place]
    assert len(places) > 4
    assert all(150 <= place <= WIDTH - 20 for place in places)


def test_runs_without_clients_values_have_no_fairness() -> None:
    history = rows(3, 2, evaluated=False)
    for row in history:
        row["clients"] = {}
    page = comparison(
        [Way("a", [run(history)]), Way("b", [run(history, result=result(reproducible=False))])], "server", "accuracy", FIGURES
    )
    assert "Fairness" not in words(page)
    assert re.search(r"yes.*no", words(page))


def test_names_are_never_markup() -> None:
    evil = "<img src=x onerror=alert(1)>"
    page = comparison([Way(evil, [one(evil, 1)]), Way("b", [one("b", 1)])], "server", "accuracy", Figures([evil], [[evil]], [evil]))
    assert "<img" not in page
    assert_well_formed(page)


def test_more_ways_than_colours_are_told_apart_by_dashes() -> None:
    page = comparison([Way(f"way {n}", [one(f"s{n}", 1)]) for n in range(10)], "server", "accuracy", FIGURES)
    assert page.count("line s1 dashed") > 0
    assert_well_formed(page)


def test_curves_over_seeds_are_means_over_the_rounds_that_all_have() -> None:
    long, short = read(rows(6, seed=1)), read(rows(4, seed=2))
    x, mean, std = over_seeds([long, short], "server", "accuracy", "round")
    values = np.array([each.curve("server", "accuracy").values[:4] for each in (long, short)])
    assert x.tolist() == [1, 2, 3, 4]
    assert mean == pytest.approx(values.mean(axis=0))
    assert std == pytest.approx(values.std(axis=0, ddof=1))
    x, _mean, std = over_seeds([long], "server", "accuracy", "bytes")
    assert x == pytest.approx(long.axis("bytes"))
    assert not std.any()
