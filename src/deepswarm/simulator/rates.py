"""Rate limits: so much per period, as a bucket that fills evenly or as a count that starts anew. Pure."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from deepswarm.simulator.ledger import PICO, Bill
from deepswarm.simulator.limitlaw import Charge, Counted, RateLaw, Shape

OVERDRAFT: Final = 0.2
"""How far refused requests can push a bucket below 0, as a share of its capacity: a flood must come to an end."""
_ROUNDING: Final = 1e-9


class Demand(NamedTuple):
    """What a request may cost.

    Attributes:
        tokens_in: Tokens of its prompt.
        cached: Those of them that come from the prefix cache.
        most_out: Most tokens of its answer.
        most_pico: Most money, in millionths of a millionth of a dollar.
    """

    tokens_in: int
    cached: int
    most_out: int
    most_pico: int


class Quota(NamedTuple):
    """How a rate limit stands, as rate-limit headers tell it.

    Attributes:
        counts: What it counts.
        per_s: Length of its period.
        limit: What is allowed per period, as the provider says.
        remaining: What may still be taken now; never below 0.
        reset_s: Seconds until all of it may be taken again.
    """

    counts: Counted
    per_s: float
    limit: float
    remaining: float
    reset_s: float


class Taken(NamedTuple):
    """What a request was charged by one limit, and in which of its periods."""

    charge: float
    period: int


def counted_in(demand: Demand, counts: Counted, charge: Charge) -> float:
    """What a request is charged at admission."""
    out = 0 if charge is Charge.END else demand.most_out
    match counts:
        case Counted.REQUESTS:
            return 1.0
        case Counted.TOKENS:
            return demand.tokens_in + out
        case Counted.INPUT_TOKENS:
            return demand.tokens_in
        case Counted.UNCACHED_TOKENS:
            return demand.tokens_in - demand.cached
        case Counted.OUTPUT_TOKENS:
            return out
        case Counted.USD:
            return 0.0 if charge is Charge.END else demand.most_pico / PICO


def counted_of(billed: Bill, counts: Counted) -> float:
    """What a request has cost in the end."""
    match counts:
        case Counted.REQUESTS:
            return 1.0
        case Counted.TOKENS:
            return billed.tokens_in + billed.tokens_out
        case Counted.INPUT_TOKENS:
            return billed.tokens_in
        case Counted.UNCACHED_TOKENS:
            return billed.tokens_in - billed.cached
        case Counted.OUTPUT_TOKENS:
            return billed.tokens_out
        case Counted.USD:
            return billed.cost_usd


class Rate:
    """The state of one rate limit. Times are seconds and never go back.

    Attributes:
        law: What it enforces.
    """

    __slots__ = ("_amount", "_at", "_base", "_free", "_level", "_period", "_succeeded", "law")

    def __init__(self, law: RateLaw, t: float) -> None:
        """A limit of which nothing has been used."""
        self.law = law
        self._amount = self._base = law.amount
        self._free = 1.0
        self._at = t
        self._period = self._period_at(t)
        self._succeeded = 0.0
        self._level = self._capacity

    def __repr__(self) -> str:
        return f"Rate({self.law.label!r}, {self._level:g} of {self._capacity:g})"

    def change(self, t: float, amount: float, free: float) -> None:
        """Let another amount per period hold from `t` on, and another share that other tenants leave over of it."""
        self._advance(t)
        if (amount, free) == (self._base, self._free):
            return
        used = self._capacity - self._level
        if amount != self._base:
            self._amount = self._base = amount
        self._free = free
        window = self.law.shape is Shape.WINDOW
        self._level = self._capacity - used if window else min(self._level, self._capacity)

    def cost(self, demand: Demand) -> float:
        """What a request is charged at admission."""
        return counted_in(demand, self.law.counts, self.law.charge)

    def wait_s(self, t: float, demand: Demand) -> float | None:
        """Seconds until a request may be let in; infinite when it never can be, None when it may be now."""
        self._advance(t)
        need = self._least if self.law.charge is Charge.END else self.cost(demand)
        if need <= self._level + _ROUNDING:
            return None
        if need > self._capacity + _ROUNDING:
            return math.inf
        if self.law.shape is Shape.WINDOW:
            return self._end_of(self._period) - t
        return (need - self._level) / self._per_second

    def take(self, t: float, demand: Demand) -> Taken:
        """Charge an admitted request."""
        self._advance(t)
        charge = self.cost(demand)
        self._level -= charge
        return Taken(charge, self._period)

    def settle(self, t: float, taken: Taken, billed: Bill, *, completed: bool) -> None:
        """Correct the charge of a request that has ended. What a window gives back after its end is lost."""
        self._advance(t)
        law = self.law
        if completed:
            self._succeeded += counted_of(billed, law.counts)
        if not completed and not law.failed:
            used = 0.0
        elif law.charge is Charge.RESERVE or law.counts is Counted.REQUESTS:
            used = taken.charge
        else:
            used = counted_of(billed, law.counts)
        back = taken.charge - used
        if back < 0.0 or law.shape is Shape.BUCKET or taken.period == self._period:
            self._level = min(self._capacity, self._level + back)

    def note_refused(self, t: float, demand: Demand) -> None:
        """A request was refused, by this limit or another: it counts where the law says so."""
        if self.law.refused:
            self._advance(t)
            self._level = max(self._level - self.cost(demand), min(self._level, -OVERDRAFT * self._capacity))

    def quota(self, t: float) -> Quota:
        """How it stands at `t`."""
        self._advance(t)
        law = self.law
        if law.shape is Shape.WINDOW:
            reset_s = self._end_of(self._period) - t
        else:
            reset_s = (self._capacity - self._level) / self._per_second if self._per_second else law.per_s
        limit = self._amount if law.advertise is None else law.advertise
        return Quota(law.counts, law.per_s, limit, max(0.0, self._level), max(0.0, reset_s))

    # --- arithmetic --------------------------------------------------------------------------------------------------

    @property
    def _per_second(self) -> float:
        return self._amount * self._free / self.law.per_s

    @property
    def _capacity(self) -> float:
        """What can be taken at once. A bucket of requests holds at least one, or it would never let one through."""
        seconds = self.law.per_s if self.law.shape is Shape.WINDOW else self.law.burst_s or self.law.per_s
        capacity = self._per_second * seconds
        return max(1.0, capacity) if self.law.counts is Counted.REQUESTS and self._free else capacity

    @property
    def _least(self) -> float:
        """What must be left where the answer is charged late: anything, in whole units."""
        return min(self._capacity, _ROUNDING * 2.0 if self.law.counts is Counted.USD else 1.0)

    def _advance(self, t: float) -> None:
        """Fill up for the time since the last call, period by period where something happens at their ends."""
        if t <= self._at:
            return
        law = self.law
        if law.grow or law.shape is Shape.WINDOW:
            period = self._period_at(t)
            if period > self._period:
                self._close_periods(period)
        if law.shape is Shape.BUCKET:
            self._fill(t)
        self._at = t

    def _close_periods(self, period: int) -> None:
        """End the periods before this one."""
        if self.law.grow:
            while self._period < period:
                if self.law.shape is Shape.BUCKET:
                    self._fill(self._end_of(self._period))
                self._adapt()
                self._period += 1
                if self._amount == self._base and not self._succeeded:
                    break
        self._period = period
        if self.law.shape is Shape.WINDOW:
            self._level = self._capacity

    def _fill(self, t: float) -> None:
        self._level = min(self._capacity, self._level + self._per_second * max(0.0, t - self._at))
        self._at = max(self._at, t)

    def _adapt(self) -> None:
        """Grow after a period of use, shrink after an idle one."""
        law, used = self.law, self._succeeded / self._amount
        self._succeeded = 0.0
        if used >= 0.5:
            self._amount = min(max(law.most, self._base), self._amount * (1.0 + law.grow))
        elif used < 0.1:
            self._amount = max(self._base, self._amount / (1.0 + law.grow))

    def _period_at(self, t: float) -> int:
        """Which period `t` lies in: 0 is the first, which may be shorter than the others."""
        return math.floor((t - self._first_end) / self.law.per_s) + 1

    def _end_of(self, period: int) -> float:
        return self._first_end + period * self.law.per_s

    @property
    def _first_end(self) -> float:
        return self.law.first_reset_s or self.law.per_s
