"""A process that serves the toy run: python -m tests.runtimes.http.serve_toy FOLDER PORT ROUNDS CALL before|after

It is killed at the CALL-th write of the run's store (0: never), and else says how the run ended and waits for its input to close.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Literal, cast

from ciranda.store.base import Store
from ciranda.testing.faulty import Fault, FaultyStore
from tests.runtimes.http.harness import House, Toy

CLIENTS = 3
WRITES = frozenset({"swap", "append"})


def say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    folder, port, rounds, call = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    fault = Fault(call, cast(Literal["before", "after"], sys.argv[5]))  # none is the 0th
    stores: list[FaultyStore] = []

    def wrap(store: Store) -> Store:
        stores.append(FaultyStore(store, fault, counted=WRITES))
        return stores[-1]

    with House(Toy(folder, clients=CLIENTS, rounds=rounds, where="both", wrap=wrap), port=port) as house:
        run = house.begin()
        run.over.wait()
        assert run.host is not None
        say(status=run.status, model=run.host.state.model, rows=run.rows, writes=stores[0].calls)
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
