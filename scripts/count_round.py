"""Counts the calls and the files through which one local round goes, from the run loop to the aggregated model.

A path is what stands on the stack when the round's work reaches a place: a task trains, an update is folded into the total, the wire hands
the total over, the total becomes a mean, the strategy makes the next model. Their union, from the run loop downwards, is the round;
each function and each file counts once. The task and the strategy themselves do not count: they are what the path leads to, and
anyone's own may stand there. What happens before the loop (the probe of the numeric recipe, say) is no part of a round.

`python scripts/count_round.py` runs one round of the digits in this process, prints the paths and ends with 1 when over the budget.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

CALLS, FILES = 12, 6
PACKAGE = Path(__file__).resolve().parent.parent / "src" / "ciranda"
LOOP = ("runtimes/host.py", "Host.run")
# What a round must reach: name -> (folder or file of the package, function, whether that function counts itself).
PLACES: Mapping[str, tuple[str, str, bool]] = {
    "a task trains": ("tasks/", "train", False),
    "an update is folded": ("core/update.py", "fold", True),
    "the wire hands the total over": ("runtimes/", "gather", True),
    "the total becomes a mean": ("core/update.py", "finish", True),
    "the strategy makes the model": ("core/strategies/", "apply", False),
}

Call = tuple[str, str]  # file below the package, qualified name


@dataclass
class Round:
    """The path to each place, from the run loop downwards, as it was first seen."""

    paths: dict[str, Sequence[Call]] = field(default_factory=dict)

    @property
    def calls(self) -> list[Call]:
        return list(dict.fromkeys(call for path in self.paths.values() for call in path))

    @property
    def files(self) -> list[str]:
        return list(dict.fromkeys(file for file, _ in self.calls))

    @property
    def missed(self) -> list[str]:
        return [place for place in PLACES if place not in self.paths]


def trace(run: Callable[[], object], package: Path = PACKAGE, loop: Call = LOOP) -> Round:
    """Call `run` and note the first path from `loop` to each place."""
    found = Round()
    prefix = f"{package}/"

    def note(frame: FrameType, event: str, _: object) -> None:
        if event != "call" or not frame.f_code.co_filename.startswith(prefix):
            return
        file = frame.f_code.co_filename.removeprefix(prefix)
        for place, (where, name, counts) in PLACES.items():
            if place not in found.paths and frame.f_code.co_name == name and file.startswith(where):
                path = path_to(frame if counts else frame.f_back, prefix)
                if loop in path:
                    found.paths[place] = path[path.index(loop) :]

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return found


def path_to(frame: FrameType | None, prefix: str) -> list[Call]:
    """The package's functions on the stack of `frame`, outermost first."""
    path: list[Call] = []
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(prefix) and not code.co_name.startswith("<"):
            path.append((code.co_filename.removeprefix(prefix), code.co_qualname))
        frame = frame.f_back
    return path[::-1]


def one_round() -> None:
    """One round of the digits, on one worker, which is this process."""
    from ciranda.cli.app import main

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        status = main(["run", "digits", "--set", "rounds.num-rounds=1", "--workers", "1", "--json", "--quiet", "--out", f"{folder}/run"])
    if status:
        raise SystemExit(status)


def main() -> int:
    found = trace(one_round)
    for place, path in found.paths.items():
        print(f"{place}:")
        for file, name in path:
            print(f"    {file}: {name}")
    for place in found.missed:
        print(f"{place}: never, so the count means nothing")
    print(f"one round: {len(found.calls)} calls in {len(found.files)} files; {CALLS} in {FILES} allowed")
    return 1 if found.missed or len(found.calls) > CALLS or len(found.files) > FILES else 0


if __name__ == "__main__":
    sys.exit(main())
