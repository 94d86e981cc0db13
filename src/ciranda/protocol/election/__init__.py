"""How peers agree on a controller, without I/O: `step(config, state, event) -> (state, commands)`, and at most one per term.

The electorate is declared: `voters`, and among them the `candidates`. A majority is more than half of the voters. A term goes so:

1. *Suspicion.* Whoever hears nothing of the controller of term T (or has just started: T = 0) signs `Suspect(T)`. A peer that trusts the
   controller does not count the suspicions of others, so one that was cut off deposes nobody. Suspicions of a majority are the
   evidence with which any peer enters T + 1, and by which others join it.
2. *Seals.* Every peer draws a vote and a nonce, secret and fixed for the term, and sends `Commit`: the hash of run, term, voter, vote
   and nonce.
3. *Reveals.* With all seals, or after its patience with those of a majority, a peer freezes the seals it knows and sends `Reveal`. A
   reveal counts only if its seal was among them: nobody's vote can depend on one that it has seen.
4. *Support.* With all reveals, or after its patience with those of a majority, the rule proposes a candidate and the peer signs
   `Support` for it: once per term, written down before it is sent.
5. *Certificate.* A candidate with the supports of a majority is the controller and shows them. Others verify and follow. Who is left
   without a certificate suspects the term.

Two majorities share a voter and a voter supports once: so two controllers of a term are impossible, whatever is lost, repeated,
delayed, reordered or partitioned, and whatever the rule proposes. A higher term fences the lower ones: their controllers are answered
with it. Somebody is elected once a majority, a candidate among them, hears each other within its patience, which grows from term to
term. The vote only decides who.

Rules: "highest-vote" (the highest vote among the candidates heard; a tie goes to the highest id) and "plurality" (a vote names a
candidate, by its remainder among the sorted candidates; most votes win among the candidates heard; a tie goes to the highest id).

**What withholding can do.** Who has sealed may see the other reveals before its own and then not reveal: it chooses between two
outcomes, with its vote and without, which is one bit of choice; k peers that do so together choose among 2^k. Under "highest-vote" it
can only take itself out of the race, as no other outcome depends on its vote. Revealing to some and not to others may split the
supports: the term then ends without a controller and costs everybody a patience, and votes are drawn anew. It shows: the seal is there
and the reveal is not.

**What a liar among the voters can do.** Choose its vote: under "highest-vote" the highest number wins, so a liar that is a candidate
can win every term that it likes (the reference's rule has no cure for that); under "plurality" a liar has its one vote and the bit
above. Split supports, by two seals, selective reveals, or silence. Win and then not control, which costs a suspicion. Join suspicions:
it counts as one. Support twice: if the honest voters are split between two candidates, its two signatures may complete two
certificates of one term, which hold the proof; one such liar suffices in an odd electorate, two in an even one. A peer whose stored
state was lost or rolled back may do the same by mistake, so it has to come back as somebody new.

**What it cannot do.** Sign for others, change its vote once a reveal was seen, be followed without the supports of a majority, depose
a controller that a majority trusts, make a peer support twice or follow two controllers in a term (the second certificate is refused
as "second-controller"). Who holds the wire (a broker) can delay, and replay old suspicions, which count only with peers that are
suspicious themselves; it can forge nothing.
"""

from ciranda.protocol.election.electorate import RULES, Config, Electorate
from ciranda.protocol.election.machine import initial, step
from ciranda.protocol.election.messages import Message, decode, encode
from ciranda.protocol.election.state import (
    Arm,
    Command,
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
)

__all__ = [
    "RULES",
    "Arm",
    "Command",
    "Config",
    "Electorate",
    "Event",
    "Follow",
    "Heard",
    "Lead",
    "Message",
    "Received",
    "Recovered",
    "Refuse",
    "Send",
    "Started",
    "State",
    "Suspected",
    "TimerFired",
    "Vacate",
    "decode",
    "encode",
    "initial",
    "step",
]
