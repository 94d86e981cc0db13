"""Nearest names, and the names of metrics and parameters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.core.metrics import FALLING, RISING
from ciranda.core.strategies import STRATEGIES
from ciranda.experiment.names import GROUPS, METRICS, kebab, metric_problem, nearest, parameters

ALLOWED = ("num-rounds", "fraction-train", "close", "first")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("num-round", "num-rounds"),
        ("num_rounds", "num-rounds"),
        ("NUM-ROUNDS", "num-rounds"),
        ("numrounds", "num-rounds"),
        ("fraction", "fraction-train"),
        ("clse", "close"),
    ],
)
def test_a_slip_finds_what_was_meant(word: str, meant: str) -> None:
    assert str(nearest(word, ALLOWED)) == f": did you mean '{meant}'?"


@pytest.mark.parametrize("word", ["", "zebra", "x", "🦓"])
def test_what_is_near_to_nothing_gets_no_advice(word: str) -> None:
    assert str(nearest(word, ALLOWED)) == "."
    assert str(nearest(word, ())) == "."


def test_upper_case_names_are_given_back_as_they_are() -> None:
    assert str(nearest("digits", ["Digits"])) == ": did you mean 'Digits'?"


@given(st.text())
def test_any_word_gets_a_sentence(word: str) -> None:
    text = str(nearest(word, ALLOWED))
    assert text == "." or text.startswith(": did you mean '")


def test_kebab() -> None:
    assert kebab("min_partition_size") == "min-partition-size"
    assert kebab("close") == "close"


def test_a_strategys_parameters_are_its_fields() -> None:
    assert parameters(STRATEGIES["fedprox"]) == ("proximal-mu", *parameters(STRATEGIES["fedavg"]))
    assert parameters(STRATEGIES["fedavg"])[0] == "server-learning-rate"


@pytest.mark.parametrize("group", ["", *(f"{group}." for group in GROUPS)])
@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_good_on_every_group(group: str, metric: str) -> None:
    assert metric_problem(group + metric) is None


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("acuracy", "did you mean 'accuracy'"),
        ("server.los", "did you mean 'loss'"),
        ("sever.loss", "did you mean 'server'"),
        ("", "The metrics are"),
        (".loss", "A metric is measured on"),
        ("server.", "The metrics are"),
        ("server.test.loss", "A metric is measured on"),
    ],
)
def test_what_is_no_metric_is_explained(metric: str, words: str) -> None:
    assert words in str(metric_problem(metric))


def test_no_metric_both_rises_and_falls() -> None:
    assert not set(RISING) & set(FALLING)
