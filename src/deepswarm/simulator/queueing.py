"""A server's own queue: so many requests run at once, the others wait in order of arrival. Pure.

Where each request's time line is fixed when it arrives, so is its place in the queue: it starts when enough of those
before it will have ended. When one of them leaves early, those that arrive later profit, those that wait do not. How
much running requests slow each other down is fixed at the start, too: it is right in a steady state, and too fast for
the first requests of a sudden crowd. A request that hangs computes nothing and holds no slot.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from typing import NamedTuple

from deepswarm.simulator.limitlaw import QueueLaw

_THRASH_EXPONENT = 0.7
"""How fast recomputing grows with what does not fit: a model, measured nowhere."""


class Place(NamedTuple):
    """A place in the queue.

    Attributes:
        wait_s: Seconds until work starts.
        slowdown: Factor on the time per token, 1 or more.
        waiting: How many wait already, when this one has to; -1 when it has not.
    """

    wait_s: float
    slowdown: float
    waiting: int


_FREELY = Place(0.0, 1.0, -1)


class RequestQueue:
    """The requests that run or wait, by when they will have ended. Times are seconds."""

    def __init__(self) -> None:
        self._ends: list[float] = []
        self._end_of: dict[int, float] = {}

    def __repr__(self) -> str:
        return f"RequestQueue({len(self._ends)} running or waiting)"

    def place(self, law: QueueLaw, slots: int, t: float) -> Place:
        """Where a request that arrives at `t` would stand.

        Args:
            law: How requests slow each other down.
            slots: How many run at once now; 0 for all.
            t: Now.
        """
        if not slots and not law.knee and not law.thrash_above:
            return _FREELY
        there = len(self._ends) - bisect_right(self._ends, t)
        if not slots or there < slots:
            return Place(0.0, slowdown(law, there + 1), -1)
        start = self._ends[len(self._ends) - slots]
        return Place(start - t, slowdown(law, slots), there - slots)

    def enter(self, number: int, end: float) -> None:
        """A request was let in and will have ended at `end`; infinite for one that hangs."""
        if not math.isinf(end):
            insort(self._ends, end)
            self._end_of[number] = end

    def leave(self, number: int) -> None:
        """A request has ended, or its client has gone."""
        end = self._end_of.pop(number, None)
        if end is not None:
            del self._ends[bisect_left(self._ends, end)]


def slowdown(law: QueueLaw, running: int) -> float:
    """Factor on the time per token when so many run at once, 1 or more.

    1 + (running - 1) / knee, so that all together make running / (1 + (running - 1) / knee) times what one alone
    makes, and never more than knee times. Above `thrash_above` the work that no longer fits the memory is done again.
    """
    factor = 1.0 + (running - 1) / law.knee if law.knee else 1.0
    if law.thrash_above and running > law.thrash_above:
        factor *= (running / law.thrash_above) ** _THRASH_EXPONENT
    return factor
