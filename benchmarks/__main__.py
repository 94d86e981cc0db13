"""`python -m benchmarks [NAME ...]`: measure, print, and keep the results in benchmarks/RESULTS.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import section
from benchmarks.launch import Failed
from benchmarks.suites import SUITES, Options


def main(arguments: Sequence[str] | None = None) -> int:
    """Ends with 1 when a target is missed or a benchmark could not be run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which benchmarks: {', '.join(SUITES)}; all by default")
    parser.add_argument("--repetitions", type=int, default=5, help="runs of each contender (default: 5)")
    parser.add_argument("--rounds", type=int, help="measured rounds of a run (default: as the benchmark says)")
    parser.add_argument("--no-write", action="store_true", help="print the results only")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in SUITES]
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(SUITES)}")
    folder = None if given.no_write else section.HERE
    return measure(given.names or list(SUITES), Options(given.repetitions, given.rounds), folder)


def measure(names: Sequence[str], options: Options, folder: Path | None) -> int:
    """Run benchmarks and keep their results in `folder`, if there is one."""
    missed = 0
    for name in names:
        say(f"{name} ...")
        try:
            found = SUITES[name](options, say)
        except Failed as failure:
            say(f"{name}: {failure}")
            missed += 1
            continue
        print(found.markdown(), flush=True)
        missed += sum(row.missed for row in found.rows)
        if folder is not None:
            section.save({**section.load(folder), name: found}, list(SUITES), folder)
    return 1 if missed else 0


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
