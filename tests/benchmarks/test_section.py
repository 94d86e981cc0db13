"""Results are kept as they were measured, and RESULTS.md says just what is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import section as module
from benchmarks.section import Row, Section, Spread, load, number, render, save
from benchmarks.suites import SUITES

ROWS = [
    Row("Ciranda", Spread(1.0, 0.5, 2.0), note="start-up 1.0 s"),
    Row("bare loop", Spread(2.0, 2.0, 2.0), ratio=Spread(0.5, 0.25, 1.0), target=0.75),
    Row("Flower", None, target=0.35, note="pip could not install it"),
]
SECTION = Section("classic", "classic: a CNN", "What.", ROWS, "2026-01-02 03:04 UTC", "a machine", {"torch": "2", "numpy": "1"}, 5, 0.25)


def test_a_spread_is_the_median_and_the_extremes() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert Spread.of(iter([5.0])) == Spread(5.0, 5.0, 5.0)
    assert Spread(2.0, 1.0, 3.0).text("s") == "2.00 s (1.00 to 3.00)"
    assert Spread(0.5, 0.5, 0.5).text("") == "0.500"


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "0.012"), (0.5, "0.500"), (1.234, "1.23"), (45.678, "45.68"), (1234.5, "1,234"), (0, "0")]
)
def test_numbers_have_few_digits(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("row", "missed"),
    [
        (Row("a", Spread(9.0, 9.0, 9.0)), False),
        (Row("a", Spread(9.0, 9.0, 9.0), target=9.0), False),
        (Row("a", Spread(9.1, 8.0, 10.0), target=9.0), True),
        (Row("a", Spread(9.0, 9.0, 9.0), ratio=Spread(0.7, 0.1, 2.0), target=0.75), False),
        (Row("a", Spread(0.1, 0.1, 0.1), ratio=Spread(0.8, 0.1, 2.0), target=0.75), True),
        (Row("a", None, target=0.75), True),
        (Row("a", None), False),
    ],
)
def test_a_target_is_held_against_the_median_ratio_or_else_the_value(row: Row, missed: bool) -> None:
    assert row.missed is missed


def test_a_section_as_markdown() -> None:
    assert SECTION.markdown().splitlines() == [
        "## classic: a CNN",
        "",
        "What.",
        "",
        "| | median (range) | Ciranda's time over it | at most | |",
        "|---|---|---|---|---|",
        "| Ciranda | 1.00 s (0.500 to 2.00) |  |  | start-up 1.0 s |",
        "| bare loop | 2.00 s | 0.500 (0.250 to 1.00) | 0.750: reached |  |",
        "| Flower | not measured |  | 0.350: missed | pip could not install it |",
        "",
        "Measured 2026-01-02 03:04 UTC, 5 repetitions, on a machine; numpy 1, torch 2. Other programs used 0.25 cores meanwhile.",
    ]


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    assert load(tmp_path) == {}
    save({"classic": SECTION}, list(SUITES), tmp_path)
    assert load(tmp_path) == {"classic": SECTION}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["RESULTS.md", "results.json"]


def test_sections_stand_in_the_order_of_the_benchmarks(tmp_path: Path) -> None:
    tiny = Section("tiny", "tiny: regression", "What.", [], "now", "a machine", {}, 1)
    save({"tiny": tiny, "classic": SECTION, "gone": tiny}, ["classic", "tiny"], tmp_path)
    text = (tmp_path / "RESULTS.md").read_text()
    assert text.index("## classic") < text.index("## tiny")
    assert list(load(tmp_path)) == ["classic", "tiny"]


def test_the_kept_results_are_all_there_and_nobody_changed_their_text() -> None:
    kept = load()
    assert list(kept) == list(SUITES)
    assert (module.HERE / module.RESULTS).read_text(encoding="utf-8") == render(kept)
