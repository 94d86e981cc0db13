"""Checks for what others build on ciranda; they need pytest.

`stores`      the laws that every store keeps, `kill -9` included.
`strategies`  the laws of a strategy.
`stages`      the laws of a stage.
`selections`  the laws of a selection rule.
`tasks`       the laws of a task.
`wires`       the laws of a wire.
`scheduler`   a hostile schedule for the protocol's machines.
`faulty`      a store that fails, or kills its process, at a chosen call.
`processes`   child processes to be killed, with what they reported before.

Subclass a suite, name the class `Test...`, give it the fixture that the suite asks for, and pytest does the rest::

    class TestMyStore(DurableStoreConformance):
        @pytest.fixture
        def make_store(self, tmp_path):
            return lambda: MyStore(tmp_path / "store")
"""

import sys

if "pytest" in sys.modules:
    # So that a failed assertion in there shows its values, as in a test file.
    sys.modules["pytest"].register_assert_rewrite(
        f"{__name__}.stores", f"{__name__}._store_calls", f"{__name__}._store_races", f"{__name__}._store_crashes"
    )
