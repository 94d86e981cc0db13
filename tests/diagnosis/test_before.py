"""What is foreseen from data and settings, and what is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ciranda.core.partition import chance_heterogeneity, heterogeneity, partition
from ciranda.core.rng import Draw
from ciranda.diagnosis import Facts, foresee

USUAL = {"local_epochs": 5, "batch_size": 32, "optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.0, "weight_decay": 0.0}


def facts(sizes: Any = (600,) * 20, *, score: float | None = 0.1, chance: float | None = 0.05, **keys: Any) -> Facts:
    client = {**USUAL, **{key: value for key, value in keys.items() if key in USUAL}}
    others = {key: value for key, value in keys.items() if key not in USUAL}
    return Facts(np.asarray(sizes), score, chance, **{"cohort": 10, "num_rounds": 50, **others}, client=client)


def codes(known: Facts) -> list[str]:
    return [finding.code for finding in foresee(known)]


@pytest.mark.parametrize(
    "known",
    [
        facts(),
        facts(optimizer="adam", learning_rate=0.01),
        facts(learning_rate=0.1, momentum=0.9),
        facts(score=None, chance=None),
        facts(sizes=[50] * 20, score=0.42, chance=0.40),  # small clients differ by chance
        facts(sizes=[600], cohort=1, score=None, chance=None),
        facts(sizes=[31, *[600] * 19]),
    ],
)
def test_ordinary_runs_raise_no_warning(known: Facts) -> None:
    assert foresee(known) == []


@pytest.mark.parametrize(
    ("known", "code", "words"),
    [
        (facts(sizes=[8] * 15 + [600] * 5), "few-examples", ["15 of 20", "batch-size 32", "client.batch-size=2"]),
        (facts(sizes=[5000, *[100] * 10]), "dominant-client", ["client 0: 83%", "qfedavg"]),
        (facts(learning_rate=3.0), "learning-rate", ["high", "learning-rate 3", "client.learning-rate=0.1"]),
        (facts(learning_rate=0.5, momentum=0.9), "learning-rate", ["high", "momentum 0.9", "client.learning-rate=0.01"]),
        (facts(optimizer="adam", learning_rate=0.1), "learning-rate", ["adam", "client.learning-rate=0.001"]),
        (facts(learning_rate=1e-6), "learning-rate", ["low"]),
        (facts(weight_decay=0.5), "weight-decay", ["0.5"]),
        (facts(cohort=1), "lonely-cohort", ["1 of 20 clients", "fraction-train"]),
    ],
)
def test_what_stands_out_is_a_warning_with_numbers_and_advice(known: Facts, code: str, words: list[str]) -> None:
    (finding,) = [each for each in foresee(known) if each.severity == "warning"]
    assert finding.code == code
    for word in words:
        assert word in finding.line()


def test_unlike_clients_are_advised_by_what_the_experiment_has() -> None:
    (mild,) = foresee(facts(score=0.4))
    (strong,) = foresee(facts(score=0.8))
    assert (mild.severity, strong.severity) == ("info", "warning")
    assert "heterogeneity 0.80, dealt at random 0.05" in str(strong.evidence)
    assert "scaffold" in str(strong.advice)
    assert "proximal-mu" in str(strong.advice)
    assert "client.local-epochs=1" in str(strong.advice)
    (one_epoch,) = foresee(facts(score=0.8, local_epochs=1))
    assert "local-epochs" not in str(one_epoch.advice)
    (held,) = foresee(facts(score=0.8, strategy="scaffold"))
    assert held.severity == "info"
    assert "holds" in str(held.advice)


def test_many_steps_on_unlike_data_drift() -> None:
    assert codes(facts(sizes=[6000] * 20, local_epochs=20, score=0.5)) == ["heterogeneous", "drift"]
    assert codes(facts(sizes=[6000] * 20, local_epochs=20)) == []


def test_clients_that_never_train_are_noted() -> None:
    known = facts(sizes=[600] * 1_000, cohort=10, num_rounds=50)
    assert codes(known) == ["never-asked"]
    assert "500 places in all rounds, 1,000 clients" in str(foresee(known)[0].evidence)


def test_the_worst_comes_first() -> None:
    found = foresee(facts(sizes=[600] * 1_000, learning_rate=5.0, cohort=10, num_rounds=50))
    assert [each.severity for each in found] == ["warning", "info"]


@pytest.mark.parametrize(
    ("name", "params", "expected"),
    [
        ("iid", {}, []),
        ("dirichlet", {"alpha": 100.0}, []),
        ("dirichlet", {"alpha": 0.1, "min_partition_size": 1}, ["heterogeneous"]),
        ("pathological", {"num_classes_per_partition": 2}, ["heterogeneous"]),
    ],
)
@pytest.mark.parametrize("clients", [10, 100])
def test_real_partitions_are_told_apart(name: str, params: dict[str, Any], expected: list[str], clients: int) -> None:
    labels = np.random.default_rng(0).integers(0, 10, 6_000)
    dealt = partition(name, labels, clients, Draw(1), **params)
    known = facts(dealt.sizes, score=heterogeneity(dealt, labels), chance=chance_heterogeneity(dealt, labels), batch_size=4, num_rounds=100)
    assert [code for code in codes(known) if code not in ("dominant-client", "drift")] == expected
