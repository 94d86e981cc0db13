"""S4 for 3 peers and 2 terms: all that can happen, happens (`exploration`); and the exploration notices what would break it."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from ciranda.protocol import election
from ciranda.protocol.election import Command, Config, Electorate, Event, State, TimerFired
from ciranda.protocol.election.messages import Support, seal_of
from tests.protocol.election import peers
from tests.protocol.election.exploration import Exploration


def ranked(*orders: str) -> peers.Draw:
    """Votes whose order in term t is orders[t - 1], or the last one beyond, lowest first."""
    return lambda name, term: orders[min(term, len(orders)) - 1].index(name) + 1


def supported_once(exploration: Exploration, pool: int) -> None:
    said = [(message.sender, message.term) for message in exploration.said(pool) if isinstance(message, Support)]
    assert len(said) == len(set(said)), "somebody supported twice"


def explore(exploration: Exploration) -> set[tuple[tuple[int, str], ...]]:
    """Everything that can happen, none of it with two controllers in a term; returns who can have controlled what."""
    found = set()

    def check(pool: int) -> None:
        exploration.one_controller(pool)
        supported_once(exploration, pool)
        found.add(tuple(sorted((term, name) for term, names in exploration.controllers(pool).items() for name in names)))

    exploration.run(check)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("second", ["".join(order) for order in permutations("abc")])
def test_three_peers_and_two_terms(second: str) -> None:
    # Names are interchangeable where votes differ: with the first term's order fixed, these are all orders there are.
    exploration = Exploration(peers.electorate(3), 2, ranked("abc", second))
    found = explore(exploration)
    print(f"abc/{second}: {exploration.states} states, {exploration.transitions} transitions, {len(exploration.pools)} sets of messages")
    # Who has the lowest vote can never win; everything else is possible, so the exploration went everywhere.
    likely = ["", *second[1:]]
    possible = {tuple((term, name) for term, name in enumerate((one, two), 1) if name) for one in ("", "b", "c") for two in likely}
    assert found == possible


@pytest.mark.slow
@pytest.mark.parametrize("votes", [(0, 0, 0), (0, 1, 2), (1, 0, 0), (1, 2, 0)])
def test_three_peers_and_two_terms_by_plurality(votes: tuple[int, int, int]) -> None:
    exploration = Exploration(peers.electorate(3, "plurality"), 2, lambda name, term: votes["abc".index(name)] + term)
    assert {term for controlled in explore(exploration) for term, _ in controlled} == {1, 2}


@pytest.mark.slow
def test_two_candidates_among_three() -> None:
    exploration = Exploration(peers.electorate(3, candidates=2), 2, ranked("abc", "bca"))
    controlled = {controller for each in explore(exploration) for controller in each}
    assert controlled == {(1, "a"), (1, "b"), (2, "a"), (2, "b")}


@pytest.mark.parametrize(("size", "terms"), [(2, 2), (3, 1)])
@pytest.mark.parametrize("rule", ["highest-vote", "plurality"])
def test_what_is_left_out_makes_no_difference(size: int, terms: int, rule: str) -> None:
    voters = peers.electorate(size, rule)
    short, whole = (Exploration(voters, terms, ranked("abc", "bca"), reduced=reduced) for reduced in (True, False))
    assert explore(short) == explore(whole)
    assert short.pools == whole.pools
    assert short.states < whole.states


# --- the exploration can fail


def forgets_its_support(config: Config, state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    """Begins the same term again when nothing comes of it: a second support."""
    if isinstance(event, TimerFired) and event.id == state.timer and state.phase == "supporting":
        fresh = replace(state, phase="sealing", supported="", supports={}, suspects={})
        after, commands = election.step(config, replace(fresh, seals={config.me: seal(config, state.term)}), election.Recovered())
        return after, tuple(command for command in commands if not isinstance(command, election.Vacate))
    return election.step(config, state, event)


def seal(config: Config, term: int) -> str:
    return seal_of(config.electorate.run, term, config.me, *config.draw(term))


def test_a_second_support_is_noticed() -> None:
    exploration = Exploration(peers.electorate(3), 1, ranked("abc"), step=forgets_its_support)
    with pytest.raises(AssertionError, match="two controllers in term 1"):
        exploration.run(exploration.one_controller)
    exploration.pools.clear()
    with pytest.raises(AssertionError, match="supported twice"):
        exploration.run(lambda pool: supported_once(exploration, pool))


class Half(Electorate):
    """One third of three is enough for it."""

    @property
    def majority(self) -> int:
        return len(self.voters) // 2


def test_too_small_a_majority_is_noticed() -> None:
    exploration = Exploration(Half("run", ("a", "b", "c"), ("a", "b", "c")), 1, ranked("abc"))
    with pytest.raises(AssertionError, match="two controllers in term 1"):
        exploration.run(exploration.one_controller)
