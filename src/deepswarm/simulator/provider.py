"""The simulated provider: admission, and the account of it. Synchronous, without a clock, without I/O.

Whoever delivers calls `receive` when a request has arrived, performs the ticket's play, calls `first_byte` when the
first byte of content goes out, and `release` exactly once: when the play is over, or when the client has left before.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from deepswarm.core.records import HttpRequest
from deepswarm.simulator import bodies
from deepswarm.simulator.asked import Asked, Unreadable, read_asked
from deepswarm.simulator.behaviour import Case, behave
from deepswarm.simulator.cache import Prefix, PrefixCache, prefixes_of
from deepswarm.simulator.case import Writer
from deepswarm.simulator.draws import Draws
from deepswarm.simulator.headers import rate_headers
from deepswarm.simulator.law import Law
from deepswarm.simulator.ledger import FREE, Bill, Counts, ProviderLedger, Row, Tariff, tariff_of
from deepswarm.simulator.limit_replies import refusal_reply
from deepswarm.simulator.limits import Admission, Hold, Refusal
from deepswarm.simulator.play import Play, whole
from deepswarm.simulator.queueing import Place, RequestQueue
from deepswarm.simulator.rates import Demand


class Ticket(NamedTuple):
    """What becomes of one request.

    Attributes:
        number: Its number in the ledger, from 1.
        play: What is to be delivered, and when.
        received: When it arrived.
        tokens_in: Tokens billed for the prompt once the completion is made,
        cached: those of them that come from the prefix cache.
        tokens_out: Tokens billed for the completion; None when none is made.
    """

    number: int
    play: Play
    received: float
    tokens_in: int
    cached: int
    tokens_out: int | None


class _Open(NamedTuple):
    """What the provider remembers of an admitted request until it ends.

    Attributes:
        wait_s: Seconds that it waits in the queue.
        reasoning: Tokens of its completion that are spent on thinking.
        hold: What it holds of the limits.
        tariff: The prices that it pays: those of the law that admitted it.
        prefixes: Beginnings of its prompt; empty without a cache, and when the cache has learnt them.
    """

    wait_s: float
    reasoning: int
    hold: Hold
    tariff: Tariff
    prefixes: list[Prefix]


class SimulatedProvider:
    """One provider with one account.

    Args:
        law: How it behaves.
        seed: Chooses one of many equally lawful fates.
        keep_rows: How many rows of finished requests the ledger keeps, the latest; None keeps all. Sums and `served`
            count all requests either way.
        epoch: What the time was when the deliverer's clock showed 0, in seconds since 1970: for headers that name
            moments. A constant by default, so that the same requests get the same bytes.
        writer: What answers are, when they depend on what is asked; None when the law makes them up.
    """

    def __init__(
        self,
        law: Law,
        seed: int = 1,
        *,
        keep_rows: int | None = None,
        epoch: float = float(bodies.CREATED),
        writer: Writer | None = None,
    ) -> None:
        self._writer = writer
        self._law = self._acting = law
        self._tariff = tariff_of(law.prices)
        self._seed = seed
        self._epoch = epoch
        self._start: float | None = None
        self._ledger = ProviderLedger(keep_rows)
        self._admission = Admission(law)
        self._queue = RequestQueue()
        self._cache = PrefixCache()
        self._attempts: dict[bytes, int] = {}
        self._open: dict[int, _Open] = {}

    def __repr__(self) -> str:
        sums = self._ledger.counts()
        flying = f"{sums.in_flight}/{self.law.concurrency}" if self.law.concurrency else f"{sums.in_flight}"
        return (
            f"SimulatedProvider(law={self.law.name!r}, seed={self._seed}, in_flight={flying}, "
            f"received={sums.received}, served={sums.served}, refused={sums.refused})"
        )

    @property
    def law(self) -> Law:
        """How it behaves. Setting it is the same as `switch`."""
        return self._law

    @law.setter
    def law(self, law: Law) -> None:
        self.switch(law)

    def switch(self, law: Law) -> None:
        """Follow another law: all of it holds for requests that arrive from now on.

        Requests in flight keep their plays, their slots and their prices. A rate or acceleration limit that stands in
        both laws word for word keeps its state, others start afresh; the money spent stays spent unless the new law
        has another [balance]; the cache is kept. Times of steps, tenants and faults go on counting from the first
        request.
        """
        self._law = law
        self._tariff = tariff_of(law.prices)
        self._admission.switch(law)
        self._acting = self._law_of_the_moment()

    def receive(self, request: HttpRequest, now: float) -> Ticket:
        """Decide about a request.

        Args:
            request: A POST to chat/completions or to messages; see `read_asked` for what of it matters.
            now: Seconds, on a clock that never goes back.
        """
        t = self._advance(now)
        try:
            asked = read_asked(request)
        except Unreadable as error:
            reply = bodies.error(400, message=str(error))
            number = self._ledger.refuse("", reply.status, "unreadable", now)
            return Ticket(number, whole(reply), now, 0, 0, None)
        prefixes = prefixes_of(asked) if self._law.cache.unit_tokens else []
        demand = self._demand(asked, self._cache.look_up(self._law.cache, prefixes, t))
        place = self._queue.place(self._law.queue, self._admission.terms.slots, t)
        refusal = self._admission.refusal(t, demand, self._ledger.in_flight, place.waiting)
        if refusal is not None:
            return self._refuse(asked, refusal, t, now)
        return self._admit(asked, demand, place, prefixes, t, now)

    def opens_in_s(self, request: HttpRequest, now: float) -> float:
        """Seconds until this request may be admitted: 0 when it would be now. Nothing is counted: for an oracle.

        Infinite when no clock tells it, but the end of another request.

        Raises:
            Unreadable: If it is no request that could be admitted.
        """
        t = self._advance(now)
        asked = read_asked(request)
        demand = self._demand(asked, 0)
        place = self._queue.place(self._law.queue, self._admission.terms.slots, t)
        refusal = self._admission.foreseen(t, demand, self._ledger.in_flight, place.waiting)
        if refusal is None:
            return 0.0
        changes_s = self._admission.terms.until_s - t
        return changes_s if refusal.wait_s is None else min(refusal.wait_s, changes_s)

    def first_byte(self, ticket: Ticket, now: float) -> None:
        """The first byte of content goes out. The prompt has been read by then, so the cache learns it."""
        self._ledger.first_byte(ticket.number, now)
        known = self._open.get(ticket.number)
        if known is not None and known.prefixes:
            self._cache.learn(self._law.cache, known.prefixes, self._advance(now))
            self._open[ticket.number] = known._replace(prefixes=[])

    def release(self, ticket: Ticket, now: float, *, client_gone: bool) -> None:
        """Free what the request holds and close its account. Exactly once per ticket.

        Args:
            ticket: As `receive` gave it.
            now: Seconds, on the same clock.
            client_gone: The client left before the play was over. A completion under way stops then; what was made of
                it is billed in proportion to the time, and nothing as long as it waited in the queue.

        Raises:
            ValueError: If it was released before.
        """
        known = self._open.pop(ticket.number, None)
        if known is None:
            self._ledger.finish(ticket.number, now, served=False, billed=FREE, client_gone=client_gone)
            return
        t = self._advance(now)
        served, billed = _made(ticket, known, now, client_gone=client_gone)
        if served and known.prefixes:
            self._cache.learn(self._law.cache, known.prefixes, t)
        self._queue.leave(ticket.number)
        self._admission.settle(t, known.hold, billed, completed=served)
        self._ledger.finish(ticket.number, now, served=served, billed=billed, client_gone=client_gone)

    # --- the account -------------------------------------------------------------------------------------------------

    def served(self, marker: str) -> int:
        """How many completions were made to their end, and billed in whole, for [[id:marker]].

        For prompts without a marker: give the `name` of their row.
        """
        return self._ledger.served(marker)

    def counts(self) -> Counts:
        """The sums of the ledger as they are now."""
        return self._ledger.counts()

    def rows(self) -> list[Row]:
        """The ledger, in the order of arrival: a copy of the rows that are kept."""
        return self._ledger.rows()

    def balance_usd(self, now: float) -> float | None:
        """Dollars left on the account; None when the law has no balance."""
        return self._admission.balance_usd(0.0 if self._start is None else self._advance(now))

    @property
    def most_in_flight(self) -> int:
        """The most requests that ever held a slot at once."""
        return self._ledger.most_in_flight

    @property
    def billed_tokens(self) -> int:
        """All tokens billed so far, in and out."""
        sums = self._ledger.counts()
        return sums.tokens_in + sums.tokens_out

    # --- one request -------------------------------------------------------------------------------------------------

    def _advance(self, now: float) -> float:
        """Seconds since the first request; steps and tenants that have come until then count."""
        if self._start is None:
            self._start = now
        t = now - self._start
        if self._admission.advance(t):
            self._acting = self._law_of_the_moment()
        return t

    def _law_of_the_moment(self) -> Law:
        """The law with the answers' length that the last step has set."""
        median = self._admission.terms.answer_tokens
        return self._law if median is None else replace(self._law, tokens=replace(self._law.tokens, median=median))

    def _demand(self, asked: Asked, cached: int) -> Demand:
        most_out = self._law.assumed_tokens if asked.max_tokens is None else asked.max_tokens
        return Demand(asked.tokens_in, cached, most_out, self._tariff.cost_pico(asked.tokens_in, cached, most_out))

    def _refuse(self, asked: Asked, refusal: Refusal, t: float, now: float) -> Ticket:
        reply = refusal_reply(self._law, refusal, asked, self._admission.quotas(t), self._epoch + now)
        number = self._ledger.refuse(asked.name, reply.status, refusal.limit, now)
        after_s = self._law.refusal.after_s
        if after_s:
            after_s *= 0.6 + Draws(self._seed, asked.key, number).uniform(b"refusal")
        return Ticket(number, whole(reply, after_s), now, 0, 0, None)

    def _admit(
        self, asked: Asked, demand: Demand, place: Place, prefixes: list[Prefix], t: float, now: float
    ) -> Ticket:
        attempt = self._attempts[asked.key] = self._attempts.get(asked.key, 0) + 1
        slowdown = place.slowdown * self._admission.terms.slowdown
        draws = Draws(self._seed, asked.key, attempt)
        case = Case(self._acting, asked, attempt, draws, place.wait_s, slowdown, demand.cached, t, self._writer)
        play, tokens_out, reasoning, fault = behave(case)
        hold = self._admission.take(t, demand)
        name = "" if fault is None else fault.value
        number = self._ledger.admit(asked.name, attempt, play.status, name, now, now + place.wait_s)
        self._queue.enter(number, t + play.end_s)
        self._open[number] = _Open(place.wait_s, reasoning, hold, self._tariff, prefixes)
        return Ticket(number, self._with_headers(play, t, now), now, demand.tokens_in, demand.cached, tokens_out)

    def _with_headers(self, play: Play, t: float, now: float) -> Play:
        if not play.status or not self._law.rates:
            return play
        headers = rate_headers(self._law.headers, self._admission.quotas(t), self._epoch + now, refused=False)
        return play._replace(headers={**headers, **play.headers}) if headers else play


def _made(ticket: Ticket, known: _Open, now: float, *, client_gone: bool) -> tuple[bool, Bill]:
    """Whether the completion was made to its end, and the bill for what was made."""
    if ticket.tokens_out is None:
        return False, FREE
    passed = now - ticket.received
    whole_made = not client_gone or passed >= ticket.play.end_s
    if not whole_made and passed < known.wait_s:
        return False, FREE
    tokens_out = ticket.tokens_out if whole_made else int(ticket.tokens_out * _share_made(ticket.play, known, passed))
    reasoning = min(known.reasoning, tokens_out)
    return whole_made, known.tariff.bill(ticket.tokens_in, ticket.cached, tokens_out, reasoning)


def _share_made(play: Play, known: _Open, passed: float) -> float:
    """How much of a completion exists after so many seconds, 0 to 1: it is made at an even rate.

    One that never ends is made until its last piece.
    """
    last_s = play.scenes[-1].at_s if play.scenes else known.wait_s
    end_s = last_s if math.isinf(play.end_s) else play.end_s
    return 1.0 if passed >= end_s else (passed - known.wait_s) / (end_s - known.wait_s)
