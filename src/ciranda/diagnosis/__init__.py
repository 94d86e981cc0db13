"""What is wrong with a run, by its numbers: before it begins, while it goes on, after it ended. Plain data in, findings out."""

from ciranda.diagnosis.after import examine
from ciranda.diagnosis.before import Facts, foresee
from ciranda.diagnosis.findings import Finding
from ciranda.diagnosis.history import History
from ciranda.diagnosis.watch import Watch

__all__ = ["Facts", "Finding", "History", "Watch", "examine", "foresee"]
