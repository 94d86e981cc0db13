"""CSV and JSON lines: one line a round, and one line for every value that a client had."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from ciranda.report.records import Records

CLIENT_COLUMNS = ("round", "client", "metric", "value")


def round_rows(records: Records) -> Iterator[dict[str, Any]]:
    """A round as one flat dict: round, skipped, seconds, bytes_up, bytes_down, counted, missing, then "group.metric".

    None stands for what was not measured.
    """
    counted = np.bincount(records.part.row[records.part.value == 1], minlength=len(records.rounds))
    asked = np.bincount(records.part.row, minlength=len(records.rounds))
    for at, number in enumerate(records.rounds.tolist()):
        values = {
            f"{group}.{metric}": float(column[at]) if np.isfinite(column[at]) else None
            for group, metrics in records.groups.items()
            for metric, column in metrics.items()
        }
        yield {
            "round": number,
            "skipped": bool(records.skipped[at]),
            "seconds": float(records.seconds[at]),
            "bytes_up": int(records.bytes_up[at]),
            "bytes_down": int(records.bytes_down[at]),
            "counted": int(counted[at]),
            "missing": int(asked[at] - counted[at]),
            **values,
        }


def client_rows(records: Records) -> Iterator[tuple[int, str, str, float]]:
    """(round, client, metric, value) of everything that clients measured, metric by metric, rounds ascending."""
    for metric, points in records.values.items():
        rounds = records.rounds[points.row].tolist()
        for number, client, value in zip(rounds, points.client.tolist(), points.value.tolist(), strict=True):
            yield number, records.names[client], metric, value


def as_csv(records: Records) -> dict[str, Iterator[bytes]]:
    """File name -> content, in pieces."""
    rows = list(round_rows(records))
    head = list(rows[0]) if rows else []
    lines = ([row[key] for key in head] for row in rows)
    return {"rounds.csv": _csv(head, lines), "clients.csv": _csv(CLIENT_COLUMNS, client_rows(records))}


def as_jsonl(records: Records) -> dict[str, Iterator[bytes]]:
    """File name -> content, in pieces."""
    clients = (dict(zip(CLIENT_COLUMNS, row, strict=True)) for row in client_rows(records))
    return {"rounds.jsonl": _jsonl(round_rows(records)), "clients.jsonl": _jsonl(clients)}


def _csv(head: Any, rows: Any) -> Iterator[bytes]:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(head)
    for row in rows:
        writer.writerow(["" if cell is None else str(cell).lower() if isinstance(cell, bool) else cell for cell in row])
        if stream.tell() > 1 << 16:
            yield _taken(stream)
    yield _taken(stream)


def _jsonl(rows: Any) -> Iterator[bytes]:
    for row in rows:
        yield (json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def _taken(stream: io.StringIO) -> bytes:
    data = stream.getvalue().encode()
    stream.seek(0)
    stream.truncate()
    return data
