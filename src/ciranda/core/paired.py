"""Two methods on the same seeds: is one better, or is it luck?

Student's paired t-test ("Student", "The probable error of a mean", Biometrika 6(1), 1908). It is used rather than a permutation of signs
because a study has three to ten seeds: with n pairs no permutation test can give less than 2^(1 - n), which for five seeds is 0.0625, so it
could never find anything at the usual 5 %. What the t-test asks for instead is that the differences be roughly normal. Several
comparisons at once are corrected by Holm's method (Scandinavian Journal of Statistics 6(2), 1979).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.05


@dataclass(frozen=True)
class Paired:
    """The differences of `n` pairs: mean, sample standard deviation, and the two-sided p-value of "there is no difference"."""

    n: int
    mean: float
    std: float
    p: float


def paired(first: Sequence[float], second: Sequence[float]) -> Paired | None:
    """The paired t-test of `first` minus `second`, pair by pair; None for fewer than two pairs, which say nothing about luck.

    Differences that are all equal leave nothing to chance: p is 1 where they are 0, and 0 otherwise.

    Raises:
        ValueError: the sequences have different lengths.
    """
    differences = [a - b for a, b in zip(first, second, strict=True)]
    n = len(differences)
    if n < 2:
        return None
    mean, std = mean_std(differences)
    if std == 0:
        return Paired(n, mean, std, 1.0 if mean == 0 else 0.0)
    return Paired(n, mean, std, two_sided(mean / (std / math.sqrt(n)), n - 1))


def mean_std(values: Sequence[float]) -> tuple[float, float]:
    """(mean, sample standard deviation with n - 1); the deviation of one value is 0."""
    mean = math.fsum(values) / len(values)
    if len(values) < 2 or min(values) == max(values):
        return (values[0] if min(values) == max(values) else mean), 0.0
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def two_sided(t: float, freedom: int) -> float:
    """P(|T| >= |t|) for Student's T with `freedom` >= 1 degrees of freedom, by the finite sums for whole degrees (Abramowitz and Stegun,
    "Handbook of Mathematical Functions", 26.7.3 and 26.7.4)."""
    angle = math.atan2(abs(t), math.sqrt(freedom))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    odd = freedom % 2 == 1
    term, total = (math.cos(angle) if odd else 1.0), 0.0
    for step in range(freedom // 2):
        total += term
        # 1, 2/3, 2·4/(3·5), ... for odd degrees; 1, 1/2, 1·3/(2·4), ... for even ones.
        term *= square * ((2 * step + 2) / (2 * step + 3) if odd else (2 * step + 1) / (2 * step + 2))
    inside = (angle + sine * total) * 2 / math.pi if odd else sine * total
    return min(1.0, max(0.0, 1.0 - inside))


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected for being several, in the order given: the chance that any of those below a level is luck stays below it."""
    corrected = [0.0] * len(values)
    least = 0.0
    for place, index in enumerate(sorted(range(len(values)), key=lambda each: values[each])):
        least = max(least, min(1.0, (len(values) - place) * values[index]))
        corrected[index] = least
    return corrected
