"""Admission: the state of a law's limits, and what they refuse. Pure: time is an argument, in seconds.

    Demand ─ Admission.refusal ─▶ Refusal
                               └▶ None ─ take ─▶ Hold ─ the request ends ─ settle

All times are seconds since the provider's first request and never go back. What is refused depends on when requests
arrive and end, and on nothing else.

Sources of the numbers stand in the presets. The acceleration limit is one model of what OpenAI and Anthropic do and do
not describe: no more in a period than so many times the period before.
"""

from __future__ import annotations

import math
from collections import deque
from enum import Enum
from typing import NamedTuple

from deepswarm.simulator.ledger import PICO, Bill
from deepswarm.simulator.limitlaw import Charge, Counted, GrowthLaw, LimitLaws
from deepswarm.simulator.rates import Demand, Quota, Rate, Taken, counted_in
from deepswarm.simulator.terms import Terms, cap_of_balance, terms_at


class Why(Enum):
    """The kind of limit that refuses."""

    BALANCE = "balance"
    BUDGET = "in-flight budget"
    CONCURRENCY = "concurrency"
    GROWTH = "growth"
    RATE = "rate"
    QUEUE = "queue"


class Refusal(NamedTuple):
    """A request that is not let in.

    Attributes:
        why: The kind of limit.
        limit: What the ledger calls it.
        wait_s: Seconds until the same request may be let in, at the earliest; infinite when it never can be, None
            when nobody knows.
        most: What the limit allows.
        used: What of that is in use.
        asked: What this request would add.
        counts: What a rate counts; None for the other kinds.
        per_s: Length of a rate's period; 0 for the other kinds.
        from_balance: Whether a concurrency cap comes from the balance.
    """

    why: Why
    limit: str
    wait_s: float | None
    most: float
    used: float
    asked: float
    counts: Counted | None = None
    per_s: float = 0.0
    from_balance: bool = False


class Hold(NamedTuple):
    """What an admitted request holds until it ends: what each rate took, and money by estimate."""

    rates: tuple[Rate, ...]
    taken: tuple[Taken, ...]
    estimate_pico: int


class Admission:
    """The state of all limits of one provider.

    Attributes:
        terms: The numbers that hold since the last call: steps and other tenants counted in.
    """

    def __init__(self, law: LimitLaws) -> None:
        """Full buckets, and a balance of which nothing was spent."""
        self._law = law
        self._at = 0.0
        self.terms: Terms = terms_at(law, 0.0)
        self._rates = tuple(Rate(rate, 0.0) for rate in law.rates)
        self._growth = _Growth(law.growth)
        self._spent_pico = 0
        self._estimated_pico = 0
        self._follow_terms(0.0)

    def __repr__(self) -> str:
        return f"Admission(at={self._at:g} s, concurrency={self.terms.concurrency}, rates={list(self._rates)})"

    def switch(self, law: LimitLaws) -> None:
        """Follow another law from now on.

        A rate or acceleration limit that stands in both laws word for word keeps its state, the others start afresh.
        The money spent so far stays spent unless the new law has another [balance]. Time goes on counting.
        """
        kept = {rate.law: rate for rate in self._rates}
        self._rates = tuple(kept.pop(rate) if rate in kept else Rate(rate, self._at) for rate in law.rates)
        if law.growth != self._law.growth:
            self._growth = _Growth(law.growth)
        if law.balance != self._law.balance:
            self._spent_pico = 0
        self._law = law
        self.terms = terms_at(law, self._at)
        self._follow_terms(self._at)

    def advance(self, t: float) -> bool:
        """Let time pass until `t`, with every step and every coming and going of a tenant at its own moment.

        Returns:
            Whether the terms have changed.
        """
        self._at = max(self._at, t)
        if t < self.terms.until_s:
            return False
        while self.terms.until_s <= t:
            moment = self.terms.until_s
            self.terms = terms_at(self._law, moment)
            self._follow_terms(moment)
        return True

    def balance_usd(self, t: float) -> float | None:
        """Dollars that are left on the account; None when the law has no balance. May be a little below 0."""
        balance = self._law.balance
        if balance.usd is None:
            return None
        paid_in = balance.usd + sum(top_up.usd for top_up in balance.top_ups if top_up.at_s <= t)
        return paid_in - self._spent_pico / PICO

    def refusal(self, t: float, demand: Demand, in_flight: int, waiting: int) -> Refusal | None:
        """Why this request is not let in; None when it is. Limits that count refused requests have counted it.

        Args:
            t: Now; `advance` was called with it.
            demand: What it may cost.
            in_flight: Requests that hold a slot of the concurrency cap.
            waiting: How many of them wait in the queue, if this one would, too; -1 if it would not.
        """
        refusal = self.foreseen(t, demand, in_flight, waiting)
        if refusal is not None:
            if refusal.why is Why.GROWTH:
                self._growth.note_refused(t, refusal.most)
            for rate in self._rates:
                rate.note_refused(t, demand)
        return refusal

    def foreseen(self, t: float, demand: Demand, in_flight: int, waiting: int) -> Refusal | None:
        """What `refusal` would say, without anything being counted."""
        return (
            self._money(t, demand)
            or self._cap(t, in_flight)
            or self._growth.refusal(t, demand)
            or self._rate(t, demand)
            or self._queue(waiting)
        )

    def take(self, t: float, demand: Demand) -> Hold:
        """Charge an admitted request to all limits."""
        self._growth.take(t, demand)
        self._estimated_pico += demand.most_pico
        return Hold(self._rates, tuple([rate.take(t, demand) for rate in self._rates]), demand.most_pico)

    def settle(self, t: float, hold: Hold, billed: Bill, *, completed: bool) -> None:
        """Correct the charges of a request that has ended.

        Args:
            t: Now; `advance` was called with it.
            hold: As `take` gave it. Rates that a switch of laws has retired are not missed.
            billed: What it cost in the end.
            completed: Whether a completion was made to its end.
        """
        for rate, taken in zip(hold.rates, hold.taken, strict=True):
            rate.settle(t, taken, billed, completed=completed)
        self._estimated_pico -= hold.estimate_pico
        self._spent_pico += billed.cost_pico

    def quotas(self, t: float) -> list[Quota]:
        """How much of each rate limit is left, in the order of the law."""
        return [rate.quota(t) for rate in self._rates]

    # --- the limits one by one ---------------------------------------------------------------------------------------

    def _money(self, t: float, demand: Demand) -> Refusal | None:
        left = self.balance_usd(t)
        if left is not None and left <= 0.0:
            return Refusal(Why.BALANCE, Why.BALANCE.value, None, 0.0, -left, 0.0)
        budget = self._law.in_flight_budget
        most = budget.usd if budget.usd is not None else math.inf
        if budget.balance_share and left is not None:
            most = min(most, budget.balance_share * left)
        asked, used = demand.most_pico / PICO, self._estimated_pico / PICO
        if used + asked <= most:
            return None
        wait_s = math.inf if asked > most else budget.retry_after_s
        return Refusal(Why.BUDGET, Why.BUDGET.value, wait_s, most, used, asked)

    def _cap(self, t: float, in_flight: int) -> Refusal | None:
        cap, from_balance = self.cap(t)
        if cap is None or in_flight < cap:
            return None
        return Refusal(Why.CONCURRENCY, Why.CONCURRENCY.value, None, cap, in_flight, 1, from_balance=from_balance)

    def cap(self, t: float) -> tuple[int | None, bool]:
        """Most requests in flight now, None without a cap; and whether the balance sets it."""
        cap = self.terms.concurrency
        left = self.balance_usd(t)
        by_balance = None if left is None else cap_of_balance(self._law.balance, left)
        if by_balance is None or (cap is not None and cap <= by_balance):
            return cap, False
        return max(1, int(by_balance * self.terms.free)), True

    def _rate(self, t: float, demand: Demand) -> Refusal | None:
        """The rate limit that lets this request in last, of those that do not let it in now."""
        worst: Refusal | None = None
        for rate in self._rates:
            wait_s = rate.wait_s(t, demand)
            if wait_s is not None and (worst is None or wait_s > (worst.wait_s or 0.0)):
                quota, law = rate.quota(t), rate.law
                used, asked = quota.limit - quota.remaining, rate.cost(demand)
                worst = Refusal(Why.RATE, law.label, wait_s, quota.limit, used, asked, law.counts, law.per_s)
        return worst

    def _queue(self, waiting: int) -> Refusal | None:
        most = self._law.queue.most_waiting
        if most is None or waiting < most:
            return None
        return Refusal(Why.QUEUE, Why.QUEUE.value, None, most, waiting, 1)

    def _follow_terms(self, t: float) -> None:
        for place, rate in enumerate(self._rates):
            rate.change(t, self.terms.amounts[place], self.terms.free)


class _Growth:
    """An acceleration limit: the last period may hold `factor` times what the period before it held."""

    def __init__(self, law: GrowthLaw) -> None:
        self._law = law
        self._now: deque[tuple[float, float]] = deque()
        self._before: deque[tuple[float, float]] = deque()
        self._sum_now = self._sum_before = 0.0
        self._frozen_until = -math.inf
        self._frozen = 0.0

    def refusal(self, t: float, demand: Demand) -> Refusal | None:
        law = self._law
        if not law.factor:
            return None
        self._roll(t)
        asked, most = counted_in(demand, law.counts, Charge.RESERVE), self._allowance(t)
        if self._sum_now + asked <= most or not self._now:
            return None
        wait_s = self._now[0][0] + law.period_s - t
        return Refusal(Why.GROWTH, Why.GROWTH.value, wait_s, most, self._sum_now, asked, law.counts, law.period_s)

    def note_refused(self, t: float, most: float) -> None:
        """A request was refused while so many were allowed: that does not grow for a while."""
        if t >= self._frozen_until:
            self._frozen_until, self._frozen = t + self._law.freeze_s, most

    def take(self, t: float, demand: Demand) -> None:
        if self._law.factor:
            amount = counted_in(demand, self._law.counts, Charge.RESERVE)
            self._now.append((t, amount))
            self._sum_now += amount

    def _allowance(self, t: float) -> float:
        law = self._law
        most = max(law.least, law.factor * self._sum_before)
        if law.most:
            most = min(law.most, most)
        return min(most, self._frozen) if t < self._frozen_until else most

    def _roll(self, t: float) -> None:
        period_s = self._law.period_s
        while self._now and self._now[0][0] <= t - period_s:
            entry = self._now.popleft()
            self._before.append(entry)
            self._sum_now -= entry[1]
            self._sum_before += entry[1]
        while self._before and self._before[0][0] <= t - 2.0 * period_s:
            self._sum_before -= self._before.popleft()[1]
