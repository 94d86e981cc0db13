"""Which wires can be asked for."""

from __future__ import annotations

import pytest

from ciranda.cli.wires import WIRES, check_wire
from ciranda.core.errors import ExperimentError


def test_the_local_wire_is_built() -> None:
    check_wire("local")


@pytest.mark.parametrize("name", [name for name, (_, built) in WIRES.items() if not built])
def test_a_wire_that_is_not_built_says_so_and_what_is(name: str) -> None:
    with pytest.raises(ExperimentError, match="not built yet") as caught:
        check_wire(name)
    assert "local" in caught.value.hint


@pytest.mark.parametrize("name", ["", "Local", "grpc"])
def test_a_wire_that_does_not_exist_lists_those_that_do(name: str) -> None:
    with pytest.raises(ExperimentError, match="no wire") as caught:
        check_wire(name)
    for known in WIRES:
        assert known in caught.value.hint
