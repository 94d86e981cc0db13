"""Tasks made of tables: the suite of all tasks, and what a user writes."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ciranda
from ciranda.core.errors import DataError, TaskError
from ciranda.core.task import FederatedData, Task
from ciranda.tasks.table_task import TableTask, encoding_of
from ciranda.tasks.user import as_task, load_task
from ciranda.testing.tasks import TaskConformance


def flats(target: str) -> FederatedData:
    generator = np.random.default_rng(7)
    size, town = generator.normal(60, 20, 120), generator.choice(["north", "south"], 120)
    price = 5 * size + np.where(town == "north", 90, 0) + generator.normal(0, 5, 120)
    frame = pd.DataFrame({"size": size, "town": town, "price": price, "dear": np.where(price > 340, "yes", "no")})
    return ciranda.data.from_frame(frame.drop(columns="dear" if target == "price" else "price"), target=target)


class Price(TableTask):
    def table(self) -> FederatedData:
        return flats("price")


class Dear(TableTask):
    name = "dear-or-not"
    hidden = (6,)

    def table(self) -> FederatedData:
        return flats("dear")


class TestRegressionOnATable(TaskConformance):
    def make(self) -> Task:
        return Price()


class TestClassificationOnATable(TaskConformance):
    def make(self) -> Task:
        return Dear()


def test_the_columns_give_the_model_its_size() -> None:
    task = Dear()
    assert (task.name, task.kind, task.widths) == ("dear-or-not", "classification", (3, 6, 2))
    assert (Price().name, Price().widths) == ("Price", (3, 1))
    assert encoding_of(task.data()).features == ("size", "town=north", "town=south") or encoding_of(task.data()).features[0] == "size"


def test_the_table_is_read_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Price()
    calls: list[str] = []

    def table(self: Price) -> FederatedData:
        calls.append("read")
        return flats("price")

    monkeypatch.setattr(Price, "table", table)
    assert task.data() is task.data()
    assert calls == []
    other = pickle.loads(pickle.dumps(task))  # noqa: S301  what multiprocessing does
    np.testing.assert_array_equal(other.data().train.x, task.data().train.x)
    assert calls == ["read"]


def test_a_data_set_of_a_table_is_a_task_and_travels_whole() -> None:
    task = as_task(flats("price"))
    assert task.name == "frame"
    other = pickle.loads(pickle.dumps(task))  # noqa: S301  what multiprocessing does
    np.testing.assert_array_equal(other.data().train.x, task.data().train.x)


def test_other_data_is_refused() -> None:
    with pytest.raises(DataError, match="does not come from a table"):
        as_task(ciranda.data.iris())
    with pytest.raises(TaskError, match=r"TableTask lacks table\(\)"):
        TableTask()


def test_a_file_with_a_table_task_is_found(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{i},{i}.5\n" for i in range(20)))
    (tmp_path / "my_task.py").write_text(
        "import ciranda\nfrom ciranda import TableTask\n"
        f"class Mine(TableTask):\n    def table(self): return ciranda.data.from_csv({str(tmp_path / 't.csv')!r}, target='y')\n"
    )
    assert load_task("my_task.py", folder=tmp_path).kind == "regression"
