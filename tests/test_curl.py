"""What the pages show of curl is so: the block runs as it stands, and the picture's class comes out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ciranda.cli.fleet.processes import end
from ciranda.cli.fleet.state import Fleet
from ciranda.core.codec import decode
from ciranda.core.params import model_sha256
from tests.test_readme import ROOT, blocks

PAGES = ("README.md", "README.pt.md", "docs/http.md")


def bare(block: str) -> str:
    """A block without its comments, which are in the reader's language."""
    return "\n".join(line.split("  #")[0].rstrip() for line in block.splitlines())


def test_all_pages_show_the_same() -> None:
    shown = {bare(block) for page in PAGES for block in blocks(page, "sh")}
    assert len(shown) == 1


def test_curl_alone_enrols_fetches_and_predicts(tmp_path: Path) -> None:
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("needs curl and bash")
    (block,) = blocks("README.md", "sh")
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "seven.png", tmp_path / "examples")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    try:
        command = ["bash", "-euo", "pipefail", "-c", block]
        done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
    finally:
        end([one.process for one in Fleet.read(tmp_path / "shared").started.values()], 0.0)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "shared" / "result.json").read_text())
    answer = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"run"')))
    assert answer["model_sha256"] == result["model_sha256"]
    assert answer["predictions"][0]["class"] == "7"
    assert len(answer["predictions"][0]["probabilities"]) == 2
    assert model_sha256(decode((tmp_path / "model.safetensors").read_bytes())[0]) == result["model_sha256"]
