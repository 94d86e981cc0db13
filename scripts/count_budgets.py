"""Counts what the project allows itself: lines of a file and of a function, the median file, test lines, unfinished marks.

`python scripts/count_budgets.py` prints the counts, then each breach, and ends with 1 when there is one.
"""

from __future__ import annotations

import ast
import re
import statistics
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE, MEDIAN, FUNCTION, RATIO = 500, 150, 60, 1.0
KIT = "src/ciranda/testing/"
# Files ("src/ciranda/x.py") and functions ("src/ciranda/x.py:Class.name") that may be longer, each with its reason.
EXCEPTIONS: Mapping[str, str] = {}
# Spelt in halves, so that this file does not find itself.
UNFINISHED = re.compile("|".join(rf"\b{mark}\b" for mark in ("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error")))


@dataclass(frozen=True)
class Counts:
    """Lines by file of `src` and of `tests`, and by function of `src`; `marks` are places left unfinished."""

    source: Mapping[str, int]
    tests: Mapping[str, int]
    functions: Mapping[str, int]
    marks: tuple[str, ...]

    @property
    def median(self) -> float:
        """The median over the source files that hold something: an empty `__init__.py` is no file to read."""
        return statistics.median([lines for lines in self.source.values() if lines] or [0])

    @property
    def tested(self) -> int:
        """Lines of source that tests are owed for: the conformance suites in `testing/` are tests themselves, and count on neither side."""
        return sum(lines for name, lines in self.source.items() if not name.startswith(KIT))

    @property
    def ratio(self) -> float:
        """Lines of tests for each line of source."""
        return sum(self.tests.values()) / max(1, self.tested)


def count(root: Path = ROOT) -> Counts:
    """Read the tree below `root`."""
    functions: dict[str, int] = {}
    for path in _files(root, "src"):
        for name, lines in _functions(ast.parse(path.read_text(encoding="utf-8")), ""):
            functions[f"{path.relative_to(root)}:{name}"] = lines
    written = [path for folder in ("src", "tests", "scripts", "benchmarks", "examples") for path in _files(root, folder)]
    marks = tuple(
        f"{path.relative_to(root)}:{number}"
        for path in written
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNFINISHED.search(line)
    )
    return Counts(_lines(root, "src"), _lines(root, "tests"), functions, marks)


def breaches(counts: Counts, exceptions: Mapping[str, str] = EXCEPTIONS) -> list[str]:
    """Everything over its budget, and every exception that is no longer needed."""
    long = {name: f"{lines} lines, {FILE} allowed" for name, lines in counts.source.items() if lines > FILE}
    long |= {name: f"{lines} lines, {FUNCTION} allowed" for name, lines in counts.functions.items() if lines > FUNCTION}
    found = [f"{name}: {what}" for name, what in long.items() if name not in exceptions]
    found += [f"{name}: the exception is no longer needed" for name in exceptions if name not in long]
    found += [f"{place}: unfinished" for place in counts.marks]
    if counts.median >= MEDIAN:
        found.append(f"the median file has {counts.median:g} lines, under {MEDIAN} allowed")
    if counts.ratio < RATIO:
        missing = counts.tested - sum(counts.tests.values())
        found.append(f"{counts.ratio:.2f} lines of tests for each line of source, {RATIO:g} asked: {missing} are missing")
    return found


def _files(root: Path, folder: str) -> list[Path]:
    return sorted((root / folder).rglob("*.py"))


def _lines(root: Path, folder: str) -> dict[str, int]:
    return {str(path.relative_to(root)): len(path.read_text(encoding="utf-8").splitlines()) for path in _files(root, folder)}


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + child.name, (child.end_lineno or child.lineno) - child.lineno + 1
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        yield from _functions(child, f"{prefix}{child.name}." if named else prefix)  # type: ignore[attr-defined]


def main() -> int:
    counts = count()
    longest = max(counts.source.items(), key=lambda item: item[1])
    function = max(counts.functions.items(), key=lambda item: item[1])
    lines = sum(counts.source.values())
    print(f"source: {len(counts.source)} files, {lines} lines, median {counts.median:g}, longest {longest[0]} ({longest[1]})")
    print(f"functions: {len(counts.functions)}, longest {function[0]} ({function[1]})")
    tests = sum(counts.tests.values())
    print(f"tests: {len(counts.tests)} files, {tests} lines, ratio {counts.ratio:.2f}; {tests / lines:.2f} with {KIT} as source")
    found = breaches(counts)
    print("\n".join(found) or "budgets: no breach")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
