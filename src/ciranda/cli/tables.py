"""The task behind a table: softmax or linear regression on its columns, prepared by a survey among the run's own clients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ciranda.cli.dealing import population_of
from ciranda.core.errors import ExperimentError
from ciranda.core.rng import Draw
from ciranda.core.task import FederatedData
from ciranda.experiment.schema import DataSection, Experiment
from ciranda.tasks.datasets.csvfile import Owners, Wish, federated
from ciranda.tasks.datasets.encoding import Encoding
from ciranda.tasks.datasets.table import read_table
from ciranda.tasks.numpy_models import NumpyTask

DEFAULT_TEST_FRACTION = 0.2


def csv_task(experiment: Experiment) -> NumpyTask:
    """The linear model for the table that `experiment` names.

    Raises:
        ExperimentError: no file is named. DataError: it cannot be used, with line and column.
    """
    load = _Table(experiment)
    return _task(Encoding.from_json((load().record or {})["encoding"]), load)


def recorded_task(experiment: Experiment, encoding: Encoding) -> NumpyTask:
    """The same model by the encoding that a run's folder keeps; the table is not read, and may be elsewhere by now."""
    return _task(encoding, _Table(experiment))


def _task(encoding: Encoding, load: Callable[[], FederatedData]) -> NumpyTask:
    widths = (len(encoding.features), len(encoding.classes) or 1)
    return NumpyTask("csv", load, widths, encoding.kind, scale_y=encoding.scale_y)


def wish_of(data: DataSection) -> Wish:
    """What [data] asks for. Raises ExperimentError if it names no file or no target."""
    if data.csv is None or data.target is None:
        raise ExperimentError("The task 'csv' needs data.csv and data.target.", hint="ciranda run data.csv --target COLUMN")
    return Wish(
        data.target,
        data.client_column,
        DEFAULT_TEST_FRACTION if data.test_fraction is None else data.test_fraction,
        kind=data.kind or "auto",
        drop=tuple(data.drop or ()),
        keep=tuple(data.keep or ()),
        missing=data.missing or "fill",
        min_count=data.min_count or 1,
    )


class _Table:
    """Reads the experiment's table once in a process."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self._data: FederatedData | None = None

    def __call__(self) -> FederatedData:
        if self._data is None:
            wish, path = wish_of(self.experiment.data), Path(str(self.experiment.data.csv))
            self._data = federated(read_table(path), wish, name=path.stem, source=str(path), deal=self._deal)[0]
        return self._data

    def _deal(self, data: FederatedData) -> Owners:
        """What each client of the run trains on, and all that it holds: what clients keep back shapes no feature either."""
        population = population_of(self.experiment, data, Draw(self.experiment.experiment.seed))
        held, rows = population.partition, population.data.train.x
        return [(population.train(rank).x, rows[held.of(rank)]) for rank in range(population.size)]

    def __reduce__(self) -> tuple[type[_Table], tuple[Experiment]]:
        return _Table, (self.experiment,)
