"""A hostile scheduler: it runs a coordinator and its clients in the worst order it can choose.

The network loses, repeats, delays and reorders; clients and the coordinator crash between any two of their steps and come back with
what they had stored; deadlines fire at any time; heartbeats, pauses, stops, elections and old events come when they like. After
every step the safety properties are checked (`_ring.Ledger`); `be_fair` then checks that the run comes to its end.

What happens is a function of `choose` alone: `choose(n)` is a number from 0 to n - 1, from a seeded generator or from hypothesis.
`World(step=...)` takes another coordinator with the same vocabulary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ciranda.protocol import coordinator, participant
from ciranda.protocol.messages import (
    EVALUATOR,
    LOSS,
    Acknowledge,
    Arm,
    Cancel,
    Close,
    Closed,
    Command,
    CommandFailed,
    DeadlinePassed,
    Disarm,
    Elected,
    Event,
    Failed,
    Finish,
    Instruct,
    Joined,
    Left,
    Lost,
    PauseAsked,
    Publish,
    Record,
    Recovered,
    Refuse,
    Replied,
    ResumeAsked,
    Seen,
    Started,
    StopAsked,
)
from ciranda.protocol.plan import Plan
from ciranda.protocol.state import State
from ciranda.testing._ring import Ledger, SimulatedClient, digest

Choose = Callable[[int], int]
Step = Callable[[Plan, State, Event], tuple[State, tuple[Command, ...]]]


@dataclass(frozen=True)
class Letter:
    """Something on its way to a client (`to` is a name) or to the coordinator (`to` is "")."""

    to: str
    body: Any


class World:
    """One run: a coordinator, clients, a network between them, and whoever decides what happens next.

    `step` may be another coordinator's; with `fickle` clients that work twice give themselves away; `smallest` is how far the roster
    may shrink: below the smallest number of replies that a round needs, no run can be lived through.

    Attributes: `state` the coordinator's, `ledger` what was committed and recorded, `finish` the last Finish, `trail` what happened.
    """

    def __init__(
        self,
        plan: Plan,
        names: Sequence[str],
        choose: Choose,
        *,
        step: Step = coordinator.step,
        fickle: bool = True,
        smallest: int = 1,
    ) -> None:
        self.plan = plan
        self.names = tuple(names)
        self.choose = choose
        self.step = step
        self.smallest = smallest
        self.clients = {name: SimulatedClient(name, fickle) for name in (*names, EVALUATOR)}
        self.ledger = Ledger(digest("first"))
        self.state = coordinator.initial(plan)
        self.stored = self.state.to_json()
        self.steps = 0
        self.pending: deque[Command] = deque()
        self.closing: list[Close] = []
        self.network: list[Letter] = []
        self.asked: dict[tuple[str, str], Instruct] = {}
        self.deadlines: list[str] = []
        self.past: list[Event] = []
        self.finish: Finish | None = None
        self.trail: list[str] = []
        self.epoch = 0
        self.feed(Started(len(names), self.ledger.models[0]))

    # --- the coordinator's house

    def feed(self, event: Event) -> None:
        """One event: step, check, store, queue the commands."""
        self.trail.append(repr(event))
        self.past.append(event)
        before = self.state
        self.state, commands = self.step(self.plan, before, event)
        assert before.to_json() == self.stored, "step changed the state it was given"
        self.stored = self.state.to_json()
        self.steps += 1
        self.ledger.transition(before, event, self.state, commands)
        self.pending.extend(commands)

    def crash(self) -> None:
        """Kill the coordinator and start it again from what was stored."""
        self.trail.append("coordinator crashes")
        self.pending.clear()
        self.closing.clear()
        self.asked.clear()
        self.state = State.from_json(self.stored)
        self.ledger.recovered(self.state)
        self.feed(Recovered())

    def carry_out(self) -> None:
        """Do the coordinator's next command."""
        command = self.pending.popleft()
        match command:
            case Instruct():
                self.asked[command.phase, command.name] = command
                self.network.append(Letter(command.name, command))
            case Acknowledge() | Refuse() | Cancel():
                if isinstance(command, Acknowledge):
                    self.ledger.acknowledged(command)
                self.asked.pop((command.phase, command.name), None)
                self.network.append(Letter(command.name, command))
            case Arm():
                self.deadlines.append(command.deadline)
            case Disarm():
                pass  # The hostile clock fires it all the same.
            case Close():
                self.closing.append(command)
            case Publish():
                self.ledger.publish(command)
            case Record():
                self.ledger.record(command)
                for name in self.clients:
                    self._tell_record(name, command.row["round"])
            case Finish():
                self.finish = command

    def finish_closing(self, place: int = 0) -> None:
        """A Close comes to its end."""
        close = self.closing.pop(place)
        model = self.ledger.close(close) if close.kind == "train" else ""
        seconds, replies = 0.5, len(close.accepted)
        metrics = {"server": {"accuracy": 0.5}} if close.kind == "evaluate" else {"train": {"loss": 1.0 / replies}}
        clients = {}
        if close.kind == "candidates":
            clients = {name: {LOSS: int(digest(name, close.model)[:4], 16) / 100} for name, _ in close.accepted}
        self.feed(Closed(close.phase, model, metrics, clients, replies, replies, seconds))

    def _tell_record(self, name: str, round: int) -> None:
        row = self.ledger.rows.get(round)
        if row is not None:
            self.network.append(Letter(name, participant.Recorded(round, dict(row["accepted"]).get(name, ""))))

    # --- the wire and the clients

    def arrive(self, letter: Letter) -> None:
        """A letter comes to its receiver."""
        if letter.to in self.clients:
            self.clients[letter.to].feed(letter.body)
        elif letter.to:
            pass  # An answer to a stranger.
        elif isinstance(letter.body, tuple):
            self._tell_record(*letter.body)
        else:
            self.feed(letter.body)

    def client_acts(self, client: SimulatedClient) -> None:
        """Do a client's next command."""
        command = client.carry_out()
        if isinstance(command, participant.Send):
            self.network.append(Letter("", Replied(command.phase, client.name, command.digest, weight=1)))
        elif isinstance(command, participant.Report):
            self.network.append(Letter("", Failed(command.phase, client.name, command.reason)))
        elif isinstance(command, participant.AskRecord):
            self.network.append(Letter("", (client.name, command.round)))

    def remind(self) -> None:
        """What wires and clients do when they hear nothing: send again."""
        open_phase = self.state.phase.id if self.state.phase is not None else ""
        self.network.extend(Letter(name, order) for (phase, name), order in self.asked.items() if phase == open_phase)
        for client in self.clients.values():
            client.feed(participant.Tick())

    # --- hostility

    def be_hostile(self, turns: int) -> None:
        """Let the scheduler choose what happens, `turns` times."""
        for _ in range(turns):
            actions = self._possible()
            actions[self.choose(len(actions))]()

    def _pick(self, items: Sequence[Any]) -> Any:
        return items[self.choose(len(items))]

    def _possible(self) -> list[Callable[[], None]]:
        """What may happen now; what a run mostly consists of is in the list more than once."""
        actions: list[Callable[[], None]] = [self._disturb]
        if self.pending:
            actions += [self.carry_out] * 6
        if self.closing:
            actions += [lambda: self.finish_closing(self.choose(len(self.closing)))] * 2
        if self.network:
            actions += [self._deliver] * 6
            actions += [self._repeat, self._lose]
        busy = [client for client in self.clients.values() if client.pending]
        if busy:
            actions += [lambda: self.client_acts(self._pick(busy))] * 6
        working = [client for client in self.clients.values() if client.working]
        if working:
            actions += [lambda: self._pick(working).finish_work()] * 3
        return actions

    def _deliver(self) -> None:
        self.arrive(self.network.pop(self.choose(len(self.network))))

    def _repeat(self) -> None:
        self.arrive(self._pick(self.network))

    def _lose(self) -> None:
        self.network.pop(self.choose(len(self.network)))

    def _disturb(self) -> None:
        self._pick(
            (
                self.crash,
                self.remind,
                self._fire,
                self._old_event,
                lambda: self._pick(tuple(self.clients.values())).crash(),
                self._fail_work,
                lambda: self.feed(self._pick((Lost, Seen))(self._pick(self.names))),
                self._change_roster,
                self._foreign_reply,
                self._control,
                self._break_closing,
            )
        )()

    def _fire(self) -> None:
        if self.deadlines:
            self.feed(DeadlinePassed(self._pick(self.deadlines[-3:])))

    def _old_event(self) -> None:
        self.feed(self._pick(self.past))

    def _fail_work(self) -> None:
        client = self._pick(tuple(self.clients.values()))
        if client.working is not None:
            client.feed(participant.Stuck(client.working.phase, "no memory"))
            client.working = None

    def _change_roster(self) -> None:
        self.epoch += 1
        size = self.smallest + self.choose(len(self.names) + 1 - self.smallest)
        self.feed(self._pick((Joined, Left))(self._pick(self.names), size, self.epoch))

    def _foreign_reply(self) -> None:
        name = self._pick((*self.names, "nobody", ""))
        phase = self.state.phase.id if self.state.phase is not None else "x"
        if self._pick((True, False)):
            # A known name may only damage its own reply; forging another's is what signatures are for.
            self.feed(Replied(phase, name, "damaged", refused="wrong-shape"))
        else:
            self.feed(Replied(self._pick((phase, "9.9.9.train", "", "...")), "stranger", "forged"))

    def _control(self) -> None:
        elected = Elected(self.state.term + self.choose(2))
        self.feed(self._pick((PauseAsked("p"), ResumeAsked("r"), ResumeAsked("r"), StopAsked("s"), elected)))

    def _break_closing(self) -> None:
        if self.closing:
            self.feed(CommandFailed(self.closing.pop().id, "disk full"))

    # --- fairness

    def be_fair(self, turns: int = 100_000) -> None:
        """Nothing is lost or late any more and everybody is up: the run must finish, and nothing may be missing. Raises AssertionError."""
        for name in self.names:
            self.feed(Seen(name))
        for _ in range(turns):
            if self._advance():
                continue
            before = self.stored
            self.remind()
            while self._advance():
                pass
            if self.stored != before:
                continue
            if self.state.status in ("paused", "aborted", "error") and self.state.completed < self.plan.num_rounds:
                self.feed(ResumeAsked("fair"))
            elif self.state.status != "running":
                break
            elif self.state.deadline in self.deadlines:
                self.feed(DeadlinePassed(self.state.deadline))
                assert self.stored != before, f"a deadline passes and nothing comes of it: {self.stored}"
            else:
                raise AssertionError(f"nothing can happen any more: {self.stored}")
        else:
            raise AssertionError(f"no end after {turns} turns: {self.stored}")
        self.ledger.finished(self.state)
        for client in self.clients.values():
            self._settle(client)

    def _advance(self) -> bool:
        """The next thing in a world without trouble; False when all is quiet."""
        if self.pending:
            self.carry_out()
        elif self.closing:
            self.finish_closing()
        elif self.network:
            self.arrive(self.network.pop(0))
        else:
            for client in self.clients.values():
                if client.pending:
                    self.client_acts(client)
                    return True
                if client.working is not None:
                    client.finish_work()
                    return True
            return False
        return True

    def _settle(self, client: SimulatedClient) -> None:
        for round in sorted(self.ledger.rows):
            self._tell_record(client.name, round)
        while self._advance():
            pass
        self.ledger.settled(client)
        assert not [kept for kept in client.state.kept if kept.job.round <= self.state.completed], f"{client.name} keeps what is settled"
