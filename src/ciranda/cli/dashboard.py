"""A run as a live picture in the terminal: the curve, who has answered, what was spent and what is left.

A display like `Display`, for those who ask for it; where there is no terminal, `Display`'s plain lines take its place.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from ciranda.cli.braille import curve
from ciranda.cli.eta import clock_text
from ciranda.cli.output import bytes_text, main_metrics, seconds_text
from ciranda.cli.progress import REFRESH_S, Display
from ciranda.i18n import _
from ciranda.report.records import HEADLINES, rises
from ciranda.report.text import capital, measure, metric_name

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

HEIGHT, LEAST_WIDTH, MOST_WIDTH = 9, 60, 110
SIDE = 38  # columns of the numbers beside the curve
MOST_NAMES = 60
LAST_ROUNDS = 5


class Dashboard(Display):
    """Draws event rows on `stream`, which must be a terminal; what it shows last stays."""

    def __init__(self, stream: TextIO, name: str, seed: int, *, console: Console | None = None) -> None:
        super().__init__(stream, name, seed)
        self._console = console
        self._live: Live | None = None
        self._began = time.monotonic()
        self._title = name
        self._take: Callable[[str], None] = self._above
        self._done = 0.0
        self._round_now, self._kind, self._answers, self._asked = 0, "", 0, 0
        self._states: dict[str, str] = {}
        self._points: list[tuple[int, float]] = []
        self._metric = ""
        self._latest: Mapping[str, Any] = {}
        self._lines: deque[str] = deque(maxlen=LAST_ROUNDS)
        self._sent = [0, 0]
        self._missing = 0

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        console = self._console or Console(file=self._stream)
        # No thread that redraws: worker processes are forked while the picture is up.
        self._live = Live(self.picture(console.width), console=console, auto_refresh=False)
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._refresh(now=True)
            self._live.stop()

    def _line(self, text: str) -> None:
        self._take(text)

    def _above(self, text: str) -> None:
        """What is told once, findings among it, stays above the picture."""
        if self._live is not None:
            self._live.console.print(text, highlight=False, markup=False)

    def _entitle(self, text: str) -> None:
        self._title = text

    def _start(self, row: Mapping[str, Any]) -> None:
        self._take = self._entitle
        super()._start(row)
        self._take = self._above
        self._done = float(row.get("done", 0))

    def _progress(self, row: Mapping[str, Any]) -> None:
        if (row["round"], row.get("kind")) != (self._round_now, self._kind):
            self._round_now, self._kind, self._states = int(row["round"]), str(row.get("kind", "")), {}
        self._answers, self._asked = int(row["done"]), int(row["of"])
        self._states.update({str(name): str(reason) for name, reason in row.get("answered", ())})
        super()._progress(row)

    def _round(self, row: Mapping[str, Any]) -> None:
        self._latest = row
        metrics = main_metrics(row)
        self._metric = self._metric or next((name for name in HEADLINES if name in metrics), "")
        if self._metric in metrics:
            self._points.append((int(row["round"]), metrics[self._metric]))
        self._sent[0] += int(row.get("bytes_up", 0))
        self._sent[1] += int(row.get("bytes_down", 0))
        self._missing += len(row.get("failed", ())) + sum(row.get("refusals", {}).values())
        self._take = self._lines.append
        super()._round(row)
        self._take = self._above
        self._refresh(now=True)

    def _advance(self, done: float) -> None:
        self._done = done
        self._refresh()

    def _refresh(self, *, now: bool = False) -> None:
        clock = time.monotonic()
        if self._live is not None and (now or clock - self._refreshed >= REFRESH_S):
            self._refreshed = clock
            self._live.update(self.picture(self._live.console.width), refresh=True)

    # --- the picture

    def picture(self, width: int) -> RenderableType:
        """What is shown on a terminal of `width` columns."""
        from rich.console import Group
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        inner = max(LEAST_WIDTH, min(width, MOST_WIDTH)) - 4
        sides = Table.grid(padding=(0, 3), expand=True)
        sides.add_column(ratio=1)
        sides.add_column(width=SIDE)
        sides.add_row(self._curve(inner - SIDE - 3), self._numbers())
        parts = [self._whole(inner), Text(), sides, Text(), self._clients(), Text()]
        parts += [Text(line, no_wrap=True, overflow="ellipsis", style="dim") for line in self._lines]
        return Panel(Group(*parts), title=Text(self._title, style="bold"), title_align="left", width=inner + 4, border_style="blue")

    def _whole(self, width: int) -> RenderableType:
        from rich.text import Text

        share = min(1.0, self._done / max(1, self._rounds))
        now = time.monotonic()
        left = self._eta.remaining(self._done, now)
        words = f" {share:4.0%}  {_('{time} left', time=clock_text(left))}  {_('{time} so far', time=clock_text(now - self._began))}"
        cells = max(10, width - len(words))
        full = round(share * cells)
        return Text.assemble(("━" * full, "blue"), ("━" * (cells - full), "bright_black"), words)

    def _curve(self, width: int) -> RenderableType:
        from rich.text import Text

        if not self._points:
            return Text(_("The curve begins with the first evaluation."), style="dim")
        x, y = [float(number) for number, _value in self._points], [value for _number, value in self._points]
        top, bottom = measure(self._metric, max(y)), measure(self._metric, min(y))
        margin = max(len(top), len(bottom)) + 1
        rows = curve(x, y, max(8, width - margin), HEIGHT, (1.0, float(max(2, self._rounds))))
        text = Text(f"{capital(metric_name(self._metric))}\n", style="bold")
        for place, row in enumerate(rows):
            label = top if place == 0 else bottom if place == HEIGHT - 1 else ""
            text.append(f"{label:>{margin - 1}} ", "not bold dim")
            text.append(row + "\n", "not bold blue")
        ends = f"1{self._rounds:>{max(1, width - margin - 1)}}"
        text.append(" " * margin + ends, "not bold dim")
        return text

    def _numbers(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        rows = [(_("round"), f"{self._latest.get('round', 0)} / {self._rounds}")]
        rows += [(metric_name(name), Text(measure(name, value), style="bold")) for name, value in main_metrics(self._latest).items()]  # type: ignore[misc]
        if self._points:
            best = (max if rises(self._metric) else min)(self._points, key=lambda point: point[1])
            rows.append((_("best, round {round}", round=best[0]), measure(self._metric, best[1])))
        own = [values[self._metric] for values in self._latest.get("clients", {}).values() if values.get(self._metric) is not None]
        if own:
            rows.append((_("worst client"), measure(self._metric, min(own) if rises(self._metric) else max(own))))
        rows.append((_("sent"), f"{bytes_text(self._sent[0])} ↑ {bytes_text(self._sent[1])} ↓"))
        rows.append((_("last round"), seconds_text(self._latest["seconds"]) if "seconds" in self._latest else "–"))
        rows.append((_("not counted"), Text(str(self._missing), style="red" if self._missing else "")))  # type: ignore[arg-type]
        for row in rows:
            table.add_row(*row)
        return table

    def _clients(self) -> RenderableType:
        """Who has answered in the phase that is going on: a check, a cross, or a dot for those still awaited."""
        from rich.text import Text

        kinds = {"train": _("training"), "evaluate": _("evaluating"), "candidates": _("telling their loss")}
        what = kinds.get(self._kind, self._kind)
        text = Text()
        if not self._round_now:
            text.append(_("The first round begins."), "dim")
            return text
        # The server's own evaluation comes in slices, beside those of the clients.
        done = sum(not name.startswith("@") for name in self._states) if self._states else self._answers
        told = {"round": self._round_now, "what": what, "done": done, "of": self._asked}
        text.append(_("Round {round}, {what}: {done} of {of} clients", **told))
        text.append("\n")
        for name, reason in list(self._states.items())[:MOST_NAMES]:
            shown = _("server") if name.startswith("@") else name
            text.append(f"✗ {shown} " if reason else f"✓ {shown} ", "red" if reason else "green")
        waiting = max(0, self._asked - done)
        hidden = max(0, len(self._states) - MOST_NAMES)
        text.append(f"+{hidden} " if hidden else "", "dim")
        text.append("· " * min(waiting, MOST_NAMES), "dim")
        return text


def wanted(stream: TextIO) -> bool:
    """Whether `stream` can show a dashboard: a terminal that is wide enough and knows how to move its cursor."""
    from rich.console import Console

    console = Console(file=stream)
    return console.is_terminal and not console.is_dumb_terminal and console.width >= LEAST_WIDTH
