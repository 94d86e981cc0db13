"""`ciranda partition` for any partition: what is shown adds up, in text, picture and manifest."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.cli.partition import BAR, OTHER, SHOWN_CLIENTS, SIGNS, Dealt, deal, dealt_of, lines
from ciranda.core.errors import DataError
from ciranda.core.partition import PARTITIONERS, Partition, partition
from ciranda.core.rng import Draw
from ciranda.experiment.load import resolve


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "en")


OWNERS = st.lists(st.integers(0, 8), min_size=9, max_size=80).map(lambda them: [*range(max(them) + 1), *them])


def owned(owners: list[int], labels: np.ndarray, names: tuple[str, ...] = ()) -> Dealt:
    """Every client's examples, dealt by hand; everybody has one at least."""
    order = np.argsort(owners, kind="stable")
    sizes = np.bincount(owners)
    return dealt_of("toys: by hand", Partition(order, np.concatenate([[0], np.cumsum(sizes)]), {"partitioner": "by hand"}), labels, names)


def bars(dealt: Dealt) -> dict[int, tuple[int, str]]:
    """Client -> (size, bar)."""
    found = [re.fullmatch(r" *(\d+) +([\d,]+)  (\S*)", line) for line in lines(dealt)]
    return {int(match[1]): (int(match[2].replace(",", "")), match[3]) for match in found if match}


@given(OWNERS, st.integers(1, 5), st.integers(0, 9))
def test_every_bar_is_as_long_as_its_client_is_large_and_shares_it_by_class(owners: list[int], classes: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, classes, len(owners))
    dealt = owned(owners, labels)
    sizes = np.bincount(owners)
    shown = bars(dealt)
    assert list(shown) == list(range(len(sizes)))
    present = np.unique(labels).tolist()
    for client, (size, bar) in shown.items():
        assert size == sizes[client]
        assert abs(len(bar) - BAR * size / sizes.max()) <= 0.5
        for place, label in enumerate(present):
            own = int((labels[np.array(owners) == client] == label).sum())
            assert abs(bar.count(SIGNS[place]) - BAR * own / sizes.max()) <= 1
        assert list(bar) == sorted(bar)


@given(OWNERS, st.integers(1, 5))
def test_counts_are_those_of_the_examples(owners: list[int], classes: int) -> None:
    labels = np.arange(len(owners)) % classes
    dealt = owned(owners, labels)
    assert dealt.counts.sum() == len(owners)
    assert dealt.counts.sum(axis=1).tolist() == np.bincount(owners).tolist()
    assert dealt.counts.sum(axis=0).tolist() == np.bincount(labels).tolist()


@given(st.lists(st.sampled_from([0, 3, 7]), min_size=10, max_size=40))
def test_names_go_with_their_labels_where_some_do_not_occur(labels: list[int]) -> None:
    names = tuple("abcdefghij")
    dealt = owned([place % 3 for place in range(len(labels))], np.array(labels), names)
    assert dealt.shown == [names[label] for label in sorted(set(labels))]
    legend = [line for line in lines(dealt) if line.startswith("0 ")][-1]
    assert legend == "  ".join(f"{SIGNS[place]} {name}" for place, name in enumerate(dealt.shown))


@pytest.mark.parametrize("clients", [1, SHOWN_CLIENTS, SHOWN_CLIENTS + 1, 500])
def test_at_most_twenty_clients_are_shown_spread_evenly(clients: int) -> None:
    y = np.random.default_rng(0).integers(0, 2, 1_000)
    dealt = dealt_of("toys", partition("iid", y, clients, Draw(1)), y, ())
    shown = list(bars(dealt))
    assert len(shown) == min(clients, SHOWN_CLIENTS)
    assert (shown[0], shown[-1]) == (0, clients - 1)
    if clients > SHOWN_CLIENTS:
        gaps = np.diff(shown)
        assert gaps.max() - gaps.min() <= 1
        assert f"({SHOWN_CLIENTS} of {clients} clients)" in lines(dealt)


@pytest.mark.parametrize("classes", [len(SIGNS), len(SIGNS) + 1])
def test_only_what_has_no_sign_of_its_own_is_among_the_others(classes: int) -> None:
    labels = np.arange(classes * 4) % classes
    text = "\n".join(lines(owned([0, 1] * (2 * classes), labels)))
    assert (f"{OTHER} the others" in text) == (classes > len(SIGNS))


@given(st.lists(st.floats(-1e6, 1e6), min_size=20, max_size=60, unique=True))
def test_tenths_of_a_target_rise_with_it(targets: list[float]) -> None:
    dealt = owned([place % 4 for place in range(len(targets))], np.array(targets))
    assert dealt.targets is not None
    order = np.argsort(dealt.targets)
    assert (np.diff(dealt.labels[order]) >= 0).all()
    assert dealt.labels.min() == 0
    assert dealt.labels.max() == 9


def test_a_client_without_examples_is_named() -> None:
    empty = Partition(np.arange(6), np.array([0, 6, 6]), {"partitioner": "by hand"})
    with pytest.raises(DataError, match="Client 1 has no examples"):
        lines(dealt_of("toys", empty, np.zeros(6, np.int64), ()))


SETTINGS: dict[str, dict[str, Any]] = {
    "iid": {},
    "linear": {},
    "square": {},
    "exponential": {},
    "dirichlet": {"alpha": 0.5},
    "pathological": {"num-classes-per-partition": 2},
    "shard": {"num-shards-per-partition": 2},
    "size": {"partition-sizes": [20, 30]},
}


@pytest.mark.parametrize("name", sorted(SETTINGS.keys() & PARTITIONERS.keys()))
def test_text_and_manifest_of_a_partitioner_agree(name: str) -> None:
    sizes = {} if name == "size" else {"clients": 5}
    settings = {"partitioner": name, **sizes, **SETTINGS[name]}
    dealt, manifest = deal(resolve("iris", [f"federation.{key}={value}" for key, value in settings.items()]))
    clients: Any = manifest["per_client"]
    assert [client["size"] for client in clients] == dealt.partition.sizes.tolist()
    shown = bars(dealt)
    assert [shown[client][0] for client in shown] == dealt.partition.sizes[list(shown)].tolist()
    assert dealt.title.startswith(f"iris: {name}")
    for key, value in SETTINGS[name].items():
        assert f"{key} {value}" in dealt.title
    left_out = len(dealt.labels) - len(dealt.partition.indices)
    assert any("Left out" in line for line in lines(dealt)) == bool(left_out)


@given(st.integers(0, 1000))
def test_the_seed_alone_decides_who_holds_what(seed: int) -> None:
    one, two = (deal(resolve("iris", ["federation.clients=4", f"experiment.seed={seed}"]))[1] for _ in range(2))
    assert one == two
    assert one["sha256"] != deal(resolve("iris", ["federation.clients=4", f"experiment.seed={seed + 1}"]))[1]["sha256"]
