"""The table of imports and the size budgets hold; and the checkers that say so do catch a breach."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import architecture
import count_budgets

ROOT = Path(__file__).resolve().parent.parent


def plant(root: Path, files: dict[str, str]) -> Path:
    """A package of these files, `ciranda/__init__.py` included, below `root`."""
    source = root / "src" / "ciranda"
    for name, text in {"__init__.py": "", **files}.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return source


# --- this project


def test_every_import_is_one_that_the_table_allows() -> None:
    assert architecture.breaches() == []


def test_every_file_function_and_ratio_is_within_its_budget() -> None:
    assert count_budgets.breaches(count_budgets.count()) == []


def test_every_exception_gives_its_reason() -> None:
    tables = (architecture.EXCEPTIONS, architecture.EXECUTABLE_EXCEPTIONS, count_budgets.EXCEPTIONS)
    assert all(reason.strip() for table in tables for reason in table.values())


@pytest.mark.parametrize("script", ["architecture.py", "count_budgets.py"])
def test_the_command_that_make_runs_ends_well(script: str) -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts" / script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("no breach\n")


# --- planted breaches: the table


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("core/a.py", "import time", "core may not import time"),
        ("core/a.py", "import random", "core may not import random"),
        ("core/a.py", "from os import path", "core may not import os"),
        ("core/a.py", "def f():\n    import socket", "core may not import socket"),
        ("core/a.py", "import torch", "core may not import torch"),
        ("core/a.py", "from ciranda.store import base", "core may not import ciranda.store"),
        ("core/a.py", "text = open('x').read()", "core may not call open"),
        ("core/a.py", "import numpy as np\nnp.load('x')", "core may not call np.load"),
        ("core/a.py", "import numpy as np\nnp.zeros(3).tofile('x')", ".tofile"),
        ("core/a.py", "import numpy as np\nnp.random.default_rng()", "draw without a key"),
        ("protocol/a.py", "import numpy", "protocol may not import numpy"),
        ("protocol/a.py", "import secrets", "protocol may not import secrets"),
        ("protocol/a.py", "from ciranda.runtimes.local import loop", "protocol may not import ciranda.runtimes.local"),
        ("experiment/a.py", "import numpy", "experiment may not import numpy"),
        ("store/a.py", "from ..protocol import messages", "store may not import ciranda.protocol"),
        ("tasks/a.py", "from ciranda.protocol.messages import Event", "tasks may not import ciranda.protocol"),
        ("tasks/a.py", "import flwr", "tasks may not import flwr"),
        ("runtimes/base.py", "from ciranda.runtimes.local import loop", "runtimes may not import ciranda.runtimes.local"),
        ("runtimes/local/a.py", "from ciranda.runtimes.http import server", "runtimes.local may not import ciranda.runtimes.http"),
        ("runtimes/local/a.py", "from ciranda.tasks import registry", "runtimes.local may not import ciranda.tasks"),
        ("runtimes/http/a.py", "import flwr.app", "runtimes.http may not import flwr"),
        ("runtimes/http/a.py", "import boto3", "runtimes.http may not import boto3"),
        ("testing/a.py", "from ciranda.tasks import registry", "testing may not import ciranda.tasks"),
        ("web/a.py", "from ciranda.runtimes import base", "web may not import ciranda.runtimes"),
        ("web/a.py", "from ciranda.tasks import images", "web may not import ciranda.tasks"),
        ("store/a.py", "from ciranda.cli import app", "store may not import ciranda.cli"),
        ("store/a.py", "import ciranda", "store may not import ciranda"),
        ("extra/a.py", "", "'extra' has no row in the table"),
        ("api.py", "", "'api' has no row in the table"),
        ("__init__.py", "import numpy", "ciranda imports numpy at once"),
        ("__init__.py", "from ciranda.cli import app", "ciranda imports ciranda.cli.app at once"),
        ("tasks/a.py", "import pickle", "nothing executable is loaded"),
        ("tasks/a.py", "import torch\ntorch.load('x')", "torch.load: nothing executable is loaded"),
        ("tasks/a.py", "import numpy as np\nnp.load('x', allow_pickle=True)", "allow_pickle: nothing executable is loaded"),
        ("cli/a.py", "eval('1')", "eval: nothing executable is loaded"),
    ],
)
def test_a_planted_breach_is_found(tmp_path: Path, name: str, text: str, said: str) -> None:
    others = {
        "store/base.py": "",
        "protocol/messages.py": "",
        "runtimes/local/loop.py": "",
        "runtimes/http/server.py": "",
        "runtimes/base.py": "",
        "tasks/registry.py": "",
        "tasks/images.py": "",
        "cli/app.py": "",
    }
    packages = {
        f"{folder}/__init__.py": ""
        for folder in ("core", "store", "protocol", "tasks", "cli", "runtimes", "runtimes/local", "runtimes/http")
    }
    source = plant(tmp_path, {**packages, **others, name: text})
    found = architecture.breaches(source)
    assert len(found) == 1
    assert said in found[0]
    assert found[0].startswith(f"ciranda/{name}:")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("core/a.py", "import math\nimport numpy as np\nfrom ciranda.core.b import x\nnp.random.default_rng(7)"),
        ("core/a.py", "from . import b\nfrom .b import x"),
        ("protocol/a.py", "import json\nfrom ciranda.core import b"),
        ("runtimes/local/a.py", "from ciranda.runtimes.base import x\nfrom ciranda.store import b\nimport multiprocessing"),
        ("runtimes/flower/a.py", "import flwr"),
        ("web/a.py", "from ciranda.tasks.registry import x"),
        ("cli/a.py", "import torch\nfrom ciranda.tasks import registry"),
        (
            "__init__.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ciranda.cli import app\ndef f():\n    import ciranda.cli.app",
        ),
        ("tasks/a.py", "import numpy as np\nnp.load('x', allow_pickle=False)"),
    ],
)
def test_what_the_table_allows_is_no_breach(tmp_path: Path, name: str, text: str) -> None:
    others = {f"{folder}/b.py": "x = 1" for folder in ("core", "store")} | {"runtimes/base.py": "x = 1", "tasks/registry.py": "x = 1"}
    assert architecture.breaches(plant(tmp_path, {**others, "cli/app.py": "", name: text})) == []


def test_an_exception_that_no_module_needs_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architecture, "EXECUTABLE_EXCEPTIONS", {"ciranda.tasks.a": "it read pickles once"})
    assert architecture.breaches(plant(tmp_path / "needed", {"tasks/a.py": "import pickle"})) == []
    found = architecture.breaches(plant(tmp_path / "not", {"tasks/a.py": "import json"}))
    assert found == ["ciranda/tasks/a.py:1: its exception in scripts/architecture.py is no longer needed"]


# --- planted breaches: cycles


def test_modules_that_import_each_other_are_found(tmp_path: Path) -> None:
    files = {
        "core/a.py": "from ciranda.core import b",
        "core/b.py": "def f():\n    from ciranda.core.c import g",
        "core/c.py": "from .a import x",
        "core/d.py": "from ciranda.core import a",
    }
    assert architecture.breaches(plant(tmp_path, files)) == ["modules import each other: ciranda.core.a, ciranda.core.b, ciranda.core.c"]


def test_an_import_for_the_type_checker_alone_is_no_cycle(tmp_path: Path) -> None:
    files = {
        "core/a.py": "from ciranda.core import b",
        "core/b.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ciranda.core import a",
    }
    assert architecture.breaches(plant(tmp_path, files)) == []


def test_folders_that_import_each_other_are_found_where_no_module_does(tmp_path: Path) -> None:
    files = {"cli/a.py": "from ciranda.store import a", "store/a.py": "", "store/b.py": "import ciranda.cli.b", "cli/b.py": ""}
    found = architecture.breaches(plant(tmp_path, files))
    assert "folders import each other: cli, store" in found
    assert not any(line.startswith("modules") for line in found)


def test_the_command_ends_with_one_on_a_breach(tmp_path: Path) -> None:
    source = plant(tmp_path, {"core/a.py": "import time"})
    done = subprocess.run([sys.executable, ROOT / "scripts" / "architecture.py", source], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("ciranda/core/a.py:1: core may not import time")


# --- planted breaches: budgets


def planted_budgets(root: Path, files: dict[str, str], exceptions: dict[str, str] | None = None) -> list[str]:
    plant(root, files)
    tests = root / "tests"
    tests.mkdir()
    (tests / "test_all.py").write_text("assert True\n" * 2000, encoding="utf-8")
    return count_budgets.breaches(count_budgets.count(root), exceptions or {})


def test_a_long_file_is_found_and_an_exception_names_it(tmp_path: Path) -> None:
    files = {"core/a.py": "x = 1\n" * 501, "core/b.py": "x = 1\n" * 10, "core/c.py": "x = 1\n" * 10}
    assert planted_budgets(tmp_path / "one", files) == ["src/ciranda/core/a.py: 501 lines, 500 allowed"]
    assert planted_budgets(tmp_path / "two", files, {"src/ciranda/core/a.py": "a table"}) == []


def test_an_exception_that_nothing_needs_is_found(tmp_path: Path) -> None:
    found = planted_budgets(tmp_path, {"core/a.py": "x = 1\n"}, {"src/ciranda/core/a.py": "it was long once"})
    assert found == ["src/ciranda/core/a.py: the exception is no longer needed"]


@pytest.mark.parametrize(("lines", "breach"), [(60, False), (61, True)])
def test_a_long_function_is_found_wherever_it_stands(tmp_path: Path, lines: int, breach: bool) -> None:
    body = "        x = 1\n" * (lines - 1)
    found = planted_budgets(tmp_path, {"core/a.py": f"class C:\n    async def f(self) -> None:\n{body}"})
    assert found == (["src/ciranda/core/a.py:C.f: 61 lines, 60 allowed"] if breach else [])


def test_the_median_leaves_empty_files_out(tmp_path: Path) -> None:
    files = {"core/__init__.py": "", "core/a.py": "x = 1\n" * 150, "core/b.py": "x = 1\n" * 150}
    assert planted_budgets(tmp_path, files) == ["the median file has 150 lines, under 150 allowed"]


def test_fewer_test_lines_than_source_lines_are_found(tmp_path: Path) -> None:
    plant(tmp_path, {"core/a.py": "x = 1\n" * 100})
    found = count_budgets.breaches(count_budgets.count(tmp_path))
    assert found == ["0.00 lines of tests for each line of source, 1 asked: 100 are missing"]


@pytest.mark.parametrize("mark", ["# TO" + "DO later", "# FIX" + "ME", "raise NotImplemented" + "Error"])
def test_what_is_left_unfinished_is_found(tmp_path: Path, mark: str) -> None:
    assert planted_budgets(tmp_path, {"core/a.py": f"x = 1\n{mark}\n"}) == ["src/ciranda/core/a.py:2: unfinished"]


# --- what an import costs


def imported_by(code: str) -> set[str]:
    """The top-level modules present in a fresh interpreter after `code`."""
    report = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_bare_import_loads_nothing_heavy() -> None:
    heavy = {"torch", "pydantic", "matplotlib", "typer", "rich", "numpy", "sklearn", "pyarrow", "PIL"}
    assert imported_by("import ciranda") & heavy == set()


def test_the_command_line_loads_nothing_that_its_help_does_not_need() -> None:
    heavy = {"torch", "pydantic", "matplotlib", "numpy", "sklearn", "pyarrow", "PIL"}
    assert imported_by("import ciranda.cli.app") & heavy == set()


def test_every_public_name_is_there_and_sorted() -> None:
    import ciranda

    names = list(ciranda.__all__)
    assert names == sorted(names)
    assert {name for name in names if getattr(ciranda, name, None) is None} == set()
    assert set(names) <= set(dir(ciranda))


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    import ciranda

    with pytest.raises(AttributeError, match="no_such_name"):
        _ = ciranda.no_such_name


def test_every_exported_name_of_every_module_is_defined_there() -> None:
    names = sorted(set(architecture.read(architecture.SOURCE)) - {"ciranda.__main__"})
    modules = [importlib.import_module(name) for name in names]
    assert [f"{module.__name__}.{name}" for module in modules for name in getattr(module, "__all__", ()) if not hasattr(module, name)] == []
