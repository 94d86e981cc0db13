"""What all tests share: the folder of real data, and how hypothesis searches."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

os.environ.setdefault("MPLBACKEND", "Agg")

# A deadline would turn a busy machine into a failure; the blob lets a failure found anywhere be repeated here.
settings.register_profile("ciranda", deadline=None, print_blob=True, derandomize=False)
settings.load_profile("ciranda")


def data_folder() -> Path:
    """Where real data lies: `CIRANDA_DATA`, else `../shared/data` beside the project."""
    return Path(os.environ.get("CIRANDA_DATA") or ROOT.parent / "shared" / "data")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data sets; a test that asks for it is skipped, with the reason, where there is none."""
    folder = data_folder()
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not a folder (set CIRANDA_DATA)")
    return folder
