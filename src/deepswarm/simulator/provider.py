"""The simulated provider: admission, and the account of it. Synchronous, without a clock, without I/O.

Whoever delivers calls `receive` when a request has arrived, does what the ticket says, and calls `release` exactly
once: when the deed is done, or when the client has left before.
"""

from __future__ import annotations

from typing import NamedTuple

from deepswarm.core.records import HttpReply, HttpRequest
from deepswarm.simulator import bodies
from deepswarm.simulator.asked import Asked, Unreadable, read_asked
from deepswarm.simulator.behaviour import Answer, Case, Cut, Deed, behave
from deepswarm.simulator.draws import Draws
from deepswarm.simulator.law import Law
from deepswarm.simulator.ledger import Counts, ProviderLedger, Row


class Ticket(NamedTuple):
    """What becomes of one request.

    Attributes:
        number: Its number in the ledger, from 1.
        after_s: Seconds from its arrival until the deed is to be done; infinite for `Hang`.
        deed: What is to be done.
        received: When it arrived.
        tokens_in: Tokens billed for the prompt once the completion is made.
        tokens_out: Tokens billed for the completion; None when none is made.
    """

    number: int
    after_s: float
    deed: Deed
    received: float
    tokens_in: int
    tokens_out: int | None


class SimulatedProvider:
    """One provider with one account.

    Attributes:
        law: How it behaves. It may be replaced at any time; requests that arrive later follow the new one.
    """

    def __init__(self, law: Law, seed: int = 1) -> None:
        """A provider that has served nothing yet. The seed chooses one of many equally lawful fates."""
        self.law = law
        self._seed = seed
        self._ledger = ProviderLedger()
        self._attempts: dict[bytes, int] = {}

    def __repr__(self) -> str:
        sums = self._ledger.counts()
        flying = f"{sums.in_flight}/{self.law.concurrency}" if self.law.concurrency else f"{sums.in_flight}"
        return (
            f"SimulatedProvider(law={self.law.name!r}, seed={self._seed}, in_flight={flying}, "
            f"received={sums.received}, served={sums.served}, refused={sums.refused})"
        )

    def receive(self, request: HttpRequest, now: float) -> Ticket:
        """Decide about a request.

        Args:
            request: A POST to chat/completions; address and headers do not matter here.
            now: Seconds, on a clock that never goes back.
        """
        try:
            asked = read_asked(request.body)
        except Unreadable as error:
            return self._refuse("", bodies.error(400, message=str(error)), now)
        cap = self.law.concurrency
        if cap and self._ledger.in_flight >= cap:
            reply = bodies.over_cap(self._ledger.in_flight + 1, cap, self.law.retry_after_s)
            return self._refuse(asked.name, reply, now)
        return self._admit(asked, now)

    def release(self, ticket: Ticket, now: float, *, client_gone: bool) -> None:
        """Free the request's slot and close its account. Exactly once per ticket.

        Args:
            ticket: As `receive` gave it.
            now: Seconds, on the same clock.
            client_gone: The client left before the deed was done in whole. A completion under way stops then; what
                was made of it is billed in proportion to the time.
        """
        served, tokens = False, (0, 0)
        if ticket.tokens_out is not None:
            made = _share_made(ticket, now) if client_gone else 1.0
            served = made == 1.0
            tokens = (ticket.tokens_in, int(ticket.tokens_out * made))
        self._ledger.finish(ticket.number, now, served=served, tokens=tokens, client_gone=client_gone)

    def served(self, marker: str) -> int:
        """How many completions were made to their end, and billed in whole, for [[id:marker]].

        For prompts without a marker: give the `name` of their row.
        """
        return self._ledger.served(marker)

    def counts(self) -> Counts:
        """The sums of the ledger as they are now."""
        return self._ledger.counts()

    def rows(self) -> list[Row]:
        """The ledger, in the order of arrival: a copy."""
        return self._ledger.rows.copy()

    @property
    def most_in_flight(self) -> int:
        """The most requests that ever held a slot at once."""
        return self._ledger.most_in_flight

    @property
    def billed_tokens(self) -> int:
        """All tokens billed so far, in and out."""
        sums = self._ledger.counts()
        return sums.tokens_in + sums.tokens_out

    def _refuse(self, name: str, reply: HttpReply, now: float) -> Ticket:
        number = self._ledger.refuse(name, reply.status, now)
        return Ticket(number, 0.0, Answer(reply), now, 0, None)

    def _admit(self, asked: Asked, now: float) -> Ticket:
        attempt = self._attempts[asked.key] = self._attempts.get(asked.key, 0) + 1
        case = Case(self.law, asked, attempt, Draws(self._seed, asked.key, attempt))
        deed, after_s, tokens_out, fault = behave(case)
        status = deed.reply.status if isinstance(deed, Answer | Cut) else 0
        number = self._ledger.admit(asked.name, attempt, status, fault.value if fault else "", now)
        return Ticket(number, after_s, deed, now, asked.tokens_in, tokens_out)


def _share_made(ticket: Ticket, now: float) -> float:
    """How much of a completion exists now, 0 to 1: it is made at an even rate."""
    passed = now - ticket.received
    return 1.0 if passed >= ticket.after_s else passed / ticket.after_s
