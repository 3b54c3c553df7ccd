"""The oracle: sends exactly when the provider would admit a call, because it may look at the provider's state.

It is greedy: it takes the next seed as soon as anything is open, and never keeps room for a smaller one. So it is no
strict bound: a pace whose long calls fail, or that overdraws a limit which is charged late, can come out above it. It
leaves a call that hangs at once, and goes on sending while a provider fails.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator

from deepswarm.core.records import HttpRequest
from deepswarm.simulator.law import Law
from deepswarm.simulator.play import End
from deepswarm.simulator.provider import SimulatedProvider, Ticket

AGAIN_S = 0.01
"""Least seconds between two looks at a limit that says when it opens: floats are rounded."""


def attainable(law: Law, seed: int, requests: Iterator[HttpRequest]) -> list[float]:
    """When each completion of the oracle was made, in seconds from the start, in order, up to the law's horizon."""
    provider = SimulatedProvider(law, seed, keep_rows=0)
    most = law.bench.best_calls or law.bench.ceiling
    ends: list[tuple[float, int, Ticket]] = []
    done: list[float] = []
    now, request = 0.0, next(requests)
    while now <= law.bench.horizon_s:
        opens_s = math.inf
        while len(ends) < most and (opens_s := provider.opens_in_s(request, now)) <= 0.0:
            ticket = provider.receive(request, now)
            hangs = ticket.play.end is End.HANG
            heapq.heappush(ends, (now if hangs else now + ticket.play.end_s, ticket.number, ticket))
            request = next(requests)
        opens_at = now + max(AGAIN_S, opens_s) if len(ends) < most else math.inf
        if not ends or opens_at < ends[0][0]:
            now = opens_at
            continue
        now, _, ticket = heapq.heappop(ends)
        hangs = ticket.play.end is End.HANG
        provider.release(ticket, now, client_gone=hangs)
        if ticket.tokens_out is not None and not hangs and now <= law.bench.horizon_s:
            done.append(now)
    return done
