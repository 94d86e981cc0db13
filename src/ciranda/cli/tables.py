"""The task behind a CSV file: softmax or linear regression on its columns."""

from __future__ import annotations

from functools import partial

import numpy as np

from ciranda.core.errors import ExperimentError
from ciranda.core.task import FederatedData
from ciranda.experiment.schema import DataSection
from ciranda.tasks.datasets.csvfile import Encoding, read_csv
from ciranda.tasks.numpy_models import NumpyTask
from ciranda.tasks.preprocess import NONE, Affine

DEFAULT_TEST_FRACTION = 0.2


def csv_task(data: DataSection) -> NumpyTask:
    """The linear model for the CSV file that `data` names; features and real targets are standardised.

    The means and deviations are those of the whole training table, as sums over the clients would give them.

    Raises:
        ExperimentError: no file is named. DataError: it cannot be used, with line and column.
    """
    table, encoding = read_table(data)
    regression = not encoding.classes
    return NumpyTask(
        name="csv",
        load=partial(_load, data),
        widths=(table.train.x.shape[1], len(encoding.classes) or 1),
        kind="regression" if regression else "classification",
        scale_x=_standard(table.train.x),
        scale_y=_standard(table.train.y.reshape(-1, 1)) if regression else NONE,
    )


def read_table(data: DataSection) -> tuple[FederatedData, Encoding]:
    """The data set in the CSV file and how its rows become features."""
    if data.csv is None or data.target is None:
        raise ExperimentError("The task 'csv' needs data.csv and data.target.", hint="ciranda run data.csv --target COLUMN")
    share = DEFAULT_TEST_FRACTION if data.test_fraction is None else data.test_fraction
    return read_csv(data.csv, target=data.target, client_column=data.client_column, test_fraction=share)


def _load(data: DataSection) -> FederatedData:
    return read_table(data)[0]


def _standard(values: np.ndarray) -> Affine:
    deviation = values.std(axis=0, dtype=np.float64)
    # A constant column says nothing: it becomes zeros.
    return Affine(tuple(values.mean(axis=0, dtype=np.float64).tolist()), tuple(np.where(deviation > 0, deviation, 1.0).tolist()))
