"""Times what a user waits for before anything happens: `import ciranda` and `ciranda --help`.

`python scripts/import_time.py` prints the best of several fresh processes, since a busy machine only ever adds to it, and ends
with 1 when one is over its budget.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

IMPORT_SECONDS, HELP_SECONDS, TRIES = 0.2, 0.5, 9
TIMED_IMPORT = "import time; start = time.perf_counter(); import ciranda; print(time.perf_counter() - start)"


def import_seconds() -> float:
    """Seconds inside a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", TIMED_IMPORT], check=True, capture_output=True, text=True)
    return float(done.stdout)


def help_seconds() -> float:
    """Seconds of the whole command, the interpreter's start included."""
    code = "import sys; from ciranda.cli.app import main; sys.exit(main(['--help']))"
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> int:
    late = 0
    measures: list[tuple[str, Callable[[], float], float]] = [
        ("import ciranda", import_seconds, IMPORT_SECONDS),
        ("ciranda --help", help_seconds, HELP_SECONDS),
    ]
    for name, measure, allowed in measures:
        best = min(measure() for _ in range(TRIES))
        print(f"{name}: {best:.3f} s, {allowed} s allowed")
        late += best > allowed
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
