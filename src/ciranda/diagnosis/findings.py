"""One thing that is wrong, or worth knowing: what, how it is known, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ciranda.core.texts import Text
from ciranda.i18n import told

Severity = Literal["error", "warning", "info"]
ORDER: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True)
class Finding:
    """A finding. Its texts are told in the reader's language.

    Attributes:
        code: a word that programs may test, such as "diverged".
        severity: "error": the result is worth nothing. "warning": the result suffers. "info": it could be better, or cheaper.
        what: what is wrong. evidence: the numbers that show it. advice: what to do about it.
    """

    code: str
    severity: Severity
    what: Text
    evidence: Text
    advice: Text

    def line(self) -> str:
        """What, evidence and advice, one after the other."""
        return f"{told(self.what)} ({told(self.evidence)}). {told(self.advice)}"

    def as_json(self) -> dict[str, str]:
        """For programs: English texts."""
        return {
            "code": self.code,
            "severity": self.severity,
            "what": str(self.what),
            "evidence": str(self.evidence),
            "advice": str(self.advice),
        }


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first; equally bad ones in the order given."""
    return sorted(findings, key=lambda finding: ORDER.index(finding.severity))
