"""What is told of a table, line by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ciranda.core.texts import Text
from ciranda.tasks.datasets import from_csv
from ciranda.tasks.datasets.described import described


def lines(tmp_path: Path, text: str, target: str, **options: Any) -> list[str]:
    (tmp_path / "t.csv").write_bytes(text.encode("latin-1"))
    record = json.loads(json.dumps(from_csv(tmp_path / "t.csv", target=target, **options).record))
    said = described(record)
    assert all(isinstance(line, Text) for line in said)
    return [str(line) for line in said]


def test_a_table_is_told_in_a_few_lines(tmp_path: Path) -> None:
    rows = "".join(f"p{i};{i % 2};{i},5;{'' if i < 3 else 'não'};2020-01-02;{'' if i == 5 else 'x' if i % 2 else 'z'}\n" for i in range(50))
    said = lines(tmp_path, "id;dono;a;fuma;dia;y\n" + rows, "y", client_column="dono", test_fraction=0)
    assert said[:4] == [
        "table: 49 rows, Latin-1, separated by ';', decimal comma",
        "task: classification of y, 2 classes: x, z",
        "features: 3; numbers: a; categories: fuma (1)",
        "missing: fuma 3 (most frequent não); each with a feature that says so",
    ]
    assert said[4] == "left out: rows without a value of y: 1"
    assert said[5].startswith("left out: 'id' looks like an identifier")
    assert said[6].startswith("left out: 'dia' holds dates: turn it into numbers")
    assert "sums by client (clients: 2;" in said[7]
    assert len(said) == 8


def test_a_regression_tells_its_scale_and_medians(tmp_path: Path) -> None:
    rows = "".join(f"{'' if i == 4 else i}\t{i / 2}\n" for i in range(9))
    said = lines(tmp_path, "a\ty\n" + rows, "y", test_fraction=0)
    assert said[0] == "table: 9 rows, UTF-8, separated by tabs"
    assert said[1] == "task: regression of y, mean 2, deviation 1.291"
    assert said[3] == "missing: a 1 (median 3); each with a feature that says so"
    dropped = lines(tmp_path, "a\ty\n" + rows, "y", test_fraction=0, missing="drop")
    assert "left out: rows with a missing value: 1" in dropped


def test_files_of_a_folder_are_counted(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("a,y\n1,0.5\n2,1.5\n")
    record = from_csv(tmp_path, target="y", test_fraction=0).record
    assert record is not None
    assert str(described(record)[0]) == "table: 4 rows, 2 files, UTF-8, separated by ','"
