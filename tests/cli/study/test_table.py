"""A table in every form, read back by somebody else's reader where there is one."""

from __future__ import annotations

import csv
import io
import json
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ciranda.cli.study.table import FORMATS, Shown, Table
from ciranda.core.errors import ExperimentError

TABLE = Table(
    head=["run", "accuracy", "remark"],
    rows=[["fedavg", "0.9000 ± 0.0100", ""], ["a|b_c & 50 %", "–", "out"]],
    keys=["run", "accuracy", "accuracy_std", "remark"],
    values=[["fedavg", 0.9, 0.01, ""], ["a|b_c & 50 %", None, None, "out"]],
    notes=["Three seeds.", "* marks p < 0.05."],
    words=(0, 2),
)
TEXTS = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=12).map(str.strip).filter(bool)


def test_as_text_the_columns_stand_below_each_other() -> None:
    assert TABLE.text().splitlines() == [
        "run                  accuracy  remark",
        "------------  ---------------  ------",
        "fedavg        0.9000 ± 0.0100",
        "a|b_c & 50 %                –  out",
        "",
        "Three seeds.",
        "* marks p < 0.05.",
    ]


def test_as_markdown_numbers_are_on_the_right_and_bars_are_escaped() -> None:
    lines = TABLE.markdown().splitlines()
    assert lines[1] == "|---|--:|---|"
    assert lines[3] == r"| a\|b_c & 50 % | – | out |"
    assert lines[4:] == ["", "Three seeds.", "", "* marks p < 0.05."]


def test_as_latex_nothing_is_a_command_by_accident() -> None:
    text = TABLE.latex()
    assert r"\begin{tabular}{lrl}" in text
    assert r"a|b\_c \& 50 \% & – & out \\" in text
    assert r"0.9000 $\pm$ 0.0100" in text
    assert "% * marks p < 0.05." in text
    assert text.count(r"\\") == 3


def test_as_csv_there_are_plain_numbers() -> None:
    rows = list(csv.DictReader(io.StringIO(TABLE.csv())))
    assert rows[0] == {"run": "fedavg", "accuracy": "0.9", "accuracy_std": "0.01", "remark": ""}
    assert rows[1] == {"run": "a|b_c & 50 %", "accuracy": "", "accuracy_std": "", "remark": "out"}


def test_as_json_there_are_plain_numbers_and_the_notes() -> None:
    found = json.loads(TABLE.written("json"))
    assert found["rows"][0] == {"run": "fedavg", "accuracy": 0.9, "accuracy_std": 0.01, "remark": ""}
    assert found["rows"][1]["accuracy"] is None
    assert found["notes"] == TABLE.notes


def test_as_html_nothing_is_markup_by_accident() -> None:
    root = ElementTree.fromstring(f"<div>{TABLE.html()}</div>")
    assert [cell.text for cell in root.iter("td")] == [cell or None for row in TABLE.rows for cell in row]
    assert [note.text for note in root.iter("p")] == TABLE.notes


@given(st.lists(st.lists(TEXTS, min_size=2, max_size=2), min_size=1, max_size=4))
def test_any_words_come_through(rows: list[list[str]]) -> None:
    table = Table(["a", "b"], rows, ["a", "b"], rows)
    assert list(csv.reader(io.StringIO(table.csv())))[1:] == rows
    assert len(table.text().splitlines()) == 2 + len(rows)
    for row, line in zip(rows, table.text().splitlines()[2:], strict=True):
        assert line.startswith(row[0])
        assert line.endswith(row[1])


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_ends_its_last_line(form: str) -> None:
    assert TABLE.written(form).endswith("\n")
    assert not TABLE.written(form).endswith("\n\n")


def test_another_format_is_refused_with_those_there_are() -> None:
    with pytest.raises(ExperimentError, match="--format word") as caught:
        TABLE.written("word")
    assert "latex" in caught.value.hint


def test_a_result_shows_itself_in_a_notebook() -> None:
    class Result(Shown):
        @property
        def table(self) -> Table:
            return TABLE

    assert repr(Result()) + "\n" == TABLE.text()
    assert Result()._repr_markdown_() == TABLE.markdown()
    assert Result()._repr_html_() == TABLE.html()
    assert Result().rows[1]["remark"] == "out"
