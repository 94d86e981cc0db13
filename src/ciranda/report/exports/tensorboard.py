"""TensorBoard's event files, written by its own writer: scalars by round, the clients' values as histograms, the settings as hparams."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ciranda.core.errors import MissingExtra
from ciranda.report.records import Floats
from ciranda.report.run import Run, flat

BUCKETS = 30
SUFFIX = ".ciranda"


def write(run: Run, folder: Path, started: float) -> None:
    """Write one event file into `folder`, in the place of an earlier export.

    An event happens at `started`, in seconds since 1970, plus the seconds spent in rounds until then.

    Raises:
        MissingExtra: the package tensorboard is not installed.
    """
    try:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise MissingExtra("tensorboard", "tracking", "Writing TensorBoard's event files") from error
    # TensorBoard would show two exports of the same run as one curve that goes back and forth.
    for earlier in folder.glob(f"events.out.tfevents.*{SUFFIX}"):
        earlier.unlink()
    writer = EventFileWriter(str(folder), filename_suffix=SUFFIX)
    try:
        summary = hparams_pb(flat(run.settings), trial_id=run.name, start_time_secs=started)
        writer.add_event(event_pb2.Event(wall_time=started, summary=summary))
        times = started + run.records.axis("seconds")
        for at, number in enumerate(run.records.rounds.tolist()):
            values = [summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in scalars(run, at)]
            values += [
                summary_pb2.Summary.Value(tag=f"clients/{metric}", histo=summary_pb2.HistogramProto(**histogram(found)))
                for metric, found in distributions(run, at)
            ]
            writer.add_event(event_pb2.Event(wall_time=float(times[at]), step=number, summary=summary_pb2.Summary(value=values)))
    finally:
        writer.close()


def scalars(run: Run, at: int) -> Iterator[tuple[str, float]]:
    """(tag, value) of the row's groups, its bytes and its seconds: `server/accuracy`."""
    records = run.records
    for group, metrics in records.groups.items():
        for metric, column in metrics.items():
            if np.isfinite(column[at]):
                yield f"{group}/{metric}", float(column[at])
    yield "cost/bytes_up", float(records.bytes_up[at])
    yield "cost/bytes_down", float(records.bytes_down[at])
    yield "cost/seconds", float(records.seconds[at])


def distributions(run: Run, at: int) -> Iterator[tuple[str, Floats]]:
    """(metric, the clients' values in the row) of everything that clients measured."""
    for metric, points in run.records.values.items():
        first, last = np.searchsorted(points.row, [at, at + 1])
        if last > first:
            yield metric, points.value[first:last]


def histogram(values: Floats) -> dict[str, Any]:
    """The fields of a HistogramProto: upper bucket limits and how many values lie below each."""
    counts, edges = np.histogram(values, bins=min(BUCKETS, max(1, len(values))))
    return {
        "min": float(values.min()),
        "max": float(values.max()),
        "num": float(len(values)),
        "sum": float(values.sum()),
        "sum_squares": float(np.square(values).sum()),
        "bucket_limit": edges[1:].tolist(),
        "bucket": counts.astype(np.float64).tolist(),
    }
