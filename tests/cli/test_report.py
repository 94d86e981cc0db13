"""`ciranda report` on folders: what is read, where the page goes, and what is said when there is nothing to tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from ciranda.cli.api import open_run
from ciranda.cli.app import main
from ciranda.cli.report import report, run_of
from ciranda.core.errors import DataError, Missing
from tests.report.history import folder, rows
from tests.report.test_html import assert_self_contained, assert_well_formed
from tests.report.test_page import words


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRANDA_LANG", "en")


def test_the_page_lies_in_the_runs_folder(tmp_path: Path) -> None:
    made = folder(tmp_path / "a")
    file = report([str(made)])
    assert file == made / "report.html"
    page = file.read_text()
    assert "Finished after 6 rounds" in words(page)
    assert_self_contained(page)
    assert report([str(made)], tmp_path / "deep" / "page.html").read_text() == page


def test_the_latest_run_is_told_of_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "runs" / "digits-001")
    monkeypatch.chdir(tmp_path)
    assert report([]) == Path("runs/digits-001/report.html")


def test_several_runs_are_compared(tmp_path: Path) -> None:
    made = [folder(tmp_path / f"{name}-{seed}", seed=seed, strategy=name) for name in ("fedavg", "fedavgm") for seed in (1, 2)]
    page = report([str(path) for path in made], tmp_path / "all.html").read_text()
    said = words(page)
    assert "4 runs of 2 ways of training." in said
    assert "fedavgm" in said
    assert str(made[3]) in said
    assert_well_formed(page)
    assert report([str(path) for path in made[:2]]).name == "comparison.html"


def test_a_run_that_is_not_over_has_a_report(tmp_path: Path) -> None:
    made = folder(tmp_path / "a")
    (made / "result.json").unlink()
    (made / "partition.json").unlink()
    assert "Not finished: 6 rounds so far." in words(report([str(made)]).read_text())


def test_what_cannot_be_told_of_is_said(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        report([str(tmp_path)])
    with pytest.raises(DataError, match="no finished round") as caught:
        report([str(folder(tmp_path / "empty", []))])
    assert "ciranda resume" in caught.value.hint
    damaged = folder(tmp_path / "damaged")
    (damaged / "result.json").write_text("{")
    with pytest.raises(DataError, match=r"result\.json"):
        report([str(damaged)])
    (damaged / "experiment.toml").write_text("[")
    with pytest.raises(DataError, match=r"experiment\.toml"):
        run_of(damaged)


def test_classes_have_the_names_that_the_data_gives_them(tmp_path: Path) -> None:
    given = ["iris", "--set", "rounds.num-rounds=1", "--workers", "1", "--quiet", "--out", str(tmp_path / "iris")]
    assert main(["run", *given]) == 0
    page = open_run(tmp_path / "iris").report()
    assert page == tmp_path / "iris" / "report.html"
    assert "versicolor" in words(report([str(tmp_path / "iris")]).read_text())


def test_the_commands_print_what_they_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = folder(tmp_path / "a", rows(2, 3))
    assert main(["report", str(made)]) == 0
    assert capsys.readouterr().out.strip() == str(made / "report.html")
    assert main(["--lang", "pt", "report", str(made), "--out", str(tmp_path / "pt.html")]) == 0
    assert 'lang="pt-BR"' in (tmp_path / "pt.html").read_text()
    assert main(["report", str(tmp_path / "nowhere")]) != 0
