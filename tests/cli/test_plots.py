"""Figures from rows: which files, that they are whole and repeatable, and that odd histories draw as well."""

from __future__ import annotations

import io
import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from matplotlib import rc_context
from PIL import Image

from ciranda.cli.plots import figure, figures, plot, rendered
from ciranda.core.errors import DataError, Missing, MissingExtra
from ciranda.report.records import read


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "en")


def history(rounds: int, clients: int, *, evaluated: bool = True) -> list[dict[str, Any]]:
    rows = []
    for number in range(1, rounds + 1):
        accuracy = 1 - 1 / (number + 1)
        own = {str(c): {"loss": 1 / (number + c), **({"accuracy": accuracy - c / 1000} if evaluated else {})} for c in range(clients)}
        metrics: dict[str, Any] = {"train": {"loss": 1 / number}, "server": {"accuracy": accuracy, "loss": 1.1 / number}}
        if evaluated:
            metrics["clients"] = {"accuracy": accuracy - 0.01, "loss": 1.2 / number}
        rows.append({"event": "round", "round": number, "metrics": metrics, "clients": own})
    return rows


def run_folder(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.mkdir()
    (path / "experiment.toml").write_text("")
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def texts(drawn: Any) -> str:
    buffer = io.BytesIO()
    with rc_context({"svg.fonttype": "none"}):
        drawn.savefig(buffer, format="svg")
    return " ".join(text.strip() for text in ET.fromstring(buffer.getvalue()).itertext() if text.strip())


def test_every_figure_comes_as_png_and_svg(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", history(3, 4))
    files = plot(str(folder))
    assert [file.name for file in files] == [
        f"{stem}.{suffix}" for stem in ("global", "loss", "clients-together", "clients") for suffix in ("png", "svg")
    ]
    for file in files:
        assert file.parent == folder / "plots"
        if file.suffix == ".png":
            with Image.open(file) as image:
                image.load()
                assert image.width > 600
        else:
            assert ET.parse(file).getroot().tag.endswith("svg")
    first = {file: file.read_bytes() for file in files}
    assert {file: file.read_bytes() for file in plot(str(folder))} == first


def test_another_folder_can_be_named(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", history(1, 0))
    files = plot(str(folder), tmp_path / "elsewhere" / "deep")
    assert {file.parent for file in files} == {tmp_path / "elsewhere" / "deep"}
    assert not (folder / "plots").exists()


def test_axes_and_lines_are_named() -> None:
    drawn = dict(figures(read(history(3, 4))))
    for name in ("round", "accuracy (share of examples)", "server", "clients, weighted", "percentile", "Global model"):
        assert name in texts(drawn["global"])
    assert "loss (mean per example)" in texts(drawn["loss"])
    assert "training" in texts(drawn["loss"])
    assert "median client" in texts(drawn["clients-together"])


def test_names_follow_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "pt")
    assert "rodada" in texts(dict(figures(read(history(2, 2))))["global"])


@pytest.mark.parametrize(("language", "mark"), [("en", "."), ("pt", ",")])
def test_ticks_have_the_languages_decimal_mark(monkeypatch: pytest.MonkeyPatch, language: str, mark: str) -> None:
    monkeypatch.setenv("CIRANDA_LANG", language)
    _, drawn = next(figures(read(history(3, 2))))
    ticks = {text.text for text in ET.fromstring(rendered(drawn, "svg")).iter("{http://www.w3.org/2000/svg}text") if text.text}
    decimals = {tick for tick in ticks if re.fullmatch(r"0[.,]\d+", tick)}
    assert decimals
    assert all(tick[1] == mark for tick in decimals)


def test_training_losses_are_called_so() -> None:
    assert "training loss" in texts(dict(figures(read(history(2, 3, evaluated=False))))["clients"])


def test_many_clients_are_paged() -> None:
    stems = [stem for stem, _ in figures(read(history(1, 45)))]
    assert stems == ["global", "loss", "clients-together", "clients-1", "clients-2", "clients-3"]


@pytest.mark.parametrize(
    "rows",
    [
        history(1, 1),
        history(30, 2),
        [{"event": "round", "round": 1, "metrics": {}, "clients": {}}],
        [{"event": "round", "round": 2, "metrics": {"train": {"loss": None}}, "clients": {"a": {"loss": None}}}],
        [{"event": "round", "round": 5, "metrics": {"server": {"rmse": 1e6, "loss": 1e12, "r2": -3.0}}, "clients": {}}],
        [*history(2, 2), {"event": "round", "round": 3, "skipped": True, "metrics": {}, "clients": {}}],
    ],
)
def test_odd_histories_draw(rows: list[dict[str, Any]]) -> None:
    drawn = list(figures(read(rows)))
    assert drawn
    for _, each in drawn:
        assert texts(each)
    assert texts(figure(read(rows)))


def test_a_glance_shows_metric_and_loss() -> None:
    glance = texts(figure(read(history(3, 2))))
    assert "accuracy (share of examples)" in glance
    assert "loss (mean per example)" in glance


def test_without_rounds_there_is_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no finished round"):
        plot(str(run_folder(tmp_path / "run", [])))
    with pytest.raises(Missing):
        plot(str(tmp_path / "nothing"))


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra) as caught:
        figure(read(history(1, 1)))
    assert "ciranda[plots]" in caught.value.hint
