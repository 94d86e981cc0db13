"""The laws of a selection rule, as tests. Subclass in a test file and name the rule:

    class TestMine(SelectionLaws):
        rule = Mine(parameter=3)

Needs no pytest; every `test_` method can be called by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from copy import deepcopy

import numpy as np

from ciranda.core.errors import ExperimentError
from ciranda.core.rng import Draw
from ciranda.core.selection import Call, SelectionRule
from ciranda.testing._values import check_value

CASES = ((1, 1), (5, 5), (12, 4), (40, 7))
ROUNDS = 12


class SelectionLaws:
    """What every selection rule must hold to. `cases` are the (roster, size) it is asked for, as far as it admits them."""

    rule: SelectionRule
    cases: Sequence[tuple[int, int]] = CASES

    def test_it_is_a_named_value(self) -> None:
        check_value(self.rule, "selection rule")
        assert self.rule.summary, "a selection rule needs a summary"
        assert isinstance(self.rule.needs_losses, bool), "needs_losses is True or False"

    def test_it_selects_so_many_different_clients(self) -> None:
        for call in self._calls():
            chosen = _ranks(self.rule.choose(call, self._losses(call)), call, "choose")
            assert len(chosen) == call.size, f"{call.size} of {call.roster} were to be selected, choose() gave {len(chosen)}"

    def test_the_shortlist_is_different_clients(self) -> None:
        for call in self._calls():
            listed = _ranks(self.rule.shortlist(call), call, "shortlist")
            assert bool(listed) == self.rule.needs_losses, "needs_losses says whether there is a shortlist"
            assert not listed or len(listed) >= call.size, "the shortlist is smaller than the cohort"

    def test_the_cohort_is_from_the_shortlist(self) -> None:
        for call in self._calls():
            losses = self._losses(call)
            if losses:
                assert set(self.rule.choose(call, losses)) <= set(losses), "choose() named a client that told no loss"

    def test_fewer_answers_are_no_fault(self) -> None:
        if not self.rule.needs_losses:
            return
        for call in self._calls():
            losses = dict(list(self._losses(call).items())[:: call.size + 1])
            chosen = _ranks(self.rule.choose(call, losses), call, "choose")
            assert chosen, "one client told its loss, and nobody was chosen"
            assert set(chosen) <= set(losses), "choose() named a client that told no loss"
            assert not self.rule.choose(call, {}), "nobody told a loss, and somebody was chosen"

    def test_equal_calls_give_equal_cohorts(self) -> None:
        for call in self._calls():
            fresh = deepcopy(self.rule)
            assert list(self.rule.shortlist(call)) == list(fresh.shortlist(call)), "a second shortlist differs"
            losses = self._losses(call)
            backwards = dict(reversed(list(losses.items())))
            first = set(self.rule.choose(call, losses))
            assert first == set(fresh.choose(call, backwards)), (
                "a second cohort differs: something is hidden, or the order of losses counts"
            )

    def test_it_does_not_write_into_its_inputs(self) -> None:
        for call in self._calls():
            call.examples.setflags(write=False)
            losses = self._losses(call)
            before = dict(losses)
            self.rule.choose(call, losses)
            assert losses == before, "choose() writes into the losses"

    def possible(self) -> list[tuple[int, int]]:
        """Those of the cases that the rule does not refuse."""
        cases = []
        for roster, size in self.cases:
            with suppress(ExperimentError):
                self.rule.check(roster, size)
                cases.append((roster, size))
        assert cases, f"the rule refuses all of {list(self.cases)} (roster, size)"
        return cases

    def _calls(self) -> Iterator[Call]:
        for roster, size in self.possible():
            examples = 1 + Draw(3).at("examples", roster=roster).below(roster, 50)
            for round in range(1, ROUNDS + 1):
                yield Call(round, 1 + round % 2, roster, size, examples.copy(), Draw(1).at("train"))

    def _losses(self, call: Call) -> dict[int, float]:
        numbers = Draw(2).at("loss", round=call.round).generator()
        return {rank: float(np.round(numbers.gamma(2.0), 1)) for rank in self.rule.shortlist(call)}


def _ranks(answer: Sequence[int], call: Call, method: str) -> list[int]:
    ranks = [int(rank) for rank in answer]
    assert all(0 <= rank < call.roster for rank in ranks), f"{method}() named clients that there are not: {ranks}"
    assert len(set(ranks)) == len(ranks), f"{method}() named a client twice: {ranks}"
    return ranks
