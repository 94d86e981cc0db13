"""A run in MLflow's store: parameters, metrics by round, tags and the run's files as artifacts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from ciranda.core.errors import MissingExtra, StoreError
from ciranda.report.exports.tensorboard import scalars
from ciranda.report.run import Run, flat

EXPERIMENT = "Ciranda"
BATCH = 1000  # the most metrics that MLflow takes at once
MOST_PARAMS = 100


def write(run: Run, where: str, files: Sequence[Path], started: float) -> str:
    """Write the run into the MLflow store at `where`, a folder or the address of a tracking server; returns MLflow's id of the run.

    A folder gets a database `mlflow.db` and the artifacts beside it. `started`: seconds since 1970.

    Raises:
        MissingExtra: mlflow is not installed. StoreError: MLflow cannot write there.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise MissingExtra("mlflow", "tracking", "Writing to MLflow") from error
    address, artifacts = _places(where)
    try:
        client = MlflowClient(tracking_uri=address)
        known = client.get_experiment_by_name(EXPERIMENT)
        experiment = known.experiment_id if known is not None else client.create_experiment(EXPERIMENT, artifacts)
        created = client.create_run(experiment, int(started * 1000), _tags(run), run.name)
        key = created.info.run_id
        settings = iter(flat(run.settings).items())
        while batch := [Param(name, str(value)) for name, value in islice(settings, MOST_PARAMS)]:
            client.log_batch(key, params=batch)
        metrics = _metrics(run, started)
        while found := [Metric(*each) for each in islice(metrics, BATCH)]:
            client.log_batch(key, metrics=found)
        for file in files:
            client.log_artifact(key, str(file))
        spent = float(run.records.seconds.sum())
        client.set_terminated(key, _status(run), int((started + spent) * 1000))
    except MlflowException as error:
        raise StoreError("MLflow cannot write to {where}: {error}", where=where, error=str(error)) from error
    return str(key)


def _places(where: str) -> tuple[str, str | None]:
    """(tracking address, where artifacts go)."""
    if "://" in where:
        return where, None
    folder = Path(where).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()


def _metrics(run: Run, started: float) -> Iterator[tuple[str, float, int, int]]:
    """(key, value, milliseconds, round); keys have a slash where TensorBoard's have one: `server/accuracy`."""
    times = ((started + run.records.axis("seconds")) * 1000).astype(int).tolist()
    for at, number in enumerate(run.records.rounds.tolist()):
        for tag, value in scalars(run, at):
            yield tag, value, times[at], number


def _tags(run: Run) -> dict[str, str]:
    result = run.result
    kept = {key: result[key] for key in ("state", "stop_reason", "model_sha256", "reproducible") if key in result}
    versions = {f"version.{name}": version for name, version in result.get("versions", {}).items()}
    return {f"ciranda.{key}": str(value) for key, value in {**kept, **versions, "folder": run.folder}.items()}


def _status(run: Run) -> str:
    return {"finished": "FINISHED", "error": "FAILED", "aborted": "KILLED"}.get(str(run.result.get("state")), "RUNNING")
