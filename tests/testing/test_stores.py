"""The public suite finds what is wrong with a store: each of these breaks one law, and the test of that law fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ciranda

# class -> (its base, its flaw, the tests of which at least one must fail)
FLAWS = {
    "LosesUpdates": (
        "MemoryStore",
        """
    def swap(self, run, version, header, writer):
        return super().swap(run, self.read(run)[0], header, writer)
""",
        "is_a_conflict",
    ),
    "ForgetsWriters": (
        "MemoryStore",
        """
    def swap(self, run, version, header, writer):
        self._writes.clear()
        return super().swap(run, version, header, writer)
""",
        "recognises_its_own",
    ),
    "TrustsNames": (
        "MemoryStore",
        """
    def swap(self, run, version, header, writer):
        try:
            return super().swap(run, version, header, writer)
        except Conflict:
            if self._writes.get((run, version + 1), ("",))[0] == writer:
                return version + 1
            raise
""",
        "reuses_its_name",
    ),
    "ChecksThenWrites": (
        "MemoryStore",
        """
    def append(self, run, key, event):
        number = len(self._events.get(run, [])) + 1
        threading.Event().wait(0.001)
        super().append(run, key, event)
        return number
""",
        "numbered",
    ),
    "LastClaimHolds": (
        "MemoryStore",
        """
    def claim(self, run, key, record):
        self._claims.setdefault(run, {})[key] = record
        return record
""",
        "claim",
    ),
    "ClaimsAsTheyCame": (
        "MemoryStore",
        """
    def claims(self, run, prefix):
        yield from [item for item in self._claims.get(run, {}).items() if item[0].startswith(prefix)]
""",
        "claims_come_in_key_order",
    ),
    "PatternForPrefix": (
        "MemoryStore",
        """
    def claims(self, run, prefix):
        return (item for item in super().claims(run, "") if re.match(prefix.replace("_", "."), item[0]))
""",
        "claims_come_in_key_order",
    ),
    "ShowsHalfABlob": (
        "MemoryStore",
        """
    def put(self, chunks):
        so_far = b""
        for chunk in chunks:
            so_far += chunk
            digest = super().put([so_far])
        return digest if so_far else super().put([])
""",
        "leaves_nothing",
    ),
    "CollectsNothing": ("MemoryStore", "\n    def collect(self, keep): return 0\n", "collect"),
    "RepeatsEvents": (
        "MemoryStore",
        """
    def append(self, run, key, event):
        return super().append(run, f"{key}/{len(self._events.get(run, []))}", event)
""",
        "appended_once",
    ),
    "OneTokenForAll": (
        "MemoryStore",
        """
    def lease(self, run, name, holder, seconds):
        return super().lease(run, name, holder, seconds) and 1
""",
        "larger_token",
    ),
    "SharesLeases": (
        "MemoryStore",
        """
    def lease(self, run, name, holder, seconds):
        return super().lease(run, name, "anybody", seconds)
""",
        "keeps_others_out",
    ),
    "WorksWhenClosed": ("MemoryStore", "\n    def close(self): pass\n", "closed"),
    "AcknowledgesTooEarly": (
        "SqliteStore",
        """
    waiting = None
    def append(self, run, key, event):
        if self.waiting:
            super().append(*self.waiting)
        self.waiting = (run, key, event)
        return max((number for number, _ in self.events(run)), default=0) + 1
""",
        "killed_at_a_call",
    ),
    "WritesInTwoSteps": (
        "SqliteStore",
        """
    def swap(self, run, version, header, writer):
        if self.read(run)[0] == version:
            super().swap(run, version, b"", "first half")
            with self._write() as database:
                database.execute("UPDATE runs SET header = ? WHERE run = ?", (header, run))
            return version + 1
        raise Conflict("too late")
""",
        "killed_at_a_call",
    ),
}
HEAD = """
import re, threading
import pytest
from ciranda.core.errors import Conflict
from ciranda.store import MemoryStore, SqliteStore
from ciranda.testing.stores import DurableStoreConformance, StoreConformance
"""
IN_MEMORY = """
class {name}(MemoryStore):
    {flaw}

class Test{name}(StoreConformance):
    @pytest.fixture
    def make_store(self):
        store = {name}()
        return lambda: store
"""
IN_A_FOLDER = """
class {name}(SqliteStore):
    {flaw}

class Test{name}(DurableStoreConformance):
    @pytest.fixture
    def make_store(self, tmp_path):
        return lambda: {name}(tmp_path / "store")
"""


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The tests that fail, as a user who runs pytest on all these stores would see them."""
    folder = tmp_path_factory.mktemp("suite")
    parts = [
        (IN_MEMORY if base == "MemoryStore" else IN_A_FOLDER).format(name=name, flaw=flaw.strip())
        for name, (base, flaw, _) in FLAWS.items()
    ]
    (folder / "test_mine.py").write_text(HEAD + "".join(parts))
    (folder / "pytest.ini").write_text("[pytest]\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(ciranda.__file__).parent.parent)}
    select = "not many_claims and not random and not processes and (killed or not (TestAcknowledges or TestWritesInTwo))"
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-rfE", "-p", "no:cacheprovider", "-k", select, "test_mine.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1, done.stdout + done.stderr
    return re.findall(r"^FAILED test_mine.py::(\S+)", done.stdout, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("name", FLAWS)
def test_a_broken_law_is_found(failures: list[str], name: str) -> None:
    law = FLAWS[name][2]
    own = [each for each in failures if each.startswith(f"Test{name}::")]
    assert any(law in each for each in own), f"{name} passed the test of its law; it failed {own}"
