"""`ciranda new --from`: whatever columns and files are called, the project is Python and TOML, and trains on that table."""

from __future__ import annotations

import ast
import csv
import keyword
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ciranda.cli.new_table import class_name, project
from ciranda.cli.tables import DEFAULT_TEST_FRACTION, csv_task, recorded_task, wish_of
from ciranda.core.errors import CirandaError, ExperimentError
from ciranda.experiment.load import resolve
from ciranda.experiment.schema import DataSection
from ciranda.tasks.datasets.encoding import Encoding
from ciranda.tasks.user import load_task

NAMES = st.text(st.characters(exclude_categories=["C", "Z"], max_codepoint=0x2FF), min_size=1, max_size=12).filter(
    lambda name: name.casefold() not in ("nan", "id")
)


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "en")


def write(path: Path, header: list[str], rows: int = 60) -> Path:
    """A table of a number, a category, an owner and a target, in the order of `header`."""
    generator = np.random.default_rng(4)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        for row in range(rows):
            size = generator.normal()
            writer.writerow([f"{size:.3f}", "north" if row % 3 else "south", f"owner{row % 4}", f"{2 * size + row % 3:.3f}"])
    return path


def made(source: Path, target: str, owner: str | None, folder: Path) -> tuple[dict[str, str], list[str]]:
    folder.mkdir(parents=True, exist_ok=True)
    files, told = project(source, target, owner, folder)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return files, told


@given(st.text(max_size=20))
@example("none")
@example("true")
def test_any_file_gives_a_class_a_name_that_python_takes(stem: str) -> None:
    name = class_name(stem)
    assert name.isidentifier()
    assert name.isascii()
    assert name[0].isupper()
    assert not keyword.iskeyword(name)


@given(st.lists(NAMES, min_size=4, max_size=4, unique_by=str.casefold), st.booleans())
def test_any_column_names_give_a_project_that_trains_on_them(
    tmp_path_factory: pytest.TempPathFactory, header: list[str], owned: bool
) -> None:
    folder = tmp_path_factory.mktemp("made")
    source = write(folder / "data" / "rows.csv", header)
    files, _ = made(source, header[3], header[2] if owned else None, folder / "project")
    ast.parse(files["my_task.py"])
    experiment = tomllib.loads(files["experiment.toml"])
    assert experiment["experiment"]["task"] == "my_task.py:Rows"
    task = load_task("my_task.py:Rows", folder=folder / "project")
    data = task.data()
    assert len(data.train) + len(data.test) == 60
    assert (data.groups is not None) == owned
    assert experiment["federation"]["partitioner"] == ("natural-id" if owned else "iid")


@pytest.mark.parametrize(
    ("stem", "column"),
    [
        ('a"b', '"""'), ("a'b", "\\"), ("a b", "{target}"), ("{x}", "x\ny"), ("%s", "#"), ("class", "'''"), ("ação 2", '"'),
        ("none", "x\\"), ("true", "{"),
    ],
)  # fmt: skip
def test_names_that_mean_something_to_python_stay_names(tmp_path: Path, stem: str, column: str) -> None:
    source = write(tmp_path / f"{stem}.csv", [column, "town", "who", "price"])
    files, _ = made(source, "price", None, tmp_path / "project")
    tomllib.loads(files["experiment.toml"])
    tree = ast.parse(files["my_task.py"])
    [name] = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    data: Any = load_task(f"my_task.py:{name}", folder=tmp_path / "project").data()
    assert any(feature.startswith(column.strip()) for feature in Encoding.from_json(data.record["encoding"]).features)


@pytest.mark.parametrize("name", ['"""', "\\", "x\ny", '"', "{kind}", "a # b"])
def test_targets_and_owners_may_be_called_anything_too(tmp_path: Path, name: str) -> None:
    for place in (2, 3):
        header = ["size", "town", "who", "price"]
        header[place] = name
        source = write(tmp_path / str(place) / "rows.csv", header)
        files, _ = made(source, header[3], header[2], tmp_path / str(place) / "project")
        assert tomllib.loads(files["experiment.toml"])["federation"] == {"partitioner": "natural-id"}
        data = load_task("my_task.py:Rows", folder=tmp_path / str(place) / "project").data()
        assert data.groups is not None
        assert len(set(data.groups.tolist())) == 4


def test_what_is_told_of_the_table_is_what_the_project_does(tmp_path: Path) -> None:
    source = write(tmp_path / "rows.csv", ["size", "town", "who", "price"])
    files, told = made(source, "price", "who", tmp_path / "p")
    text = "\n".join(told)
    assert "60 rows" in text
    assert "regression of price" in text
    assert "clients: 4" in text
    assert "Columns of numbers: size." in files["my_task.py"]
    assert "Columns of categories: town (2)." in files["my_task.py"]


# --- the task behind the run without code


@pytest.mark.parametrize(("target", "kind"), [("price", "regression"), ("town", "classification")])
def test_the_model_has_an_input_for_each_feature_and_an_output_for_each_class(tmp_path: Path, target: str, kind: str) -> None:
    source = write(tmp_path / "rows.csv", ["size", "town", "who", "price"])
    experiment = resolve(str(source), target=target, client_column="who")
    task = csv_task(experiment)
    record: Any = task.data().record
    encoding = Encoding.from_json(record["encoding"])
    assert (task.kind, task.widths) == (kind, (len(encoding.features), 2 if kind == "classification" else 1))
    source.unlink()
    again = recorded_task(experiment, encoding)
    assert (again.kind, again.widths, again.scale_y) == (task.kind, task.widths, task.scale_y)
    with pytest.raises(CirandaError, match=r"rows\.csv"):
        again.data()


def test_a_wish_has_the_defaults_of_the_documentation_and_what_is_said() -> None:
    wish = wish_of(DataSection(csv="a.csv", target="y"))
    assert (wish.test_fraction, wish.kind, wish.drop, wish.keep, wish.missing, wish.min_count) == (
        DEFAULT_TEST_FRACTION, "auto", (), (), "fill", 1,
    )  # fmt: skip
    said = DataSection(
        csv="a.csv",
        target="y",
        client_column="who",
        test_fraction=0.0,
        kind="regression",
        drop=["a"],
        keep=["b"],
        missing="drop",
        min_count=3,
    )
    wish = wish_of(said)
    assert (wish.client_column, wish.test_fraction, wish.kind) == ("who", 0.0, "regression")
    assert (wish.drop, wish.keep, wish.missing, wish.min_count) == (("a",), ("b",), "drop", 3)


def test_without_a_file_there_is_no_wish() -> None:
    with pytest.raises(ExperimentError, match=r"needs data\.csv and data\.target") as caught:
        wish_of(DataSection())
    assert "--target" in caught.value.hint
