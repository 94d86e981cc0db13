"""What was found in a table, in words: read from the `record` of its data set, so that a run's folder tells the same later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ciranda.core.texts import Text, joined
from ciranda.tasks.datasets.encoding import CategoryColumn, Encoding, NumberColumn
from ciranda.tasks.datasets.table import some

SHOWN = 12
_ADVICE = {
    "identifier": Text("looks like an identifier (a value of its own in nearly every row): it says nothing about other rows"),
    "date": Text("holds dates: turn it into numbers (year, month, days since) to use it"),
    "prose": Text("holds too many different texts for categories"),
    "empty": Text("has no value in any row"),
}


def described(record: Mapping[str, Any]) -> list[Text]:
    """Lines for a reader: how the file is written, the task, the features, what is missing, what is left out, what the survey cost."""
    found, encoding = record["found"], Encoding.from_json(record["encoding"])
    lines = [_written(found), _task(encoding, found), _features(encoding)]
    lines += [_missing(found, encoding)] if found["missing"] else []
    if found["without_target"]:
        lines.append(Text("left out: rows without a value of {target}: {count}", target=encoding.target, count=found["without_target"]))
    if found["dropped"]:
        lines.append(Text("left out: rows with a missing value: {count}", count=found["dropped"]))
    for name, why in found["left_out"].items():
        advice = _ADVICE[why]
        lines.append(Text("left out: {column} {why}", column=repr(name), why=advice))
    survey = record["survey"]
    lines.append(
        Text(
            "categories, scales and medians come from sums by client (clients: {owners}; bytes up: {up:,}, down: {down:,})",
            owners=survey["owners"],
            up=survey["bytes_up"],
            down=survey["bytes_down"],
        )
    )
    return lines


def _written(found: Mapping[str, Any]) -> Text:
    parts: list[Text] = [Text("{rows:,} rows", rows=found["rows"])]
    if found["files"] > 1:
        parts.append(Text("{files} files", files=found["files"]))
    for style in found["dialects"]:
        delimiter = {"\t": Text("tabs")}.get(style["delimiter"], Text("'{delimiter}'", delimiter=style["delimiter"]))
        parts.append(Text("{encoding}, separated by {delimiter}", encoding=style["encoding"], delimiter=delimiter))
        if style["decimal_comma"]:
            parts.append(Text("decimal comma"))
        if style["thousands"]:
            parts.append(Text("points between thousands"))
    return Text("table: {parts}", parts=joined(", ", parts))


def _task(encoding: Encoding, found: Mapping[str, Any]) -> Text:
    if encoding.kind == "classification":
        return Text(
            "task: classification of {target}, {count} classes: {classes}",
            target=encoding.target,
            count=len(encoding.classes),
            classes=some(encoding.classes, SHOWN),
        )
    return Text(
        "task: regression of {target}, mean {mean:.4g}, deviation {deviation:.4g}",
        target=encoding.target,
        mean=encoding.mean,
        deviation=encoding.deviation,
    )


def _features(encoding: Encoding) -> Text:
    numbers = [column.name for column in encoding.columns if isinstance(column, NumberColumn)]
    categories = [
        f"{column.name} ({len(column.categories)}{'+' if column.other else ''})"
        for column in encoding.columns
        if isinstance(column, CategoryColumn)
    ]
    parts = [Text("features: {count}", count=len(encoding.features))]
    if numbers:
        parts.append(Text("numbers: {names}", names=some(numbers, SHOWN)))
    if categories:
        parts.append(Text("categories: {names}", names=some(categories, SHOWN)))
    return joined("; ", parts)


def _missing(found: Mapping[str, Any], encoding: Encoding) -> Text:
    used = {column.name: column for column in encoding.columns}
    parts = []
    for name, count in found["missing"].items():
        column = used.get(name)
        if isinstance(column, NumberColumn):
            parts.append(Text("{column} {count} (median {fill:.4g})", column=name, count=count, fill=column.fill))
        elif column is not None:
            fill = column.categories[0] if column.categories else Text("other")
            parts.append(Text("{column} {count} (most frequent {fill})", column=name, count=count, fill=fill))
    return Text("missing: {parts}; each with a feature that says so", parts=joined(", ", parts[:SHOWN]) if parts else Text("none"))
