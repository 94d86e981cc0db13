"""Environments of their own for the frameworks that Ciranda is measured beside, below `.venv-bench/`, made at first use."""

from __future__ import annotations

import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

from benchmarks.launch import ROOT, Failed, last_words

FOLDER = ROOT / ".venv-bench"
REQUIREMENTS = {"flower": ["flwr[simulation]==1.41.0"], "pfl": ["pfl[pytorch]==0.6.0"]}
SHARED = ("torch", "numpy")
"""Packages that every contender has in the version that Ciranda is measured with."""


def python_of(name: str, folder: Path = FOLDER) -> Path:
    """The interpreter of an environment, which is made if need be. Raises Failed with what pip said."""
    wanted = [*REQUIREMENTS[name], *(f"{package}=={version(package).partition('+')[0]}" for package in SHARED)]
    python, stamp = folder / name / "bin" / "python", folder / name / ".ready"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == " ".join(wanted):
        return python
    print(f"Setting .venv-bench/{name} up (once): {' '.join(wanted)} ...", file=sys.stderr, flush=True)
    venv.create(folder / name, with_pip=True)
    command = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"pip could not install {' '.join(wanted)}: {last_words(done.stderr)}")
    stamp.write_text(" ".join(wanted), encoding="utf-8")
    return python


def imports(python: Path | str, module: str) -> bool:
    """Whether an interpreter is there and finds a module."""
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return Path(python).is_file() and subprocess.run([str(python), "-c", code], check=False).returncode == 0
