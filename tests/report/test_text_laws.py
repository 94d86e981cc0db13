"""Numbers, sizes and times as people read them: what is read back is what was meant."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ciranda.i18n import speaking
from ciranda.report import text
from ciranda.report.confusion import matrix
from ciranda.report.records import Records, read
from ciranda.report.scale import nice, spaced, thin, ticks
from tests.report import history

UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "en")


# --- numbers as texts


@given(st.floats(-1e12, 1e12))
@example(3e-5)
@example(0.00099)
def test_a_number_is_told_to_four_decimals_or_three_digits_and_never_as_nothing(value: float) -> None:
    written = float(text.number(value).replace(",", ""))
    assert abs(written - value) <= max(5.1e-5 if abs(value) >= 1e-4 else 0, 5.1e-3 * abs(value))


@given(st.integers(-(10**14), 10**14))
def test_a_whole_number_keeps_every_digit(value: int) -> None:
    assert int(text.number(float(value)).replace(",", "")) == value


@given(st.floats(0, 1e15))
@example(999.7)
@example(999_960.0)
@example(999_960_000.0)
def test_a_size_is_within_half_its_last_digit_and_below_a_thousand_of_its_unit(count: float) -> None:
    number, unit = text.size(count).split(" ")
    value = float(number.replace(",", ""))
    assert value * UNITS[unit] == pytest.approx(count, rel=0.051, abs=0.51)
    assert value < 1000 or unit == "TB"


@given(st.floats(0, 1e6))
def test_times_are_read_back_within_half_their_last_unit(value: float) -> None:
    factors = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
    parts = re.findall(r"([\d.]+) (ms|s|min|h)", text.seconds(value))
    total = sum(float(number) * factors[unit] for number, unit in parts)
    if parts[0][1] == "h":
        assert -0.5 <= value - total < 60  # whole minutes, as a clock shows them
    else:
        assert abs(total - value) <= 0.501 * (1 if len(parts) > 1 else 0.1 if parts[0][1] == "s" else 1e-3)
    assert all(float(number) < 60 for number, unit in parts[1:])


@given(st.floats(0, 1), st.integers(0, 3))
def test_a_share_is_a_hundred_times_as_many_percent(share: float, digits: int) -> None:
    assert float(text.percent(share, digits).removesuffix(" %")) == pytest.approx(100 * share, abs=0.51 * 10.0**-digits)


@given(st.floats(-1e9, 1e9))
def test_portuguese_swaps_commas_and_points_and_nothing_else(value: float) -> None:
    english = text.number(value)
    with speaking("pt"):
        assert text.number(value) == english.translate(str.maketrans(",.", ".,"))


@given(st.sampled_from(text.RATIOS), st.floats(0, 1), st.booleans())
def test_shares_have_four_decimals_in_training_too(metric: str, value: float, trained: bool) -> None:
    written = text.measure(f"train_{metric}" if trained else metric, value)
    assert re.fullmatch(r"[01]\.\d{4}", written)
    assert float(written) == pytest.approx(value, abs=5.1e-5)


@pytest.mark.parametrize("reason", ["rounds", "target", "patience", "max-bytes", "max-seconds", "max-epsilon", "too-few-replies"])
def test_every_stop_reason_has_words_in_both_languages(reason: str) -> None:
    english = text.reason(reason)
    assert english != reason
    assert " " in english
    with speaking("pt"):
        assert text.reason(reason) not in (reason, english)


def test_what_is_words_already_stays_and_who_asked_is_told() -> None:
    assert text.reason("The disk is full.") == "The disk is full."
    assert text.reason("stop-asked:ctrl-c") == "stop asked by ctrl-c"
    assert [text.state_name(state) for state in ("finished", "aborted", "paused")] == ["Finished", "Aborted", "paused"]
    assert [text.group_name(group) for group in ("server", "train", "mine")] == ["server", "training", "mine"]
    assert (text.metric_name("r2"), text.metric_name("mine"), text.capital("é b")) == ("R²", "mine", "É b")


# --- axes


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(1, 12))
def test_ticks_are_evenly_spaced_told_apart_and_inside(low: float, length: float, about: int) -> None:
    high = low + length
    length = high - low
    found = ticks(low, high, about)
    step = nice(length / about)
    assert len(found) <= about + 1
    assert all(low - 1e-6 * step <= tick <= high + 1e-6 * step for tick in found)
    assert np.diff(found) == pytest.approx([step] * (len(found) - 1), rel=1e-6)
    if length > 1e-6 * abs(low):
        assert len({text.short(tick) for tick in found}) == len(found) or abs(high) >= 1e6


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20), st.floats(0.1, 50))
def test_labels_keep_their_order_their_distance_and_their_middle(values: list[float], gap: float) -> None:
    values = sorted(values)
    moved = spaced(values, gap)
    assert len(moved) == len(values)
    assert (np.diff(moved) >= gap - 1e-6).all()
    assert math.fsum(moved) == pytest.approx(math.fsum(values), abs=1e-5)
    if (np.diff(values) >= gap).all():
        assert moved == pytest.approx(values)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=300), st.integers(4, 60))
def test_a_thinned_curve_has_both_ends_and_the_extremes(values: list[float], most: int) -> None:
    column = np.array(values)
    kept = thin(column, most)
    assert len(kept) <= max(most, min(len(values), most))
    assert (np.diff(kept) > 0).all()
    assert (kept[0], kept[-1]) == (0, len(values) - 1)
    assert (column[kept].min(), column[kept].max()) == (column.min(), column.max())


# --- a confusion matrix


@given(st.integers(1, 6).flatmap(lambda n: st.lists(st.lists(st.integers(0, 30), min_size=n, max_size=n), min_size=n, max_size=n)))
def test_a_matrix_comes_back_from_its_scores(rows: list[list[int]]) -> None:
    counts = np.array(rows, float)
    support = counts.sum(axis=1)
    recall = np.divide(np.diag(counts), support, out=np.zeros(len(counts)), where=support > 0)
    classes = {f"support.{label}": float(total) for label, total in enumerate(support)}
    classes |= {f"recall.{label}": float(value) for label, value in enumerate(recall)}
    mistaken = {f"{a}.{b}": float(counts[a, b]) for a in range(len(counts)) for b in range(len(counts)) if a != b and counts[a, b]}
    labels, found = matrix(classes, mistaken)
    assert labels == [str(label) for label in range(len(counts))]
    np.testing.assert_array_equal(found, counts)


# --- rows as columns


@given(st.integers(1, 12), st.integers(1, 9), st.floats(0.1, 1), st.integers(0, 50))
def test_columns_say_what_the_rows_said(rounds: int, clients: int, share: float, seed: int) -> None:
    made = history.rows(rounds, clients, share=share, seed=seed)
    records = read(iter(made))
    assert records.rounds.tolist() == [row["round"] for row in made]
    assert records.curve("server", "accuracy").values.tolist() == [row["metrics"]["server"]["accuracy"] for row in made]
    assert records.axis("bytes")[-1] == sum(row["bytes_up"] + row["bytes_down"] for row in made)
    assert records.reasons.get("deadline", 0) == sum(len(row["failed"]) for row in made)
    for name, curve in records.client_curves("train_loss").items():
        own = [(row["round"], row["clients"][name]["train_loss"]) for row in made if name in row["clients"]]
        assert list(zip(curve.rounds.tolist(), curve.values.tolist(), strict=True)) == own


@given(st.permutations(range(6)), st.integers(0, 20))
def test_the_order_of_the_clients_in_a_row_does_not_matter(order: list[int], seed: int) -> None:
    made = history.rows(4, 6, seed=seed)
    shuffled = [{**row, "clients": {str(name): row["clients"][str(name)] for name in order if str(name) in row["clients"]}} for row in made]
    one, other = read(made), read(shuffled)
    assert list(one.names) == list(other.names)
    for metric in ("accuracy", "loss"):
        for mine, theirs in zip(summary(one, metric), summary(other, metric), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-12)


def summary(records: Records, metric: str) -> list[np.ndarray]:
    band, worst, latest = records.band(metric), records.worst(metric), records.latest(metric)
    return [band.low, band.median, band.high, worst.values, latest[1]]
