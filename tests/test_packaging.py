"""The package installs light, its extras and pins agree with each other and with the messages that name them."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import install_size

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
TESTED = ("torch", "data", "plots", "dev")


def pins() -> dict[str, str]:
    """Package -> version, from constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(name): pinned for name, _, pinned in (line.partition("==") for line in lines if "==" in line)}


# --- metadata


def test_the_installed_version_is_the_declared_one() -> None:
    assert version("ciranda") == PROJECT["version"] == "0.1.0"


def test_the_base_install_is_light() -> None:
    assert {Requirement(text).name for text in PROJECT["dependencies"]} == {"numpy", "pydantic", "typer", "rich", "threadpoolctl"}


def test_the_extra_all_is_every_extra_for_users() -> None:
    (everything,) = EXTRAS["all"]
    assert Requirement(everything).extras == set(EXTRAS) - {"all", "dev"}


def test_no_range_is_closed_above() -> None:
    requirements = [Requirement(text) for texts in [PROJECT["dependencies"], *EXTRAS.values()] for text in texts]
    assert [str(each) for each in requirements if any(part.operator not in {">=", "!="} for part in each.specifier)] == []


def test_the_checks_run_with_pinned_versions_within_the_ranges() -> None:
    pinned = pins()
    direct = [Requirement(text) for texts in [PROJECT["dependencies"], *(EXTRAS[name] for name in TESTED)] for text in texts]
    assert [each.name for each in direct if pinned.get(canonicalize_name(each.name), "") not in each.specifier] == []
    assert pinned["torch"] == "2.13.0"


def test_the_tests_run_with_the_pinned_versions() -> None:
    pinned = pins()
    direct = [canonicalize_name(Requirement(text).name) for name in TESTED for text in EXTRAS[name]]
    wrong = {name: version(name) for name in direct if version(name).partition("+")[0] != pinned.get(name)}
    assert wrong == {}


def test_every_extra_that_a_message_names_is_declared() -> None:
    named = {extra for path in (ROOT / "src").rglob("*.py") for extra in extras_named(path.read_text(encoding="utf-8"))}
    assert "torch" in named
    assert named <= set(EXTRAS)


def extras_named(code: str) -> list[str]:
    """The extras in calls of MissingExtra and in texts that say `ciranda[extra]`."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("MissingExtra")]
    given = [node.args[1].value for node in calls if len(node.args) > 1 and isinstance(node.args[1], ast.Constant)]
    listed = [name.strip() for names in re.findall(r"ciranda\[([\w, -]+)\]", code) for name in names.split(",")]
    return [str(name) for name in given] + listed


# --- files of the house


@pytest.mark.parametrize(
    "name", ["Makefile", ".ci/run", "pyproject.toml", "constraints.txt", "README.md", "README.pt.md", "CONTRIBUTING.md"]
)
def test_no_registry_is_named(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert re.findall(r"index-url|find-links|trusted-host|simple/|://(?!keepachangelog|semver)", text) == []


def test_make_help_names_every_target() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert targets is not None
    assert re.findall(r"^  make (\w+)", done.stdout, re.MULTILINE) == targets[1].split()


def test_make_demo_asks_for_no_extra() -> None:
    done = subprocess.run(["make", "--always-make", "--dry-run", "demo"], cwd=ROOT, capture_output=True, text=True, check=True)
    installs = [line for line in done.stdout.splitlines() if "pip install" in line]
    assert len(installs) == 1
    assert installs[0].endswith("--editable '.'")


def test_make_says_which_python_it_needs() -> None:
    command = ["make", "--always-make", "PYTHON=false", "demo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr


def test_the_script_of_the_checks_is_executable_bash() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)


def test_a_package_is_weighed_with_all_below_it(tmp_path: Path) -> None:
    (tmp_path / "package" / "inner").mkdir(parents=True)
    (tmp_path / "package" / "inner" / "data").write_bytes(bytes(2_000_000))
    (tmp_path / "package" / "link").symlink_to(tmp_path / "package" / "inner" / "data")
    (tmp_path / "module.py").write_bytes(bytes(500_000))
    assert install_size.weigh(tmp_path) == {"package": 2.0, "module.py": 0.5}


# --- the base install trains


def test_training_needs_no_extra(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    for name in ("torch", "sklearn", "scipy", "pyarrow", "PIL", "matplotlib", "safetensors"):
        (blocked / f"{name}.py").write_text(f"raise ImportError('{name} is not in the base install')\n", encoding="utf-8")
    command = [
        str(Path(sys.executable).parent / "ciranda"),
        "run",
        "digits",
        "--set",
        "rounds.num-rounds=1",
        "--json",
        "--out",
        str(tmp_path / "run"),
    ]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(blocked)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["state"], result["rounds"]) == ("finished", 1)
