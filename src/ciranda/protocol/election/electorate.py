"""Who may vote, who may be voted for, by which rule, and what one peer needs to take part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ciranda.core.errors import ExperimentError
from ciranda.protocol.envelope import MAX_NAME, Sign, Verify

Rule = Callable[["Electorate", Mapping[str, int]], str]
MAX_VOTE = 2**53 - 1  # what every JSON reader keeps exactly
MAX_PATIENCE = 8  # times patience_s: it grows by one for each term that found no controller


def nameable(name: str) -> bool:
    """Whether a voter may have this name."""
    return 0 < len(name) <= MAX_NAME and name.isprintable()


@dataclass(frozen=True)
class Electorate:
    """The same for every peer of a run.

    patience_s: seconds to wait for the seals and reveals of all before those of a majority are enough. Raises ExperimentError
    when nobody could be elected.
    """

    run: str
    voters: tuple[str, ...]
    candidates: tuple[str, ...]
    rule: str = "highest-vote"
    patience_s: float = 2.0

    def __post_init__(self) -> None:
        twice = sorted({name for name in self.voters if self.voters.count(name) > 1})
        wrong = [repr(name) for name in self.voters if not nameable(name)]
        if not self.voters or twice or wrong:
            raise ExperimentError(
                "The voters of an election need names of their own; there are {count}.",
                hint="Listed twice: {twice}. Empty, too long or with control characters: {wrong}.",
                count=len(self.voters),
                twice=", ".join(twice) or "-",
                wrong=", ".join(wrong) or "-",
            )
        strangers = sorted(set(self.candidates) - set(self.voters))
        if not self.candidates or strangers:
            raise ExperimentError(
                "The candidates of an election have to be among its voters; there are {count}.",
                hint="Not among them: {strangers}.",
                count=len(self.candidates),
                strangers=", ".join(strangers) or "-",
            )
        if self.rule not in RULES:
            raise ExperimentError(
                "There is no election rule '{rule}'.", hint="There are: {rules}.", rule=self.rule, rules=", ".join(sorted(RULES))
            )
        if not 0 < self.patience_s < float("inf"):
            raise ExperimentError("An election's patience of {patience} s is not above 0.", patience=self.patience_s)

    @property
    def majority(self) -> int:
        """How many voters are more than half."""
        return len(self.voters) // 2 + 1

    def propose(self, votes: Mapping[str, int]) -> str:
        """Whom the rule proposes from these votes: a candidate among the voters heard, or "" if there is none."""
        return RULES[self.rule](self, votes)


@dataclass(frozen=True)
class Config:
    """One peer's side.

    sign(bytes) -> signature (printable ASCII); verify(name, bytes, signature) says whether it is that peer's, and never raises.
    draw(term) -> (vote, nonce) from the peer's secret: always the same for a term, 0 <= vote <= MAX_VOTE, the
    nonce at least 128 bits in hex; who does not know the secret can predict neither.
    """

    electorate: Electorate
    me: str
    sign: Sign
    verify: Verify
    draw: Callable[[int], tuple[int, str]]

    def __post_init__(self) -> None:
        if self.me not in self.electorate.voters:
            raise ExperimentError("'{name}' is not among the voters of this election.", name=self.me)


def _highest_vote(electorate: Electorate, votes: Mapping[str, int]) -> str:
    heard = [name for name in electorate.candidates if name in votes]
    return max(heard, key=lambda name: (votes[name], name), default="")


def _plurality(electorate: Electorate, votes: Mapping[str, int]) -> str:
    named = sorted(electorate.candidates)
    ballots = [named[vote % len(named)] for vote in votes.values()]
    heard = [name for name in electorate.candidates if name in votes]
    return max(heard, key=lambda name: (ballots.count(name), name), default="")


RULES: Mapping[str, Rule] = {"highest-vote": _highest_vote, "plurality": _plurality}
"""Each proposes a candidate from the votes that count (voter -> vote); safety does not depend on what it says."""
