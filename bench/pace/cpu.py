"""Time that the adaptive pace itself takes for each call, with 2,500 under way: the pace alone, without the engine."""

from __future__ import annotations

import heapq
import random
import time
from typing import Final

from deepswarm.core.pace import Begun, Cost, Flowed, Go, Sent, Served, Taken
from deepswarm.core.pace.adaptive import Adaptive
from pace.tables import show

IN_FLIGHT: Final = 2_500
CALLS: Final = 60_000
CALL_S: Final = 45.0


def measure() -> None:
    """Print microseconds a call, of calls that left once all were under way."""
    micros, under_way = spent(IN_FLIGHT, CALLS)
    show(["calls under way", "calls", "µs a call (ask, sent, taken, begun, flowed, served)"],
         [[f"{under_way:,}", f"{CALLS:,}", f"{micros:.1f}"]])  # fmt: skip


def spent(most: int, calls: int) -> tuple[float, int]:
    """Microseconds of CPU for each call, and how many were under way."""
    pace, chance = Adaptive(most, None, 1, streamed=True), random.Random(1)
    coming: list[tuple[float, int, int]] = []
    now, number, flying, cpu, counted = 0.0, 0, 0, 0.0, 0
    cost = Cost(600.0, 700.0, 8192.0)
    while counted < calls:
        begun = time.process_time_ns()
        asked = 0
        while isinstance(answer := pace.admit(now, cost), Go):
            number, flying, asked = number + 1, flying + 1, asked + 1
            pace.observe(Sent(number, cost), now)
        passed = time.process_time_ns() - begun
        for call in range(number - asked + 1, number + 1):
            heapq.heappush(coming, (now + 0.3, call, 0))
            heapq.heappush(coming, (now + 1.5, call, 1))
            heapq.heappush(coming, (now + CALL_S * chance.lognormvariate(0.0, 0.5) + 1.6, call, 2))
        if coming and (coming[0][0] <= answer.at or not asked):
            now, call, what = heapq.heappop(coming) if coming[0][0] <= answer.at else (answer.at, 0, 3)
        else:
            now, call, what = answer.at, 0, 3
        begun = time.process_time_ns()
        if what == 0:
            pace.observe(Taken(call), now)
        elif what == 1:
            pace.observe(Begun(call), now)
        elif what == 2:
            flying -= 1
            pace.observe(Flowed(700.0), now)
            pace.observe(Served(call, 600.0, 700.0), now)
        passed += time.process_time_ns() - begun
        if flying >= 0.95 * most:
            cpu, counted = cpu + passed, counted + (what == 2)
    return cpu / 1e3 / counted, flying
