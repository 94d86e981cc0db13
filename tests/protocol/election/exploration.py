"""All that can happen in an election of few peers and terms: every order, loss, repetition, delay, misdelivery, timer and crash.

The network is the set of messages ever sent: any of them may reach anybody at any time, any number of times, or never. So a crash between
storing and sending is a message that comes late or never. Timers fire, heartbeats stop and come back, and peers recover from their stored
state at any time. What is explored is the real `step` over stored states (JSON); the exploration is exact, by these reductions:

* *Equal for every purpose.* `step` only compares a timer's id with the current one; `settled` only decides seconds; valid evidence or a
  valid certificate is as good as another for the same term and candidate, whoever passes it on. `canonical` and `local` pick one of each.
* *Only what is heard counts.* Nobody sees a peer before it sends something new. As messages never vanish, what a peer does in between can
  be put off until right before that: a transition of the whole is one peer's receipts, timers and crashes, in every order, up to its next
  new message.
* *What was received can be received again.* After such a transition, receipts that only add to what is counted (suspicions, supports,
  seals before they are frozen, votes) are forgotten: a peer that has not received them yet is possible too, and can do all that the other
  can.
* A peer that goes beyond the last term says nothing more about the terms before; it may as well stop. Suspicions of the last term only
  lead beyond it: whether they are received makes no difference (checked for each local state), so they are not in the set.

`reduced=False` does without the second and third and gives the same sets of messages sent; a test compares them where both can be done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from ciranda.protocol.election import (
    Command,
    Config,
    Electorate,
    Event,
    Heard,
    Message,
    Received,
    Recovered,
    Send,
    Started,
    State,
    Suspected,
    TimerFired,
    encode,
    initial,
    step,
)
from ciranda.protocol.election.messages import Ask, Certificate, Commit, Reveal, Support, Suspect
from tests.protocol.election import peers

Step = Callable[[Config, State, Event], tuple[State, tuple[Command, ...]]]
Global = tuple[int, ...]  # the peers' local states, then the set of messages sent


@dataclass(frozen=True)
class Edges:
    """What one peer can do in one local state, each as (what has to have been sent: one bit or none, next local state, what is sent)."""

    messages: tuple[tuple[int, int, int], ...]
    own: tuple[tuple[int, int, int], ...]
    said: int  # what it would say again


@dataclass
class Exploration:
    """`run` explores; `pools` then holds every set of messages that can have been sent, as bits over `universe`."""

    electorate: Electorate
    terms: int
    vote: peers.Draw
    step: Step = step
    reduced: bool = True
    states: int = 0
    transitions: int = 0
    pools: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.names = self.electorate.voters
        self.configs = peers.all_configs(self.electorate, self.vote)
        self.universe = [encode(message) for message in self._messages()]
        self.kept = list(self._messages())
        self.number = {text: place for place, text in enumerate(self.universe)}
        self.asks = [encode(peers.sign(self.electorate, Ask(name, term))) for name in self.names for term in range(self.terms + 1)]
        self.last = [encode(peers.sign(self.electorate, Suspect(name, self.terms))) for name in self.names]
        self.locals: list[str] = []
        self.term_of: list[int] = []
        self.forgotten: dict[tuple[int, int], int] = {}
        self.local_number: dict[str, int] = {}
        self.edges: list[dict[int, Edges]] = [{} for _ in self.names]
        self.outcomes: list[dict[tuple[int, int], list[tuple[int, int]]]] = [{} for _ in self.names]
        self.masks: dict[tuple[int, int], int] = {}
        self.certificates = {
            term: [1 << place for place, message in enumerate(self.kept) if isinstance(message, Certificate) and message.term == term]
            for term in range(1, self.terms + 1)
        }

    def _messages(self) -> Iterator[Message]:
        """Everything that can be said in these terms, but Ask and the suspicion of the last."""
        voters = self.electorate
        for name, config in self.configs.items():
            for term in range(self.terms):
                yield peers.sign(voters, Suspect(name, term))
            for term in range(1, self.terms + 1):
                yield self.canonical(_first(step(config, initial(), Received(self._call(name, term))), Commit))
                yield peers.sign(voters, Reveal(name, term, *config.draw(term)))
                for candidate in voters.candidates:
                    yield peers.sign(voters, Support(name, term, candidate))
                if name in voters.candidates:
                    yield self.canonical(Certificate(name, term, name, {}))

    def _call(self, name: str, term: int) -> str:
        """What makes `name` enter `term`."""
        other = next(each for each in self.names if each != name)
        commit = Commit(other, term, "0" * 64, peers.suspicions(self.electorate, term - 1))
        return encode(peers.sign(self.electorate, commit))

    def canonical(self, message: Message) -> Message:
        """The one of all messages that do the same."""
        voters = self.electorate
        if isinstance(message, Commit):
            return peers.sign(voters, replace(message, evidence=peers.suspicions(voters, message.term - 1)))
        if isinstance(message, Certificate):
            supports = peers.supports(voters, message.term, message.candidate)
            return peers.sign(voters, replace(message, sender=message.candidate, supports=supports))
        return message

    def local(self, state: State) -> int:
        """The number of the state that stands for all that do the same."""
        voters = self.electorate
        state = replace(
            state,
            arming=0,
            settled=0,
            evidence=peers.suspicions(voters, state.term - 1) if state.evidence else {},
            certificate=peers.supports(voters, state.term, state.controller) if state.certificate else {},
        )
        text = state.to_json()
        if text not in self.local_number:
            assert State.from_json(text) == state
            self.local_number[text] = len(self.locals)
            self.locals.append(text)
            self.term_of.append(state.term)
        return self.local_number[text]

    def forget(self, peer: int, number: int) -> int:
        """The local state without the receipts that can as well come later."""
        key = (peer, number)
        if key in self.forgotten:
            return self.forgotten[key]
        me, state = self.names[peer], State.from_json(self.locals[number])
        state = replace(
            state,
            suspects={name: text for name, text in state.suspects.items() if name == me},
            supports={name: text for name, text in state.supports.items() if name == me},
            seals={name: text for name, text in state.seals.items() if name == me or state.phase != "sealing"},
            votes={name: vote for name, vote in state.votes.items() if name == me},
        )
        self.forgotten[key] = self.local(state)
        return self.forgotten[key]

    def edges_of(self, peer: int, number: int) -> Edges:
        """Every step that one peer can take from a local state, each done once by the real machine."""
        known = self.edges[peer].get(number)
        if known is None:
            state = State.from_json(self.locals[number])
            events: list[Event] = [Started(), TimerFired(state.timer), Suspected(state.term), Heard(state.term), Recovered()]
            own = tuple((0, *self._do(peer, state, event)) for event in events)
            said = own[-1][2] | self._certificate_of(state)
            received = [(1 << place, *self._do(peer, state, Received(text))) for place, text in enumerate(self.universe)]
            for _, after, sent in received:
                # An answer only repeats what this peer or its controller said before.
                assert after != number or sent & ~said == 0
            messages = tuple(edge for edge in received if edge[1] != number)
            self._check_what_is_left_out(peer, number, state, said)
            known = self.edges[peer][number] = Edges(messages, own, said)
        return known

    def _check_what_is_left_out(self, peer: int, number: int, state: State, said: int) -> None:
        """Asking, being asked, stale timers and hearsay change nothing, suspicions of the last term nothing in these terms."""
        strays: list[Event] = [*map(Received, self.asks), TimerFired(f"{state.term}.77"), Suspected(state.term + 1), Heard(state.term + 1)]
        for event in strays:
            after, sent = self._do(peer, state, event)
            assert after == number
            assert sent & ~said == 0
        for text in self.last:
            after, sent = self._do(peer, state, Received(text))
            assert self.forget(peer, after) == self.forget(peer, number)
            assert sent & ~said == 0

    def _certificate_of(self, state: State) -> int:
        return sum(
            1 << place
            for place, message in enumerate(self.kept)
            if isinstance(message, Certificate) and (message.term, message.candidate) == (state.term, state.controller)
        )

    def _do(self, peer: int, state: State, event: Event) -> tuple[int, int]:
        after, commands = self.step(self.configs[self.names[peer]], state, event)
        if after.term > self.terms:
            return self.local(state), 0
        sent = 0
        for command in commands:
            if isinstance(command, Send):
                # Asks and suspicions of the last term are in nobody's way.
                place = self.number.get(encode(self.canonical(command.message)))
                assert place is not None or isinstance(command.message, Ask | Suspect)
                sent |= 0 if place is None else 1 << place
        return self.local(after), sent

    def relevant(self, peer: int, term: int) -> int:
        """The messages that can matter to a peer in `term` until it says something new; `_closure` checks that the others do not."""
        key = (peer, term)
        if key not in self.masks:
            self.masks[key] = sum(1 << place for place, message in enumerate(self.kept) if self._matters(self.names[peer], term, message))
        return self.masks[key]

    def _matters(self, me: str, term: int, message: Message) -> bool:
        if message.sender == me or (isinstance(message, Reveal) and message.term > term):
            # Its own ones: so that what it says is known to be new or not.
            return message.sender == me and message.term >= term
        return message.term == term if isinstance(message, Support) else message.term >= term

    def _closure(self, peer: int, start: int, pool: int) -> list[tuple[int, int]]:
        """(local state, what was sent) after all that one peer can do up to its next new message."""
        relevant = self.relevant(peer, self.term_of[start])
        seen, waiting, found = {start}, [start], set()
        while waiting:
            edges = self.edges_of(peer, waiting.pop())
            for needed, after, sent in (*edges.own, *edges.messages):
                if needed & ~pool:
                    continue
                assert needed & ~relevant == 0, "a message matters that was said not to"
                if sent & ~pool:
                    found.add((self.forget(peer, after), sent))
                elif after not in seen:
                    seen.add(after)
                    waiting.append(after)
        return sorted(found)

    def moves(self, peer: int, start: int, pool: int) -> list[tuple[int, int]]:
        """(local state, what was sent) for all that one peer can do next."""
        if not self.reduced:
            edges = self.edges_of(peer, start)
            return [(after, sent) for needed, after, sent in (*edges.own, *edges.messages) if not needed & ~pool]
        key = (start, pool & self.relevant(peer, self.term_of[start]))
        if key not in self.outcomes[peer]:
            self.outcomes[peer][key] = self._closure(peer, start, pool)
        return self.outcomes[peer][key]

    def run(self, check: Callable[[int], None]) -> None:
        """Explore; `check` is given each set of messages that can have been sent."""
        first = (*[self.local(initial()) for _ in self.names], 0)
        seen: set[Global] = {first}
        waiting = [first]
        while waiting:
            *numbers, pool = waiting.pop()
            if pool not in self.pools:
                self.pools.add(pool)
                check(pool)
            for peer, number in enumerate(numbers):
                for after, sent in self.moves(peer, number, pool):
                    self.transitions += 1
                    following = (*numbers[:peer], after, *numbers[peer + 1 :], pool | sent)
                    if following not in seen:
                        seen.add(following)
                        waiting.append(following)
        self.states = len(seen)

    def said(self, pool: int) -> list[Message]:
        """The messages of a set."""
        return [message for place, message in enumerate(self.kept) if pool >> place & 1]

    def controllers(self, pool: int) -> dict[int, set[str]]:
        """Term -> who showed a certificate for it."""
        found: dict[int, set[str]] = {}
        for message in self.said(pool):
            if isinstance(message, Certificate):
                found.setdefault(message.term, set()).add(message.candidate)
        return found

    def one_controller(self, pool: int) -> None:
        """S4. Raises AssertionError."""
        for term, bits in self.certificates.items():
            assert sum(bool(pool & bit) for bit in bits) <= 1, f"two controllers in term {term}: {self.said(pool)}"


def _first(outcome: tuple[State, tuple[Command, ...]], kind: type[Message]) -> Message:
    return next(command.message for command in outcome[1] if isinstance(command, Send) and isinstance(command.message, kind))
