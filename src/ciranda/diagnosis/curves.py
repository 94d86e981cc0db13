"""What a curve shows: divergence, a model that never learns, overfitting, a plateau, a run that was ended too early.

Each check is a function of the history alone, and returns a finding or None. The thresholds are far from what healthy runs do: a false
alarm costs a beginner more than a missed one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from ciranda.core.metrics import label
from ciranda.core.texts import Text
from ciranda.diagnosis.findings import Finding
from ciranda.diagnosis.history import History, Series

Check = Callable[[History], Finding | None]
LEAST_ROUNDS = 5
GUESSING_MARGIN = 0.03
DIVERGED = 1.5
OVERFITTED = 1.15
SWING = 0.05
MEMORISED = 0.8
STILL = 0.002
LONG = 10


def diverged(history: History) -> Finding | None:
    """A loss that is no number, or ends far above where it began, in training too."""
    for series in (history.error, history.training):
        broken = next((place for place, value in enumerate(series.values) if not math.isfinite(value)), None)
        if broken is not None:
            return _divergence(
                Text("{metric} is not a finite number in round {round}", metric=label(series.name), round=series.rounds[broken])
            )
    error, training = history.error, history.training
    if len(error) < 3:
        return None
    first, best, last = error.values[0], min(error.values), error.values[-1]
    trained = len(training) < 3 or training.values[-1] > DIVERGED * min(training.values)
    if last > DIVERGED * first and last > 2 * best and trained:
        return _divergence(
            Text(
                "{metric} {best:.4g} in round {round}, {last:.4g} at the end",
                metric=label(error.name),
                best=best,
                round=error.rounds[error.best(rising=False)],
                last=last,
            )
        )
    return None


def guessing(history: History) -> Finding | None:
    """No better than saying the commonest class, or the mean, after some rounds."""
    score, even = history.score, history.series(history.evaluated, "balanced_accuracy")
    if len(score) < LEAST_ROUNDS or score.rounds[-1] < LEAST_ROUNDS or not score.finite:
        return None
    lately = score.values[-LEAST_ROUNDS:]
    if max(lately) > history.guess + GUESSING_MARGIN:
        return None
    if history.classes > 1 and len(even) and max(even.values[-LEAST_ROUNDS:]) > 1 / history.classes + 2 * GUESSING_MARGIN:
        return None
    error = history.error
    if len(error) >= LEAST_ROUNDS and error.values[-1] < 0.9 * error.values[-LEAST_ROUNDS]:
        return None
    return Finding(
        "stalled",
        "warning" if (falling := _creeps(history)) else "error",
        Text("The model has not learned: it is no better than guessing"),
        Text(
            "{metric} {last:.3f} after {rounds} rounds, guessing gives {guess:.3f}",
            metric=label(score.name),
            last=score.values[-1],
            rounds=score.rounds[-1],
            guess=history.guess,
        ),
        Text("It learns slowly: raise client.learning-rate or client.local-epochs, or run more rounds.")
        if falling
        else Text("Try client.learning-rate ten times lower, then ten times higher; check labels and scaling with `ciranda check`."),
    )


def overfitted(history: History) -> Finding | None:
    """The training loss goes on falling while the loss on other data rises."""
    error, training = history.error, history.training
    if len(error) < LONG or len(training) < LONG or not (error.finite and training.finite) or error.name != "loss":
        return None
    width = max(1, len(error) // LONG)
    smooth, learned = error.smooth(width), training.smooth(width)
    best = smooth.best(rising=False)
    since = len(smooth) - 1 - best
    if since < max(LEAST_ROUNDS, len(smooth) // 5) or smooth.values[-1] < OVERFITTED * smooth.values[best]:
        return None
    at_best = _at(learned, smooth.rounds[best])
    if at_best is None or learned.values[-1] > MEMORISED * at_best:
        return None
    score = history.score
    worse = len(score) > 0 and max(score.values) - score.smooth(width).values[-1] > 0.01
    return Finding(
        "overfitted",
        "warning" if worse else "info",
        Text("The model overfits: it learns its training examples by heart")
        if worse
        else Text("The model begins to overfit: it grows too sure of itself"),
        Text(
            "loss on other data {best:.3g} in round {round}, then {last:.3g}, while the training loss fell to {training:.3g}",
            best=smooth.values[best],
            round=smooth.rounds[best],
            last=smooth.values[-1],
            training=learned.values[-1],
        ),
        Text(
            "Stop near round {round} (stop.metric=loss, stop.patience={patience}), or use client.weight-decay or fewer local epochs.",
            round=smooth.rounds[best],
            patience=max(3, len(smooth) // 10),
        ),
    )


def plateau(history: History) -> Finding | None:
    """The last half of the rounds brought nothing."""
    score = history.score if len(history.score) else history.error
    rising = score is not history.error and score.name not in ("loss", "mse", "rmse", "mae")
    if len(score) < 2 * LONG or not score.finite:
        return None
    smooth = score.smooth(max(1, len(score) // 20))
    best, half = smooth.best(rising=rising), len(smooth) // 2
    early = Series(smooth.name, smooth.rounds[:half], smooth.values[:half])
    reached = early.values[early.best(rising=rising)]
    gain = (smooth.values[best] - reached) * (1 if rising else -1)
    if gain > STILL * max(abs(reached), 1e-9):
        return None
    arrived = early.rounds[early.best(rising=rising)]
    return Finding(
        "plateau",
        "info",
        Text("The later rounds brought nothing"),
        Text(
            "{metric} {reached:.4f} in round {round}, {last:.4f} at the end",
            metric=label(score.name),
            reached=reached,
            round=arrived,
            last=smooth.values[-1],
        ),
        Text("Stop earlier (stop.patience={patience}), or try a lower learning rate from there on.", patience=max(3, len(score) // 10)),
    )


def unsteady(history: History) -> Finding | None:
    """The score swings from round to round."""
    score = history.score
    if len(score) < LONG or not score.finite or score.name != "accuracy":
        return None
    tail = score.values[len(score) // 2 :]
    jumps = [after - before for before, after in itertools.pairwise(tail)]
    turns = sum((one > 0) != (two > 0) for one, two in itertools.pairwise(jumps))
    swing = sum(map(abs, jumps)) / len(jumps)
    if swing < SWING or turns < 0.4 * len(jumps):
        return None
    return Finding(
        "unsteady",
        "warning",
        Text("The model swings from round to round"),
        Text(
            "accuracy changes by {swing:.1%} a round in the second half; best {best:.3f}, at the end {last:.3f}",
            swing=swing,
            best=max(tail),
            last=tail[-1],
        ),
        Text("Ask more clients in a round, lower client.learning-rate, or try strategy.name=scaffold; the best model is in checkpoints/."),
    )


def unfinished(history: History) -> Finding | None:
    """The error still falls fast at the end."""
    error = history.error
    if len(error) < LEAST_ROUNDS or not error.finite or history.skipped:
        return None
    back = max(2, len(error) // 5)
    before, last = error.values[-1 - back], error.values[-1]
    if last > min(error.values) or before <= 0 or (before - last) / before < 0.1:
        return None
    return Finding(
        "unfinished",
        "info",
        Text("The model was still improving when the run ended"),
        Text(
            "{metric} {before:.3g} to {last:.3g} in the last {back} rounds", metric=label(error.name), before=before, last=last, back=back
        ),
        Text("Go on: ciranda resume RUN --set rounds.num-rounds={rounds}", rounds=2 * error.rounds[-1]),
    )


def _divergence(evidence: Text) -> Finding:
    return Finding(
        "diverged",
        "error",
        Text("Training diverged"),
        evidence,
        Text("Lower client.learning-rate by ten, or bound updates with privacy.clipping-norm=1."),
    )


def _creeps(history: History) -> bool:
    """Whether the error falls, if slowly: last is lowest, and below that of a model that takes all classes for equally likely."""
    error = history.error
    if len(error) < LEAST_ROUNDS or not error.finite or error.values[-1] > min(error.values):
        return False
    return error.name != "loss" or history.classes < 2 or error.values[-1] < math.log(history.classes)


def _at(series: Series, number: int) -> float | None:
    """The value in round `number`, or the last before it."""
    found = [value for round_number, value in zip(series.rounds, series.values, strict=True) if round_number <= number]
    return found[-1] if found else None
