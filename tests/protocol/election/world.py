"""Peers, a network that does its worst, and the laws that hold nevertheless."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from ciranda.protocol.election import (
    Arm,
    Command,
    Config,
    Electorate,
    Event,
    Follow,
    Heard,
    Lead,
    Received,
    Recovered,
    Refuse,
    Send,
    Started,
    State,
    Suspected,
    TimerFired,
    Vacate,
    encode,
    initial,
    step,
)
from ciranda.protocol.election.messages import Support
from tests.protocol.election import peers

Step = Callable[[Config, State, Event], tuple[State, tuple[Command, ...]]]


class World:
    """An electorate on one network. What happens is a function of `choose` alone: `choose(n)` is a number from 0 to n - 1.

    leaders: term -> its controller; roles: peer -> the term and controller that it obeys; dead: peers that are down for good.
    """

    def __init__(
        self,
        voters: Electorate,
        choose: Callable[[int], int] = lambda n: 0,
        *,
        step: Step = step,
        vote: peers.Draw = peers.any_vote,
    ) -> None:
        self.voters = voters
        self.names = voters.voters
        self.choose = choose
        self.step = step
        self.configs = peers.all_configs(voters, vote)
        self.stored = {name: initial().to_json() for name in self.names}
        self.network: list[tuple[str, str]] = []
        self.past: list[str] = []
        self.timers = dict.fromkeys(self.names, "")
        self.old_timers: list[str] = []
        self.roles = dict.fromkeys(self.names, (0, ""))
        self.leaders: dict[int, str] = {}
        self.supported: dict[tuple[str, int], str] = {}
        self.refused: Counter[str] = Counter()
        self.dead: set[str] = set()
        self.parts: tuple[set[str], ...] = (set(self.names),)
        self.trail: list[str] = []

    def state(self, name: str) -> State:
        return State.from_json(self.stored[name])

    def feed(self, name: str, event: Event, carried: int = 1000) -> None:
        """One event; the first `carried` commands are carried out, then the peer crashes if there are more."""
        if name in self.dead:
            return
        self.trail.append(f"{name}: {event}")
        before = self.state(name)
        after, commands = self.step(self.configs[name], before, event)
        assert before.to_json() == self.stored[name], "step changed the state it was given"
        assert after.term >= before.term
        self.stored[name] = after.to_json()
        for command in commands[:carried]:
            self.carry_out(name, command)
        if carried < len(commands):
            self.crash(name)

    def crash(self, name: str) -> None:
        self.roles[name] = (0, "")
        self.timers[name] = ""
        self.feed(name, Recovered())

    def carry_out(self, name: str, command: Command) -> None:
        match command:
            case Send(to, message):
                if isinstance(message, Support):
                    assert self.supported.setdefault((name, message.term), message.candidate) == message.candidate, "supported twice"
                text = encode(message)
                self.past.append(text)
                self.network += [(each, text) for each in self.names if to in ("", each)]
            case Arm(id, seconds):
                assert seconds >= self.voters.patience_s
                self.old_timers.append(id)
                self.timers[name] = id
            case Vacate(term):
                assert term > self.roles[name][0]
                self.roles[name] = (term, "")
            case Lead(term) | Follow(term):
                leader = name if isinstance(command, Lead) else command.controller
                assert self.leaders.setdefault(term, leader) == leader, f"two controllers in term {term}"
                assert term >= self.roles[name][0]
                self.roles[name] = (term, leader)
            case Refuse(_, reason):
                self.refused[reason] += 1

    def start(self) -> None:
        for name in self.names:
            self.feed(name, Started())

    def reaches(self, text: str, to: str) -> bool:
        sender = text.split('"sender":"')[1][0]
        return any({sender, to} <= part for part in self.parts)

    # --- trouble

    def be_hostile(self, turns: int) -> None:
        for _ in range(turns):
            actions: Sequence[Callable[[], None]] = [self._deliver] * 8 + [self._fire] * 2 + [self._repeat, self._lose, self._disturb]
            actions[self.choose(len(actions))]()

    def _anyone(self) -> str:
        return self.names[self.choose(len(self.names))]

    def _deliver(self, keep: bool = False) -> None:
        if self.network:
            place = self.choose(len(self.network))
            to, text = self.network[place] if keep else self.network.pop(place)
            if self.reaches(text, to):
                self.feed(to, Received(text), carried=(0, 1, 2, 1000, 1000, 1000)[self.choose(6)])

    def _repeat(self) -> None:
        self._deliver(keep=True)

    def _lose(self) -> None:
        if self.network:
            self.network.pop(self.choose(len(self.network)))

    def _fire(self) -> None:
        name = self._anyone()
        self.feed(name, TimerFired(self.timers[name]))

    def _disturb(self) -> None:
        name = self._anyone()
        match self.choose(7):
            case 0:
                self.crash(name)
            case 1:
                self.feed(name, Suspected(self.state(name).term))
            case 2:
                self.feed(name, Heard(self.state(name).term + self.choose(2)))
            case 3 if self.past:
                self.feed(name, Received(self.past[self.choose(len(self.past))]))
            case 4 if self.old_timers:
                self.feed(name, TimerFired(self.old_timers[self.choose(len(self.old_timers))]))
            case 5:
                one = {each for each in self.names if self.choose(2)}
                self.parts = (one, set(self.names) - one)
            case 6:
                self.parts = (set(self.names),)

    # --- and its end

    def be_fair(self, dead: Sequence[str] = (), terms: int = 3) -> None:
        """Everything sent arrives, timers fire only when nothing else can happen: the living agree soon. Raises AssertionError."""
        self.parts = (set(self.names),)
        self.dead = set(dead)
        first = max(self.state(name).term for name in self.names)
        for _ in range(100):
            self.deliver_all()
            if self.agreed():
                break
            self._be_heard()
            self.deliver_all()
            for name in self.names:
                term, controller = self.roles[name]
                if controller and (controller in self.dead or self.roles[controller] != (term, controller)):
                    self.feed(name, Suspected(term))
            self.deliver_all()
            if self.agreed():
                break
            for name in self.names:
                self.feed(name, TimerFired(self.timers[name]))
        assert self.agreed(), f"no agreement: {self.roles}"
        assert max(self.state(name).term for name in self.names) <= first + terms

    def deliver_all(self) -> None:
        while self.network:
            to, text = self.network.pop(0)
            self.feed(to, Received(text))

    def _be_heard(self) -> None:
        """Heartbeats of the living controllers."""
        for name in self.names:
            term, controller = self.roles[name]
            if name == controller and name not in self.dead:
                for other in self.names:
                    self.feed(other, Heard(term))

    def agreed(self) -> bool:
        """Whether all the living obey one living controller, and nobody suspects it."""
        living = [name for name in self.names if name not in self.dead]
        roles = {self.roles[name] for name in living}
        return len(roles) == 1 and next(iter(roles))[1] in living and not any(self.state(name).suspects for name in living)
