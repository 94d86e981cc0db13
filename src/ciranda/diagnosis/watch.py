"""While a run goes on: each row is looked at as it comes, and each finding is told once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ciranda.diagnosis import clients, curves
from ciranda.diagnosis.findings import Finding
from ciranda.diagnosis.history import History, Row


class Watch:
    """Looks at a run's rows.

    Args:
        rows: those that were recorded before; nothing is told of them.
        expected: see `History`.
    """

    def __init__(self, rows: Iterable[Row] = (), expected: frozenset[str] = frozenset()) -> None:
        self._history = History(expected)
        self._told: set[str] = set()
        for row in rows:
            self.take(row)

    def take(self, row: Row) -> list[Finding]:
        """The findings that this row brings and that were not told before."""
        self._history.take(row)
        return self._new(curves.diverged(self._history), curves.guessing(self._history), clients.skipped(self._history))

    def ended(self, refused: Mapping[str, str]) -> list[Finding]:
        """The findings of a run that ended within a round, in which these replies were refused: client -> reason."""
        self._history.lose(refused)
        return self._new()

    def _new(self, *found: Finding | None) -> list[Finding]:
        lost = (finding for finding in clients.lost_replies(self._history) if finding.severity != "info")
        new = [finding for finding in (*found, *lost) if finding is not None and finding.code not in self._told]
        self._told.update(finding.code for finding in new)
        return new
