"""Power-of-choice: Cho, Wang, Joshi, "Towards understanding biased client selection in federated learning", AISTATS 2022
(https://arxiv.org/abs/2010.01243), section 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ciranda.core.errors import ExperimentError
from ciranda.core.parameters import check
from ciranda.core.selection.base import Call, SelectionRule
from ciranda.core.selection.sizes import weighted_sample


@dataclass(frozen=True)
class PowerOfChoice(SelectionRule):
    """Of d candidates, the m whose data the round's model fits worst.

    d candidates are drawn without replacement in proportion to their numbers of examples p_k; each tells its loss F_k(w) of the
    round's model on its training examples; the m with the highest are selected, ties broken at random. Candidates that do not
    answer are left out. The larger d, the faster and the more biased. Rounds cost d evaluations more.

    The paper averages the selected models plainly; strategies here weight them by examples, unless they say otherwise.

    Attributes:
        candidates: d >= m.
    """

    candidates: int

    name: ClassVar[str] = "power-of-choice"
    summary: ClassVar[str] = "of some candidates those with the highest loss (Cho et al. 2022)"
    needs_losses: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check(self)

    def check(self, roster: int, size: int) -> None:
        if not size <= self.candidates <= roster:
            raise ExperimentError(
                "rounds.{key} is {candidates}; {size} of {roster} clients train in a round, so it must be from {size} to {roster}.",
                key="candidates",
                candidates=self.candidates,
                size=size,
                roster=roster,
            )

    def shortlist(self, call: Call) -> Sequence[int]:
        return weighted_sample(call.fresh.at("candidates"), call.examples, self.candidates)

    def choose(self, call: Call, losses: Mapping[int, float]) -> Sequence[int]:
        ranks = sorted(losses)
        ties = call.fresh.at("ties").permutation(len(ranks)).tolist()
        ordered = sorted(zip(ranks, ties, strict=True), key=lambda entry: (-losses[entry[0]], entry[1]))
        return [rank for rank, _ in ordered[: call.size]]
