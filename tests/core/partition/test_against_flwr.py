"""Every scheme beside flwr-datasets' partitioner of that name, on the same labels.

What is not random must be equal. What is random is drawn with many seeds on both sides, and some numbers of every draw are compared as two
samples: by Kolmogorov and Smirnov's test and by their means, with seeds that are fixed, so that a test that passes once passes always.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ciranda.core.partition import Partition, heterogeneity, partition
from ciranda.core.rng import Draw

datasets = pytest.importorskip("datasets")
theirs = pytest.importorskip("flwr_datasets.partitioner")
stats = pytest.importorskip("scipy.stats")

SEEDS = range(60)
LABELS = np.random.default_rng(5).choice(6, 480, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
CLIENTS = 8
Statistic = Callable[[list[np.ndarray]], float]


def deal_theirs(make: Callable[[int], Any], column: str = "label", values: Any = LABELS, seed: int = 0) -> list[np.ndarray]:
    """The examples of each client by their partitioner."""
    partitioner = make(seed)
    partitioner.dataset = datasets.Dataset.from_dict({column: values.tolist(), "row": list(range(len(values)))})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [np.sort(np.asarray(partitioner.load_partition(rank)["row"], np.int64)) for rank in range(partitioner.num_partitions)]


def deal_ours(name: str, clients: int | None = CLIENTS, seed: int = 0, labels: Any = LABELS, **params: Any) -> list[np.ndarray]:
    result = partition(name, labels, clients, Draw(seed), **params)
    return [result.of(rank) for rank in range(result.num_clients)]


def table(dealt: list[np.ndarray]) -> np.ndarray:
    """Label counts, shape (clients, classes)."""
    return np.stack([np.bincount(LABELS[rows], minlength=6) for rows in dealt])


def score(dealt: list[np.ndarray]) -> float:
    offsets = np.cumsum([0, *map(len, dealt)])
    return heterogeneity(Partition(np.concatenate(dealt), offsets), LABELS)


def unlike(ours: Any, them: Any) -> str:
    """How two samples differ more than chance explains, or ""."""
    one, two = np.asarray(ours, float), np.asarray(them, float)
    error = np.sqrt(one.var() / len(one) + two.var() / len(two))
    far = abs(one.mean() - two.mean()) > 4 * error + 1e-9
    chance = stats.ks_2samp(one, two, method="asymp").pvalue
    return f"{one.mean():.3f} +- {one.std():.3f} against {two.mean():.3f} +- {two.std():.3f}" if far or chance < 1e-3 else ""


STATISTICS: dict[str, Statistic] = {
    "size of the first": lambda dealt: len(dealt[0]),
    "size of the last": lambda dealt: len(dealt[-1]),
    "largest": lambda dealt: max(map(len, dealt)),
    "smallest": lambda dealt: min(map(len, dealt)),
    "heterogeneity": score,
    "first class at the first": lambda dealt: table(dealt)[0, 0],
    "last class at the last": lambda dealt: table(dealt)[-1, -1],
    "classes at the first": lambda dealt: float(np.count_nonzero(table(dealt)[0])),
    "largest cell": lambda dealt: table(dealt).max(),
    "share of the commonest class of client 1": lambda dealt: (table(dealt)[1] / table(dealt)[1].sum()).max(),
}
RANDOM: dict[str, tuple[str, int | None, dict[str, Any], Callable[[int], Any]]] = {
    "dirichlet": (
        "dirichlet",
        CLIENTS,
        {"alpha": 0.5, "min_partition_size": 5},
        lambda seed: theirs.DirichletPartitioner(CLIENTS, "label", 0.5, min_partition_size=5, seed=seed),
    ),
    "dirichlet, an alpha each": (
        "dirichlet",
        CLIENTS,
        {"alpha": [0.5, *[2.0] * 6, 9.0], "min_partition_size": 1},
        lambda seed: theirs.DirichletPartitioner(CLIENTS, "label", [0.5, *[2.0] * 6, 9.0], min_partition_size=1, seed=seed),
    ),
    "dirichlet, balanced": (
        "dirichlet",
        CLIENTS,
        {"alpha": 0.3, "min_partition_size": 1, "self_balancing": True},
        lambda seed: theirs.DirichletPartitioner(CLIENTS, "label", 0.3, min_partition_size=1, self_balancing=True, seed=seed),
    ),
    "pathological": (
        "pathological",
        CLIENTS,
        {"num_classes_per_partition": 3},
        lambda seed: theirs.PathologicalPartitioner(CLIENTS, "label", 3, class_assignment_mode="first-deterministic", seed=seed),
    ),
    "shard": (
        "shard",
        CLIENTS,
        {"num_shards_per_partition": 3},
        lambda seed: theirs.ShardPartitioner(CLIENTS, "label", num_shards_per_partition=3, seed=seed),
    ),
    "shard of a size": (
        "shard",
        CLIENTS,
        {"shard_size": 23, "keep_incomplete_shard": True},
        lambda seed: theirs.ShardPartitioner(CLIENTS, "label", shard_size=23, keep_incomplete_shard=True, seed=seed),
    ),
    "shard, the last one dropped": (
        "shard",
        CLIENTS,
        {"shard_size": 23},
        lambda seed: theirs.ShardPartitioner(CLIENTS, "label", shard_size=23, seed=seed),
    ),
    "shard, so many of a size": (
        "shard",
        CLIENTS,
        {"shard_size": 15, "num_shards_per_partition": 2},
        lambda seed: theirs.ShardPartitioner(CLIENTS, "label", shard_size=15, num_shards_per_partition=2, seed=seed),
    ),
    "inner-dirichlet": (
        "inner-dirichlet",
        None,
        {"partition_sizes": [60] * CLIENTS, "alpha": 0.5},
        lambda seed: theirs.InnerDirichletPartitioner([60] * CLIENTS, "label", 0.5, seed=seed),
    ),
    "inner-dirichlet, unlike sizes": (
        "inner-dirichlet",
        None,
        {"partition_sizes": [20, *[40] * 6, 110], "alpha": [0.2, 0.2, 1.0, 1.0, 1.0, 5.0]},
        lambda seed: theirs.InnerDirichletPartitioner([20, *[40] * 6, 110], "label", [0.2, 0.2, 1.0, 1.0, 1.0, 5.0], seed=seed),
    ),
}


@pytest.mark.parametrize("case", RANDOM)
def test_what_is_random_has_their_distribution(case: str) -> None:
    name, clients, params, make = RANDOM[case]
    ours = [deal_ours(name, clients, seed, **params) for seed in SEEDS]
    them = [deal_theirs(make, seed=seed) for seed in SEEDS]
    for what, statistic in STATISTICS.items():
        assert not unlike([statistic(dealt) for dealt in ours], [statistic(dealt) for dealt in them]), what


def test_the_comparison_sees_another_alpha() -> None:
    """A test that could not fail would show nothing: Dirichlet with 1.0 against theirs with 0.5."""
    make = RANDOM["dirichlet"][3]
    ours = [score(deal_ours("dirichlet", seed=seed, alpha=1.0, min_partition_size=5)) for seed in SEEDS]
    assert unlike(ours, [score(deal_theirs(make, seed=seed)) for seed in SEEDS])


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("iid", lambda: theirs.IidPartitioner(7)),
        ("linear", lambda: theirs.LinearPartitioner(7)),
        ("square", lambda: theirs.SquarePartitioner(7)),
        ("exponential", lambda: theirs.ExponentialPartitioner(5)),
    ],
)
def test_sizes_are_theirs(name: str, make: Callable[[], Any]) -> None:
    them = [len(rows) for rows in deal_theirs(lambda seed: make())]
    assert [len(rows) for rows in deal_ours(name, len(them))] == them


def test_given_sizes_are_theirs_and_the_rest_is_left_out() -> None:
    sizes = [100, 7, 250]
    them = deal_theirs(lambda seed: theirs.SizePartitioner(sizes))
    assert [len(rows) for rows in deal_ours("size", None, partition_sizes=sizes)] == [len(rows) for rows in them] == sizes


def test_the_deterministic_assignment_of_classes_is_theirs() -> None:
    them = deal_theirs(lambda seed: theirs.PathologicalPartitioner(CLIENTS, "label", 2, class_assignment_mode="deterministic"))
    ours = deal_ours("pathological", num_classes_per_partition=2, class_assignment_mode="deterministic")
    assert np.array_equal(table(ours), table(them))


def test_the_random_assignment_of_classes_is_theirs() -> None:
    """With 40 clients every class is held by some; which ones is compared by how many classes two clients share."""

    def shared(dealt: list[np.ndarray]) -> int:
        held = table(dealt) > 0
        return int((held[0] & held[1]).sum() + (held[2] & held[3]).sum())

    seeds = range(30)
    ours = [shared(deal_ours("pathological", 40, seed, num_classes_per_partition=3, class_assignment_mode="random")) for seed in seeds]
    them = [
        shared(
            deal_theirs(lambda seed: theirs.PathologicalPartitioner(40, "label", 3, class_assignment_mode="random", seed=seed), seed=seed)
        )
        for seed in seeds
    ]
    assert not unlike(ours, them)
    assert len(set(ours)) > 2


def test_natural_owners_are_theirs_in_ascending_order() -> None:
    owners = np.array([f"hospital {number}" for number in np.random.default_rng(1).integers(0, 9, 120)])
    partitioner = theirs.NaturalIdPartitioner(partition_by="owner")
    them = deal_theirs(lambda seed: partitioner, "owner", owners)
    ours = deal_ours("natural-id", None, labels=np.zeros(120), groups=owners)
    by_name = sorted(partitioner.partition_id_to_natural_id, key=partitioner.partition_id_to_natural_id.__getitem__)
    assert [rows.tolist() for rows in ours] == [them[number].tolist() for number in by_name]


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize(
    ("mode", "size"), [("allow-smaller", 4), ("allow-smaller", 99), ("allow-bigger", 4), ("drop-reminder", 4), ("strict", 3), ("strict", 9)]
)
def test_groups_of_natural_owners_are_theirs(mode: str, size: int, ordered: bool) -> None:
    owners = np.concatenate([[4, 2, 0, 7, 8, 1, 3, 6, 5], np.random.default_rng(1).integers(0, 9, 91)])
    them = deal_theirs(lambda seed: theirs.GroupedNaturalIdPartitioner("owner", size, mode, ordered), "owner", owners)
    ours = deal_ours("grouped-natural-id", None, labels=owners, groups=owners, group_size=size, mode=mode, sort_unique_ids=ordered)
    assert [rows.tolist() for rows in ours] == [rows.tolist() for rows in them]


def test_the_strictest_order_of_a_continuous_target_is_theirs() -> None:
    target = np.random.default_rng(2).lognormal(size=101)
    them = deal_theirs(lambda seed: theirs.ContinuousPartitioner(CLIENTS, "target", 1.0), "target", target)
    ours = deal_ours("continuous", labels=target, strictness=1)
    assert [rows.tolist() for rows in ours] == [rows.tolist() for rows in them]


@pytest.mark.parametrize("strictness", [0.0, 0.3, 0.7])
def test_less_strict_orders_have_their_distribution(strictness: float) -> None:
    target = np.random.default_rng(2).lognormal(size=200)

    def means(dealt: list[np.ndarray]) -> list[float]:
        return [target[rows].mean() for rows in (dealt[0], dealt[3], dealt[-1])]

    ours = np.array([means(deal_ours("continuous", seed=seed, labels=target, strictness=strictness)) for seed in SEEDS])
    them = np.array(
        [
            means(deal_theirs(lambda seed: theirs.ContinuousPartitioner(CLIENTS, "target", strictness, seed=seed), "target", target, seed))
            for seed in SEEDS
        ]
    )
    assert not any(unlike(ours[:, column], them[:, column]) for column in range(3))


@pytest.mark.parametrize("clients", [6, 12])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_a_distribution_by_hand_is_dealt_as_theirs(clients: int, k: int) -> None:
    """Equal but for who gets what rounding left: at most one example for each holder of a class."""
    shares = np.random.default_rng(3).lognormal(0.0, 1.0, (6, k * clients // 6))
    them = deal_theirs(lambda seed: theirs.DistributionPartitioner(shares, clients, k, "label", 2))
    ours = deal_ours(
        "distribution", clients, distribution_array=shares, num_unique_labels_per_partition=k, preassigned_num_samples_per_label=2
    )
    difference = table(ours) - table(them)
    assert (difference.sum(axis=0) == 0).all()
    assert ((difference != 0).sum(axis=0) <= 2).all()
    assert np.abs(difference).max() < shares.shape[1]


def test_numbers_by_hand_are_dealt_as_theirs() -> None:
    numbers = np.array([[5, 9], [3, 1], [2, 2], [8, 1], [1, 1], [4, 30]])
    them = deal_theirs(lambda seed: theirs.DistributionPartitioner(numbers, 6, 2, "label", 0, rescale=False))
    ours = deal_ours(
        "distribution",
        6,
        distribution_array=numbers,
        num_unique_labels_per_partition=2,
        preassigned_num_samples_per_label=0,
        rescale=False,
    )
    assert np.array_equal(table(ours), table(them))
