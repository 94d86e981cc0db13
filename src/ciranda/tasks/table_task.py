"""The task that a user with a table writes: which table, which column to predict; the model's size follows from the columns."""

from __future__ import annotations

from typing import Any

from ciranda.core.errors import DataError, TaskError
from ciranda.core.task import FederatedData
from ciranda.tasks.datasets.encoding import Encoding
from ciranda.tasks.numpy_models import NumpyTask


class TableTask(NumpyTask):
    """Softmax or linear regression on the features of a table, or a small network with `hidden` layers; float32, in numpy.

        class Houses(ciranda.TableTask):
            def table(self): return ciranda.data.from_csv("houses.csv", target="price", client_column="town")

    `ciranda.run(data)` makes one of a data set that `from_csv` or `from_frame` gave.

    Attributes:
        name: what records call the task; the class's name if empty.
        hidden: widths of the hidden layers, () for a linear model.
    """

    name: str = ""
    hidden: tuple[int, ...] = ()

    def __init__(self, data: FederatedData | None = None) -> None:
        """Reads the table. Raises DataError if it is none that became features by an encoding."""
        self._kept: FederatedData | None = data
        self._given = data is not None
        found = self.data()
        encoding = encoding_of(found)
        name = type(self).name or (found.name if self._given else type(self).__name__)
        widths = (len(encoding.features), *type(self).hidden, len(encoding.classes) or 1)
        super().__init__(name, self.table, widths, encoding.kind, scale_y=encoding.scale_y)

    def table(self) -> FederatedData:
        """The data set, from `ciranda.data.from_csv` or `ciranda.data.from_frame`; asked for once in a process."""
        raise TaskError("{name} lacks table().", name=type(self).__name__, hint="It returns what ciranda.data.from_csv(...) gives.")

    def data(self) -> FederatedData:
        if self._kept is None:
            self._kept = self.table()
        return self._kept

    def __getstate__(self) -> dict[str, Any]:
        # A worker gets its examples from the run; another process reads the table again, unless it was handed in.
        return self.__dict__ if self._given else {**self.__dict__, "_kept": None}


def encoding_of(data: object) -> Encoding:
    """How the rows of `data` became features. Raises DataError if it came from no table."""
    record = data.record if isinstance(data, FederatedData) else None
    if record is None or "encoding" not in record:
        raise DataError(
            "This data set does not come from a table: it has no encoding.",
            hint="Make one with ciranda.data.from_csv(...) or ciranda.data.from_frame(...), or write a TorchTask for your own arrays.",
        )
    return Encoding.from_json(record["encoding"])
