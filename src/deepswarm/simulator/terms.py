"""The numbers of a law that hold at one moment: its steps, and what other tenants leave over. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple

from deepswarm.simulator.limitlaw import BalanceLaw, LimitLaws, Tenant


class Terms(NamedTuple):
    """What holds from one moment to the next change.

    Attributes:
        until_s: When the next change comes, seconds since the first request; infinite when none will.
        concurrency: Most requests in flight that tenants leave over; None without a cap.
        slots: Of the queue; 0 without one.
        slowdown: Factor on the time per token.
        answer_tokens: Median tokens of an answer, when a step has changed it.
        free: Share of every limit that other tenants leave over, 0 to 1.
        amounts: Of each rate of the law, in its order, before tenants take their share.
    """

    until_s: float
    concurrency: int | None
    slots: int
    slowdown: float
    answer_tokens: int | None
    free: float
    amounts: tuple[float, ...]


def terms_at(law: LimitLaws, t: float) -> Terms:
    """The numbers that hold at `t`, seconds since the first request."""
    concurrency, slots, slowdown, answer_tokens = law.concurrency, law.queue.slots, 1.0, None
    amounts = [rate.amount for rate in law.rates]
    until_s = math.inf
    for step in sorted(law.steps, key=lambda step: step.at_s):
        if step.at_s > t:
            until_s = step.at_s
            break
        concurrency = concurrency if step.concurrency is None else step.concurrency
        slots = slots if step.slots is None else step.slots
        slowdown = slowdown if step.slowdown is None else step.slowdown
        answer_tokens = answer_tokens if step.answer_tokens is None else step.answer_tokens
        for place, rate in enumerate(law.rates):
            if step.amount is not None and step.rate in {rate.label, rate.counts.value}:
                amounts[place] = step.amount
    taken = sum(tenant.share for tenant in law.tenants if _is_there(tenant, t))
    free = max(0.0, 1.0 - taken)
    until_s = min([until_s, *(_next_change(tenant, t) for tenant in law.tenants)])
    cap = int(concurrency * free) if concurrency else None
    return Terms(until_s, cap, slots, slowdown, answer_tokens, free, tuple(amounts))


def cap_of_balance(law: BalanceLaw, left_usd: float) -> int | None:
    """The concurrency cap of an account with so many dollars left, at least 1; None when the balance sets none."""
    if law.cap_per_usd:
        return max(1, int(law.cap_per_usd * left_usd))
    if not law.caps:
        return None
    return max((cap.concurrency for cap in law.caps if left_usd >= cap.at_least), default=1)


def _is_there(tenant: Tenant, t: float) -> bool:
    return any(start <= t < end for start, end in _visits(tenant, t))


def _next_change(tenant: Tenant, t: float) -> float:
    return min((moment for visit in _visits(tenant, t) for moment in visit if moment > t), default=math.inf)


def _visits(tenant: Tenant, t: float) -> list[tuple[float, float]]:
    """The visits around `t`: from when until when. Three of them, because a quotient may be rounded either way."""
    end = math.inf if tenant.until_s is None else tenant.until_s
    if not tenant.every_s:
        return [(tenant.from_s, end)]
    turn = math.floor((t - tenant.from_s) / tenant.every_s)
    shifts = [max(0, each) * tenant.every_s for each in (turn - 1, turn, turn + 1)]
    return [(tenant.from_s + shift, end + shift) for shift in shifts]
