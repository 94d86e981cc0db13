"""Metrics as exact sums: what each client adds up, and what the totals say.

A client reports integers only: counts, a confusion matrix, and sums of real quantities scaled by a power of two and rounded
once (`fixed`). Integers add without rounding, so the metrics of a federation do not depend on the order of arrival or on how
the examples are split among sub-totals. Ratios are taken once, at the end, by `summarise`.

Scalars are Python integers and cannot overflow; arrays are int64 counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ciranda.core.errors import DataError, DivergedError, TaskError
from ciranda.core.texts import Text

Sums = Mapping[str, int | NDArray[np.int64]]

_LABELS = {
    "accuracy": Text("accuracy"),
    "balanced_accuracy": Text("balanced accuracy"),
    "macro_f1": Text("macro F1"),
    "loss": Text("loss"),
    "train_loss": Text("training loss"),
    "precision": Text("precision"),
    "recall": Text("recall"),
    "support": Text("examples"),
    "epsilon": Text("privacy spent (epsilon)"),
}
_ABBREVIATIONS = {"r2": "R²"} | {name: name.upper() for name in ("mse", "rmse", "nrmse", "mae", "mape", "smape", "f1")}
RISING = ("accuracy", "balanced_accuracy", "macro_f1", "r2")  # more is better
FALLING = ("loss", "mse", "rmse", "nrmse", "mae", "mape", "smape")
LOSS_BITS = 24
MOST_CONFUSIONS = 1000
# Squares of small targets (0.001 squared is 2^-20) need a finer grid than losses do.
REGRESSION_BITS = 48


def label(metric: str) -> Text:
    """What people call a metric; an unknown one keeps its name."""
    return _LABELS.get(metric) or Text("{metric}", metric=_ABBREVIATIONS.get(metric, metric))


def fixed(value: float, bits: int = LOSS_BITS) -> int:
    """`value` in units of 2^-bits, rounded to nearest, ties to even.

    Raises:
        DivergedError: `value` is not a finite number.
    """
    number = float(value)
    if not math.isfinite(number):
        raise DivergedError(
            "A loss or metric is {number}, not a finite number.",
            hint="Lower client.learning-rate, and look for divisions by zero in the loss and for missing values in the data.",
            number=number,
        )
    numerator, denominator = number.as_integer_ratio()
    whole, rest = divmod(numerator << bits, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1))


def add(a: Sums, b: Sums) -> dict[str, int | NDArray[np.int64]]:
    """The sums of both; a name that only one has is taken over. Writes into neither.

    Raises:
        TaskError: a name stands for a scalar and an array, or for arrays of different shapes.
    """
    total: dict[str, int | NDArray[np.int64]] = {}
    for name in sorted({*a, *b}):
        present = [sums[name] for sums in (a, b) if name in sums]
        shapes = [np.shape(value) for value in present]
        if shapes[0] != shapes[-1]:
            raise TaskError(
                "The metric '{name}' has shape {first} at one client and {second} at another.", name=name, first=shapes[0], second=shapes[1]
            )
        if shapes[0]:
            total[name] = np.sum([np.asarray(value) for value in present], axis=0, dtype=np.int64)
        else:
            total[name] = sum(int(value) for value in present)
    return total


def classification(scores: NDArray[Any], labels: NDArray[Any], loss_sum: float, classes: int) -> dict[str, int | NDArray[np.int64]]:
    """The sums of one batch of class predictions.

    Args:
        scores: logits or probabilities, shape (n, classes); the predicted class is the first largest.
        labels: true classes, integers in 0..classes - 1, shape (n,).
        loss_sum: the loss added up over the n examples.
        classes: how many classes there are.

    Returns:
        n, correct, loss (2^-24), and confusion, int64 of shape (classes, classes): rows true, columns predicted.

    Raises:
        DataError: a label is not one of the classes.
        DivergedError: a score or the loss is not finite.
        TaskError: `scores` has another shape.
    """
    n = len(labels)
    if scores.shape != (n, classes):
        raise TaskError(
            "Class scores have shape {shape}; {n} examples of {classes} classes need {needed}.",
            shape=scores.shape,
            n=n,
            classes=classes,
            needed=(n, classes),
        )
    if n and not (int(labels.min()) >= 0 and int(labels.max()) < classes):
        raise DataError(
            "Labels run from {lowest} to {highest}; with {classes} classes they must lie in 0..{last}.",
            lowest=labels.min(),
            highest=labels.max(),
            classes=classes,
            last=classes - 1,
        )
    if not np.isfinite(scores).all():
        raise DivergedError("The model predicts a score that is not a finite number.", hint="Lower client.learning-rate.")
    predicted = scores.argmax(axis=1)
    cells = labels.astype(np.int64) * classes + predicted
    confusion = np.bincount(cells, minlength=classes * classes).astype(np.int64).reshape(classes, classes)
    return {"n": n, "loss": fixed(loss_sum), "correct": int(np.trace(confusion)), "confusion": confusion}


def regression(predicted: NDArray[Any], target: NDArray[Any]) -> dict[str, int | NDArray[np.int64]]:
    """The sums of one batch of real predictions; with several outputs, each example counts by the mean over its outputs.

    Args:
        predicted, target: shape (n,) or (n, outputs); equal, but (n,) and (n, 1) may meet.

    Returns:
        n, and in units of 2^-48: squared and absolute errors, relative errors with the count `nonzero` of targets that have one
        (of at least 2^-48), symmetric relative errors, and the target's sum, absolute sum and sum of squares.

    Raises:
        DivergedError: a prediction is not finite, or so large that its square is not.
        DataError: a target is not finite.
        TaskError: the shapes differ.
    """
    n = len(target)
    if predicted.size != target.size or len(predicted) != n:
        raise TaskError(
            "Predictions have shape {shape} and targets {target_shape}; they must agree.", shape=predicted.shape, target_shape=target.shape
        )
    outputs = math.prod(target.shape[1:])
    truth = target.reshape(n, outputs).astype(np.float64)
    guess = predicted.reshape(n, outputs).astype(np.float64)
    if not np.isfinite(truth).all():
        raise DataError("A regression target is missing or infinite.", hint="Fill or drop such rows before training.")
    if not np.isfinite(guess).all():
        raise DivergedError("The model predicts a value that is not a finite number.", hint="Lower client.learning-rate.")

    def total(values: NDArray[np.float64], share: int = max(1, outputs)) -> int:
        return fixed(float(values.sum()) / share, REGRESSION_BITS)

    # Predictions so large that their squares overflow are reported by `fixed`.
    with np.errstate(over="ignore"):
        error, size = np.abs(guess - truth), np.abs(truth)
        both = size + np.abs(guess)
        nonzero = size >= 2.0**-REGRESSION_BITS
        return {
            "n": n,
            "squared": total(np.square(error)),
            "absolute": total(error),
            "relative": total(error[nonzero] / size[nonzero], 1),
            "nonzero": int(np.count_nonzero(nonzero)),
            "symmetric": total(2.0 * (error / np.where(both > 0, both, 1.0))),
            "target": total(truth),
            "target_absolute": total(size),
            "target_squared": total(np.square(truth)),
        }


def summarise(sums: Sums) -> dict[str, float]:
    """The metrics that the sums hold, as plain floats; {} over no examples.

    Always the mean `loss`, if summed. Classification: accuracy; balanced_accuracy (mean recall over the classes that occur) and
    macro_f1 (over the classes that occur or are predicted). Regression: mse, rmse, mae; nrmse = rmse / mean |target|; mape over
    the targets that are not 0; smape = mean of 2 |error| / (|target| + |prediction|), 0 where both are 0; r2. Relative errors are
    fractions, not percentages. A ratio whose denominator is 0 is 0; but r2 of constant targets is 1 if they are met exactly.
    """
    n = _scalar(sums, "n")
    if n <= 0:
        return {}
    metrics: dict[str, float] = {}
    if "loss" in sums:
        metrics["loss"] = _scalar(sums, "loss") / (n << LOSS_BITS)
    if "correct" in sums:
        metrics["accuracy"] = _scalar(sums, "correct") / n
    if "confusion" in sums:
        scores = per_class(sums)
        matrix = np.asarray(sums["confusion"])
        occurs = matrix.sum(axis=1) > 0
        seen = occurs | (matrix.sum(axis=0) > 0)
        metrics["balanced_accuracy"] = _mean(value for value, kept in zip(scores["recall"], occurs, strict=True) if kept)
        metrics["macro_f1"] = _mean(value for value, kept in zip(scores["f1"], seen, strict=True) if kept)
    if "squared" in sums:
        metrics.update(_regression_metrics(sums, n))
    return metrics


def per_class(sums: Sums) -> dict[str, list[float]]:
    """precision, recall, f1 and support of each class, in label order; 0 where nothing was predicted or nothing occurs.

    {} if the sums hold no confusion matrix.
    """
    if "confusion" not in sums:
        return {}
    matrix = np.asarray(sums["confusion"])
    hits, support, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)

    def ratio(top: NDArray[np.int64], bottom: NDArray[np.int64]) -> list[float]:
        values: list[float] = (top / np.maximum(bottom, 1)).tolist()
        return values

    return {
        "precision": ratio(hits, predicted),
        "recall": ratio(hits, support),
        "f1": ratio(2 * hits, predicted + support),
        "support": support.astype(np.float64).tolist(),
    }


def confusions(sums: Sums, most_classes: int) -> dict[str, float]:
    """Off the diagonal of the confusion matrix: "TRUE.PREDICTED" -> examples, for the MOST_CONFUSIONS most frequent pairs.

    The diagonal is recall times support. {} without a matrix, or with more than `most_classes` classes.
    """
    matrix = np.asarray(sums.get("confusion", ()))
    if not matrix.size or len(matrix) > most_classes:
        return {}
    wrong = matrix - np.diag(np.diag(matrix))
    cells = np.flatnonzero(wrong)
    kept = cells[np.argsort(-wrong.ravel()[cells], kind="stable")[:MOST_CONFUSIONS]]
    return {f"{cell // len(matrix)}.{cell % len(matrix)}": float(wrong.ravel()[cell]) for cell in np.sort(kept).tolist()}


def spread(values: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """How each metric is spread over clients: metric -> min, p10, median, max, std (of the population, ddof 0).

    Percentiles interpolate linearly. A client without a metric does not count for it; the order of clients does not matter.
    """
    columns: dict[str, list[float]] = {}
    for metrics in values.values():
        for metric, value in metrics.items():
            columns.setdefault(metric, []).append(float(value))
    return {metric: _spread(np.sort(column)) for metric, column in sorted(columns.items())}


def _spread(ordered: NDArray[np.float64]) -> dict[str, float]:
    return {
        "min": float(ordered[0]),
        "p10": float(np.percentile(ordered, 10)),
        "median": float(np.median(ordered)),
        "max": float(ordered[-1]),
        "std": float(ordered.std()),
    }


def _regression_metrics(sums: Sums, n: int) -> dict[str, float]:
    unit = 1 << REGRESSION_BITS
    squared, absolute = _scalar(sums, "squared"), _scalar(sums, "absolute")
    target, target_squared = _scalar(sums, "target"), _scalar(sums, "target_squared")
    mse = squared / (n * unit)
    scale = _scalar(sums, "target_absolute") / (n * unit)
    # n^2 unit^2 times the targets' variance, in integers: the difference of two large numbers does not cancel.
    variance = n * unit * target_squared - target * target
    # Below this only the rounding of the batch sums is left.
    if variance * 10**12 <= n * unit * target_squared:
        r2 = 1.0 if squared == 0 else 0.0
    else:
        r2 = 1.0 - (n * unit * squared) / variance
    return {
        "mse": mse,
        "rmse": math.sqrt(mse),
        "nrmse": math.sqrt(mse) / scale if scale > 0 else 0.0,
        "mae": absolute / (n * unit),
        "mape": _scalar(sums, "relative") / (max(1, _scalar(sums, "nonzero")) * unit),
        "smape": _scalar(sums, "symmetric") / (n * unit),
        "r2": r2,
    }


def _scalar(sums: Sums, name: str) -> int:
    return int(sums.get(name, 0))


def _mean(values: Iterable[float]) -> float:
    kept = list(values)
    return math.fsum(kept) / max(1, len(kept))
