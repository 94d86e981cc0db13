from __future__ import annotations

import json
import math
import tracemalloc
from hashlib import sha256
from inspect import Parameter
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ciranda.core.errors import DataError, ExperimentError
from ciranda.core.partition import (
    CHECKS,
    PARTITIONERS,
    Partition,
    binned,
    chance_heterogeneity,
    heterogeneity,
    partition,
    split,
)
from ciranda.core.rng import Draw

DRAW = Draw(1).at("partition")
PARAMETERS: dict[str, dict[str, Any]] = {"iid": {}, "dirichlet": {"alpha": 1.0}, "pathological": {"num_classes_per_partition": 2}}


def digits(examples: int = 600, classes: int = 10) -> np.ndarray:
    return np.random.default_rng(0).integers(0, classes, examples)


TABLE: dict[str, Any] = {
    "distribution_array": [[1.0]] * 10,
    "num_unique_labels_per_partition": 1,
    "preassigned_num_samples_per_label": 0,
}


@st.composite
def dealt(draw: st.DrawFn) -> tuple[Partition, np.ndarray, str, Any]:
    """A partition by any scheme that is possible for random labels, with what it was made of."""
    classes = draw(st.integers(1, 6))
    labels = np.asarray(draw(st.lists(st.integers(0, classes - 1), min_size=6, max_size=150)))
    clients = draw(st.integers(1, len(labels) // 3))
    name = draw(st.sampled_from(sorted(PARTITIONERS)))
    params = draw(parameters(name, clients, labels))
    if "id" in name:
        params["groups"] = np.asarray([f"owner {value}" for value in labels])
    chosen = None if PARTITIONERS[name].count else clients
    try:
        result = partition(name, labels, chosen, Draw(draw(st.integers())), **params)
    except (DataError, ExperimentError):
        assume(False)
    return result, labels, name, params


@st.composite
def parameters(draw: st.DrawFn, name: str, clients: int, labels: np.ndarray) -> dict[str, Any]:
    """Parameters that are possible more often than not."""
    classes = len(np.unique(labels))
    fair = len(labels) // clients
    sizes = draw(st.lists(st.integers(1, fair), min_size=clients, max_size=clients))
    mode = draw(st.sampled_from(["deterministic", "first-deterministic", "random"]))
    alpha = draw(st.floats(0.01, 100))
    cases: dict[str, dict[str, Any]] = {
        "dirichlet": {"alpha": alpha, "min_partition_size": 1, "self_balancing": draw(st.booleans())},
        "pathological": {"num_classes_per_partition": draw(st.integers(1, classes)), "class_assignment_mode": mode},
        "shard": draw(
            st.sampled_from([{"num_shards_per_partition": 2}, {"shard_size": 2}, {"shard_size": 2, "keep_incomplete_shard": True}])
        ),
        "size": {"partition_sizes": sizes},
        "inner-dirichlet": {"partition_sizes": sizes, "alpha": alpha},
        "continuous": {"strictness": draw(st.floats(0, 1))},
        "grouped-natural-id": {"group_size": draw(st.integers(1, 3)), "mode": draw(st.sampled_from(["allow-smaller", "drop-reminder"]))},
        "distribution": {
            "distribution_array": np.arange(1.0, clients + 1).reshape(classes, -1) if clients % classes == 0 else [[1]],
            "num_unique_labels_per_partition": 1,
            "preassigned_num_samples_per_label": draw(st.integers(0, 1)),
        },
    }
    return cases.get(name, {})


LEAVES_OUT = ("size", "shard", "inner-dirichlet", "grouped-natural-id")


@given(dealt())
def test_every_example_has_one_owner(case: Any) -> None:
    result, labels, name, _ = case
    owned = np.concatenate([result.of(rank) for rank in range(result.num_clients)]).tolist()
    assert len(set(owned)) == len(owned) == result.sizes.sum()
    assert set(owned) <= set(range(len(labels)))
    assert result.sizes.min() >= 1
    assert result.manifest(labels)["left_out"] == len(labels) - len(owned)
    assert len(owned) == len(labels) or name in LEAVES_OUT


@given(dealt())
def test_indices_are_ascending_and_cannot_be_written(case: Any) -> None:
    result = case[0]
    for rank in range(result.num_clients):
        mine = result.of(rank)
        assert mine.dtype == np.int64
        assert (np.diff(mine) > 0).all()
        assert not mine.flags.writeable


@given(dealt())
def test_equal_draws_give_equal_manifests(case: Any) -> None:
    result, labels, name, params = case
    again = partition(name, labels, None if PARTITIONERS[name].count else result.num_clients, Draw(result.origin["seed"]), **params)
    assert again.manifest(labels) == result.manifest(labels)


@pytest.mark.parametrize("name", ["iid", "dirichlet", "pathological"])
def test_another_seed_deals_otherwise(name: str) -> None:
    params = PARAMETERS[name]
    one, two = (partition(name, digits(), 10, Draw(seed), **params) for seed in (1, 2))
    assert one.manifest(digits())["sha256"] != two.manifest(digits())["sha256"]


@given(st.integers(1, 200), st.integers(1, 200), st.integers())
def test_iid_sizes_differ_by_at_most_one(examples: int, clients: int, seed: int) -> None:
    assume(clients <= examples)
    sizes = partition("iid", np.zeros(examples), clients, Draw(seed)).sizes
    assert sizes.max() - sizes.min() <= 1


def test_iid_takes_any_targets() -> None:
    assert partition("iid", np.random.default_rng(0).normal(size=(50, 3)), 5, DRAW).sizes.tolist() == [10] * 5


def test_iid_is_shuffled() -> None:
    """In order, 600 sorted labels would give each of 10 clients one class: heterogeneity 0.9."""
    labels = np.sort(digits())
    assert heterogeneity(partition("iid", labels, 10, DRAW), labels) < 0.25


def test_dirichlet_grows_alike_with_alpha() -> None:
    labels = digits(20_000)
    scores = [
        heterogeneity(partition("dirichlet", labels, 20, DRAW, alpha=alpha, min_partition_size=1), labels) for alpha in (0.1, 1, 10, 1e4)
    ]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.5
    assert scores[-1] < 0.05


@pytest.mark.parametrize("alpha", [0.3, 2.0])
def test_dirichlet_shares_have_the_distributions_variance(alpha: float) -> None:
    """A share of Dirichlet(alpha, n times) has mean 1/n and variance (1/n)(1 - 1/n) / (n alpha + 1)."""
    clients, classes, each = 10, 400, 1_000
    labels = np.repeat(np.arange(classes), each)
    result = partition("dirichlet", labels, clients, DRAW, alpha=alpha)
    shares = np.stack([np.bincount(labels[result.of(rank)], minlength=classes) for rank in range(clients)]) / each
    assert shares.var() == pytest.approx(0.1 * 0.9 / (clients * alpha + 1), rel=0.1)


def test_dirichlet_with_a_tiny_alpha_gives_each_class_to_one_client() -> None:
    labels = np.repeat(np.arange(40), 5)
    result = partition("dirichlet", labels, 4, DRAW, alpha=1e-6, min_partition_size=1)
    assert all(np.isin(np.bincount(labels[result.of(rank)], minlength=40), [0, 5]).all() for rank in range(4))


def test_dirichlet_keeps_the_minimum_size_by_drawing_again() -> None:
    first = partition("dirichlet", digits(), 20, DRAW, alpha=0.5, min_partition_size=1)
    assert first.sizes.min() < 12, "the case is too easy to show anything"
    assert partition("dirichlet", digits(), 20, DRAW, alpha=0.5, min_partition_size=12).sizes.min() >= 12


def test_dirichlet_gives_up_with_advice() -> None:
    with pytest.raises(ExperimentError, match=r"100 gave each of 50 clients 12 of 600") as caught:
        partition("dirichlet", digits(), 50, DRAW, alpha=0.01, min_partition_size=12)
    assert "alpha" in caught.value.hint


def test_self_balancing_evens_the_sizes() -> None:
    """Whoever holds more than the average of 1,000 gets nothing more, so nobody passes it by more than a class of 200."""
    labels = np.repeat(np.arange(100), 200)
    plain, even = (
        partition("dirichlet", labels, 20, DRAW, alpha=0.02, min_partition_size=1, self_balancing=balanced) for balanced in (False, True)
    )
    assert even.sizes.max() <= 1_200 < plain.sizes.max()
    assert even.sizes.std() < plain.sizes.std() / 1.5


@pytest.mark.parametrize("mode", ["first-deterministic", "deterministic", "random"])
@pytest.mark.parametrize("k", [1, 2, 5, 10])
def test_pathological_clients_hold_so_many_classes(mode: str, k: int) -> None:
    labels = digits(3_000)
    result = partition("pathological", labels, 60, DRAW, num_classes_per_partition=k, class_assignment_mode=mode)
    held = [set(labels[result.of(rank)].tolist()) for rank in range(60)]
    assert {len(classes) for classes in held} == {k}
    if mode != "random":
        assert all(rank % 10 in classes for rank, classes in enumerate(held))
    if mode == "deterministic":
        assert held[7] == {(7 + step) % 10 for step in range(k)}
    elif 1 < k < 10:
        assert len({frozenset(classes) for classes in held}) > 10


def test_pathological_clients_of_a_class_share_it_evenly() -> None:
    labels = np.repeat(np.arange(10), 95)
    result = partition("pathological", labels, 30, DRAW, num_classes_per_partition=2, class_assignment_mode="deterministic")
    counts = np.stack([np.bincount(labels[result.of(rank)], minlength=10) for rank in range(30)])
    assert {15, 16} == set(counts[counts > 0].tolist())
    assert counts.sum(axis=0).tolist() == [95] * 10


def test_a_class_is_shuffled_before_it_is_cut() -> None:
    """Scans of one class often lie in the order in which they were taken: writer by writer, day by day."""
    labels = np.repeat([0, 1], 50)
    cases: dict[str, dict[str, Any]] = {"pathological": {"num_classes_per_partition": 1}, "dirichlet": {"alpha": 1e3}}
    for name, params in cases.items():
        first = partition(name, labels, 4, DRAW, **params).of(0)
        zeros = first[first < 50]
        assert len(zeros) > 5
        assert np.ptp(zeros) > len(zeros) - 1


def test_classes_may_be_any_labels() -> None:
    labels = np.asarray(["setosa", "virginica", "versicolor"] * 20)
    result = partition("pathological", labels, 3, DRAW, num_classes_per_partition=1)
    assert [np.unique(labels[result.of(rank)]).tolist() for rank in range(3)] == [["setosa"], ["versicolor"], ["virginica"]]
    gaps = np.asarray([-5, 1000] * 20)
    assert partition("dirichlet", gaps, 2, DRAW, alpha=5.0).sizes.sum() == 40


def test_natural_owners_keep_their_examples() -> None:
    groups = np.asarray(["recife", "olinda", "recife", "natal", "olinda", "recife"])
    result = partition("natural-id", np.zeros(6), 3, DRAW, groups=groups)
    assert [result.of(rank).tolist() for rank in range(3)] == [[3], [1, 4], [0, 2, 5]]


def test_natural_owners_decide_on_the_number_of_clients() -> None:
    with pytest.raises(ExperimentError, match=r"federation\.clients is 3, and the partitioner makes 2 clients, by natural owner") as caught:
        partition("natural-id", np.zeros(4), 3, DRAW, groups=np.asarray([1, 1, 2, 2]))
    assert "federation.clients = 2" in caught.value.hint


@pytest.mark.parametrize("groups", [None, np.zeros(3)])
def test_natural_owners_must_be_known(groups: Any) -> None:
    with pytest.raises(DataError, match="owner of each example"):
        partition("natural-id", np.zeros(4), 1, DRAW, groups=groups)


@pytest.mark.parametrize("name", ["dirichlet", "pathological"])
@pytest.mark.parametrize("labels", [np.linspace(0, 1, 100), np.zeros((100, 2), int)])
def test_regression_targets_are_not_classes(name: str, labels: np.ndarray) -> None:
    with pytest.raises(DataError, match="regression") as caught:
        partition(name, labels, 5, DRAW, **PARAMETERS[name])
    assert "iid" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "clients", "params", "message"),
    [
        ("idd", 5, {}, "no partitioner 'idd'"),
        ("iid", 5, {"alpha": 1.0}, r"federation\.alpha does not go with partitioner 'iid'"),
        ("iid", 0, {}, "at least one client"),
        ("iid", 601, {}, "600 examples cannot be dealt out to 601 clients"),
        ("dirichlet", 5, {}, r"federation\.alpha is needed by partitioner 'dirichlet'"),
        ("dirichlet", 5, {"alpha": 0}, "alpha is 0"),
        ("dirichlet", 5, {"alpha": -1.0}, "alpha is -1"),
        ("dirichlet", 5, {"alpha": math.nan}, "alpha is nan"),
        ("dirichlet", 5, {"alpha": math.inf}, "alpha is inf"),
        ("dirichlet", 5, {"alpha": "big"}, "alpha is 'big'"),
        ("dirichlet", 100, {"alpha": 1.0}, "min-partition-size is 10; it must be a whole number of at most 6"),
        ("dirichlet", 5, {"alpha": 1.0, "min_partition_size": 0}, "min-partition-size is 0"),
        ("pathological", 5, {}, "num-classes-per-partition is needed"),
        ("pathological", 5, {"num_classes_per_partition": 11}, "num-classes-per-partition is 11; it must be a whole number of at most 10"),
        ("pathological", 5, {"num_classes_per_partition": 0}, "num-classes-per-partition is 0"),
        ("pathological", 5, {"num_classes_per_partition": 2.0}, r"num-classes-per-partition is 2\.0"),
        ("pathological", 5, {"num_classes_per_partition": 2, "class_assignment_mode": "fair"}, "'fair'"),
        ("pathological", 3, {"num_classes_per_partition": 2}, "is held by no client"),
        ("dirichlet", 5, {"alpha": [1.0, 2.0]}, "alpha is a list of 2; it must have one value for each client: 5"),
        ("dirichlet", 5, {"alpha": []}, "alpha is an empty list"),
        ("dirichlet", None, {"alpha": 1.0}, r"federation\.clients is None"),
        ("shard", 5, {}, "needs num-shards-per-partition or shard-size"),
        ("shard", 5, {"shard_size": 200}, "3 shards of 200 examples are too few for 5 clients"),
        ("shard", 5, {"shard_size": 100, "num_shards_per_partition": 2}, "6 shards of 100 examples are too few"),
        ("shard", 50, {"num_shards_per_partition": 13}, "num-shards-per-partition is 13; it must be a whole number of at most 12"),
        ("shard", 5, {"shard_size": 10, "keep_incomplete_shard": 1}, "keep-incomplete-shard is 1; it must be true or false"),
        ("size", None, {"partition_sizes": [600, 1]}, "sum to 601, and there are 600"),
        ("size", None, {"partition_sizes": [5, 1.5]}, r"partition-sizes is 1\.5 for client 1"),
        ("size", None, {"partition_sizes": 7}, "must be a list of sizes"),
        ("size", 3, {"partition_sizes": [5, 9]}, r"federation\.clients is 3, and the partitioner makes 2 clients"),
        ("inner-dirichlet", None, {"partition_sizes": [5, 9], "alpha": [1.0]}, "one value for each class: 10"),
        ("continuous", 5, {"strictness": 1.5}, r"strictness is 1\.5; it must be a number from 0 to 1"),
        ("distribution", 15, TABLE | {"distribution_array": [[1.0]]}, "needs a multiple of the 10 classes"),
        ("distribution", 20, TABLE | {"distribution_array": [[1.0, 1.0]]}, "has 1 rows of 2; it needs 10 rows, one for each class, of 2"),
        ("distribution", 10, TABLE | {"distribution_array": [[1.0]] * 9 + [[0.0]]}, "only zeros in row 9"),
        ("distribution", 10, TABLE | {"distribution_array": [[1.0], [-1.0]]}, r"holds -1\.0 in row 1"),
        ("distribution", 10, TABLE | {"preassigned_num_samples_per_label": 70}, "preassigned-num-samples-per-label is 70: class"),
        ("distribution", 10, TABLE | {"distribution_array": [[99.0]] * 10, "rescale": False}, "asks for 99 examples of class"),
    ],
)
def test_what_cannot_work_is_refused(name: str, clients: int | None, params: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        partition(name, digits(), clients, DRAW, **params)


def test_a_client_without_examples_is_refused() -> None:
    labels = np.asarray([0, 1, 1, 1, 1, 1])
    with pytest.raises(DataError, match="leaves client 2 without examples"):
        partition("pathological", labels, 4, DRAW, num_classes_per_partition=1)


def test_there_is_no_client_beyond_the_last() -> None:
    result = partition("iid", digits(), 5, DRAW)
    for rank in (-1, 5):
        with pytest.raises(DataError, match="clients 0 to 4"):
            result.of(rank)


def test_the_list_says_what_each_scheme_takes() -> None:
    assert list(PARTITIONERS) == [
        *("iid", "dirichlet", "pathological", "shard", "size", "linear", "square", "exponential", "natural-id", "grouped-natural-id"),
        *("continuous", "inner-dirichlet", "distribution"),
    ]
    assert PARTITIONERS["iid"].parameters == {}
    assert PARTITIONERS["dirichlet"].parameters == {"alpha": Parameter.empty, "min_partition_size": 10, "self_balancing": False}
    assert all("\n" not in entry.description and entry.description for entry in PARTITIONERS.values())


def test_a_manifest_describes_every_client() -> None:
    labels = digits()
    result = partition("dirichlet", labels, 6, Draw(42).at("partition"), alpha=1.0)
    record = json.loads(json.dumps(result.manifest(labels)))
    assert (record["partitioner"], record["seed"], record["alpha"]) == ("dirichlet", 42, 1.0)
    assert (record["clients"], record["examples"]) == (6, 600)
    assert record["labels"] == {str(label): int(count) for label, count in enumerate(np.bincount(labels))}
    assert record["heterogeneity"] == heterogeneity(result, labels)
    for rank, row in enumerate(record["per_client"]):
        mine = result.of(rank)
        assert row["size"] == len(mine)
        assert row["labels"] == np.bincount(labels[mine], minlength=10).tolist()
        assert row["sha256"] == sha256(mine.astype("<i8").tobytes()).hexdigest()
    assert record["sizes"]["max"] == max(row["size"] for row in record["per_client"])


def test_the_manifests_digest_sees_who_owns_what() -> None:
    two = Partition(np.arange(4), np.asarray([0, 2, 4]))
    other = Partition(np.arange(4), np.asarray([0, 1, 4]))
    assert two.manifest(np.zeros(4))["sha256"] != other.manifest(np.zeros(4))["sha256"]


def test_a_manifest_of_regression_counts_no_labels() -> None:
    record = partition("iid", np.linspace(0, 1, 30), 3, DRAW).manifest(np.linspace(0, 1, 30))
    assert "labels" not in record
    assert "heterogeneity" not in record
    assert [row["size"] for row in record["per_client"]] == [10, 10, 10]


def test_heterogeneity_of_known_cases() -> None:
    labels = np.asarray([0, 1] * 4)
    alike = Partition(np.arange(8), np.asarray([0, 4, 8]))
    apart = Partition(np.asarray([0, 2, 4, 6, 1, 3, 5, 7]), np.asarray([0, 4, 8]))
    half = Partition(np.asarray([0, 2, 4, 1, 3, 5, 7, 6]), np.asarray([0, 4, 8]))
    assert heterogeneity(alike, labels) == 0.0
    assert heterogeneity(apart, labels) == 0.5
    assert heterogeneity(half, labels) == 0.25
    many = np.arange(1_000)
    assert heterogeneity(partition("iid", many, 1_000, DRAW), many) == pytest.approx(0.999)


@given(dealt())
def test_heterogeneity_lies_between_0_and_1(case: Any) -> None:
    assert 0.0 <= heterogeneity(case[0], case[1]) <= 1.0
    assert 0.0 <= chance_heterogeneity(case[0], case[1]) <= 1.0


@pytest.mark.parametrize("clients", [2, 10, 100, 600])
def test_chance_alone_makes_small_clients_unlike(clients: int) -> None:
    labels = digits()
    found = [heterogeneity(partition("iid", labels, clients, Draw(seed)), labels) for seed in range(30)]
    assert np.mean(found) == pytest.approx(chance_heterogeneity(partition("iid", labels, clients, DRAW), labels), rel=0.05)


def test_the_whole_is_what_was_dealt() -> None:
    labels = np.asarray([0, 1, 0, 1, 2, 2, 2, 2])
    assert heterogeneity(Partition(np.asarray([0, 1, 2, 3]), np.asarray([0, 2, 4])), labels) == 0.0


def test_targets_are_put_into_bins_of_equal_size() -> None:
    targets = np.random.default_rng(0).lognormal(size=1_000)
    bins = binned(targets)
    assert np.bincount(bins).tolist() == [100] * 10
    assert (np.diff(bins[np.argsort(targets)]) >= 0).all()
    assert len(set(binned(np.ones((5, 2))))) == 1
    assert np.array_equal(binned(np.stack([targets, -targets], axis=1)), bins)


def test_heterogeneity_needs_classes_and_examples() -> None:
    with pytest.raises(DataError, match="not classes"):
        heterogeneity(Partition(np.arange(2), np.asarray([0, 2])), np.asarray([0.5, 0.7]))
    with pytest.raises(DataError, match="Client 1 has no examples"):
        heterogeneity(Partition(np.arange(2), np.asarray([0, 2, 2])), np.asarray([0, 1]))


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("iid", {}),
        ("pathological", {"num_classes_per_partition": 2}),
        ("shard", {"num_shards_per_partition": 1}),
        ("natural-id", {}),
    ],
)
def test_a_million_clients_fit_in_100_megabytes(name: str, params: dict[str, Any]) -> None:
    clients, examples = 1_000_000, 3_000_000
    labels = digits(examples).astype(np.int64)
    if name == "natural-id":
        params = {"groups": Draw(1).permutation(examples) % clients}
    tracemalloc.start()
    try:
        result = partition(name, labels, clients, DRAW, **params)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100e6
    assert result.num_clients == clients
    assert np.array_equal(np.bincount(result.indices, minlength=examples), np.ones(examples))
    assert "per_client" not in result.manifest(labels)


@example(1, 0.0, 0.9, 0)
@example(1, 0.9, 0.0, 0)
@example(2, 0.45, 0.5, 0)
@given(st.integers(0, 60), st.floats(0, 1), st.floats(0, 1), st.integers())
def test_a_split_keeps_every_example_once(n: int, validation: float, test: float, seed: int) -> None:
    assume(validation + test < 1)
    index = np.arange(n) * 3 + 1
    parts = split(index, Draw(seed), validation, test)
    assert np.array_equal(np.sort(np.concatenate(parts)), index)
    assert all((np.diff(part) > 0).all() for part in parts)
    assert len(parts[0]) >= min(n, 1)
    assert len(parts[1]) <= math.floor(validation * n + 0.5)
    assert len(parts[2]) <= math.floor(test * n + 0.5)


def test_a_split_has_the_asked_sizes_and_is_shuffled() -> None:
    index = np.arange(100)
    train, validation, test = split(index, DRAW, 0.1, "0.2")
    assert (len(train), len(validation), len(test)) == (70, 10, 20)
    assert not np.array_equal(test, np.arange(min(test), min(test) + 20))
    again = split(index, DRAW, 0.1, 0.2)
    assert all(np.array_equal(a, b) for a, b in zip((train, validation, test), again, strict=True))
    assert not np.array_equal(split(index, Draw(2), 0.1, 0.2)[2], test)


@pytest.mark.parametrize(("validation", "test"), [(0.5, 0.5), (1.0, 0.0), (-0.1, 0.0), (0.0, 1.5), (math.nan, 0.1)])
def test_a_split_that_leaves_nothing_is_refused(validation: float, test: float) -> None:
    with pytest.raises(ExperimentError):
        split(np.arange(10), DRAW, validation, test)


def test_every_parameter_of_a_scheme_has_a_check() -> None:
    assert {parameter for entry in PARTITIONERS.values() for parameter in entry.parameters} == set(CHECKS)


@pytest.mark.parametrize("mode", ["allow-bigger", "drop-reminder", "strict"])
def test_fewer_owners_than_a_group_are_refused(mode: str) -> None:
    with pytest.raises(ExperimentError, match="3 natural owners cannot be put together in groups of 4"):
        partition("grouped-natural-id", np.zeros(3), None, DRAW, groups=np.arange(3), group_size=4, mode=mode)


def test_a_remainder_of_owners_is_refused_when_strict() -> None:
    with pytest.raises(ExperimentError, match=r"5 natural owners .* groups of 2 with mode 'strict'"):
        partition("grouped-natural-id", np.zeros(5), None, DRAW, groups=np.arange(5), group_size=2, mode="strict")


def test_targets_that_cannot_be_sorted_are_refused() -> None:
    for labels, message in (
        (np.asarray(["a", "b"]), "not one number for each example"),
        (np.zeros((2, 2)), "not one number for each example"),
        (np.asarray([1.0, np.nan]), "example 1 has none"),
        (np.ones(2), "all targets are the same"),
    ):
        with pytest.raises(DataError, match=message):
            partition("continuous", labels, 2, DRAW, strictness=0.5)
    assert partition("continuous", np.ones(4), 2, DRAW, strictness=0).sizes.tolist() == [2, 2]


def test_the_tiniest_clients_of_an_exponential_are_refused() -> None:
    with pytest.raises(DataError, match="leaves client 0 without examples"):
        partition("exponential", np.zeros(1_000), 1_000, DRAW)


def test_a_class_that_is_used_up_is_drawn_no_more() -> None:
    """Every client wants class 0 only, of which there are 10: the others get what there is."""
    labels = np.repeat([0, 1, 2], [10, 50, 60])
    result = partition("inner-dirichlet", labels, None, DRAW, partition_sizes=[30] * 4, alpha=[50.0, 1e-9, 1e-9])
    assert result.sizes.tolist() == [30] * 4
    zeros = [int((labels[result.of(rank)] == 0).sum()) for rank in range(4)]
    assert sum(zeros) == 10
    assert max(zeros) < 10, "turns are shared out evenly"
