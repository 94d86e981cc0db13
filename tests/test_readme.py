"""What the READMEs say is so: their commands exist, their experiment loads, their example runs, and both tell the same."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.test_seeds import exists

ROOT = Path(__file__).resolve().parent.parent
READMES = ("README.md", "README.pt.md")
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of one language in a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    """The shell commands of a page, their comments left out."""
    lines = [line.split("  #")[0].strip() for block in blocks(page, "bash") for line in block.splitlines()]
    return [command.strip() for line in lines if line for command in line.split("&&")]


def headings(page: str) -> int:
    """How many headings a page has."""
    return len(re.findall(r"^#+ ", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE))


def test_both_languages_show_the_same_code() -> None:
    english, portuguese = READMES
    assert blocks(english, "python") == blocks(portuguese, "python") != []
    assert blocks(english, "toml") == blocks(portuguese, "toml") != []
    assert commands(english) == commands(portuguese) != []
    assert headings(english) == headings(portuguese) > 5


@pytest.mark.parametrize("page", [*READMES, "CONTRIBUTING.md"])
def test_every_command_exists(page: str) -> None:
    ours = [command for command in commands(page) if command.startswith(("ciranda ", "make "))]
    assert ours != []
    assert [command for command in ours if not exists(command)] == []


@pytest.mark.parametrize("page", READMES)
def test_every_extra_that_is_installed_is_declared(page: str) -> None:
    extras = [name for command in commands(page) if command.startswith("pip ") for name in re.findall(r"[\w-]+", command.partition("[")[2])]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extras != []
    assert set(extras) <= set(project["optional-dependencies"])


@pytest.mark.parametrize("page", [page.relative_to(ROOT).as_posix() for page in PAGES])
def test_every_link_inside_the_project_leads_somewhere(page: str) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text(encoding="utf-8"))
    inside = [target for target in targets if "://" not in target]
    assert [target for target in inside if not ((ROOT / page).parent / target).exists()] == []


def test_the_experiment_loads(tmp_path: Path) -> None:
    from ciranda.experiment.load import load

    (text,) = blocks("README.md", "toml")
    path = tmp_path / "experiment.toml"
    path.write_text(text, encoding="utf-8")
    experiment = load(path)
    assert (experiment.federation.clients, experiment.strategy.name, experiment.stop.target) == (100, "fedprox", 0.98)


@pytest.mark.slow
def test_the_python_example_runs(tmp_path: Path) -> None:
    (code,) = blocks("README.md", "python")
    (tmp_path / "my_task.py").write_text(code, encoding="utf-8")
    done = subprocess.run([sys.executable, "my_task.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "finished" in done.stdout
    assert (tmp_path / "runs").is_dir()
    task = code[code.index("class Digits") : code.index("if __name__")]
    assert len(task.strip().splitlines()) <= 10
