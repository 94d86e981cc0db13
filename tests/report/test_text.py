"""Numbers and names as people read them."""

from __future__ import annotations

import math

import pytest

from ciranda.i18n import speaking
from ciranda.report import text


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "en")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"), (3.0, "3"), (1234567.0, "1,234,567"), (0.12345, "0.1235"), (12.3456, "12.346"), (1234.56, "1,234.6"),
        (1.5e7 + 0.5, "1.5e+07"), (1e-9, "1e-09"), (-0.5, "-0.5000"), (None, "–"), (math.nan, "–"), (math.inf, "–"),
    ],
)  # fmt: skip
def test_numbers_have_the_digits_that_matter(value: float | None, written: str) -> None:
    assert text.number(value) == written


def test_portuguese_has_a_decimal_comma() -> None:
    with speaking("pt"):
        assert text.number(1234.5) == "1.234,5"
        assert text.measure("accuracy", 0.5) == "0,5000"
        assert text.percent(0.125, 1) == "12,5 %"
        assert text.seconds(1.25) == "1,2 s"
        assert text.size(1500) == "1,5 kB"
        assert text.short(0.25) == "0,25"


def test_shares_always_have_four_decimals() -> None:
    assert text.measure("accuracy", 1.0) == "1.0000"
    assert text.measure("train_accuracy", 0.0) == "0.0000"
    assert text.measure("loss", 3.0) == "3"
    assert text.measure("accuracy", None) == "–"


@pytest.mark.parametrize(("value", "written"), [(0.0431, "43 ms"), (1.74, "1.7 s"), (725, "12 min 5 s"), (12000, "3 h 20 min")])
def test_times(value: float, written: str) -> None:
    assert text.seconds(value) == written


@pytest.mark.parametrize(("value", "written"), [(512, "512 B"), (1.5e6, "1.5 MB"), (2e9, "2.0 GB"), (3e15, "3000.0 TB")])
def test_sizes(value: float, written: str) -> None:
    assert text.size(value) == written


@pytest.mark.parametrize(("value", "written"), [(0.5, "0.5"), (0.1 + 0.2, "0.3"), (1500.0, "1,500"), (3e7, "3e+07"), (0.0, "0")])
def test_ticks_are_short(value: float, written: str) -> None:
    assert text.short(value) == written


def test_names_fall_back_to_themselves() -> None:
    assert text.metric_name("my_metric") == "my_metric"
    assert text.group_name("privacy") == "privacy"
    assert text.state_name("odd") == "odd"
    assert text.reason("stop-asked:ctrl-c") == "stop asked by ctrl-c"
    assert text.reason("Round 3: out of paper") == "Round 3: out of paper"
    assert text.reason("rounds") == "all rounds done"
    assert text.capital("accuracy") == "Accuracy"
    assert text.capital("") == ""
