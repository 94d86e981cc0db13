"""Weighs the base install: what `pip install ciranda` adds to a fresh virtual environment.

`python scripts/install_size.py` prints the megabytes of each package and ends with 1 when their sum is over the budget.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MEGABYTES = 150.0


def weigh(folder: Path) -> dict[str, float]:
    """Megabytes (10^6 bytes) on disk below each entry of `folder`, links not followed."""
    sizes = {}
    for entry in sorted(folder.iterdir()):
        files = [entry] if entry.is_file() else [path for path in entry.rglob("*") if path.is_file() and not path.is_symlink()]
        sizes[entry.name] = sum(path.stat().st_size for path in files) / 1e6
    return sizes


def base_install(root: Path = ROOT) -> dict[str, float]:
    """Install `root` into a temporary environment; megabytes of each thing that this added to its packages."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        packages = next(Path(folder).glob("lib/python3*/site-packages"))
        before = weigh(packages)
        pip = [str(Path(folder) / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, "--constraint", str(root / "constraints.txt"), str(root)], check=True)
        return {name: size for name, size in weigh(packages).items() if name not in before}


def main() -> int:
    sizes = base_install()
    for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:6]:
        print(f"{size:8.1f} MB  {name}")
    total = sum(sizes.values())
    print(f"base install: {total:.1f} MB, {MEGABYTES:g} MB allowed")
    return 1 if total > MEGABYTES else 0


if __name__ == "__main__":
    sys.exit(main())
