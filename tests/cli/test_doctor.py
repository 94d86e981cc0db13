"""The doctor finds what is there, and says what to do about what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ciranda.cli import doctor
from ciranda.cli.doctor import Finding, examine
from ciranda.tasks.datasets import DATASETS


@pytest.fixture(autouse=True)
def _light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the data sets that come with the package, and English."""
    monkeypatch.setenv("CIRANDA_LANG", "en")
    monkeypatch.setattr(doctor, "DATASETS", {name: DATASETS[name] for name in ("digits", "iris")})


def found() -> dict[str, Finding]:
    return {finding.name: finding for finding in examine()}


def test_a_working_machine_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.doctor() == 0
    printed = capsys.readouterr().out
    assert "ok  python" in printed
    assert printed.endswith("Ready to train\n")


def test_every_part_is_looked_at() -> None:
    names = set(found())
    assert names >= {
        "python",
        "numpy",
        "torch",
        "cores",
        "memory",
        "open files",
        "runs",
        "cache",
        "data: digits",
        "extra plots",
        "extra http",
    }
    assert int(found()["cores"].found) >= 1


def test_a_packed_data_set_is_loaded() -> None:
    assert found()["data: digits"].found.startswith("1,438 + 359")


def test_a_missing_data_set_is_no_failure_but_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "DATASETS", {"mnist": DATASETS["mnist"]})
    monkeypatch.setattr("ciranda.tasks.datasets.locate.places", lambda: [tmp_path])
    finding = found()["data: mnist"]
    assert not finding.good
    assert finding.advice
    assert not finding.needed
    assert doctor.doctor() == 0


def test_a_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    finding = found()["extra plots"]
    assert "matplotlib" in finding.found
    assert finding.advice == "pip install 'ciranda[plots]'"


def test_a_folder_that_cannot_be_written_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert doctor.doctor() == 1
    printed = capsys.readouterr().out
    assert "not writable" in printed
    assert "Not ready to train: runs" in printed


def test_few_open_files_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda kind: (64, 64))
    finding = found()["open files"]
    assert not finding.good
    assert "ulimit" in finding.advice


def test_the_extras_are_those_of_the_package() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert set(doctor.MODULES) == set(project["optional-dependencies"]) - {"all", "dev"}
