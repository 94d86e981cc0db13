"""Runs as a comparison sees them: where they lie, what they measured, and which may be compared."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.cli.study.groups import Settings, grouped, labels
from ciranda.cli.study.measured import Measured, choose_metric, read_runs
from ciranda.cli.study.names import CENTRALISED, FEDERATED, LOCAL, method_name
from ciranda.core.errors import DataError, Missing
from ciranda.report.records import read
from tests.cli.study.made_up import run_folder


def measured(values: list[float | None], metric: str = "accuracy", group: str = "server") -> Measured:
    rows = [
        {
            "event": "round",
            "round": number,
            "metrics": {} if value is None else {group: {metric: value}},
            "clients": {},
            "bytes_up": 3,
            "bytes_down": 4,
            "seconds": 0.25,
        }
        for number, value in enumerate(values, 1)
    ]
    return Measured(Path("run"), {"experiment.seed": 3, "study.role": "federated"}, read(rows))


VALUES = st.lists(st.none() | st.floats(-10, 10), min_size=1, max_size=15)


@given(VALUES, st.sampled_from(["accuracy", "loss"]), st.floats(-10, 10))
def test_last_best_and_first_to_reach_are_those_of_the_rounds_that_measured(values: list[float | None], metric: str, target: float) -> None:
    run = measured(values, metric)
    known = [value for value in values if value is not None]
    if not known:
        assert math.isnan(run.final("server", metric))
        assert math.isnan(run.best("server", metric))
        assert run.rounds_to("server", metric, target) is None
        return
    rising = metric == "accuracy"
    assert run.final("server", metric) == known[-1]
    assert run.best("server", metric) == (max(known) if rising else min(known))
    reached = [n for n, value in enumerate(values, 1) if value is not None and (value >= target if rising else value <= target)]
    assert run.rounds_to("server", metric, target) == (reached[0] if reached else None)


@given(VALUES)
def test_what_a_run_spent_is_the_sum_of_its_rounds(values: list[float | None]) -> None:
    run = measured(values)
    assert run.bytes == 7 * len(values)
    assert run.seconds == pytest.approx(0.25 * len(values))
    assert math.isnan(run.final("clients", "accuracy"))


def test_a_pair_has_the_same_seed_and_the_same_fold() -> None:
    run = measured([1.0])
    assert run.seed == (3, 0)
    assert Measured(run.path, {**run.settings, "study.fold": 2}, run.records).seed == (3, 2)


# --- which metric


@pytest.mark.parametrize(
    ("runs", "asked", "chosen"),
    [
        ([("server", "accuracy"), ("server", "accuracy")], None, ("server", "accuracy")),
        ([("clients", "accuracy"), ("clients", "accuracy")], None, ("clients", "accuracy")),
        ([("server", "r2"), ("server", "r2")], None, ("server", "r2")),
        ([("server", "rmse"), ("server", "rmse")], "rmse", ("server", "rmse")),
        ([("clients", "loss"), ("clients", "loss")], "clients.loss", ("clients", "loss")),
        ([("train", "loss")], "loss", ("train", "loss")),
        ([("server", "macro_f1")], "macro_f1", ("server", "macro_f1")),
    ],
)
def test_a_metric_is_one_that_every_run_has(runs: list[tuple[str, str]], asked: str | None, chosen: tuple[str, str]) -> None:
    assert choose_metric([measured([0.5], metric, group) for group, metric in runs], asked) == chosen


@pytest.mark.parametrize(
    ("runs", "asked", "words"),
    [
        ([("server", "accuracy"), ("clients", "accuracy")], None, "accuracy, r2, rmse, loss"),
        ([("server", "accuracy"), ("server", "loss")], "accuracy", "measured accuracy"),
        ([("server", "accuracy")], "clients.accuracy", "measured clients.accuracy"),
        ([("server", "accuracy")], "acuracy", "measured acuracy"),
    ],
)
def test_a_metric_that_some_run_lacks_is_refused_with_what_each_has(runs: list[tuple[str, str]], asked: str | None, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        choose_metric([measured([0.5], metric, group) for group, metric in runs], asked)
    for group, metric in runs:
        assert f"{group}.{metric}" in caught.value.hint


# --- where runs lie


def test_a_folder_of_runs_stands_for_all_in_it_each_once(tmp_path: Path) -> None:
    one, two = (run_folder(tmp_path / "study" / "deep" / name, [0.5, 0.6], seed=seed) for seed, name in enumerate(("a", "b"), 1))
    runs = read_runs([tmp_path / "study", one, str(two)])
    assert [run.path for run in runs] == [one.resolve(), two.resolve()]
    assert [run.seed for run in runs] == [(1, 0), (2, 0)]
    assert [run.final("server", "accuracy") for run in runs] == [0.6, 0.6]


def test_what_cannot_be_compared_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(Missing, match="empty holds no run"):
        read_runs([tmp_path / "empty"])
    with pytest.raises(Missing):
        read_runs([tmp_path / "nowhere"])
    run_folder(tmp_path / "young", [])
    with pytest.raises(DataError, match="young has no finished round") as caught:
        read_runs([tmp_path / "young"])
    assert "ciranda resume" in caught.value.hint


def test_runs_of_different_data_are_named_and_parts_of_a_study_are_not_asked(tmp_path: Path) -> None:
    one = run_folder(tmp_path / "one", [0.5])
    other = run_folder(tmp_path / "other", [0.5], labels={"0": 10, "1": 90})
    with pytest.raises(DataError, match=r"one has 100 examples \(0: 60, 1: 40\), .*other has 100 examples \(0: 10, 1: 90\)"):
        read_runs([one, other])
    part = run_folder(tmp_path / "part", [0.5], "study.role=centralised", labels={"0": 10, "1": 90})
    assert len(read_runs([one, part])) == 2
    (other / "partition.json").unlink()
    assert len(read_runs([one, other])) == 2


# --- groups and their names

SETTINGS = st.lists(
    st.fixed_dictionaries(
        {
            "experiment.seed": st.integers(0, 3),
            "experiment.name": st.sampled_from(["x", "y"]),
            "strategy.name": st.sampled_from(["fedavg", "fedprox"]),
            "client.learning-rate": st.sampled_from([0.1, 0.01]),
        },
        optional={"strategy.proximal-mu": st.just(0.5), "client.momentum": st.sampled_from([0.0, 0.9])},
    ),
    min_size=1,
    max_size=12,
)


def method(each: Settings) -> frozenset[tuple[str, object]]:
    return frozenset((key, value) for key, value in each.items() if key not in ("experiment.seed", "experiment.name"))


@given(SETTINGS)
def test_a_group_holds_all_runs_of_one_method_and_no_other(settings: list[dict[str, str | float | int | bool]]) -> None:
    groups = grouped(settings)
    assert sorted(place for group in groups for place in group) == list(range(len(settings)))
    assert all(len({method(settings[place]) for place in group}) == 1 for group in groups)
    assert len(groups) == len({method(each) for each in settings})
    assert [group[0] for group in groups] == sorted(group[0] for group in groups)


@given(SETTINGS)
def test_different_methods_have_different_labels_and_name_only_what_differs(
    settings: list[dict[str, str | float | int | bool]],
) -> None:
    apart = [settings[group[0]] for group in grouped(settings)]
    named = labels(apart)
    assert len(set(named)) == len(apart)
    if len(apart) > 1:
        same = {key.partition(".")[2] for key in apart[0] if len({each.get(key) for each in apart}) == 1}
        assert not any(re_word in label.split() for label in named for re_word in same)


def test_ways_of_training_have_words_in_both_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {}
    for language in ("en", "pt"):
        monkeypatch.setenv("CIRANDA_LANG", language)
        told[language] = [method_name(each) for each in (FEDERATED, CENTRALISED, LOCAL)]
    assert told["en"] == ["federated", "centralised", "local only"]
    assert len(set(told["pt"])) == 3
    assert told["pt"] != told["en"]
