"""The benchmark `http`: rounds, transfers and waiting clients of the HTTP runtime."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.section import Row, Spread
from benchmarks.wire import rounds, transfer

Say = Callable[[str], None]
ABOUT = (
    "Rounds of a 1,000-float model whose training costs nothing, everything brought to the disk: ten client processes on loopback, from"
    f" record to record, rounds {rounds.FIRST} to {rounds.LAST}, the server's evaluation included (Flower's SuperLink with ten SuperNodes"
    " took 12.4 s); then ten asked among 1,000 waiting clients, against among 20; then a model of 100 MB to and from ten clients at"
    " once, against a bare socket copy and against copying files with fsync. Ratios are the server's time over the other's."
)


def rows(repetitions: int, say: Say) -> list[Row]:
    """Measure everything `repetitions` times."""
    whole, few, many, light, heavy = [], [], [], [], []
    moved: list[transfer.Transfer] = []
    for number in range(repetitions):
        say(f"http: repetition {number + 1} of {repetitions}")
        whole.append(1e3 * rounds.processes())
        few.append(1e3 * rounds.crowd(20)[0])
        seconds, memory = rounds.crowd(1000)
        many.append(1e3 * seconds)
        light.append(memory)
        heavy.append(rounds.crowd(1000, torch=True)[1])
        moved.append(transfer.transfer())
    ratio = [a / b for a, b in zip(many, few, strict=True)]
    return [
        Row("a round of 10 client processes", Spread.of(whole), "ms", target=50.0),
        Row("a round of 10 among 20", Spread.of(few), "ms"),
        Row("a round of 10 among 1,000 waiting clients", Spread.of(many), "ms", Spread.of(ratio), 1.5, "over that among 20"),
        Row("the server with 1,000 waiting clients", Spread.of(light), "MiB", target=150.0),
        Row("the same with torch", Spread.of(heavy), "MiB", target=400.0),
        _against("100 MB to 10 clients", [each.down for each in moved], [each.bare for each in moved], "over a bare socket copy"),
        _against("100 MB from 10 clients, durable", [each.up for each in moved], [each.copy for each in moved], "over copying with fsync"),
        Row("the server's memory above idle", Spread.of(each.models for each in moved), "models", target=4.0),
    ]


def _against(what: str, ours: list[float], theirs: list[float], note: str) -> Row:
    ratio = Spread.of(a / b for a, b in zip(ours, theirs, strict=True))
    return Row(what, Spread.of(ours), "s", ratio, 2.0, note)
