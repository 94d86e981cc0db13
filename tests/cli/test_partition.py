"""`ciranda partition`: the text, the pictures and the manifest of how data is dealt out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ciranda.cli import partition as command
from ciranda.cli.partition import BAR, Dealt, deal, dealt_of, lines
from ciranda.cli.partition_plot import figure
from ciranda.core.partition import binned, heterogeneity, partition
from ciranda.core.rng import Draw
from ciranda.experiment.load import resolve

NAMES = ("cat", "dog", "owl")


def labelled(clients: int, scheme: str = "iid", classes: int = 3, **params: Any) -> Dealt:
    y = np.random.default_rng(0).integers(0, classes, 3_000)
    names = NAMES if classes == 3 else [f"kind {number}" for number in range(classes)]
    return dealt_of("toys: made", partition(scheme, y, clients, Draw(1), **params), y, names)


def regression(clients: int) -> Dealt:
    y = np.random.default_rng(0).lognormal(size=2_000)
    return dealt_of("toys: sorted", partition("continuous", y, clients, Draw(1), strictness=0.8), y, ())


def bars(dealt: Dealt) -> dict[int, str]:
    """Client -> its bar."""
    found = [re.fullmatch(r" *(\d+) +[\d,]+  (\w+)", line) for line in lines(dealt)]
    return {int(match[1]): match[2] for match in found if match}


def test_the_text_says_sizes_score_and_names() -> None:
    dealt = labelled(4)
    text = "\n".join(lines(dealt))
    assert "3,000 examples, 4 clients" in text
    assert "Sizes: 750 to 750, median 750, mean 750.0" in text
    assert f"Heterogeneity: {heterogeneity(dealt.partition, dealt.labels):.3f}" in text
    assert "0 cat  1 dog  2 owl" in text
    assert "Left out" not in text


def test_a_bar_has_the_clients_size_and_shares() -> None:
    dealt = labelled(3, "linear")
    found = bars(dealt)
    assert [len(bar) for bar in found.values()] == [round(BAR / 3), round(BAR * 2 / 3), BAR]
    counts = dealt.counts[2]
    for sign, count in zip("012", counts, strict=True):
        assert abs(found[2].count(sign) - BAR * count / counts.sum()) <= 1


def test_of_many_clients_twenty_are_shown_from_the_first_to_the_last() -> None:
    dealt = labelled(1_000)
    shown = list(bars(dealt))
    assert len(shown) == 20
    assert (shown[0], shown[-1]) == (0, 999)
    assert "(20 of 1,000 clients)" in lines(dealt)


def test_what_the_parameters_leave_out_is_told() -> None:
    y = np.zeros(100, int)
    dealt = dealt_of("toys", partition("size", y, None, Draw(1), partition_sizes=[30, 50]), y, ["all"])
    assert "Left out, as the parameters say: 20" in lines(dealt)


def test_targets_are_shown_by_tenths() -> None:
    dealt = regression(5)
    assert dealt.targets is not None
    assert np.array_equal(dealt.labels, binned(dealt.targets))
    found = bars(dealt)
    assert found[0][0] == "0"
    assert found[4][-1] == "9"
    assert any("tenths" in line for line in lines(dealt))


def test_more_classes_than_signs_share_the_last_sign() -> None:
    text = lines(labelled(2, classes=70))
    assert "+ the others" in text[-2]
    assert "+" in text[5]


@pytest.mark.parametrize("clients", [5, 40, 41, 1_000])
def test_a_picture_shows_every_client(clients: int) -> None:
    """Up to 40 clients by a bar each, as wide as the client is large; beyond, as columns of shares that sum to 1."""
    pytest.importorskip("matplotlib")
    dealt = labelled(clients, "dirichlet", alpha=1.0, min_partition_size=1) if clients <= 100 else labelled(clients)
    drawn = figure(dealt)
    axes: list[Any] = drawn.axes
    if clients <= 40:
        ends = {round(bar.get_y() + bar.get_height() / 2): bar.get_x() + bar.get_width() for bar in axes[0].patches}
        assert [ends[client] for client in range(clients)] == dealt.partition.sizes.tolist()
        assert [text.get_text() for text in axes[0].get_yticklabels()] == [str(client) for client in range(clients)]
    else:
        shares = axes[1].images[0].get_array()
        assert shares.shape == (3, clients)
        assert np.allclose(shares.sum(axis=0), 1)
        assert sorted(axes[0].patches[0].get_data().values.tolist()) == sorted(dealt.partition.sizes.tolist())


@pytest.mark.parametrize("clients", [5, 41])
def test_a_picture_of_targets_shows_every_clients_median(clients: int) -> None:
    pytest.importorskip("matplotlib")
    dealt = regression(clients)
    assert dealt.targets is not None
    medians = sorted(float(np.median(dealt.targets[dealt.partition.of(rank)])) for rank in range(clients))
    axis: Any = figure(dealt).axes[0]
    line = next(line for line in axis.lines if len(line.get_xdata()) == clients)
    drawn = line.get_xdata() if clients <= 40 else line.get_ydata()
    assert np.allclose(sorted(np.asarray(drawn, float)), medians)


@pytest.mark.parametrize("classes", [1, 11, 30])
def test_any_number_of_classes_can_be_drawn(classes: int) -> None:
    pytest.importorskip("matplotlib")
    drawn = figure(labelled(4, classes=classes))
    assert 1 <= len(drawn.legends[0].get_texts()) <= 12


def test_the_command_leaves_manifest_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    command.show("iris", ["federation.clients=3"], target=None, client_column=None, out=tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    assert {file.name for file in folder.iterdir()} == {"partition.json", "partition.png", "partition.svg"}
    assert (folder / "partition.png").read_bytes().startswith(b"\x89PNG")
    assert "setosa" in (folder / "partition.svg").read_text(encoding="utf-8")
    manifest = json.loads((folder / "partition.json").read_text(encoding="utf-8"))
    dealt, expected = deal(resolve("iris", ["federation.clients=3"]))
    assert manifest == expected
    assert [row["size"] for row in manifest["per_client"]] == dealt.partition.sizes.tolist()
    assert "setosa" in capsys.readouterr().out


def test_without_matplotlib_there_is_the_text_and_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    command.show("iris", [], target=None, client_column=None, out=tmp_path)
    printed = capsys.readouterr()
    assert [file.name for file in tmp_path.iterdir()] == ["partition.json"]
    assert "Heterogeneity" in printed.out
    assert "ciranda[plots]" in printed.err
