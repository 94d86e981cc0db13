"""One peer's side of an election as a pure function: `step(config, state, event) -> (state, commands)`.

It never raises, whatever arrives. The caller stores the state before it carries out any command (where `step` returns the
very same state there is nothing to store), and after a crash tells the stored state that it `Recovered`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ciranda.core.errors import CodecError
from ciranda.protocol.election.electorate import MAX_PATIENCE, Config
from ciranda.protocol.election.messages import (
    Ask,
    Certificate,
    Commit,
    Message,
    Reveal,
    Support,
    Suspect,
    decode,
    enough_support,
    enough_suspicion,
    genuine,
    seal_of,
    signed,
)
from ciranda.protocol.election.state import (
    ELECTING,
    Arm,
    Command,
    Event,
    Follow,
    Heard,
    Lead,
    Phase,
    Reason,
    Received,
    Recovered,
    Refuse,
    Send,
    Started,
    State,
    Suspected,
    TimerFired,
    Vacate,
)


def initial() -> State:
    """The state before anything happened."""
    return State()


def step(config: Config, state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    """The state after `event` and the commands it leads to, in the order to carry them out. `state` itself stays as it was."""
    draft = _Draft(config, state)
    match event:
        case Started():
            if state.phase == "vacant" and not state.suspects:
                draft.suspect()
        case Received():
            _received(draft, event.data)
        case TimerFired():
            _timer_fired(draft, event.id)
        case Suspected():
            if event.term == state.term and state.certificate and not state.suspects:
                draft.suspect()
        case Heard():
            _heard(draft, event.term)
        case Recovered():
            _recovered(draft)
    while _advance(draft):
        pass
    return draft.state, tuple(draft.out)


class _Draft:
    """The mutable side of `step`."""

    def __init__(self, config: Config, state: State) -> None:
        self.config = config
        self.electorate = config.electorate
        self.me = config.me
        self.state = state
        self.out: list[Command] = []

    def set(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)

    def send(self, message: Message, to: str = "") -> None:
        self.out.append(Send(to, signed(self.config, message)))

    def refuse(self, sender: str, reason: Reason) -> None:
        self.out.append(Refuse(sender, reason))

    def arm(self) -> None:
        """Start a new timer; the ids of older ones become stale."""
        state = self.state
        self.set(arming=state.arming + 1)
        self.out.append(Arm(self.state.timer, self.electorate.patience_s * min(MAX_PATIENCE, max(1, state.term - state.settled))))

    def suspect(self) -> None:
        """Do without the controller of this term, and say so until a majority does or it is heard again."""
        mine = signed(self.config, Suspect(self.me, self.state.term))
        self.set(suspects={self.me: mine.signature})
        self.out.append(Send("", mine))
        self.arm()

    def enter(self, term: int, evidence: Mapping[str, str]) -> None:
        """Begin the election of `term`."""
        seal = self.commit(term, evidence).seal
        self.state = State(term=term, phase="sealing", evidence=dict(evidence), seals={self.me: seal}, settled=self.state.settled)
        self.out.append(Vacate(term))
        self.send_outstanding()
        self.arm()

    def obey(self, certificate: Certificate) -> None:
        """Take the candidate of a valid certificate for the controller, be it this peer."""
        term, candidate = certificate.term, certificate.candidate
        phase: Phase = "leading" if candidate == self.me else "following"
        # The evidence and the supports have done their work; the certificate says more.
        arming = self.state.arming + 1 if term == self.state.term else 0
        self.state = State(
            term=term, phase=phase, arming=arming, controller=candidate, certificate=dict(certificate.supports), settled=term
        )
        if phase == "leading":
            self.send_outstanding()
            self.out.append(Lead(term))
        else:
            self.out.append(Follow(term, candidate))

    def commit(self, term: int, evidence: Mapping[str, str]) -> Commit:
        vote, nonce = self.config.draw(term)
        return Commit(self.me, term, seal_of(self.electorate.run, term, self.me, vote, nonce), dict(evidence))

    def certificate(self) -> Certificate:
        return Certificate(self.me, self.state.term, self.state.controller, dict(self.state.certificate))

    def send_outstanding(self) -> None:
        """Everything said in this term that somebody may still need."""
        state = self.state
        if state.phase in ELECTING:
            self.send(self.commit(state.term, state.evidence))
            if state.phase != "sealing":
                self.send(Reveal(self.me, state.term, *self.config.draw(state.term)))
            if state.supported and state.supported != self.me:
                self.send(Support(self.me, state.term, state.supported), to=state.supported)
        elif state.phase == "leading":
            self.send(self.certificate())
        if state.suspects:
            self.send(Suspect(self.me, state.term))

    def answer(self, name: str) -> None:
        """Tell somebody who is behind how far things are."""
        if self.state.certificate:
            self.send(self.certificate(), to=name)
        elif self.state.phase in ELECTING:
            self.send(self.commit(self.state.term, self.state.evidence), to=name)


def _advance(draft: _Draft) -> bool:
    """Take the next step that what is known allows; False when there is none."""
    state, electorate = draft.state, draft.electorate
    if state.phase in ELECTING and len(state.supports) >= electorate.majority:
        draft.obey(Certificate(draft.me, state.term, draft.me, state.supports))
    elif len(state.suspects) >= electorate.majority:
        draft.enter(state.term + 1, state.suspects)
    elif state.phase == "sealing" and len(state.seals) == len(electorate.voters):
        _reveal(draft)
    elif state.phase == "revealing" and state.votes.keys() == state.seals.keys():
        _support(draft)
    else:
        return False
    return True


def _reveal(draft: _Draft) -> None:
    vote, nonce = draft.config.draw(draft.state.term)
    draft.set(phase="revealing", votes={**draft.state.votes, draft.me: vote})
    draft.send(Reveal(draft.me, draft.state.term, vote, nonce))
    draft.arm()


def _support(draft: _Draft) -> None:
    candidate = draft.electorate.propose(draft.state.votes)
    draft.set(phase="supporting", seals={}, votes={}, supported=candidate)
    if not candidate:
        # No candidate took part: the next term is asked for at once.
        if not draft.state.suspects:
            draft.suspect()
        return
    mine = signed(draft.config, Support(draft.me, draft.state.term, candidate))
    if candidate == draft.me:
        draft.set(supports={**draft.state.supports, draft.me: mine.signature})
    else:
        draft.out.append(Send(candidate, mine))
    draft.arm()


def _timer_fired(draft: _Draft, id: str) -> None:
    state, majority = draft.state, draft.electorate.majority
    if id != state.timer or (state.phase not in ELECTING and not state.suspects):
        return
    if state.phase == "sealing" and len(state.seals) >= majority:
        _reveal(draft)
    elif state.phase == "revealing" and len(state.votes) >= majority:
        _support(draft)
    elif state.phase in ("revealing", "supporting") and not state.suspects:
        draft.send_outstanding()
        draft.suspect()
    else:
        draft.send_outstanding()
        draft.arm()


def _heard(draft: _Draft, term: int) -> None:
    if term > draft.state.term:
        draft.send(Ask(draft.me, draft.state.term))
    elif term == draft.state.term and draft.state.certificate and draft.state.suspects:
        draft.set(suspects={}, arming=draft.state.arming + 1)


def _recovered(draft: _Draft) -> None:
    state = draft.state
    if state.phase in ELECTING:
        draft.out.append(Vacate(state.term))
    elif state.phase == "leading":
        draft.out.append(Lead(state.term))
    elif state.phase == "following":
        draft.out.append(Follow(state.term, state.controller))
    draft.send_outstanding()
    if state.phase in ELECTING or state.suspects:
        draft.arm()


def _received(draft: _Draft, data: str | bytes) -> None:
    try:
        message = decode(draft.electorate, data)
    except CodecError:
        draft.refuse("", "malformed")
        return
    if message.sender not in draft.electorate.voters:
        draft.refuse(message.sender, "stranger")
    elif message.sender == draft.me:
        pass  # A broker's echo.
    elif not genuine(draft.config, message):
        draft.refuse(message.sender, "forged")
    elif message.term < draft.state.term:
        draft.refuse(message.sender, "old-term")
        draft.answer(message.sender)
    elif isinstance(message, Certificate):
        _certificate(draft, message)
    elif message.term > draft.state.term:
        _ahead(draft, message)
    else:
        _current(draft, message)


def _ahead(draft: _Draft, message: Message) -> None:
    """A message of a higher term: join it if there is evidence."""
    if isinstance(message, Commit) and enough_suspicion(draft.config, message.term - 1, message.evidence):
        draft.enter(message.term, message.evidence)
        _committed(draft, message)
    else:
        draft.refuse(message.sender, "no-evidence")
        draft.send(Ask(draft.me, draft.state.term), to=message.sender)


def _current(draft: _Draft, message: Message) -> None:
    if draft.state.certificate and not draft.state.suspects:
        # The sender has no controller yet, or has lost it.
        draft.answer(message.sender)
    handler: Callable[[_Draft, Any], None] | None = _HANDLERS.get(type(message))
    if handler is not None:
        handler(draft, message)


def _certificate(draft: _Draft, message: Certificate) -> None:
    state = draft.state
    if not enough_support(draft.config, message):
        draft.refuse(message.sender, "weak-certificate")
    elif message.term > state.term or not state.certificate:
        draft.obey(message)
    else:
        draft.refuse(message.sender, "repeated" if message.candidate == state.controller else "second-controller")


def _suspicious(draft: _Draft, message: Suspect) -> None:
    suspects = draft.state.suspects
    if not suspects:
        draft.refuse(message.sender, "calm")
    elif message.sender in suspects:
        draft.refuse(message.sender, "repeated")
    else:
        draft.set(suspects={**suspects, message.sender: message.signature})


def _committed(draft: _Draft, message: Commit) -> None:
    state = draft.state
    known = state.seals.get(message.sender)
    if known is not None:
        draft.refuse(message.sender, "repeated" if known == message.seal else "conflicting")
    elif state.phase != "sealing":
        draft.refuse(message.sender, "late")
    else:
        draft.set(seals={**state.seals, message.sender: message.seal})


def _revealed(draft: _Draft, message: Reveal) -> None:
    state, sender = draft.state, message.sender
    if state.phase not in ("sealing", "revealing"):
        draft.refuse(sender, "late")
    elif sender not in state.seals:
        draft.refuse(sender, "no-seal")
    elif state.seals[sender] != seal_of(draft.electorate.run, state.term, sender, message.vote, message.nonce):
        draft.refuse(sender, "wrong-seal")
    elif sender in state.votes:
        draft.refuse(sender, "repeated")
    else:
        draft.set(votes={**state.votes, sender: message.vote})


def _supported(draft: _Draft, message: Support) -> None:
    state = draft.state
    if message.candidate != draft.me:
        draft.refuse(message.sender, "misdirected")
    elif state.phase not in ELECTING:
        draft.refuse(message.sender, "late")
    elif message.sender in state.supports:
        draft.refuse(message.sender, "repeated")
    else:
        draft.set(supports={**state.supports, message.sender: message.signature})


_HANDLERS: dict[type[Any], Callable[[_Draft, Any], None]] = {
    Suspect: _suspicious,
    Commit: _committed,
    Reveal: _revealed,
    Support: _supported,
}
