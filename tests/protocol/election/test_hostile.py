"""S4 and its liveness for 5 peers under loss, repetition, delay, reordering, partition and crashes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciranda.protocol.election import Received, Refuse, initial, step
from tests.protocol.election import peers
from tests.protocol.election.test_exploration import Half, forgets_its_support
from tests.protocol.election.world import World

RULES = ("highest-vote", "plurality")


def live_through(world: World, turns: int, dead: Sequence[str] = ()) -> None:
    try:
        world.start()
        world.be_hostile(turns)
        world.be_fair(dead)
    except AssertionError as error:
        error.add_note("\n".join(world.trail[-40:]))
        raise


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("block", range(4))
def test_seeded_trouble(rule: str, block: int) -> None:
    for seed in range(block * 10, block * 10 + 10):
        pick = random.Random(seed)
        dead = pick.sample("abcde", pick.randrange(3))
        live_through(World(peers.electorate(5, rule, pick.choice([3, 5])), pick.randrange), pick.randrange(500), dead)


@pytest.mark.slow
@pytest.mark.parametrize("size", [3, 4, 5, 6, 7])
def test_long_trouble(size: int) -> None:
    for seed in range(1000, 1030):
        pick = random.Random(seed)
        dead = pick.sample("abcdefg"[:size], pick.randrange((size + 1) // 2))
        live_through(World(peers.electorate(size, pick.choice(RULES)), pick.randrange), pick.randrange(1500), dead)


@settings(max_examples=50)
@given(st.sampled_from(RULES), st.lists(st.integers(0, 5039), max_size=200), st.sets(st.sampled_from("abcde"), max_size=2))
def test_drawn_trouble(rule: str, schedule: list[int], dead: set[str]) -> None:
    draws = iter(schedule)
    # 5040 is divisible by most small numbers of choices, so every one of them can be drawn.
    live_through(World(peers.electorate(5, rule), lambda n: next(draws, 0) % n), len(schedule), sorted(dead))


def test_trouble_finds_a_second_support() -> None:
    with pytest.raises(AssertionError, match="supported twice"):
        trouble_only(lambda choose: World(peers.electorate(5), choose, step=forgets_its_support))


def test_trouble_finds_too_small_a_majority() -> None:
    with pytest.raises(AssertionError, match="two controllers"):
        trouble_only(lambda choose: World(Half("run", tuple("abc"), tuple("abc")), choose))


def trouble_only(make: Callable[[Callable[[int], int]], World]) -> None:
    for seed in range(30):
        world = make(random.Random(seed).randrange)
        world.start()
        world.be_hostile(1000)


# --- without trouble


@pytest.mark.parametrize("size", range(1, 8))
@pytest.mark.parametrize("rule", RULES)
def test_when_all_is_well_the_first_term_elects(size: int, rule: str) -> None:
    world = World(peers.electorate(size, rule))
    world.start()
    world.deliver_all()
    assert world.agreed()
    assert set(world.roles.values()) == {(1, world.leaders[1])}
    votes = {name: peers.any_vote(name, 1) for name in world.names}
    if rule == "highest-vote":
        assert world.leaders == {1: max(votes, key=lambda name: votes[name])}
    else:
        ballots = [world.names[vote % size] for vote in votes.values()]
        assert world.leaders == {1: max(world.names, key=lambda name: (ballots.count(name), name))}


@pytest.mark.parametrize("rule", RULES)
def test_the_winners_death_is_followed_by_another_election(rule: str) -> None:
    world = World(peers.electorate(5, rule))
    world.start()
    world.deliver_all()
    first = world.leaders[1]
    world.be_fair([first])
    term, controller = next(iter({world.roles[name] for name in world.names if name != first}))
    assert term > 1
    assert controller != first
    # The old controller comes back, believing that it leads, and is told otherwise.
    world.dead.clear()
    world.crash(first)
    world.deliver_all()
    assert world.roles[first] == (term, controller)
    assert world.refused["old-term"] > 0


# --- junk


@settings(max_examples=200)
@given(st.one_of(st.binary(max_size=80), st.text(max_size=80), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(str)))
def test_junk_changes_nothing(junk: Any) -> None:
    config = peers.config(peers.electorate(3), "a")
    state = initial()
    assert step(config, state, Received(junk)) == (state, (Refuse("", "malformed"),))


@settings(max_examples=150)
@given(st.randoms(use_true_random=False), st.integers(0, 400))
def test_damaged_messages_change_nothing(pick: random.Random, turns: int) -> None:
    world = World(peers.electorate(3), pick.randrange)
    world.start()
    world.be_hostile(turns // 8)
    for text in pick.sample(world.past, min(len(world.past), 5)):
        for name in world.names:
            place, state = pick.randrange(len(text)), world.state(name)
            damaged = text[:place] + pick.choice('0a"}\ud800 9{') + text[place + 1 :]
            if damaged != text:
                assert step(world.configs[name], state, Received(damaged))[0] is state
