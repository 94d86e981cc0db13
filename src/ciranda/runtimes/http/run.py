"""One run on the server: it waits for its clients, then the host's loop goes in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any, Protocol

from ciranda.core.errors import CirandaError, RunError
from ciranda.core.stages import Chain
from ciranda.core.task import Arrays
from ciranda.protocol.messages import Failed, parse_phase
from ciranda.runtimes.host import Host
from ciranda.runtimes.http.mail import Mail
from ciranda.runtimes.http.models import Models
from ciranda.runtimes.http.replies import Replies
from ciranda.runtimes.http.roster import Member, Room, Roster
from ciranda.runtimes.http.wire import Evaluate, Halted, HttpWire
from ciranda.store.base import Store

log = logging.getLogger(__name__)
Tell = Callable[[Mapping[str, Any]], None]


Part = tuple[str, bytes]
"""Something to predict from: a name for messages, and the content, which shows what it is in its first bytes."""


class Predictor(Protocol):
    """Who knows what inputs look like."""

    def predict(self, model: Arrays, parts: Sequence[Part], top: int) -> list[dict[str, Any]]:
        """For each example in `parts`: `input`, `class` and the `top` likeliest `probabilities`, or `value`. Raises DataError."""


class Blueprint(Protocol):
    """What a run is made of: handed in by whoever composes it, so that nothing here knows tasks or experiments.

    Attributes:
        name: of the run on this server. run: its key in its own store. folder: where replies and models lie.
        experiment: as TOML, without its seed. partitions, minimum, maximum, wait_s: see `Room`.
        predictor: answers with the run's model, None if nobody can.
    """

    name: str
    run: str
    folder: Path
    rounds: int
    experiment: str
    partitions: int
    minimum: int
    maximum: int
    wait_s: float | None
    chain: Chain
    evaluate: Evaluate
    predictor: Predictor | None = None

    def described(self) -> Mapping[str, Any]:
        """What clients with data of their own must know of the run's: `form`, and `record` of how raw rows become examples."""
        return {}

    def admit(self, schema: Mapping[str, Any]) -> None:
        """Raises CirandaError when data with this schema cannot be learned from together with the run's."""
        return

    def indices(self, partition: int) -> Sequence[int]:
        """Which examples of the run's own data are the partition's to train on; none where there are no partitions to hand out."""
        return ()

    def open_store(self) -> Store:
        """The run's store."""

    def seed(self, member: Member) -> int:
        """The seed of a client's draws."""

    def host(self, wire: HttpWire, store: Store, roster: Roster, tell: Tell) -> Host:
        """The host of the run, not started yet; it tells rows with `tell`."""

    def begin(self, host: Host, store: Store, roster: Roster, tell: Tell) -> None:
        """Start `host`, or have it take the stored run up again."""

    def finish(self, host: Host | None, roster: Roster | None, error: CirandaError | None, tell: Tell) -> None:
        """Leave the result."""

    def forget(self) -> None:
        """The run was deleted: see to it that its name is free, and that no start of the server takes it up."""
        return


class _Post:
    """From the run's thread to the event loop; a loop that has stopped needs nothing any more."""

    def __init__(self, run: HttpRun) -> None:
        self._run = run

    def send(self, mail: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        self._run.call([lambda: self._run.put(mail)])

    def run(self, calls: Sequence[Callable[[], None]]) -> None:
        self._run.call(calls)


class HttpRun:
    """A run as the server's routes see it. Methods are for the event loop's thread, unless they say otherwise."""

    def __init__(self, blueprint: Blueprint, mail: Mail, loop: asyncio.AbstractEventLoop, tell: Tell = lambda event: None) -> None:
        self.blueprint, self.name = blueprint, blueprint.name
        self._mail, self._loop, self._listener = mail, loop, tell
        self.store = blueprint.open_store()
        self.room = Room(self.store, blueprint.run, blueprint.partitions, blueprint.minimum, blueprint.maximum, blueprint.wait_s)
        self.replies = Replies(blueprint.folder)
        self.models = Models(blueprint.folder / "models")
        self.wire = HttpWire(self.replies, self.models, _Post(self), blueprint.chain, blueprint.evaluate, self.recorded, self._progress)
        self.rows: list[dict[str, Any]] = [json.loads(event) for _, event in self.store.events(blueprint.run)]
        self.host: Host | None = None
        self.error: CirandaError | None = None
        self.over = Flag()
        self.halted = False
        self.watchers: set[asyncio.Queue[Mapping[str, Any]]] = set()
        self._stopping = ""
        self._thread = Thread(target=self._work, name=f"ciranda-run-{blueprint.name}", daemon=True)

    def start(self) -> None:
        """Begin to wait for clients."""
        self._thread.start()

    @property
    def status(self) -> str:
        """waiting, or the coordinator's: pending, running, paused, finished, aborted, error."""
        if self.error is not None:
            return "aborted" if self._stopping else "error"
        if self.host is None:
            return "waiting"
        return self.host.state.status

    @property
    def reason(self) -> str:
        """Why the run is over, or ""."""
        if self.error is not None:
            return self._stopping or str(self.error)
        return self.host.state.reason if self.host is not None else ""

    def view(self) -> dict[str, Any]:
        """The run as JSON."""
        state = self.host.state if self.host is not None else None
        last = self.rows[-1] if self.rows else {}
        return {
            "run": self.name,
            "status": self.status,
            "reason": self.reason,
            "round": state.round if state is not None else len(self.rows),
            "rounds": self.blueprint.rounds,
            "version": last.get("version", 0),
            "model": state.model if state is not None else last.get("model", ""),
            "metrics": last.get("metrics", {}),
            "clients": len(self.room.members()),
        }

    def member(self, client: str) -> Member | None:
        """The client's place in the roster, None before it is complete or if it has none."""
        roster = self.room.roster
        return roster.by_client.get(client) if roster is not None else None

    def record(self, round: int) -> Mapping[str, Any] | None:
        """The recorded row of a round, or None."""
        return next((row for row in reversed(self.rows) if (row["event"], row["round"]) == ("round", round)), None)

    def recorded(self, phase: str, name: str, digest: str) -> bool:
        """Whether this reply counts in a round that is recorded; from the run's thread."""
        parsed = parse_phase(phase)
        row = self.record(parsed[0]) if parsed is not None else None
        if parsed is None or row is None or row["attempt"] != parsed[1]:
            return False
        return [name, digest] in row["accepted"] or [name, digest] in row["evaluated"]

    def stop(self, by: str) -> None:
        """Ask the run to end; from any thread and from a signal handler."""
        self._stopping = f"stop-asked:{by}"
        self.wire.request_stop(by)
        if self.host is None:
            stopped = RunError("{reason}", reason=self._stopping)
            Thread(target=self.room.shut, args=(stopped,), daemon=True).start()

    def halt(self) -> None:
        """End the thread and leave the run as it stands in the store; from any thread."""
        halted = Halted("The server ends.")
        self.wire.tell(halted)
        self.room.shut(halted)

    def put(self, mail: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Put events for logical names into the boxes of their clients."""
        roster = self.room.roster
        for name, event in mail:
            member = roster.by_name.get(name) if roster is not None else None
            if member is not None and not self._mail.put(member.client, {"run": self.name, **event}) and event["type"] == "instruct":
                self.wire.tell(Failed(event["phase"], name, "revoked"))

    def give_up(self, client: str, reason: str) -> None:
        """Wait no more for an answer of `client`."""
        member, asked = self.member(client), self._mail.asked(client, self.name)
        if member is not None and asked is not None:
            self.wire.tell(Failed(asked["phase"], member.name, reason))

    def call(self, calls: Sequence[Callable[[], None]]) -> None:
        """Have `calls` made on the event loop; from any thread."""
        try:
            self._loop.call_soon_threadsafe(_all, calls)
        except RuntimeError:
            log.debug("the event loop has stopped")

    def tell(self, event: Mapping[str, Any]) -> None:
        """News of the run; from the run's thread."""
        if event.get("event") == "round":
            self.rows.append(dict(event))
        self._listener(event)
        self.call([lambda: self._notify(event)])

    def join(self, timeout: float | None = None) -> None:
        """Wait for the run's thread; from another one."""
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _tell(self, client: str, event: Mapping[str, Any]) -> None:
        self._mail.put(client, event)

    def _notify(self, event: Mapping[str, Any]) -> None:
        for queue in list(self.watchers):
            if queue.full():
                self.watchers.discard(queue)  # it does not read; it may ask again from the last row it has
            else:
                queue.put_nowait(event)

    def _progress(self, round: int, kind: str, done: int, asked: int) -> None:
        self.tell({"event": "progress", "round": round, "kind": kind, "done": done, "of": asked})

    def _waiting(self) -> None:
        self.tell({"event": "waiting", **self.room.view()})

    def _work(self) -> None:
        """The life of the run, in its thread."""
        roster, host = None, None
        try:
            roster = self.room.wait(self._waiting)
            self.wire.population = len(roster)
            host = self.blueprint.host(self.wire, self.store, roster, self.tell)
            self.blueprint.begin(host, self.store, roster, self.tell)
            self.host = host
            host.run()
        except Halted:
            self.halted = True
        except CirandaError as error:
            self.error = error
        except Exception as error:  # the thread's end must be told, whatever it was
            log.exception("the run '%s' failed", self.name)
            self.error = RunError("{kind}: {error}", kind=type(error).__name__, error=str(error))
        finally:
            self._end(host, roster)

    def _end(self, host: Host | None, roster: Roster | None) -> None:
        try:
            if not self.halted:
                self.blueprint.finish(host, roster, self.error, self.tell)
        except CirandaError as error:  # the disk may be what failed
            self.error = self.error or error
        finally:
            self.wire.close()
            members = self.room.members()
            self.store.close()
            if self.halted:
                members = []
            told = {"run": self.name, "type": "finish", "state": self.status, "reason": self.reason}
            self.call([partial(self._tell, member.client, told) for member in members])
            self.over.set()


def _all(calls: Sequence[Callable[[], None]]) -> None:
    for call in calls:
        call()
