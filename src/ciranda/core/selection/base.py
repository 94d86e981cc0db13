"""The shape of every selection rule: who takes part in a round, as a pure function of what everybody knows.

A rule is a frozen dataclass whose fields are its parameters, with two methods: `shortlist`, who is asked for the round's model's loss on
its data first (nobody, unless it is replaced), and `choose`. `ciranda.testing.selections` checks a new one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ciranda.core.errors import ExperimentError
from ciranda.core.params import Array
from ciranda.core.rng import Draw
from ciranda.core.selection.sizes import cohort_size, share

Select = Callable[[int, int, int], Sequence[str]]
"""(round, attempt, roster size) -> the names of the selected clients, in order of rank."""


@dataclass(frozen=True)
class Call:
    """What a rule is asked for: `size` of the clients 0..roster - 1.

    Attributes:
        round, attempt: from 1 up; a retry of a round is its next attempt.
        examples: how many examples each client trains on, shape (roster,), int64.
        draw: the same in every round; `fresh` is this attempt's own.
    """

    round: int
    attempt: int
    roster: int
    size: int
    examples: Array
    draw: Draw

    @property
    def fresh(self) -> Draw:
        """Random draws that no other round and attempt has."""
        return self.draw.at("select", round=self.round, attempt=self.attempt, roster=self.roster)


class SelectionRule(ABC):
    """How clients are selected.

    Attributes:
        name: as in an experiment's `rounds.selection`.
        summary: one line for listings.
        needs_losses: whether there is a shortlist: clients that are asked for their loss first.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    needs_losses: ClassVar[bool] = False

    def check(self, roster: int, size: int) -> None:  # noqa: B027 - most rules can select any number
        """Raise ExperimentError if no `size` of `roster` clients can be selected."""

    def shortlist(self, call: Call) -> Sequence[int]:
        """The ranks that are asked for their loss, each once."""
        return ()

    @abstractmethod
    def choose(self, call: Call, losses: Mapping[int, float]) -> Sequence[int]:
        """The selected ranks, each once: `call.size` of them, or fewer where too few of them answered.

        Args:
            losses: rank -> mean loss of the round's model on the client's training examples, for those on the shortlist that
                answered with a finite number; {} for a rule without shortlist.
        """


@dataclass(frozen=True)
class Selector:
    """A rule at work in one run.

    Attributes:
        fraction, minimum: how many are selected (`cohort_size`).
        examples: of each client, shape (clients,); clients beyond count as having one each, all of them where it is None.
        name: the logical name of a rank.
    """

    rule: SelectionRule
    draw: Draw
    fraction: str | float
    minimum: int = 1
    examples: Array | None = None
    name: Callable[[int], str] = str

    def __post_init__(self) -> None:
        share(1, self.fraction)

    def select(self, round: int, attempt: int, roster: int) -> Sequence[str]:
        """The cohort, of a rule without shortlist.

        Raises:
            ExperimentError: the minimum exceeds the roster, or the rule breaks its contract.
        """
        call = self._call(round, attempt, roster)
        return self._names(call, self.rule.choose(call, {}), "choose")

    def candidates(self, round: int, attempt: int, roster: int) -> Sequence[str]:
        """Who is asked for the loss. Raises ExperimentError as `select` does."""
        call = self._call(round, attempt, roster)
        return self._names(call, self.rule.shortlist(call), "shortlist")

    def choose(self, round: int, attempt: int, roster: int, losses: Mapping[str, float]) -> Sequence[str]:
        """The cohort from the candidates' losses, by name. Raises ExperimentError as `select` does."""
        call = self._call(round, attempt, roster)
        known = {rank: losses[name] for rank in sorted(self.rule.shortlist(call)) if (name := self.name(rank)) in losses}
        return self._names(call, self.rule.choose(call, known), "choose")

    def _call(self, round: int, attempt: int, roster: int) -> Call:
        examples = np.ones(roster, np.int64)
        if self.examples is not None:
            known = self.examples[:roster]
            examples[: len(known)] = known
        return Call(round, attempt, roster, cohort_size(roster, self.fraction, self.minimum), examples, self.draw)

    def _names(self, call: Call, ranks: Sequence[int], method: str) -> Sequence[str]:
        chosen = sorted(int(rank) for rank in ranks)
        distinct = len(set(chosen)) == len(chosen) and (not chosen or (chosen[0] >= 0 and chosen[-1] < call.roster))
        if not distinct or (method == "choose" and len(chosen) > call.size):
            raise ExperimentError(
                "The selection rule '{rule}' answered {method}() with {ranks}.",
                hint="It has to name different clients from 0 to {last}; choose() at most {size} of them.",
                rule=self.rule.name,
                method=method,
                ranks=str(chosen)[:80],
                last=call.roster - 1,
                size=call.size,
            )
        return [self.name(rank) for rank in chosen]
