"""Which runs are repetitions of one another, and what the others are called."""

from __future__ import annotations

from ciranda.cli.study.groups import Settings, grouped, labels

BASE: Settings = {
    "experiment.name": "x",
    "experiment.seed": 1,
    "strategy.name": "fedavg",
    "client.batch-size": 10,
    "study.role": "federated",
}


def but(**changes: str | float) -> Settings:
    return {**BASE, **{key.replace("__", ".").replace("_", "-"): value for key, value in changes.items()}}


def test_runs_that_differ_in_seed_fold_or_name_only_are_one_group() -> None:
    runs = [BASE, but(experiment__seed=2), but(experiment__name="y"), but(study__fold=2), but(client__batch_size=20)]
    assert grouped(runs) == [[0, 1, 2, 3], [4]]


def test_groups_come_in_the_order_of_their_first_run() -> None:
    assert grouped([but(client__batch_size=20), BASE, but(client__batch_size=20, experiment__seed=5)]) == [[0, 2], [1]]


def test_a_missing_key_is_a_difference() -> None:
    assert grouped([BASE, but(strategy__tau=0.1)]) == [[0], [1]]


def test_labels_say_what_differs_the_strategy_first() -> None:
    settings = [but(client__batch_size=20), but(strategy__name="fedadam", strategy__tau=0.001)]
    assert labels(settings) == ["fedavg, batch-size 20", "fedadam, batch-size 10, tau 0.001"]


def test_the_only_group_is_called_by_its_experiment() -> None:
    assert labels([BASE]) == ["x"]


def test_keys_of_two_sections_are_told_apart() -> None:
    settings = [but(evaluate__batch_size=1), but(client__batch_size=20, evaluate__batch_size=2)]
    assert labels(settings) == ["client.batch-size 10, evaluate.batch-size 1", "client.batch-size 20, evaluate.batch-size 2"]


def test_roles_are_compared_among_themselves() -> None:
    settings = [BASE, but(client__batch_size=20), but(study__role="centralised", rounds__num_rounds=70)]
    assert labels(settings) == ["federated, batch-size 10", "federated, batch-size 20", "centralised"]


def test_truth_values_and_many_differences_stay_short() -> None:
    many = {f"client__k{number}": number + 1 for number in range(9)}
    found = labels([but(federation__self_balancing=True), but(federation__self_balancing=False, **many)])
    assert found[0] == "self-balancing yes"
    assert found[1].endswith(", ...")
    assert found[1].count(",") == 6
