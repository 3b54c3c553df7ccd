"""Time that the adaptive pace itself takes for each call, with 2,500 under way: the pace alone, without the engine.

What happens is worked out first and then told to a second pace of the same kind under the clock, which is looked at
twice: it can cost more than what it measures. After every fact the pace is asked again, as the gate does.
"""

from __future__ import annotations

import heapq
import random
import time
from typing import Final

from deepswarm.core.pace import Begun, Cost, Fact, Flowed, Go, Sent, Served, Taken
from deepswarm.core.pace.adaptive import Adaptive
from pace.tables import show

IN_FLIGHT: Final = 2_500
CALLS: Final = 40_000
CALL_S: Final = 45.0
_COST: Final = Cost(600.0, 700.0, 8192.0)

Told = list[tuple[float, Fact | None]]
"""What a pace is told, in order, and when; None asks it."""


def measure() -> None:
    """Print microseconds a call, of calls that ended once all were under way."""
    before, then = happened(IN_FLIGHT, CALLS)
    pace = _pace(IN_FLIGHT)
    _tell(pace, before)
    begun = time.process_time()
    _tell(pace, then)
    micros = (time.process_time() - begun) / CALLS * 1e6
    asked = sum(fact is None for _, fact in then) / CALLS
    header = ["calls under way", "calls", "questions a call", "µs a call (asked, sent, taken, begun, flowed, served)"]
    show(header, [[f"{IN_FLIGHT:,}", f"{CALLS:,}", f"{asked:.1f}", f"{micros:.1f}"]])


def happened(most: int, calls: int) -> tuple[Told, Told]:
    """What a pace is told until so many calls are under way, and from then on until so many have ended."""
    pace, chance = _pace(most), random.Random(1)
    coming: list[tuple[float, int, int]] = []
    before: Told = []
    then: Told = []
    told, now, number, flying, ended = before, 0.0, 0, 0, 0
    while ended < calls:
        while True:
            told.append((now, None))
            answer = pace.admit(now, _COST)
            if not isinstance(answer, Go):
                break
            number, flying = number + 1, flying + 1
            _note(pace, told, now, Sent(number, _COST))
            done_at = now + 1.6 + CALL_S * chance.lognormvariate(0.0, 0.5)
            for at, what in ((now + 0.3, 0), (now + 1.5, 1), (done_at, 2)):
                heapq.heappush(coming, (at, number, what))
        if not coming or coming[0][0] > answer.at:
            now = answer.at
            continue
        now, call, what = heapq.heappop(coming)
        if what == 0:
            _note(pace, told, now, Taken(call))
        elif what == 1:
            _note(pace, told, now, Begun(call))
        else:
            flying -= 1
            ended += told is then
            _note(pace, told, now, Flowed(700.0))
            _note(pace, told, now, Served(call, 600.0, 700.0))
        if flying == most:
            told = then
    return before, then


def _pace(most: int) -> Adaptive:
    return Adaptive(most, None, 1, streamed=True)


def _note(pace: Adaptive, told: Told, now: float, fact: Fact) -> None:
    told.append((now, fact))
    pace.observe(fact, now)


def _tell(pace: Adaptive, told: Told) -> None:
    for now, fact in told:
        if fact is None:
            pace.admit(now, _COST)
        else:
            pace.observe(fact, now)
