"""The waiting room of a run: who has come, who is still missing, and the roster with which the run then begins."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from threading import Condition
from time import monotonic
from typing import Any

from ciranda.core.errors import CirandaError, RunError
from ciranda.runtimes.http.access import Denied
from ciranda.store.base import Store

_MEMBER, _ROSTER = "member/", "roster"


@dataclass(frozen=True)
class Member:
    """A client in a run. `client` is who it enrolled as, `name` its logical name in the run: the partition's number if it has one.

    examples: how many it trains on, None if it does not tell. probe: digest of three fixed training steps on its machine.
    """

    client: str
    name: str
    partition: int | None = None
    examples: int | None = None
    probe: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


class Roster:
    """The members that a run began with, in the order of their ranks: by the number of their partition, or else by name."""

    def __init__(self, members: list[Member]) -> None:
        self.members = sorted(members, key=lambda member: (member.partition is None, member.partition or 0, member.name))
        self.by_name = {member.name: member for member in self.members}
        self.by_client = {member.client: member for member in self.members}

    def __len__(self) -> int:
        return len(self.members)

    def name(self, rank: int) -> str:
        """The logical name of the client with this rank."""
        return self.members[rank].name

    @property
    def max_examples(self) -> int | None:
        """The most examples of one client, or None when somebody does not tell."""
        counts = [member.examples for member in self.members]
        return None if None in counts else max((count for count in counts if count is not None), default=None)

    @property
    def probes(self) -> list[str]:
        return [member.probe for member in self.members]


class Room:
    """Where clients of a run wait until it begins.

    Args:
        partitions: the number of partitions of the run's data; a client with `--partition` must know the same number.
        minimum, maximum: the run begins once `maximum` have come, or when `wait_s` seconds (None: no limit) are over and `minimum` have.
    """

    def __init__(self, store: Store, run: str, partitions: int, minimum: int, maximum: int, wait_s: float | None) -> None:
        self.minimum, self.maximum, self.wait_s = minimum, maximum, wait_s
        self._store, self._run, self._partitions = store, run, partitions
        self._change = Condition()
        self._members = {member.client: member for member in map(_read, store.claims(run, _MEMBER))}
        self._opened: float | None = None
        self._closed: CirandaError | None = None
        held = dict(store.claims(run, _ROSTER))
        self.roster = self._frozen(held[_ROSTER]) if _ROSTER in held else None

    def join(self, client: str, partition: tuple[int, int] | None, **told: Any) -> Member:
        """Let `client` in; again if it was in before. Raises Denied."""
        with self._change:
            before = self._members.get(client)
            if before is not None:
                if partition is not None and before.partition != partition[0]:
                    raise Denied(409, "'{client}' takes part with partition {number} already.", client=client, number=str(before.partition))
                return before
            member = Member(client, self._logical(client, partition), partition[0] if partition else None, **told)
            if self.roster is not None:
                raise Denied(409, "The run has begun without '{client}'.", hint="Wait for another run.", client=client)
            if len(self._members) >= self.maximum:
                raise Denied(409, "The run has all of its {count} clients.", hint="Wait for another run.", count=self.maximum)
            taken = next((other.client for other in self._members.values() if other.name == member.name), "")
            if taken:
                raise Denied(409, "'{name}' is taken by the client '{other}'.", name=member.name, other=taken)
            self._store.claim(self._run, _MEMBER + client, json.dumps(asdict(member)).encode())
            self._members[client] = member
            self._change.notify_all()
            return member

    def wait(self, tell: Callable[[], None] = lambda: None) -> Roster:
        """Wait for the roster to be complete, and fix it. `tell` is called at every change. Raises RunError when too few came in time."""
        with self._change:
            self._opened = monotonic()
            while self.roster is None:
                left = self._left()
                count = len(self._members)
                if self._closed is not None:
                    raise self._closed
                if count >= self.maximum or (left is not None and left <= 0 and count >= self.minimum):
                    text = json.dumps(sorted(self._members)).encode()
                    self.roster = self._frozen(self._store.claim(self._run, _ROSTER, text))
                elif left is not None and left <= 0:
                    raise RunError(
                        "{count} clients came within {seconds} seconds; the run needs {minimum}.",
                        hint="Start more clients, or allow more time, then go on with: ciranda resume",
                        count=count,
                        seconds=self.wait_s or 0,
                        minimum=self.minimum,
                    )
                else:
                    tell()
                    self._change.wait(left)
            tell()
            return self.roster

    def shut(self, error: CirandaError) -> None:
        """End the wait with `error`: the run is not going to begin."""
        with self._change:
            self._closed = error
            self._change.notify_all()

    def members(self) -> list[Member]:
        with self._change:
            return list(self._members.values())

    def view(self) -> dict[str, Any]:
        """What the waiting room looks like, as JSON."""
        with self._change:
            left = self._left() if self.roster is None else None
            members = sorted(self._members.values(), key=lambda member: (member.partition is None, member.partition or 0, member.name))
            return {
                "waiting": self.roster is None and self._closed is None,
                "minimum": self.minimum,
                "maximum": self.maximum,
                "seconds_left": None if left is None else max(0.0, round(left, 3)),
                "clients": [{"client": member.client, "name": member.name, "examples": member.examples} for member in members],
            }

    def _left(self) -> float | None:
        if self.wait_s is None or self._opened is None:
            return None
        return self._opened + self.wait_s - monotonic()

    def _logical(self, client: str, partition: tuple[int, int] | None) -> str:
        if partition is None:
            return client
        number, count = partition
        if count != self._partitions or not 0 <= number < count:
            raise Denied(
                409,
                "Partition {number} of {count} does not fit: the run has partitions 0 to {last} of {partitions}.",
                hint="Start the client with --partition I/{partitions}.",
                number=number,
                count=count,
                last=self._partitions - 1,
                partitions=self._partitions,
            )
        return str(number)

    def _frozen(self, text: bytes) -> Roster:
        return Roster([self._members[client] for client in json.loads(text)])


def _read(claim: tuple[str, bytes]) -> Member:
    return Member(**json.loads(claim[1]))
