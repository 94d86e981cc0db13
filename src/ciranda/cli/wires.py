"""The wires that a run can use."""

from __future__ import annotations

from collections.abc import Mapping

from ciranda.core.errors import ExperimentError
from ciranda.core.texts import Text

# name -> what it is, and whether it is built
WIRES: Mapping[str, tuple[Text, bool]] = {
    "local": (Text("worker processes on this machine"), True),
    "http": (Text("clients behind any firewall, over HTTP"), True),
    "mqtt": (Text("peers that elect their controller, over MQTT"), False),
    "serverless": (Text("nothing running between requests, on AWS Lambda or OpenWhisk"), False),
    "flower": (Text("Flower's distributed engine"), False),
}


def check_wire(name: str) -> None:
    """Refuse a wire that does not exist or is not built yet. Raises ExperimentError."""
    built = [wire for wire, (_, is_built) in WIRES.items() if is_built]
    if name not in WIRES:
        raise ExperimentError("There is no wire '{name}'.", hint="--on is one of: {wires}.", name=name, wires=", ".join(WIRES))
    if name not in built:
        raise ExperimentError("The wire '{name}' is not built yet.", hint="Built so far: {built}.", name=name, built=", ".join(built))
