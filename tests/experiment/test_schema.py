"""The schema from Python: defaults, derived values, conversions, and the round trip through TOML."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ciranda.core.task import ClientSettings
from ciranda.experiment.load import dump, loads
from ciranda.experiment.schema import (
    DEFAULT_CLIENTS,
    ClientSection,
    EvaluateSection,
    Experiment,
    ExperimentSection,
    FederationSection,
    RoundsSection,
    StopSection,
    StrategySection,
)
from ciranda.protocol.messages import CloseRule

TASK = ExperimentSection(task="digits-mlp")


def experiment(**sections: Any) -> Experiment:
    return Experiment(**{"experiment": TASK, **sections})


def federation(**keys: Any) -> FederationSection:
    """A section with a partitioner's parameters, which the model takes as extra keys."""
    return FederationSection(**keys)


def test_defaults_are_filled_in() -> None:
    plain = experiment()
    assert plain.experiment.name == "digits-mlp"
    assert plain.federation.clients == 10
    assert plain.federation.test_fraction == 0.0
    assert plain.stop.mode == "max"


def test_clients_keep_test_examples_back_only_if_they_evaluate() -> None:
    assert experiment(evaluate=EvaluateSection(where="clients")).federation.test_fraction == 0.2
    assert (
        experiment(evaluate=EvaluateSection(where="both"), federation=FederationSection(test_fraction=0.1)).federation.test_fraction == 0.1
    )
    shared = FederationSection()
    experiment(federation=shared)
    assert experiment(federation=shared, evaluate=EvaluateSection(where="both")).federation.test_fraction == 0.2


@pytest.mark.parametrize(("metric", "mode"), [("accuracy", "max"), ("server.loss", "min"), ("rmse", "min"), ("clients.r2", "max")])
def test_the_direction_follows_the_metric(metric: str, mode: str) -> None:
    assert StopSection(metric=metric).mode == mode


def test_the_direction_can_be_given() -> None:
    assert StopSection(metric="loss", mode="max").mode == "max"


@pytest.mark.parametrize(
    ("clients", "fraction", "minimum", "cohort"), [(20, 0.5, 1, 10), (10, 0.33, 1, 3), (5, 0.1, 2, 2), (10, 0.05, 1, 1), (3, 0.5, 1, 2)]
)
def test_the_cohort_is_rounded_half_up(clients: int, fraction: float, minimum: int, cohort: int) -> None:
    rounds = RoundsSection(fraction_train=fraction, min_train_clients=minimum)
    assert experiment(federation=FederationSection(clients=clients), rounds=rounds).cohort(clients) == cohort


def test_settings_for_the_client() -> None:
    client = ClientSection(local_epochs=2, batch_size=8, optimizer="sgd", learning_rate=0.1, momentum=0.5, weight_decay=1e-4)
    assert client.settings() == ClientSettings(2, 8, "sgd", 0.1, 0.5, 1e-4)


def test_rules_for_the_coordinator() -> None:
    rounds = RoundsSection(close="first", first=3, min_replies=2, deadline_s=5, too_few="skip", max_attempts=1)
    assert rounds.close_rule() == CloseRule("first", 5.0, 2, 3, "skip", 1)
    rule = StopSection(metric="server.loss", target=0.1, patience=3, max_bytes=10).rule()
    assert (rule.metric, rule.mode, rule.target, rule.patience, rule.max_bytes) == ("server.loss", "min", 0.1, 3, 10)


def test_parameters_have_python_names() -> None:
    assert federation(partitioner="dirichlet", alpha=0.5, min_partition_size=3).params == {"alpha": 0.5, "min_partition_size": 3}
    assert FederationSection().params == {}
    assert StrategySection.model_validate({"name": "fedprox", "proximal-mu": 0.1}).params == {"proximal_mu": 0.1}
    assert StrategySection.model_validate({"name": "fedprox", "proximal_mu": 0.1}).params == {"proximal_mu": 0.1}


def test_sizes_say_how_many_clients_there_are() -> None:
    section = federation(partitioner="size", partition_sizes=(5, 9, 2))
    assert section.clients == 3
    assert section.params == {"partition_sizes": [5, 9, 2]}
    assert federation(partitioner="inner-dirichlet", partition_sizes=[3, 4], alpha=1).clients == 2
    assert federation(partitioner="grouped-natural-id", group_size=2).clients is None
    assert FederationSection(partitioner="linear").clients == DEFAULT_CLIENTS


def test_a_partitioners_parameters_come_in_one_form() -> None:
    whole, broken = federation(partitioner="dirichlet", alpha=1), federation(partitioner="dirichlet", alpha=1.0)
    assert whole == broken
    assert dict(whole.written())["alpha"] == 1.0
    assert dict(federation(partitioner="shard", shard_size=4).written())["shard-size"] == 4


def test_nothing_changes_after_loading() -> None:
    with pytest.raises(ValidationError):
        TASK.seed = 3


def test_a_metric_that_is_not_measured_is_no_fault_while_nothing_stops_on_it() -> None:
    assert experiment(evaluate=EvaluateSection(where="none")).stop.metric == "accuracy"
    with pytest.raises(ValidationError):
        experiment(evaluate=EvaluateSection(where="none"), stop=StopSection(target=0.9))


names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), max_size=20)
shares = st.floats(0, 0.49)
positives = st.floats(min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False)
counts = st.integers(1, 2**53)


@st.composite
def experiments(draw: st.DrawFn) -> dict[str, Any]:
    """Tables of valid experiments, with any of the keys left out."""

    def some(**keys: st.SearchStrategy[Any]) -> dict[str, Any]:
        kept = draw(st.sets(st.sampled_from(sorted(keys)))) if keys else set()
        return {key.replace("_", "-"): draw(value) for key, value in keys.items() if key in kept}

    partition: dict[str, Any] = draw(
        st.sampled_from(
            [
                {},
                {"partitioner": "iid"},
                {"partitioner": "natural-id"},
                {"partitioner": "dirichlet", "alpha": 0.3, "self-balancing": True},
                {"partitioner": "pathological", "num-classes-per-partition": 2},
                {"partitioner": "dirichlet", "alpha": [0.3, 1]},
                {"partitioner": "shard", "shard-size": 7, "keep-incomplete-shard": True},
                {"partitioner": "grouped-natural-id", "group-size": 2, "mode": "strict"},
                {"partitioner": "continuous", "strictness": 1},
                {
                    "partitioner": "distribution",
                    "distribution-array": [[1, 2.5], [1e-9, 0]],
                    "num-unique-labels-per-partition": 1,
                    "preassigned-num-samples-per-label": 0,
                    "rescale": False,
                },
            ]
        )
    )
    data = draw(
        st.sampled_from(
            [
                {},
                {"csv": "/a", "target": "y"},
                {"csv": "/a b.csv", "target": 'y\x7f"é'},
                {"csv": "/a", "target": "y", "test-fraction": 0.25},
            ]
        )
    )
    strategy = draw(
        st.sampled_from([{}, {"name": "fedavg"}, {"name": "fedprox", "proximal-mu": draw(st.sampled_from([1, 0.01, 1e-7, 1e16]))}])
    )
    seconds = {"max-seconds": draw(positives)} if draw(st.booleans()) else {}
    return {
        "experiment": {
            "task": draw(names.filter(bool)),
            **some(name=names, seed=st.integers(0, 2**63 - 1), device=st.sampled_from(["auto", "cuda"])),
        },
        "data": data,
        "federation": {**partition, **some(clients=counts, validation_fraction=shares, test_fraction=shares)},
        "rounds": some(num_rounds=counts, fraction_train=st.floats(0, 1, exclude_min=True), deadline_s=positives, too_few=st.just("skip")),
        "client": some(local_epochs=counts, batch_size=counts, learning_rate=positives, momentum=shares, weight_decay=shares),
        "strategy": strategy,
        "privacy": some(clipping_norm=positives),
        "evaluate": some(where=st.sampled_from(["server", "clients", "both"]), every=counts, batch_size=counts),
        "stop": {**some(patience=counts, min_delta=shares, max_bytes=counts, target=st.floats(-1, 1)), **seconds},
    }


@given(experiments())
def test_an_experiment_survives_the_way_through_toml(table: dict[str, Any]) -> None:
    first = Experiment.model_validate(table, by_alias=True, by_name=False)
    text = dump(first)
    again = loads(text, "dumped")
    if ".py" not in first.experiment.task:
        assert again == first
    assert dump(again) == dump(loads(dump(again), "twice"))
