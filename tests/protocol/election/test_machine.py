"""One peer's answers, event by event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from ciranda.core.errors import CodecError, ExperimentError
from ciranda.protocol.election import (
    Arm,
    Command,
    Electorate,
    Event,
    Follow,
    Heard,
    Lead,
    Message,
    Received,
    Recovered,
    Refuse,
    Send,
    Started,
    State,
    Suspected,
    TimerFired,
    Vacate,
    decode,
    encode,
    initial,
    step,
)
from ciranda.protocol.election.messages import Ask, Certificate, Commit, Reveal, Support, Suspect, seal_of
from tests.protocol.election import peers

FIVE = peers.electorate(5)
ORDER = {"a": 10, "b": 20, "c": 30, "d": 40, "e": 50}


class Peer:
    """ "a" of five, whose votes rise with their names."""

    def __init__(self, voters: Electorate = FIVE) -> None:
        self.voters = voters
        self.configs = peers.all_configs(voters, lambda name, term: ORDER[name])
        self.state: State = initial()

    def does(self, event: Event) -> Sequence[Command]:
        self.state, commands = step(self.configs["a"], self.state, event)
        assert State.from_json(self.state.to_json()) == self.state
        return commands

    def hears(self, *messages: Message) -> list[Command]:
        return [command for message in messages for command in self.does(Received(encode(peers.sign(self.voters, message))))]

    def fires(self) -> Sequence[Command]:
        return self.does(TimerFired(self.state.timer))

    # what others say

    def commit(self, name: str, term: int = 1) -> Commit:
        seal = seal_of("run", term, name, *self.configs[name].draw(term))
        return Commit(name, term, seal, peers.suspicions(self.voters, term - 1))

    def reveal(self, name: str, term: int = 1) -> Reveal:
        return Reveal(name, term, *self.configs[name].draw(term))

    def certificate(self, name: str, term: int = 1, supporters: str = "abc", sender: str = "") -> Certificate:
        return Certificate(sender or name, term, name, peers.supports(self.voters, term, name, *supporters))

    # how far things are

    def sealing(self) -> Peer:
        self.does(Started())
        self.hears(Suspect("b", 0), Suspect("c", 0))
        assert self.state.phase == "sealing"
        return self

    def revealing(self, others: str = "bcde") -> Peer:
        self.sealing().hears(*map(self.commit, others))
        if self.state.phase == "sealing":
            self.fires()
        assert self.state.phase == "revealing"
        return self

    def supporting(self, others: str = "bcde") -> Peer:
        self.revealing(others).hears(*map(self.reveal, others))
        assert self.state.phase == "supporting"
        return self

    def following(self, term: int = 1) -> Peer:
        assert self.hears(self.certificate("b", term)) == [Follow(term, "b")]
        return self


def said(commands: Sequence[Command]) -> list[tuple[str, str]]:
    """(to, kind) of what is sent."""
    return [(command.to, type(command.message).__name__) for command in commands if isinstance(command, Send)]


def reasons(commands: Sequence[Command]) -> list[str]:
    return [command.reason for command in commands if isinstance(command, Refuse)]


# --- a term, step by step


def test_a_term_begins_when_a_majority_wants_it() -> None:
    peer = Peer()
    assert said(peer.does(Started())) == [("", "Suspect")]
    assert peer.does(Started()) == ()
    assert peer.hears(Suspect("b", 0)) == []
    commands = peer.hears(Suspect("c", 0))
    assert commands[0] == Vacate(1)
    assert said(commands) == [("", "Commit")]
    assert commands[-1] == Arm("1.1", 2.0)
    assert sorted(peer.state.evidence) == ["a", "b", "c"]


def test_the_vote_is_revealed_when_all_seals_are_known_or_after_patience_those_of_a_majority() -> None:
    peer = Peer().sealing()
    assert peer.hears(*map(peer.commit, "bcd")) == []
    assert said(peer.hears(peer.commit("e"))) == [("", "Reveal")]
    peer = Peer().sealing()
    peer.hears(peer.commit("b"))
    assert said(peer.fires()) == [("", "Commit")]
    peer.hears(peer.commit("c"))
    assert said(peer.fires()) == [("", "Reveal")]


def test_the_highest_vote_heard_is_supported_and_nobody_else() -> None:
    peer = Peer().revealing()
    assert peer.hears(*map(peer.reveal, "bcd")) == []
    assert said(peer.hears(peer.reveal("e"))) == [("e", "Support")]
    before = peer.state
    assert reasons(peer.hears(peer.reveal("d"), peer.commit("d"))) == ["late", "late"]
    assert peer.state is before
    peer = Peer().revealing()
    peer.hears(*map(peer.reveal, "bc"))
    assert said(peer.fires()) == [("c", "Support")]


def test_a_reveal_counts_only_if_its_seal_was_known_before() -> None:
    peer = Peer().revealing("bcd")
    assert reasons(peer.hears(peer.commit("e"), peer.reveal("e"))) == ["late", "no-seal"]
    assert said(peer.hears(*map(peer.reveal, "bcd"))) == [("d", "Support")]
    peer = Peer().sealing()
    assert reasons(peer.hears(peer.reveal("b"), peer.commit("b"), peer.reveal("b"), peer.reveal("b"))) == ["no-seal", "repeated"]


def test_a_seal_binds() -> None:
    peer = Peer().sealing()
    peer.hears(peer.commit("b"))
    assert reasons(peer.hears(replace(peer.reveal("b"), vote=99), replace(peer.reveal("b"), nonce="0" * 32))) == ["wrong-seal"] * 2
    assert reasons(peer.hears(peer.commit("b"), replace(peer.commit("b"), seal="0" * 64))) == ["repeated", "conflicting"]


def test_supports_of_a_majority_make_a_controller() -> None:
    peer = Peer().sealing()
    assert reasons(peer.hears(Support("b", 1, "a"), Support("b", 1, "a"), Support("c", 1, "e"))) == ["repeated", "misdirected"]
    assert peer.hears(Support("c", 1, "a")) == []
    commands = peer.hears(Support("d", 1, "a"))
    assert said(commands) == [("", "Certificate")]
    assert commands[-1] == Lead(1)
    assert (peer.state.phase, sorted(peer.state.certificate)) == ("leading", ["b", "c", "d"])


def test_without_a_certificate_the_term_is_suspected_and_the_next_one_is_more_patient() -> None:
    peer = Peer().supporting()
    assert said(peer.fires()) == [("", "Commit"), ("", "Reveal"), ("e", "Support"), ("", "Suspect")]
    assert said(peer.fires()) == [("", "Commit"), ("", "Reveal"), ("e", "Support"), ("", "Suspect")]
    commands = peer.hears(Suspect("d", 1), Suspect("e", 1))
    assert commands[0] == Vacate(2)
    assert commands[-1] == Arm("2.1", 4.0)


def test_too_few_reveals_end_in_suspicion_not_in_support() -> None:
    peer = Peer().revealing("bc")
    peer.hears(peer.reveal("b"))
    assert said(peer.fires())[-1] == ("", "Suspect")
    assert peer.state.supported == ""


def test_without_a_candidate_nobody_is_supported() -> None:
    peer = Peer(Electorate("run", tuple("abcde"), ("e",)))
    peer.revealing("bcd")
    assert said(peer.hears(*map(peer.reveal, "bcd"))) == [("", "Suspect")]
    assert (peer.state.supported, sorted(peer.state.suspects)) == ("", ["a"])


def test_one_voter_elects_itself_at_once() -> None:
    peer = Peer(peers.electorate(1))
    assert Lead(1) in peer.does(Started())
    assert Lead(2) in peer.does(Suspected(1))


# --- suspicion


def test_who_trusts_the_controller_does_not_count_suspicions() -> None:
    peer = Peer().following()
    before = peer.state
    commands = peer.hears(Suspect("c", 1), Suspect("d", 1), Suspect("e", 1))
    assert reasons(commands) == ["calm"] * 3
    assert said(commands) == [("c", "Certificate"), ("d", "Certificate"), ("e", "Certificate")]
    assert peer.state is before
    assert said(peer.does(Suspected(1))) == [("", "Suspect")]
    assert peer.does(Suspected(1)) == ()
    assert peer.hears(Suspect("c", 1)) == []
    assert reasons(peer.hears(Suspect("c", 1))) == ["repeated"]
    assert peer.state.term == 1
    assert peer.hears(Suspect("d", 1))[0] == Vacate(2)


def test_a_controller_heard_again_is_trusted_again() -> None:
    peer = Peer().following()
    peer.does(Suspected(1))
    timer = peer.state.timer
    peer.hears(Suspect("c", 1))
    peer.does(Heard(1))
    assert peer.state.suspects == {}
    assert peer.does(TimerFired(timer)) == ()
    assert peer.fires() == ()
    assert reasons(peer.hears(Suspect("d", 1))) == ["calm"]


def test_suspicion_is_repeated_until_it_is_shared() -> None:
    peer = Peer().following()
    peer.does(Suspected(1))
    assert said(peer.fires()) == said(peer.fires()) == [("", "Suspect")]
    assert peer.does(Suspected(0)) == peer.does(Suspected(7)) == ()


# --- other terms


def test_a_higher_term_is_joined_with_evidence_only() -> None:
    peer = Peer().supporting()
    weak = replace(peer.commit("b", 5), evidence=peers.suspicions(FIVE, 4, "b", "c"))
    other = replace(peer.commit("b", 5), evidence=peers.suspicions(FIVE, 3))
    forged = replace(peer.commit("b", 5), evidence=dict.fromkeys("abcde", "f" * 64))
    before = peer.state
    for message in (weak, other, forged, peer.reveal("b", 5), Support("b", 5, "a"), Suspect("b", 5), Ask("b", 5)):
        commands = peer.hears(message)
        assert reasons(commands) == ["no-evidence"]
        assert said(commands) == [("b", "Ask")]
        assert peer.state is before
    assert peer.hears(peer.commit("b", 5))[0] == Vacate(5)
    assert (peer.state.term, sorted(peer.state.seals), peer.state.supported) == (5, ["a", "b"], "")


def test_lower_terms_are_fenced_and_told() -> None:
    peer = Peer().following(3)
    before = peer.state
    for message in (peer.certificate("c", 2), Suspect("c", 2), peer.commit("c", 1), peer.reveal("c", 1), Support("c", 2, "a"), Ask("c", 0)):
        commands = peer.hears(message)
        assert reasons(commands) == ["old-term"]
        assert said(commands) == [("c", "Certificate")]
    assert peer.state is before
    assert said(Peer().sealing().hears(Suspect("c", 0))) == [("c", "Commit")]


def test_an_old_controller_is_told_by_a_certificate_or_a_heartbeat() -> None:
    peer = Peer().sealing()
    peer.hears(*(Support(name, 1, "a") for name in "bcd"))
    assert said(peer.does(Heard(2))) == [("", "Ask")]
    assert peer.hears(peer.certificate("c", 2, "cde")) == [Follow(2, "c")]
    assert peer.state.phase == "following"


def test_certificates() -> None:
    peer = Peer().supporting()
    before = peer.state
    assert reasons(peer.hears(peer.certificate("b", supporters="bc"))) == ["weak-certificate"]
    swapped = replace(peer.certificate("c"), supports=peer.certificate("b").supports)
    assert reasons(peer.hears(swapped, replace(peer.certificate("b", 2), supports=swapped.supports))) == ["weak-certificate"] * 2
    assert peer.state is before
    assert peer.hears(peer.certificate("b", sender="d")) == [Follow(1, "b")]
    before = peer.state
    assert reasons(peer.hears(peer.certificate("b"), peer.certificate("b", supporters="cde"))) == ["repeated"] * 2
    assert reasons(peer.hears(peer.certificate("c", supporters="cde"))) == ["second-controller"]
    assert peer.state is before


def test_who_is_late_is_shown_the_certificate() -> None:
    peer = Peer().following()
    commands = peer.hears(peer.commit("d"), peer.reveal("d"), Support("d", 1, "a"), Ask("d", 1))
    assert said(commands) == [("d", "Certificate")] * 4
    assert reasons(commands) == ["late", "late", "late"]


# --- crashes


@pytest.mark.parametrize(
    ("phase", "first", "outstanding"),
    [
        ("sealing", Vacate(1), ["Commit"]),
        ("revealing", Vacate(1), ["Commit", "Reveal"]),
        ("supporting", Vacate(1), ["Commit", "Reveal", "Support"]),
        ("following", Follow(1, "b"), []),
    ],
)
def test_recovered_repeats_what_is_outstanding(phase: str, first: Command, outstanding: list[str]) -> None:
    peer = getattr(Peer(), phase)()
    timer = peer.state.timer
    before = peer.state
    commands = peer.does(Recovered())
    assert commands[0] == first
    assert [kind for _, kind in said(commands)] == outstanding
    assert replace(peer.state, arming=before.arming) == before
    if outstanding:
        assert isinstance(commands[-1], Arm)
        assert peer.does(TimerFired(timer)) == ()


def test_a_recovered_controller_leads_and_shows_why() -> None:
    peer = Peer().sealing()
    peer.hears(*(Support(name, 1, "a") for name in "bcd"))
    commands = peer.does(Recovered())
    assert commands[0] == Lead(1)
    assert said(commands) == [("", "Certificate")]
    assert Peer().does(Recovered()) == ()


# --- what is refused before it is read


def test_strangers_forgers_and_echoes() -> None:
    peer = Peer().sealing()
    before = peer.state
    genuine = peer.commit("b")
    for reason, message in {
        "stranger": peers.sign(FIVE, Suspect("mallory", 1)),
        "forged": peers.sign(FIVE, genuine, key="c"),
        "forged ": peers.sign(FIVE, genuine, run="another run"),
        "forged  ": replace(peers.sign(FIVE, genuine), term=2),
    }.items():
        assert reasons(peer.does(Received(encode(message)))) == [reason.strip()]
    assert peer.hears(Support("a", 1, "a"), Suspect("a", 0)) == []
    assert peer.state is before


@pytest.mark.parametrize(
    "message",
    [
        Suspect("b", -1),
        Suspect("", 1),
        Suspect("b\n", 1),
        Suspect("b", 2**53),
        Commit("b", 0, "0" * 64, {}),
        Commit("b", 1, "0" * 63, {}),
        Commit("b", 1, "0" * 64, {"mallory": "x"}),
        Commit("b", 1, "0" * 64, {"b": ""}),
        Reveal("b", 1, -1, "0" * 32),
        Reveal("b", 1, 2**53, "0" * 32),
        Reveal("b", 1, 1, "0" * 31),
        Support("b", 1, "mallory"),
        Certificate("b", 1, "mallory", {}),
        Certificate("b", 1, "b", {"mallory": "x"}),
    ],
)
def test_impossible_fields(message: Message) -> None:
    text = encode(peers.sign(FIVE, message))
    with pytest.raises(CodecError, match="is impossible"):
        decode(FIVE, text)
    assert Peer().does(Received(text)) == (Refuse("", "malformed"),)


def test_size_signature_and_shape_are_checked() -> None:
    good = encode(peers.sign(FIVE, Suspect("b", 0)))
    assert decode(FIVE, good) == decode(FIVE, good.encode()) == peers.sign(FIVE, Suspect("b", 0))
    for bad in (" " * 20_000, encode(Suspect("b", 0)), good.replace('"term":0', '"term":true'), good[:-1] + ',"x":1}', b"\xff"):
        with pytest.raises(CodecError):
            decode(FIVE, bad)


# --- the electorate


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"voters": ()}, "names of their own"),
        ({"voters": ("a", "a")}, "names of their own"),
        ({"voters": ("a", "b\n")}, "names of their own"),
        ({"candidates": ()}, "among its voters"),
        ({"candidates": ("z",)}, "among its voters"),
        ({"rule": "loudest"}, "no election rule 'loudest'"),
        ({"patience_s": 0.0}, "patience"),
        ({"patience_s": float("nan")}, "patience"),
    ],
)
def test_electorates_that_cannot_elect(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        replace(FIVE, **change)


def test_a_stranger_cannot_take_part() -> None:
    with pytest.raises(ExperimentError, match="'z' is not among the voters"):
        peers.config(FIVE, "z")


@pytest.mark.parametrize(("size", "majority"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4)])
def test_a_majority_is_more_than_half(size: int, majority: int) -> None:
    assert peers.electorate(size).majority == majority


@pytest.mark.parametrize(
    ("rule", "votes", "winner"),
    [
        ("highest-vote", {"a": 3, "b": 9, "c": 9, "e": 99}, "c"),
        ("highest-vote", {"e": 99}, ""),
        ("plurality", {"a": 0, "b": 3, "c": 1}, "a"),  # 3 names a again among three
        ("plurality", {"a": 0, "b": 1, "e": 5}, "b"),  # one each for a, b, and c, which is not heard
        ("plurality", {"a": 2, "b": 2, "e": 2}, "b"),  # all name c, which is not heard: a tie of none
        ("plurality", {}, ""),
    ],
)
def test_what_the_rules_propose(rule: str, votes: dict[str, int], winner: str) -> None:
    assert peers.electorate(5, rule, candidates=3).propose(votes) == winner
