"""compare, baseline and sweep as a user types them."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from ciranda.cli.app import main
from ciranda.cli.folder import RunFolder
from tests.cli.study.made_up import run_folder

SMALL = ("--set", "rounds.num-rounds=2", "--set", "client.local-epochs=1", "--set", "federation.clients=4")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CIRANDA_LANG", "en")
    return tmp_path


def two_runs(folder: Path) -> None:
    for seed in (1, 2):
        run_folder(folder / f"a{seed}", [0.5, 0.8 + seed / 100], seed=seed)
        run_folder(folder / f"p{seed}", [0.7, 0.6], "strategy.name=fedprox", "strategy.proximal-mu=0.1", seed=seed)


def test_compare_prints_a_table(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_runs(here / "runs")
    assert main(["compare", "a1", "a2", "runs/p1", "runs/p2", "--target", "accuracy=0.8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["run", "seeds", "rounds"]
    assert lines[2].startswith("fedavg")
    assert "0.8150 ± 0.0071" in lines[2]
    assert lines[3].startswith("fedprox, proximal-mu 0.1")
    assert "not reached" in lines[3]


@pytest.mark.parametrize(("form", "first"), [("markdown", "| run |"), ("latex", r"\begin{tabular}"), ("csv", "run,seeds"), ("json", "{")])
def test_compare_prints_other_formats_and_nothing_else(here: Path, capsys: pytest.CaptureFixture[str], form: str, first: str) -> None:
    two_runs(here / "runs")
    assert main(["compare", "runs", "--format", form, "--out", "out"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(first)
    assert (
        out == (here / "out" / {"markdown": "table.md", "latex": "table.tex", "csv": "table.csv"}[form]).read_text()
        if form != "json"
        else True
    )
    if form == "json":
        assert [row["run"] for row in json.loads(out)["rows"]] == ["fedavg", "fedprox, proximal-mu 0.1"]


def test_compare_draws_by_what_is_asked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_runs(here / "runs")
    assert main(["compare", "runs", "--out", "out", "--by", "seconds"]) == 0
    assert (here / "out" / "curves-by-seconds.png").read_bytes().startswith(b"\x89PNG")
    assert "Written: out/table.md" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "nowhere"], "'nowhere' is not a run's folder"),
        (["compare", "runs", "--format", "word"], "--format word is not known"),
        (["compare", "runs", "--by", "weight"], "not drawn by weight"),
        (["compare", "runs", "--metric", "f2"], "Not every run measured f2"),
        (["baseline", "digits", "--seeds", "some"], "--seeds some is neither"),
        (["baseline", "digits", "--format", "word"], "--format word is not known"),
        (["sweep", "digits"], "A grid of 0 combinations"),
        (["sweep", "digits", "--grid", "x=1"], "--grid x=1: not of the form"),
        (["sweep", "digits", "--grid", "strategy.tau=1"], "fedavg has no such parameter"),
    ],
)
def test_mistakes_are_told_and_nothing_is_begun(here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    two_runs(here / "runs")
    before = sorted(here.rglob("*"))
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert sorted(here.rglob("*")) == before


def test_a_baseline_study_prints_its_table_and_goes_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["baseline", "digits", "--seeds", "2", *SMALL, "--workers", "2"]) == 0
    out = capsys.readouterr().out
    assert "6/6  seed-" in out
    assert "local only" in out
    assert "Paired t-test over 2 seeds" in out
    assert out.endswith("Result: runs/digits-baseline-001\n")
    folder = here / "runs" / "digits-baseline-001"
    assert {file.name for file in folder.iterdir()} >= {"baseline.json", "table.md", "table.csv", "baseline.png", "seed-1", "seed-2"}
    assert main(["baseline", str(folder), "--format", "csv"]) == 0
    captured = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(captured.out)))
    assert [(row["training"], row["seeds"]) for row in rows] == [("federated", "2"), ("centralised", "2"), ("local-only", "2")]
    assert "6/6" in captured.err
    assert main(["baseline", str(folder), "--seeds", "3", "--quiet"]) == 0
    assert capsys.readouterr().out == f"{folder}\n"
    assert (folder / "seed-3" / "federated" / "result.json").is_file()


def test_a_sweep_prints_its_table_and_what_to_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = ["--grid", "strategy.name=fedavg,fedprox", "--grid", "strategy.proximal-mu=0.1"]
    assert main(["sweep", "digits", *SMALL, *grid, "--folds", "2", "--workers", "2"]) == 0
    out = capsys.readouterr().out
    assert "4/4  " in out
    assert "Chosen: fed" in out
    assert "The winner on the test set" in out
    assert out.endswith("Next: ciranda run runs/digits-sweep-001/best.toml\n")
    folder = here / "runs" / "digits-sweep-001"
    assert main(["run", str(folder / "best.toml"), "--quiet", "--out", "again"]) == 0
    models = {RunFolder(path).rows()[-1]["model"] for path in (here / "again", folder / "winner")}
    assert len(models) == 1
    capsys.readouterr()
    assert main(["sweep", str(folder), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["state"] for row in found["rows"]] == ["chosen", ""]
    assert main(["sweep", str(folder), *grid]) == 1
    assert "it goes on as it is, without --set, --grid and --out" in capsys.readouterr().err


def test_a_sweep_goes_on_with_the_same_candidates(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = ["--grid", "strategy.name=fedavg,fedprox", "--grid", "client.learning-rate=0.1,0.01"]
    assert main(["sweep", "digits", *SMALL, *grid, "--out", "out", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(["sweep", "out", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == found


def test_a_study_that_fails_says_how_it_goes_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "digits", *SMALL, "--grid", "client.learning-rate=1e9,1e8", "--out", "out"]) == 1
    err = capsys.readouterr().err
    assert "What is done is kept. Go on with: ciranda sweep out" in err
    assert "None of the 2 candidates could be trained" in err


def test_a_study_in_the_folder_of_a_run_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "digits", *SMALL, "--quiet", "--out", "run"]) == 0
    before = sorted(file.name for file in Path("run").iterdir())
    capsys.readouterr()
    for command in (["baseline", "digits"], ["sweep", "digits", "--grid", "client.momentum=0.5"]):
        assert main([*command, *SMALL, "--out", "run"]) == 1
        err = capsys.readouterr().err
        assert "run is not empty" in err
        assert "Go on with" not in err
    assert sorted(file.name for file in Path("run").iterdir() if file.name != ".lock") == before


def test_without_matplotlib_the_tables_are_there(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["baseline", "digits", "--seeds", "1", *SMALL, "--out", "out", "--workers", "1"]) == 0
    captured = capsys.readouterr()
    assert "pip install 'ciranda[plots]'" in captured.err
    assert "federated" in captured.out
    assert (here / "out" / "table.md").is_file()


def test_in_portuguese_the_table_is_for_people_and_the_csv_for_programs(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    two_runs(here / "runs")
    monkeypatch.setenv("CIRANDA_LANG", "pt")
    assert main(["compare", "runs"]) == 0
    assert "0,8150 ± 0,0071" in capsys.readouterr().out
    assert main(["compare", "runs", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert float(rows[0]["accuracy"]) == pytest.approx(0.815)
